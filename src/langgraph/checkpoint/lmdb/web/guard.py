"""The guard in front of the page: host, origin and token of each request, and safe headers."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from langgraph.checkpoint.lmdb.web.site import Site

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))
_SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """An ASGI application that passes on only requests for this site, with its token."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the page has no {scope['type']} connections")
        request = Request(scope)
        refusal = self._refusal(request)
        cookie = None if refusal else self._new_cookie(request)

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY.items():
                    headers[name] = value
                if cookie is not None:
                    headers.append("Set-Cookie", cookie)
            await send(message)

        await (refusal or self._app)(scope, receive, send_safely)

    def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if not is_own_host(host, self._site.host):
            return PlainTextResponse("The host of the request is not this page.", 400)
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return PlainTextResponse("The request comes from another site.", 403)
        given = (request.query_params.get("token"), request.cookies.get(self._cookie_name))
        if not any(self._is_token(token) for token in given):
            return PlainTextResponse(
                "Open the whole link that `langgraph-lmdb serve` printed, with its token.", 401
            )
        return None

    def _new_cookie(self, request: Request) -> str | None:
        """Return the cookie of a request that has the token only in its link."""
        if self._is_token(request.cookies.get(self._cookie_name)):
            return None
        return f"{self._cookie_name}={self._site.token}; HttpOnly; SameSite=Strict; Path=/"

    @property
    def _cookie_name(self) -> str:
        return f"langgraph-lmdb-{self._site.port}"  # all ports of a host share their cookies

    def _is_token(self, text: str | None) -> bool:
        return text is not None and secrets.compare_digest(
            text.encode("utf-8", "replace"), self._site.token.encode()
        )


def is_own_host(header: str, served: str) -> bool:
    """Return True if a Host header names the served host.

    The port may differ: it does behind a forwarded port. A page that listens on all addresses
    accepts every address, and the name of the machine: another site can make its own name point to
    this machine, but not an address.
    """
    try:
        name = urlsplit(f"//{header}").hostname
    except ValueError:
        return False
    if name is None:
        return False
    if served in LOOPBACK:
        return name in LOOPBACK
    if name == served.lower():
        return True
    return served in ("0.0.0.0", "::") and (  # noqa: S104 - compared with
        _is_address(name) or name in (*LOOPBACK, socket.gethostname().lower())
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
