"""Turn functions into answers to requests."""

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

# The values in the address and in the form, by name.
Values = Mapping[str, str]
Handler = Callable[[Desk, Values], Response]


def make_route(
    desk: Desk, path: str, get: Handler, post: Handler | None = None
) -> Route:
    """Make the route of an address.

    Parameters
    ----------
    desk : Desk
        Passed to the functions.
    path : str
        With names in braces.
    get, post : callable
        Called with the desk and the values of the request, in a thread, so that they
        may take their time.
    """

    async def answer(request: Request) -> Response:
        # Forms are small, and their values are texts. Of a name given twice, the last
        # value counts.
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
