"""Check access: the token, the Host header and the origin of a request.

A page elsewhere on the web can make a visitor's browser ask this server too. It is turned away by the Host
header (a name that an attacker points at this address: DNS rebinding), by Origin, and by Sec-Fetch-Site.
"""

import hashlib
import hmac
import ipaddress
import socket
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "edge_fm"

_FORBIDDEN, _UNAUTHORISED, _MISDIRECTED = 403, 401, 421
_POLICY_VIOLATION = 1008
_POLICY = (
    "default-src 'none'; img-src 'self' blob:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    ("content-security-policy", _POLICY),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("permissions-policy", "camera=(self)"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("cache-control", "no-store"),
)


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
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await receive()  # the handshake
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        else:
            await refusal(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_ours(host):
            return PlainTextResponse(f"this server is not called {host}: use its address\n", _MISDIRECTED)
        if not _is_from_here(scope, headers, host):
            return PlainTextResponse("requests from other pages are not answered\n", _FORBIDDEN)
        if self._token is None or self._is_known(headers):
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["type"] == "http" and scope["method"] == "GET" and given and _same(given, self._token):
            return self._exchanged(scope)
        return PlainTextResponse(
            "a token is needed: open the address that 'edge-fm webcam' printed, or send Authorization: Bearer TOKEN\n",
            _UNAUTHORISED,
            {"www-authenticate": "Bearer"},
        )

    def _is_ours(self, host: str) -> bool:
        """Return whether a Host header names this server: a name can be rebound, an address cannot."""
        name = (urlsplit(f"//{host}").hostname or "").lower()
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _is_known(self, headers: Headers) -> bool:
        if self._token is None:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(given.strip(), self._token):
            return True
        cookie = SimpleCookie()
        try:
            cookie.load(headers.get("cookie", ""))
        except ValueError:
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
        response = RedirectResponse(scope["path"] + ("?" + urlencode(left) if left else ""), 303)
        if self._token is not None:
            secure = scope["scheme"] == "https"
            response.set_cookie(
                COOKIE, _session(self._token), httponly=True, samesite="lax", secure=secure, path="/"
            )
        return response


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


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name for name, _ in message["headers"]}
            message["headers"] = [
                *message["headers"],
                *((n.encode(), v.encode()) for n, v in _HEADERS if n.encode() not in present),
            ]
        await send(message)

    return sending
