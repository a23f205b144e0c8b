"""Find inputs: paths, URLs and archive members."""
