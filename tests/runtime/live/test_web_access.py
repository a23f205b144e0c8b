"""Access to the page: tokens, host names, origins, HTTPS."""

import hashlib
import re
import ssl
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from edge_fm_runtime.errors import SourceError
from edge_fm_runtime.live.web import tls
from edge_fm_runtime.live.web.security import HEADERS
from edge_fm_runtime.live.web.server import WebView
from tests.runtime.live.page_process import opened, received, request
from tests.runtime.live_fakes import OpenView, get, reading

TOKEN = "right"  # noqa: S105  # the right one
ROUTES = ["", "page.js", "stream.mjpg", "api/state", "api/events", "healthz", "metrics", "nothing"]


@pytest.mark.parametrize("path", ROUTES)
def test_every_route_asks_for_the_token(open_view: OpenView, path: str) -> None:
    """Without a token, or with a wrong one in any place, nothing is answered."""
    view = open_view(token=TOKEN)
    for attempt in (
        {},
        {"headers": {"authorization": "Bearer wrong"}},
        {"headers": {"authorization": "Basic right"}},
        {"headers": {"authorization": "Bearer"}},
        {"headers": {"authorization": b"Bearer \xe4"}},
        {"cookies": {"edge_fm": "right"}},
        {"headers": {"cookie": b"edge_fm=\xe4; ;;="}},
        {"params": {"token": "wrong"}},
        {"params": {"token": "rightx"}},
    ):
        assert get(view, path, **attempt).status_code == 401
    with pytest.raises(InvalidStatus, match="403"):
        connect(view.address.replace("http", "ws") + "api/camera")


def test_the_token_opens_in_both_forms(open_view: OpenView) -> None:
    """A bearer token works; `?token=` becomes an HTTP-only cookie and leaves the URL."""
    view = open_view(token=TOKEN)
    assert get(view, "api/state", headers={"authorization": "Bearer right"}).status_code == 200
    with httpx.Client(base_url=view.address) as browser:
        exchanged = browser.get("/?token=right&x=1")
        assert exchanged.status_code == 303
        assert exchanged.headers["location"] == "/?x=1"
        cookie = exchanged.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "right" not in cookie
        assert browser.get("/api/state").status_code == 200


def test_any_other_address_gets_a_token(open_view: OpenView) -> None:
    """Bound to more than loopback, a token is made and printed; on loopback there is none."""
    assert "token" not in open_view().invitation
    view = open_view(host="0.0.0.0")  # noqa: S104  # the case in question
    token = view.invitation.partition("?token=")[2]
    state = f"http://127.0.0.1:{view.address.rstrip('/').rsplit(':', 1)[1]}/api/state"
    assert httpx.get(state).status_code == 401
    assert httpx.get(state, headers={"authorization": f"Bearer {token}"}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_foreign_host_name_is_turned_away(view: WebView, host: str) -> None:
    """A name that somebody else's DNS points here (rebinding) gets no answer."""
    assert get(view, "api/state", headers={"host": host}).status_code in {400, 421}


MALFORMED_HOSTS = [
    b"[",
    b"]",
    b"[]",
    b"[::1",
    b"[127.0.0.1]",
    b"",
    b"127.0.0.1 evil.example",
    b"x" * 8000,
    "h\u00e9".encode(),
    b"\xe9",
    b"user@127.0.0.1",
    b"127.0.0.1@evil.example",
    b"127.0.0.1:65536",
    b"127.0.0.1:-1",
    b"127.0.0.1:8080:1",
    b"127.0.0.1, evil.example",
    b"http://127.0.0.1",
]
SOCKET_HEADERS = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "MDAwMDAwMDAwMDAwMDAwMA==",
}


@pytest.mark.parametrize("path", ["healthz", "nothing", "api/camera"])
def test_a_malformed_host_is_refused(view: WebView, path: str) -> None:
    """A Host header that is no name or address gets 400 with the headers of every page."""
    expected = security_headers(get(view, ""))
    for host in MALFORMED_HOSTS:
        headers = {**(SOCKET_HEADERS if path == "api/camera" else {}), "host": host}
        answer = get(view, path, headers=headers)
        assert (host, answer.status_code) == (host, 400)
        assert security_headers(answer) == expected


def security_headers(answer: httpx.Response) -> dict[str, list[str]]:
    """Return the security headers of an answer, with all their values."""
    return {name: answer.headers.get_list(name) for name, _ in HEADERS}


MALFORMED_REQUESTS = [
    "GET /healthz HTTP/1.1",
    "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example",
    "GET /healthz HTTP/1.0",
    "GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1",
    "GET http://evil.example/?token=right HTTP/1.1\r\nHost: 127.0.0.1",
    "GET evil.example HTTP/1.1\r\nHost: 127.0.0.1",
    "CONNECT evil.example:80 HTTP/1.1\r\nHost: 127.0.0.1",
    "OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1",
    "POST /api/snapshot HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nnone",
    "GET /api/camera HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket",
    "GET /api/camera HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    + "".join(f"{name}: {value}\r\n" for name, value in SOCKET_HEADERS.items())
    + f"X: {'x' * 9000}",
    "\x16\x03\x01",
]


@pytest.mark.parametrize("token", [None, TOKEN])
def test_a_malformed_request_is_refused(open_view: OpenView, token: str | None) -> None:
    """No Host, two of them, another server's URL, or no HTTP at all: 400 with the security headers."""
    port = int(open_view(token=token).address.rstrip("/").rpartition(":")[2])
    for head in MALFORMED_REQUESTS:
        with opened(port, f"{head}\r\n\r\n".encode()) as connection:
            answer = received(connection, b"\r\n\r\n")
        assert (head, answer[:13]) == (head, b"HTTP/1.1 400 ")
        for name, value in HEADERS:
            assert answer.count(f"{name}: {value}\r\n".encode()) == 1
        assert b"location" not in answer


