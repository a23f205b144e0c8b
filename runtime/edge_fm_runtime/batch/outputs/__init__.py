"""Write rows: files, journal, shards."""
