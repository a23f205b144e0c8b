"""Serve the page and its routes."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from edge_fm_runtime.live import snapshot
from edge_fm_runtime.live.web.browser_cameras import BrowserCameras
from edge_fm_runtime.live.web.hub import Hub
from edge_fm_runtime.live.web.metrics import CONTENT_TYPE, exposition
from edge_fm_runtime.live.web.security import for_socket

_PICTURE_S = 1 / 25
_STATE_S = 1 / 10
_FILES = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}

Page = Callable[[Request], Awaitable[Response]]


def build(hub: Hub, cameras: BrowserCameras, snapshots: Path) -> Starlette:
    """Return the application.

    Args:
        hub: what the loop tells.
        cameras: answers the browsers' own cameras.
        snapshots: the folder where snapshots go.
    """
    feed = _Feed(hub, snapshots)
    app = Starlette(
        routes=[
            Route("/", _file("page.html")),
            *(Route(f"/{name}", _file(name)) for name in ("page.css", "page.js", "icon.svg")),
            Route("/stream.mjpg", feed.stream),
            Route("/api/state", feed.state),
            Route("/api/events", feed.events),
            Route("/api/snapshot", feed.snapshot, methods=["POST"]),
            Route("/healthz", feed.health),
            Route("/metrics", feed.metrics),
            WebSocketRoute("/api/camera", cameras.serve),
            WebSocketRoute("/{path:path}", _refuse_socket),
        ]
    )
    app.router.redirect_slashes = False  # it would redirect to whatever address the Host header names
    return app


class _Feed:
    """Routes of the device's own feed."""

    def __init__(self, hub: Hub, snapshots: Path) -> None:
        self._hub, self._snapshots = hub, snapshots

    async def stream(self, request: Request) -> Response:
        kind = "multipart/x-mixed-replace; boundary=frame"
        return _streamed(request, _pictures(self._hub, request), kind)

    async def state(self, _request: Request) -> Response:
        return JSONResponse(self._hub.state())

    async def events(self, request: Request) -> Response:
        return _streamed(request, _events(self._hub, request), "text/event-stream")

    async def snapshot(self, _request: Request) -> Response:
        reading = self._hub.reading
        if reading is None:
            return JSONResponse({"error": "there is no frame yet"}, HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            path = await asyncio.to_thread(
                snapshot.save, reading, self._hub.model, self._snapshots, "snapshot"
            )
        except OSError as error:
            return JSONResponse(
                {"error": f"no snapshot: {error.strerror or error}"}, HTTPStatus.SERVICE_UNAVAILABLE
            )
        return JSONResponse({"file": path.name, **snapshot.described(reading, self._hub.model)})

    async def health(self, _request: Request) -> Response:
        healthy = self._hub.is_healthy
        return PlainTextResponse(
            "ok\n" if healthy else "no frames\n", 200 if healthy else HTTPStatus.SERVICE_UNAVAILABLE
        )

    async def metrics(self, _request: Request) -> Response:
        return Response(exposition(self._hub), media_type=CONTENT_TYPE)


def _file(name: str) -> Page:
    body, kind = (_FILES / name).read_bytes(), _TYPES[Path(name).suffix]

    async def send(_request: Request) -> Response:
        return Response(body, media_type=kind)

    return send


async def _refuse_socket(socket: WebSocket) -> None:
    """Refuse a WebSocket at any other path."""
    await socket.send_denial_response(for_socket(PlainTextResponse("Not Found", HTTPStatus.NOT_FOUND)))


def _streamed(request: Request, parts: AsyncIterator[bytes] | AsyncIterator[str], kind: str) -> Response:
    """Return a stream that lasts, whose connection is kept for its viewer."""
    if request.method == "HEAD":
        return Response(media_type=kind)
    if not request.state.keep():
        return PlainTextResponse(
            "too many viewers are connected: close other pages, or try again later\n",
            HTTPStatus.SERVICE_UNAVAILABLE,
            {"retry-after": "5"},
        )
    return StreamingResponse(parts, media_type=kind)


async def _pictures(hub: Hub, request: Request) -> AsyncIterator[bytes]:
    """Yield the newest picture whenever there is a newer one; a slow viewer gets fewer, never older ones."""
    sent = 0
    yield b"--frame\r\n"
    while not hub.closed and not await request.is_disconnected():
        number, jpeg = await asyncio.to_thread(hub.picture)
        if number != sent and jpeg:
            sent = number
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            yield head.encode() + jpeg + b"\r\n--frame\r\n"  # Chromium shows a part once the next one begins
        await asyncio.sleep(_PICTURE_S)


async def _events(hub: Hub, request: Request) -> AsyncIterator[str]:
    """Yield the state ten times a second, and a `label` event whenever the label changes."""
    label = None
    yield "retry: 1000\n\n"
    while not hub.closed and not await request.is_disconnected():
        state = hub.state()
        if "label" in state and (state["label"], state["status"]) != label:
            label = (state["label"], state["status"])
            change = {key: state[key] for key in ("time", "status", "label", "confidence")}
            yield f"event: label\ndata: {json.dumps(change, ensure_ascii=False)}\n\n"
        yield f"event: state\ndata: {json.dumps(state, ensure_ascii=False)}\n\n"
        await asyncio.sleep(_STATE_S)
