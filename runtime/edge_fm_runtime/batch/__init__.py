"""Label folders: one row per input, whatever happens. `run.label` is the way through."""
