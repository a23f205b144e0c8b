"""Serve the page and its routes."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from edge_fm_runtime.errors import InputError
from edge_fm_runtime.image import preprocess
from edge_fm_runtime.image.guard import Limits
from edge_fm_runtime.live import snapshot
from edge_fm_runtime.live.cameras.base import BgrImage
from edge_fm_runtime.live.loop import FrameResult
from edge_fm_runtime.live.web.hub import Hub, answer
from edge_fm_runtime.live.web.metrics import CONTENT_TYPE, exposition

MAX_MESSAGE = 4 * 2**20
"""Largest frame from a browser's camera, in bytes."""

_LIMITS = Limits(max_bytes=MAX_MESSAGE, max_pixels=2**23)
_PICTURE_S = 1 / 25
_STATE_S = 1 / 10
_BROWSERS = 4
_BUSY, _UNAVAILABLE = 1013, 503
_FILES = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}

Classify = Callable[[BgrImage, int], FrameResult]
"""Classifies a frame of a browser's camera; the number is the frame's in that camera's feed."""

Page = Callable[[Request], Awaitable[Response]]


def build(hub: Hub, classify: Classify, snapshots: Path) -> Starlette:
    """Return the application.

    Args:
        hub: what the loop tells.
        classify: for frames of the browsers' own cameras; called from threads.
        snapshots: the folder where snapshots go.
    """
    feed = _Feed(hub, snapshots)
    return Starlette(
        routes=[
            Route("/", _file("page.html")),
            *(Route(f"/{name}", _file(name)) for name in ("page.css", "page.js", "icon.svg")),
            Route("/stream.mjpg", feed.stream),
            Route("/api/state", feed.state),
            Route("/api/events", feed.events),
            Route("/api/snapshot", feed.snapshot, methods=["POST"]),
            Route("/healthz", feed.health),
            Route("/metrics", feed.metrics),
            WebSocketRoute("/api/camera", _Browsers(hub.model, classify).serve),
        ]
    )


class _Feed:
    """Routes of the device's own feed."""

    def __init__(self, hub: Hub, snapshots: Path) -> None:
        self._hub, self._snapshots = hub, snapshots

    async def stream(self, request: Request) -> Response:
        kind = "multipart/x-mixed-replace; boundary=frame"
        return StreamingResponse(_pictures(self._hub, request), media_type=kind)

    async def state(self, _request: Request) -> Response:
        return JSONResponse(self._hub.state())

    async def events(self, request: Request) -> Response:
        return StreamingResponse(_events(self._hub, request), media_type="text/event-stream")

    async def snapshot(self, _request: Request) -> Response:
        reading = self._hub.reading
        if reading is None:
            return JSONResponse({"error": "there is no frame yet"}, _UNAVAILABLE)
        try:
            path = await asyncio.to_thread(
                snapshot.save, reading, self._hub.model, self._snapshots, "snapshot"
            )
        except OSError as error:
            return JSONResponse({"error": f"no snapshot: {error.strerror or error}"}, _UNAVAILABLE)
        return JSONResponse({"file": path.name, **snapshot.described(reading, self._hub.model)})

    async def health(self, _request: Request) -> Response:
        healthy = self._hub.is_healthy
        return PlainTextResponse("ok\n" if healthy else "no frames\n", 200 if healthy else _UNAVAILABLE)

    async def metrics(self, _request: Request) -> Response:
        return Response(exposition(self._hub), media_type=CONTENT_TYPE)


class _Browsers:
    """Routes for browsers that send their own cameras, a few at a time."""

    def __init__(self, model: str, classify: Classify) -> None:
        self._model, self._classify = model, classify
        self._places = asyncio.Semaphore(_BROWSERS)

    async def serve(self, socket: WebSocket) -> None:
        await socket.accept()
        if self._places.locked():
            await socket.close(_BUSY, f"{_BROWSERS} browsers already send their cameras")
            return
        async with self._places:
            with contextlib.suppress(WebSocketDisconnect):
                await _serve_browser(socket, self._model, self._classify)


def _file(name: str) -> Page:
    body, kind = (_FILES / name).read_bytes(), _TYPES[Path(name).suffix]

    async def send(_request: Request) -> Response:
        return Response(body, media_type=kind)

    return send


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


async def _serve_browser(socket: WebSocket, model: str, classify: Classify) -> None:
    """Answer each frame before the next is read, so that none queues up."""
    number, last_s, rate = 0, time.monotonic(), 0.0
    while True:
        data = await socket.receive_bytes()
        try:
            frame = await asyncio.to_thread(preprocess.frame_from_bytes, data, _LIMITS)
        except InputError as error:
            await socket.send_json({"error": str(error)})
            continue
        number += 1
        reading = await asyncio.to_thread(classify, frame, number)
        now_s = time.monotonic()
        rate = 0.9 * rate + 0.1 / max(1e-3, now_s - last_s)
        last_s = now_s
        await socket.send_json(
            {"number": number, "frames_per_second": round(rate, 1), **answer(reading, model)}
        )
