"""An S3 server on loopback (moto's), behind a proxy that fails on demand."""

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Fault(StrEnum):
    """Failures of a request."""

    ERROR = "answers 500"
    SILENT = "is not answered"
    CUT = "ends in the middle"
    REFUSED = "answers 403"


Chooser = Callable[[str, str], Fault | None]
"""Called with the method and path of a request; returns its failure, None for none."""


class S3:
    """The server and its proxy.

    Attributes:
        url: URL of the endpoint.
        fault: called for each request.
        requests: number of requests so far.
        upstream: host and port of the server behind the proxy.
        ended: set when the server stops.
    """

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer  # only here: it loads Flask and boto3

        self.fault: Chooser = lambda _method, _path: None
        self.requests = 0
        self._moto = ThreadedMotoServer(ip_address="127.0.0.1", port=_free_port(), verbose=False)
        self._moto.start()
        self.upstream = self._moto.get_host_and_port()
        self.ended = threading.Event()
        self._proxy = ThreadingHTTPServer(("127.0.0.1", 0), type("Proxy", (_Proxy,), {"s3": self}))
        self._proxy.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._proxy.server_address[1]}"
        threading.Thread(target=self._proxy.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop the server."""
        self.ended.set()
        self._proxy.shutdown()
        self._proxy.server_close()
        self._moto.stop()


class _Proxy(BaseHTTPRequestHandler):
    """Passes requests on to the server, or fails them."""

    protocol_version = "HTTP/1.1"
    s3: S3

    def _serve(self) -> None:
        self.s3.requests += 1
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.s3.fault(self.command, self.path)
        if fault is Fault.SILENT:
            self.s3.ended.wait(60)
            self.close_connection = True
        elif fault in {Fault.ERROR, Fault.REFUSED}:
            status, code = (500, "InternalError") if fault is Fault.ERROR else (403, "AccessDenied")
            text = f"<Error><Code>{code}</Code><Message>on demand</Message></Error>".encode()
            self._answer(status, [("Content-Type", "application/xml")], text, len(text))
        else:
            self._forward(body, is_cut=fault is Fault.CUT)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815  # names of http.server

    def _forward(self, body: bytes, *, is_cut: bool) -> None:
        upstream = http.client.HTTPConnection(*self.s3.upstream)
        upstream.request(self.command, self.path, body, dict(self.headers.items()))
        answer = upstream.getresponse()
        data = answer.read()
        length = int(answer.getheader("Content-Length") or len(data))
        sent = data[: len(data) // 2] if is_cut else data
        dropped = {"content-length", "transfer-encoding", "connection"}
        headers = [pair for pair in answer.getheaders() if pair[0].lower() not in dropped]
        self._answer(answer.status, headers, sent, length)
        if is_cut:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

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


@contextlib.contextmanager
def served() -> Iterator[S3]:
    """Run a server that all S3 clients of this process and its children use until the block ends."""
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
    """Return environment variables for S3 clients: the server, and a timeout of a second."""
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
