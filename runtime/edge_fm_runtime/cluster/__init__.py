"""Label on a cluster: a list of all inputs, split into shards, with one part file per shard."""