@pytest.mark.parametrize("path", ["api/camera", "nothing"])
def test_a_refused_socket_has_the_security_headers(open_view: OpenView, path: str) -> None:
    """A WebSocket without a token, or where there is none, is refused like a page."""
    view = open_view(token=TOKEN)
    answer = get(view, path, headers=SOCKET_HEADERS)
    known = get(view, "nothing", headers={**SOCKET_HEADERS, "authorization": "Bearer right"})
    assert (answer.status_code, known.status_code) == (403, 404)
    assert security_headers(answer) == security_headers(known) == security_headers(get(view, ""))


LEADING_AWAY = [
    "//evil.example",
    "//evil.example/",
    "///evil.example/healthz",
    "/\\evil.example",
    "/%2f%2fevil.example",
    "/%5cevil.example",
    "/%09/evil.example",
    "/@evil.example",
    "/healthz/",
    "/",
]


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("host", ["127.0.0.1", "203.0.113.5"])
def test_a_redirect_stays_on_this_host(open_view: OpenView, token: str | None, host: str) -> None:
    """Neither the exchange of a token nor a trailing slash leads to another host."""
    port = int(open_view(token=token).address.rstrip("/").rpartition(":")[2])
    for path in LEADING_AWAY:
        with opened(port, request(f"{path}?token=right&x=1", host.encode())) as connection:
            head = received(connection, b"\r\n\r\n").decode()
        found = re.search(r"^location: (.*)\r$", head, re.MULTILINE)
        assert (path, found is not None) == (path, token is not None)
        if found is not None:
            led = urljoin("http://here.example/", found[1].replace("\\", "/"))
            assert (path, urlsplit(led).hostname) == (path, "here.example")
            assert found[1].endswith("?x=1")


def test_an_error_of_the_application_has_the_security_headers(
    view: WebView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error nobody foresaw is a 500 with the headers of every page."""
    monkeypatch.setattr(view._hub, "state", lambda: 1 / 0)
    answer = get(view, "api/state")
    assert answer.status_code == 500
    assert security_headers(answer) == security_headers(get(view, ""))


def test_a_name_that_was_given_is_ours(open_view: OpenView) -> None:
    """A host name given with --name is answered."""
    assert (
        get(open_view(names=("shop.example",)), "api/state", headers={"host": "shop.example"}).status_code
        == 200
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "https://127.0.0.1"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    ],
)
def test_other_pages_are_turned_away(view: WebView, headers: dict[str, str]) -> None:
    """A page elsewhere can neither read, embed, nor press the button."""
    view.show(reading())
    assert get(view, "api/state", headers=headers).status_code == 403
    assert httpx.post(view.address + "api/snapshot", headers=headers).status_code == 403


def test_a_socket_from_another_page_is_turned_away(view: WebView) -> None:
    """WebSockets know no same-origin rule: ours is held by the server."""
    with pytest.raises(InvalidStatus, match="403"):
        connect(view.address.replace("http", "ws") + "api/camera", origin=Origin("http://evil.example"))


def test_a_link_from_elsewhere_opens_the_page(view: WebView) -> None:
    """A person who follows a link gets the page."""
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert get(view, "", headers=headers).status_code == 200


def test_over_https_with_a_certificate_of_its_own(open_view: OpenView, tmp_path: Path) -> None:
    """The self-signed certificate names this machine, persists, and its key is private."""
    pair = tls.own_certificate(tmp_path / "tls", ("shop.example",))
    view = open_view(tls=pair, token=TOKEN)
    trusting = ssl.create_default_context(cafile=pair[0])
    answer = get(view, "?token=right", verify=trusting)
    assert answer.status_code == 303
    assert "Secure" in answer.headers["set-cookie"]
    assert view.address.startswith("https://")
    assert pair[1].stat().st_mode & 0o077 == 0
    before = pair[0].read_bytes()
    assert tls.own_certificate(tmp_path / "tls", ("shop.example",)) == pair
    assert pair[0].read_bytes() == before
    der = ssl.PEM_cert_to_DER_cert(pair[0].read_text())
    assert tls.fingerprint(pair[0]).replace(":", "") == hashlib.sha256(der).hexdigest().upper()
    assert re.fullmatch(r"([0-9A-F]{2}:){31}[0-9A-F]{2}", tls.fingerprint(pair[0]))
    tls.own_certificate(tmp_path / "tls", ("other.example",))
    assert pair[0].read_bytes() != before


def test_a_certificate_that_is_none(open_view: OpenView, tmp_path: Path) -> None:
    """Files that are no certificate and key are refused before the feed begins."""
    wrong = tmp_path / "x.pem"
    wrong.write_text("no certificate")
    with pytest.raises(SourceError, match="--tls CERT KEY"):
        open_view(tls=(wrong, wrong))


@pytest.mark.parametrize("token", ["", " ", "a&b#c", "\udcff", " outer "])
def test_a_token_that_cannot_be_sent(open_view: OpenView, token: str) -> None:
    """An empty token would let everybody in, and others could never be given: they are refused."""
    with pytest.raises(SourceError, match="--token is empty or has a character"):
        open_view(token=token)


def test_an_address_that_cannot_be_served(open_view: OpenView) -> None:
    """Another port is no remedy for an address that is not this machine's."""
    with pytest.raises(SourceError, match="give an address of this machine with --host"):
        open_view(host="203.0.113.7")
