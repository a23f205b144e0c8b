"""Read what a stranger may have made: files, JSON, zip archives and arrays, each within limits."""
