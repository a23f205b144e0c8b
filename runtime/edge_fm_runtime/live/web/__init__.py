"""The feed in a browser: served by Starlette and uvicorn from a thread, for as many viewers as look."""
