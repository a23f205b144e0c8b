"""Sources of frames, one module per kind."""

BROWSER = "browser"
"""Name of the source that takes its frames from the browsers that view the page; here, it loads no OpenCV."""
