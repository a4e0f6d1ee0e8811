"""How a function becomes the answer to a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from stratonet_app.desk import Desk

if TYPE_CHECKING:
    from starlette.requests import Request

# Names in the address and in the form, each with its text.
Values = Mapping[str, str]
Handler = Callable[[Desk, Values], Response]


def make_route(
    desk: Desk, path: str, get: Handler, post: Handler | None = None
) -> Route:
    """Make a route of an address.

    Parameters
    ----------
    desk : Desk
        Handed to the functions.
    path : str
        With names in braces.
    get, post : callable
        Called with the desk and what the request says, in a thread: they may take
        their time.
    """

    async def answer(request: Request) -> Response:
        # A page is small, and its values are texts: of two of one name, the last.
        values = dict(request.query_params)
        if request.method == "POST":
            text = (await request.body()).decode("utf-8", "replace")
            values |= dict(parse_qsl(text, keep_blank_values=True))
        values |= request.path_params
        handler = post if request.method == "POST" else get
        assert handler is not None
        return await run_in_threadpool(handler, desk, values)

    methods = ["GET"] if post is None else ["GET", "POST"]
    return Route(path, answer, methods=methods)
