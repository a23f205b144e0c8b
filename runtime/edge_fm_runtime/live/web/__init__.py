"""Show a feed in browsers, served by Starlette and uvicorn from a thread."""
