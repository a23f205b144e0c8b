"""Where rows go: files, journal, shards."""
