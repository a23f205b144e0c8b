"""Serve the page from a thread that is bound before the feed begins and ends with it."""

import errno
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_fm_runtime import posix
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import SourceError
from edge_fm_runtime.live.loop import FrameResult

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

_START_S, _END_S = 10.0, 5.0

_UNRESERVED = r"[A-Za-z0-9._~-]+"
"""Characters that an address and a header hold as they are (RFC 3986, unreserved)."""

_BACKLOG = 2048
"""Connections that may wait to be accepted; one more would try again only after a second."""


@dataclass(frozen=True)
class WebSettings:
    """Address, access and folders of the page.

    Attributes:
        host: the address to listen at.
        port: 0 for any free one.
        token: what visitors must bring; made if the address is not loopback and none is given.
        tls: certificate and key in PEM form, or None for plain HTTP.
        names: host names by which people reach this machine, besides its own and its addresses.
        snapshots: the folder where the snapshot button puts them.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str | None = None
    tls: tuple[Path, Path] | None = None
    names: tuple[str, ...] = ()
    snapshots: Path = Path()


class WebView:
    """View that serves results to browsers from its own thread."""

    def __init__(
        self,
        current: Callable[[], Classifier],
        model: str,
        settings: WebSettings,
        note: Callable[[str], None],
    ) -> None:
        """Listen, and print the address.

        Args:
            current: returns the model in use, for frames of browsers' own cameras.
            model: its name.
            settings: where, and for whom.
            note: called with the address.

        Raises:
            SourceError: the extra is not installed, the address cannot be listened at, or the certificate is
                none.
        """
        try:
            import uvicorn
            import websockets  # noqa: F401

            from edge_fm_runtime.live.web import app, browser_cameras, hub, listener, security, visitors
        except ImportError as error:
            raise SourceError(
                f"--view web needs more packages ({error.name}): pip install 'edge-fm[web]'"
            ) from None
        self._hub = hub.Hub(model)
        token = settings.token
        if token is not None and re.fullmatch(_UNRESERVED, token) is None:
            raise SourceError(
                "--token is empty or has a character that an address cannot hold: give letters, digits and -._~, or "
                "leave it out to have one made"
            )
        if token is None and settings.host not in LOOPBACK:
            token = secrets.token_urlsafe(24)
        listening = _listening(settings.host, settings.port)
        port = listening.getsockname()[1]
        guarded = security.Guarded(
            app.build(self._hub, browser_cameras.BrowserCameras(model, current), settings.snapshots),
            token,
            settings.names,
        )
        certificate, key = settings.tls or (None, None)
        config = uvicorn.Config(
            guarded,
            log_level="critical",
            lifespan="off",
            loop="asyncio",
            ws="websockets-sansio",
            ws_max_size=browser_cameras.MAX_MESSAGE,
            headers=list(security.HEADERS),
            ssl_certfile=certificate,
            ssl_keyfile=key,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=int(visitors.WAIT_S),
            server_header=False,
            proxy_headers=False,
        )
        try:
            config.load()
        except (OSError, ValueError) as error:
            listening.close()
            raise SourceError(
                f"the certificate or its key cannot be used ({error}): give --tls CERT KEY"
            ) from error
        caps = visitors.VisitorCaps.within(posix.raise_descriptor_limit())
        self._server = listener.PageServer(config, listening, caps)
        self._thread = threading.Thread(target=self._server.run, name="edge-fm web", daemon=True)
        self._thread.start()
        self._await_start()
        self.address = f"{'https' if settings.tls else 'http'}://{_shown(settings.host)}:{port}/"
        self.invitation = f"{self.address}?token={token}" if token else self.address
        note(f"look at {self.invitation}")

    def show(self, reading: FrameResult) -> bool:
        """Store the result for the viewers; return False if the server has ended."""
        return self._hub.show(reading) and self._thread.is_alive()

    def wait(self, notice: str) -> bool:
        """Store the message for the viewers."""
        return self._hub.wait(notice) and self._thread.is_alive()

    def close(self) -> None:
        """Stop the server and its viewers."""
        self._hub.close()
        self._server.should_exit = True
        self._thread.join(_END_S)

    def _await_start(self) -> None:
        ends_s = time.monotonic() + _START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > ends_s:
                raise SourceError("the server did not start")
            time.sleep(0.005)


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        is_host = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        remedy = "choose another --port, or --port 0 for any free one"
        if is_host:
            remedy = "give an address of this machine with --host"
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error
        raise SourceError(f"the page cannot be served on {host}:{port} ({reason}): {remedy}") from error


def _shown(host: str) -> str:
    """Return the host for a URL: the machine's name if it listens on all addresses."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104  # compared, not bound
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
