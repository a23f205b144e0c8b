"""Label folders: one row per input, whatever happens. `label.label` is the way through."""
