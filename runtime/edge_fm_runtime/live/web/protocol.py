"""Speak HTTP/1.1 with one visitor, and record whether its connection waits for a request."""

import asyncio
import functools
from http import HTTPStatus

import h11
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState
from websockets.http11 import Request
from websockets.server import ServerProtocol

from edge_fm_runtime.live.web.security import HEADERS
from edge_fm_runtime.live.web.visitors import Visitor, Visitors

_ANSWERING = frozenset({h11.SEND_RESPONSE, h11.SEND_BODY})


class VisitorProtocol(H11Protocol):
    """HTTP of one connection.

    The application finds `keep` in the state of a scope: a function that keeps the connection for a viewer,
    or returns False if there are too many.
    """

    def __init__(
        self, config: Config, server_state: ServerState, visitor: Visitor, visitors: Visitors
    ) -> None:
        super().__init__(config, server_state, {"keep": functools.partial(visitors.keep, visitor)})
        self._visitor = visitor

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Make the connection closable."""
        self._visitor.transport = transport
        super().connection_made(transport)

    def handle_events(self) -> None:
        """Record that a request has begun."""
        super().handle_events()
        self._visitor.is_answering |= self.conn.our_state in _ANSWERING

    def on_response_complete(self) -> None:
        """Record that the next request is waited for."""
        self._visitor.answered()
        super().on_response_complete()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Refuse a handshake that the library for WebSockets would leave without an answer or our headers."""
        head = b"".join(b"%b: %b\r\n" % (name, value) for name, value in self.headers)
        trial = ServerProtocol()
        trial.receive_data(b"%b %b HTTP/1.1\r\n%b\r\n" % (event.method, event.target, head))
        requests = [request for request in trial.events_received() if isinstance(request, Request)]
        if not requests or trial.accept(requests[0]).status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self.send_400_response("the WebSocket handshake is not valid")
            return
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, with the headers of every answer; end an answer that has begun."""
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.abort()
            return
        if self.cycle is not None:
            self.cycle.disconnected = True  # a request whose body is damaged gets this answer only
        body = f"{msg}\n".encode()
        headers = [
            *HEADERS,
            ("content-type", "text/plain; charset=utf-8"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        for sent in (
            h11.Response(status_code=HTTPStatus.BAD_REQUEST, headers=headers, reason="Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(sent) or b"")
        self.transport.close()
