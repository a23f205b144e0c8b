"""Check access: the token, the Host header and the origin of a request.

A page elsewhere on the web can make a visitor's browser ask this server too. It is turned away by the Host
header (a name that an attacker points at this address: DNS rebinding), by Origin, and by Sec-Fetch-Site.
"""

import hashlib
import hmac
import ipaddress
import re
import socket
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "edge_fm"

_POLICY = (
    "default-src 'none'; img-src 'self' blob:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    ("content-security-policy", _POLICY),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("permissions-policy", "camera=(self)"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("cache-control", "no-store"),
)
"""Headers of every answer, refusals included."""

_HOST = re.compile(
    r"(?P<name>[a-z0-9._-]{1,253}|\[(?P<ipv6>[a-f0-9:.]+)\])(?::(?P<port>[0-9]{0,5}))?",
    re.IGNORECASE | re.ASCII,
)
_LAST_PORT = 65535


class Guarded:
    """ASGI application behind the access checks."""

    def __init__(self, app: ASGIApp, token: str | None, names: tuple[str, ...]) -> None:
        """Wrap an application.

        Args:
            app: what is guarded.
            token: what visitors must bring; None where only this machine can connect.
            names: host names, besides addresses and localhost, by which this server is called.
        """
        self._app, self._token = app, token
        self._names = {
            "localhost",
            socket.gethostname().lower(),
            f"{socket.gethostname().lower()}.local",
            *names,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        refusal = None if scope["type"] == "lifespan" else self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await receive()  # the handshake
            refusal = for_socket(refusal)
            if refusal.status_code != HTTPStatus.BAD_REQUEST:
                refusal.status_code = HTTPStatus.FORBIDDEN
        await refusal(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        return self._other_server(scope, headers) or self._stranger(scope, headers)

    def _other_server(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the refusal of a request for another server, or from another server's page."""
        if not scope["path"].startswith("/"):
            return PlainTextResponse(
                "the request names no path of this server: ask for a path such as /healthz\n",
                HTTPStatus.BAD_REQUEST,
            )
        host = headers.get("host", "")
        name = _host_name(host)
        if name is None:
            return PlainTextResponse(
                "the Host header is no name or address, with or without a port: use this server's address\n",
                HTTPStatus.BAD_REQUEST,
            )
        if not self._is_ours(name):
            return PlainTextResponse(
                f"this server is not called {name}: use its address\n", HTTPStatus.MISDIRECTED_REQUEST
            )
        if not _is_from_here(scope, headers, host):
            return PlainTextResponse("requests from other pages are not answered\n", HTTPStatus.FORBIDDEN)
        return None

    def _stranger(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the answer to a request without the token, or with one that becomes a cookie."""
        if self._token is None or self._is_known(headers):
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["type"] == "http" and scope["method"] == "GET" and given and _same(given, self._token):
            return self._exchanged(scope)
        return PlainTextResponse(
            "a token is needed: open the address that 'edge-fm webcam' printed, or send Authorization: Bearer TOKEN\n",
            HTTPStatus.UNAUTHORIZED,
            {"www-authenticate": "Bearer"},
        )

    def _is_ours(self, name: str) -> bool:
        """Return whether a name is this server's: a name can be rebound, an address cannot."""
        return name in self._names or _is_address(name)

    def _is_known(self, headers: Headers) -> bool:
        if self._token is None:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(given.strip(), self._token):
            return True
        cookie = SimpleCookie()
        try:
            cookie.load(headers.get("cookie", ""))
        except (CookieError, ValueError):
            return False
        return COOKIE in cookie and _same(cookie[COOKIE].value, _session(self._token))

    def _exchanged(self, scope: Scope) -> Response:
        """Return a redirect to the same page without the token, which becomes a cookie."""
        left = [
            (k, v)
            for k, vs in parse_qs(scope["query_string"].decode("latin-1")).items()
            for v in vs
            if k != "token"
        ]
        # Browsers take a location that begins with two slashes for another host.
        path = "/" + scope["raw_path"].decode("ascii").lstrip("/\\")
        response = RedirectResponse(path + ("?" + urlencode(left) if left else ""), HTTPStatus.SEE_OTHER)
        if self._token is not None:
            secure = scope["scheme"] == "https"
            response.set_cookie(
                COOKIE, _session(self._token), httponly=True, samesite="lax", secure=secure, path="/"
            )
        return response


def for_socket(refusal: Response) -> Response:
    """Return a refusal for a WebSocket: uvicorn adds our headers to HTTP only, and length and type itself."""
    refusal.headers.update(dict(HEADERS))
    for name in ("content-length", "content-type"):
        del refusal.headers[name]
    return refusal


def _host_name(host: str) -> str | None:
    """Return the name or address in a Host header, in lower case; None if it is malformed."""
    found = _HOST.fullmatch(host)
    if found is None or int(found["port"] or 0) > _LAST_PORT:
        return None
    if found["ipv6"] is None:
        return found["name"].lower()
    return found["ipv6"] if ":" in found["ipv6"] and _is_address(found["ipv6"]) else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_from_here(scope: Scope, headers: Headers, host: str) -> bool:
    """Return whether a request is from our page, a typed address, or no browser."""
    origin = headers.get("origin")
    if origin is not None:
        secure = scope["scheme"] in {"https", "wss"}
        return origin.lower() == f"{'https' if secure else 'http'}://{host}".lower()
    if headers.get("sec-fetch-site", "none") in {"none", "same-origin"}:
        return True
    opened = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return opened and scope["type"] == "http" and scope["method"] == "GET"


def _session(token: str) -> str:
    return hashlib.sha256(f"edge-fm cookie {token}".encode()).hexdigest()


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())
