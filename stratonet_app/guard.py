"""Who may send requests, and what browsers are told about the answers.

Only this machine's browser, opened at the address that the app has printed, gets an
answer:

- The address holds a ticket, which is good for one use; a cookie then replaces it.
  Browsers send cookies to all servers on a machine, whichever port they listen on, so
  this cookie belongs to addresses whose beginning nobody can guess.
- The ``Host`` must be the address itself: another host name that was made to lead to
  this machine (DNS rebinding) is refused.
- Requests that other pages cause are refused, by ``Origin`` and ``Sec-Fetch-Site``.
  Requests that change anything must name the right ``Origin``.
- A report may come from anywhere, and its scripts run, so it is shown as a page of
  another origin, which gets no cookie. Its address therefore has a key of its own,
  which opens reports only.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
TICKET = "ticket"
# The largest request: forms are small.
MOST_BYTES = 100_000
# Nothing is loaded from elsewhere, and no other page may show this one in a frame.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not no-referrer: browsers would send no origin with forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
CLOSED = (
    "This page opens only in the browser that the app has opened. Open the address that"
    " the terminal shows, or type stratonet app again."
)


class Keys:
    """What opens the app: tickets for one use each, and the key in the cookie.

    Parameters
    ----------
    port : int
        On which the app listens.
    announce : callable
        Called with a new address when the previous one has been used.

    Examples
    --------
    >>> keys = Keys(8765, print)
    >>> keys.address.partition("=")[0]
    'http://127.0.0.1:8765/?ticket'
    """

    def __init__(self, port: int, announce: Callable[[str], None]) -> None:
        self.host = f"{HOST}:{port}"
        self.origin = f"http://{self.host}"
        # Two apps do not overwrite each other's cookies.
        self.cookie = f"stratonet-{port}"
        self._announce = announce
        # How the addresses of pages and of reports begin.
        self.home = f"/{secrets.token_urlsafe(32)}"
        self.reports = f"/report-{secrets.token_urlsafe(32)}"
        self._key = secrets.token_urlsafe(32)
        self._ticket = secrets.token_urlsafe(32)

    @property
    def address(self) -> str:
        """The address to open, good for one use."""
        return f"{self.origin}/?{TICKET}={self._ticket}"

    def redeem(self, ticket: str) -> Response | None:
        """Answer a ticket with the cookie; return None for any other text."""
        # Other users of a machine can read a program's arguments, such as a browser's:
        # a ticket that was used opens nothing more.
        if not _is_same(ticket, self._ticket):
            return None
        self._ticket = secrets.token_urlsafe(32)
        self._announce(self.address)
        response = RedirectResponse(f"{self.home}/", 303)
        response.set_cookie(
            self.cookie, self._key, path=self.home, httponly=True, samesite="strict"
        )
        return response

    def admit(self, cookies: str) -> bool:
        """Whether the cookies of a request hold the key."""
        try:
            morsel = SimpleCookie(cookies).get(self.cookie)
        except CookieError:
            return False
        return morsel is not None and _is_same(morsel.value, self._key)


def _is_same(text: str, secret: str) -> bool:
    # The time this takes does not tell how much of the text was right.
    return secrets.compare_digest(text.encode(), secret.encode())


class Guard:
    """Lets requests through to an app, or refuses them.

    Parameters
    ----------
    app : ASGI application
        Answers the requests that are let through.
    keys : Keys
        What opens it.
    """

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            # There are no web sockets, and nothing to start or end.
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._check_host(scope)
        if answer is None and not self._is_report(scope):
            answer = self._refuse(scope) or self._open(scope)
            scope = {**scope, "root_path": self._keys.home}
        await (answer or self._app)(scope, receive, send_guarded)

    def _check_host(self, scope: Scope) -> Response | None:
        """Refuse other host names for this machine."""
        if Headers(scope=scope).get("host") == self._keys.host:
            return None
        return PlainTextResponse(f"The app is at {self._keys.origin} only.", 421)

    def _is_report(self, scope: Scope) -> bool:
        """Whether a report is requested, by an address with its key."""
        is_read = scope["method"] in ("GET", "HEAD")
        return _begins_with(scope, self._keys.reports) and is_read

    def _refuse(self, scope: Scope) -> Response | None:
        """Refuse requests that neither a user nor a page of the app has sent."""
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        is_read = scope["method"] in ("GET", "HEAD")
        if origin != self._keys.origin and not (is_read and origin is None):
            return PlainTextResponse("Requests from other pages are refused.", 403)
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return PlainTextResponse("Requests from other pages are refused.", 403)
        if not headers.get("content-length", "0").isdecimal():
            return PlainTextResponse("The length is not a number.", 400)
        if int(headers.get("content-length", "0")) > MOST_BYTES:
            return PlainTextResponse("The request is too long.", 413)
        if "transfer-encoding" in headers:
            return PlainTextResponse("The request does not state its length.", 411)
        return None

    def _open(self, scope: Scope) -> Response | None:
        """Redeem a ticket, or refuse a request with neither ticket nor key."""
        is_admitted = self._keys.admit(Headers(scope=scope).get("cookie", ""))
        if is_admitted and _begins_with(scope, self._keys.home):
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"))
        tickets = query.get(TICKET, []) if scope["method"] == "GET" else []
        if scope["path"] == "/" and len(tickets) == 1:
            answer = self._keys.redeem(tickets[0])
            if answer is not None:
                return answer
        return PlainTextResponse(CLOSED, 403)


def _begins_with(scope: Scope, beginning: str) -> bool:
    """Whether the first part of an address is the given secret."""
    return _is_same("/" + scope["path"].split("/")[1], beginning)
