"""Label on a cluster: a list of all inputs, shards of it, one part file for each. `ray_engine.label` is the way through."""
