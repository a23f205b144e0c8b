"""Accept visitors, as many as their caps allow."""

import asyncio
import contextlib
import socket
from typing import Any

import uvicorn

from edge_fm_runtime.live.web.protocol import VisitorProtocol
from edge_fm_runtime.live.web.security import HEADERS
from edge_fm_runtime.live.web.visitors import WAIT_S, Visitor, VisitorCaps, Visitors

_SWEEP_S = 1.0
_PAUSE_S = 0.1

_FULL = b"all places are taken by viewers: close other pages, or try again later\n"


class PageServer(uvicorn.Server):
    """Server that accepts connections itself, so that it can count them before any TLS handshake."""

    def __init__(self, config: uvicorn.Config, listening: socket.socket, caps: VisitorCaps) -> None:
        super().__init__(config)
        self._listening, self._visitors = listening, Visitors(caps)
        self._batch = caps.total  # a flood may exceed the cap by as much, until its batch is over
        self._tasks: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  # uvicorn's
        """Begin to accept."""
        await super().startup(sockets=[])
        self._listening.setblocking(False)
        self._tasks = [asyncio.create_task(self._accept_all()), asyncio.create_task(self._sweep())]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  # uvicorn's
        """Stop accepting, and end every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        self._listening.close()
        await super().shutdown(sockets=[])
        self._visitors.end_all()

    async def _accept_all(self) -> None:
        try:
            while True:
                try:
                    await self._accept()
                except OSError:  # the visitor has left, or another part of the process took all descriptors
                    self._visitors.end_oldest()
                    await asyncio.sleep(_PAUSE_S)
                await asyncio.sleep(0)  # between two batches of a flood, the others have their turn
        finally:
            self.should_exit = True

    async def _accept(self) -> None:
        """Accept the connections that wait, then connect those that none of them has replaced."""
        batch = [self._admit(*await asyncio.get_running_loop().sock_accept(self._listening))]
        try:
            while len(batch) < self._batch:
                batch.append(self._admit(*self._listening.accept()))
        except BlockingIOError:
            pass
        finally:
            for visitor in batch:
                if visitor is not None and visitor.is_open:
                    visitor.opening = asyncio.create_task(self._connect(visitor))

    def _admit(self, peer: socket.socket, name: tuple[Any, ...]) -> Visitor | None:
        """Return the visitor, or refuse it where viewers have all places."""
        peer.setblocking(False)
        visitor = Visitor(name[0], peer)
        if self._visitors.admit(visitor):
            return visitor
        self._refuse(peer)
        return None

    async def _connect(self, visitor: Visitor) -> None:
        protocol = VisitorProtocol(self.config, self.server_state, visitor, self._visitors)
        limit_s = None if self.config.ssl is None else WAIT_S
        with contextlib.suppress(OSError):  # no TLS, or the visitor has left
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol,
                visitor.peer,
                ssl=self.config.ssl,
                ssl_handshake_timeout=limit_s,
                ssl_shutdown_timeout=limit_s,
            )

    def _refuse(self, peer: socket.socket) -> None:
        """Close a connection for which there is no place; say so where it needs no handshake."""
        lines = [f"{name}: {value}" for name, value in HEADERS]
        head = "\r\n".join(
            ["HTTP/1.1 503 Service Unavailable", *lines, f"content-length: {len(_FULL)}", "connection: close"]
        )
        with peer, contextlib.suppress(OSError):
            if self.config.ssl is None:
                peer.send(f"{head}\r\n\r\n".encode() + _FULL)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            self._visitors.end_overdue()
