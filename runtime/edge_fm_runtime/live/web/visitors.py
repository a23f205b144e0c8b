"""Limit the connections of visitors, so that idle ones keep nobody out and descriptors are left.

A connection gives way to a newer one when its address, or the server, has too many. Viewers do not: streams,
and browsers that send their cameras. They get three quarters of the places, so that an address with many
viewers still has its short requests answered.
"""

import asyncio
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

WAIT_S = 10.0
"""Time for a TLS handshake, and for the head of a request from the connection's start or last answer on."""

STALL_S = 20.0
"""Time after which a visitor who takes nothing of what is sent is disconnected."""


@dataclass(frozen=True, kw_only=True)
class VisitorCaps:
    """Largest numbers of open connections.

    Attributes:
        total: of all addresses; over HTTPS, asyncio takes 0.3 MB for each.
        per_address: of one address, which may be a reverse proxy.
    """

    total: int = 256
    per_address: int = 64

    @classmethod
    def within(cls, descriptors: int | None) -> "VisitorCaps":
        """Return the usual caps, smaller where they would take over a quarter of the descriptors."""
        total = cls.total if descriptors is None else min(cls.total, max(8, descriptors // 4))
        return cls(total=total, per_address=min(cls.per_address, total // 2))


@dataclass(eq=False)
class Visitor:
    """An open connection.

    Attributes:
        address: the other end's.
        peer: its socket, which the event loop closes.
        opening: task that connects it, with its TLS handshake.
        transport: None until it is connected.
        is_answering: whether a request is under way.
        has_sent: whether it was seen to have sent something since its start or its last answer.
        is_viewer: whether it is kept from giving way.
        waits_since_s: monotonic time of its start or its last answer.
    """

    address: str
    peer: socket.socket
    opening: "asyncio.Task[None] | None" = None
    transport: asyncio.Transport | None = None
    is_answering: bool = False
    has_sent: bool = False
    is_viewer: bool = False
    waits_since_s: float = field(default_factory=time.monotonic)
    _taken_s: float = field(default_factory=time.monotonic)
    _unsent_bytes: int = 0

    @property
    def is_open(self) -> bool:
        """Return whether it still has a descriptor."""
        return self.peer.fileno() >= 0

    def has_unread(self) -> bool:
        """Return whether bytes wait to be read."""
        try:
            return bool(self.peer.recv(1, socket.MSG_PEEK))
        except OSError:  # none yet, or the connection has failed
            return False

    def answered(self) -> None:
        """Wait for the next request."""
        self.is_answering = self.has_sent = False
        self.waits_since_s = time.monotonic()

    def is_overdue(self, now_s: float) -> bool:
        """Return whether a handshake or a request is late, or nothing is taken; called about every second."""
        unsent = 0 if self.transport is None else self.transport.get_write_buffer_size()
        if not unsent or unsent < self._unsent_bytes:
            self._taken_s = now_s
        self._unsent_bytes = unsent
        is_late = not self.is_answering and now_s - self.waits_since_s > WAIT_S
        return is_late or now_s - self._taken_s > STALL_S

    def abort(self) -> None:
        """Close it at once."""
        if self.transport is not None:
            self.transport.abort()
        elif self.opening is not None:
            self.opening.cancel()
        else:
            self.peer.close()


class Visitors:
    """Open connections and their caps."""

    def __init__(self, caps: VisitorCaps) -> None:
        self._caps = caps
        self._open: list[Visitor] = []

    def _forget_closed(self) -> None:
        """Free the places of closed connections."""
        self._open = [visitor for visitor in self._open if visitor.is_open]

    def admit(self, visitor: Visitor) -> bool:
        """Add a connection, in the place of an older one if need be; return False if viewers have all."""
        self._forget_closed()
        neighbours = [other for other in self._open if other.address == visitor.address]
        if len(neighbours) >= self._caps.per_address:
            has_place = self._end_oldest(neighbours)
        else:
            has_place = len(self._open) < self._caps.total or self._end_oldest(self._open)
        if has_place:
            self._open.append(visitor)
        return has_place

    def end_oldest(self) -> bool:
        """End the connection that waits longest; return False if there are viewers only."""
        return self._end_oldest(self._open)

    def keep(self, visitor: Visitor) -> bool:
        """Keep a viewer's connection from giving way; return False if there are too many viewers."""
        viewers = [other for other in self._open if other.is_viewer and other.is_open]
        neighbours = [other for other in viewers if other.address == visitor.address]
        if len(viewers) >= _share(self._caps.total) or len(neighbours) >= _share(self._caps.per_address):
            return False
        visitor.is_viewer = True
        return True

    def end_overdue(self) -> None:
        """End every connection that is overdue."""
        now_s = time.monotonic()
        for visitor in self._open:
            if visitor.is_open and visitor.is_overdue(now_s):
                visitor.abort()

    def end_all(self) -> None:
        """End every connection."""
        for visitor in self._open:
            visitor.abort()

    def _end_oldest(self, visitors: Sequence[Visitor]) -> bool:
        others = [visitor for visitor in visitors if not visitor.is_viewer]
        if not others:
            return False
        oldest = min(others, key=_order_of_leaving)
        # In a flood, a request may have come that nobody has had time to read.
        while not oldest.is_answering and not oldest.has_sent and oldest.has_unread():
            oldest.has_sent = True
            oldest = min(others, key=_order_of_leaving)
        self._open.remove(oldest)
        oldest.abort()
        return True


def _order_of_leaving(visitor: Visitor) -> tuple[bool, bool, float]:
    return visitor.is_answering, visitor.has_sent, visitor.waits_since_s


def _share(places: int) -> int:
    """Return the number of places that viewers may have."""
    return places * 3 // 4
