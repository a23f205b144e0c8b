"""A real S3 server on loopback (moto's), behind a proxy that fails when it is told to."""

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from moto.server import ThreadedMotoServer


class Fault(StrEnum):
    """How a request fails."""

    ERROR = "answers 500"
    SILENT = "is not answered"
    CUT = "ends in the middle"
    REFUSED = "answers 403"


Chooser = Callable[[str, str], Fault | None]
"""Given a request's method and path, how it fails, if it does."""


class S3:
    """The server.

    Attributes:
        url: its endpoint.
        fault: asked for each request.
        requests: how many have come.
    """

    def __init__(self) -> None:
        self.fault: Chooser = lambda _method, _path: None
        self.requests = 0
        self._moto = ThreadedMotoServer(ip_address="127.0.0.1", port=_free_port(), verbose=False)
        self._moto.start()
        self._behind = self._moto.get_host_and_port()
        self._ended = threading.Event()
        self._proxy = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._proxy.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._proxy.server_address[1]}"
        threading.Thread(target=self._proxy.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._ended.set()
        self._proxy.shutdown()
        self._proxy.server_close()
        self._moto.stop()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                server.requests += 1
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fault = server.fault(self.command, self.path)
                if fault is Fault.SILENT:
                    server._ended.wait(60)
                    self.close_connection = True
                    return
                if fault in {Fault.ERROR, Fault.REFUSED}:
                    status, code = (500, "InternalError") if fault is Fault.ERROR else (403, "AccessDenied")
                    text = f"<Error><Code>{code}</Code><Message>as told</Message></Error>".encode()
                    self._answer(status, [("Content-Type", "application/xml")], text, len(text))
                    return
                behind = http.client.HTTPConnection(*server._behind)
                behind.request(self.command, self.path, body, dict(self.headers.items()))
                answer = behind.getresponse()
                data = answer.read()
                length = int(answer.getheader("Content-Length") or len(data))
                kept = data[: len(data) // 2] if fault is Fault.CUT else data
                dropped = {"content-length", "transfer-encoding", "connection"}
                headers = [pair for pair in answer.getheaders() if pair[0].lower() not in dropped]
                self._answer(answer.status, headers, kept, length)
                if fault is Fault.CUT:
                    self.close_connection = True
                    with contextlib.suppress(OSError):
                        self.connection.shutdown(socket.SHUT_RDWR)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815  # http.server's names

            def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes, length: int) -> None:
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)
                    self.wfile.flush()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextlib.contextmanager
def served() -> Iterator[S3]:
    """Give a running server that every S3 client of this process, and of those that it starts, uses meanwhile."""
    import fsspec
    import s3fs

    from edge_fm_runtime.batch.inputs import remote

    server = S3()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(server.url).items():
            patch.setenv(name, value)
        patch.setitem(fsspec.config.conf, "s3", {})
        fsspec.config.set_conf_env(fsspec.config.conf)
        s3fs.S3FileSystem.clear_instance_cache()
        remote.filesystem.cache_clear()
        try:
            yield server
        finally:
            server.close()
            remote.filesystem.cache_clear()


def environment(url: str) -> dict[str, str]:
    """Return the variables that make S3 clients use the server, and give up on silence after a second."""
    timeouts = {"connect_timeout": 2, "read_timeout": 1, "retries": {"max_attempts": 0}}
    return {
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
        "FSSPEC_S3": json.dumps({"config_kwargs": timeouts}),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
