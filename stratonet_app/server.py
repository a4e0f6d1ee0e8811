"""The server: it listens on this machine alone, and opens the browser."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stratonet_app import pages, run_pages
from stratonet_app.desk import Desk, read_asset
from stratonet_app.guard import HOST, Guard, Keys

# Files that pages load: the package and the media type of each.
ASSETS = {
    "report.css": ("stratonet_sklearn.report", "text/css"),
    "app.css": ("stratonet_app", "text/css"),
    "app.js": ("stratonet_app", "text/javascript"),
}


def serve(root: Path, port: int, opens_browser: bool) -> None:
    """Serve the app until Ctrl-C.

    Parameters
    ----------
    root : pathlib.Path
        Where browsing begins.
    port : int
        0 for any free port.
    opens_browser : bool
        Open the browser, if there is one.

    Raises
    ------
    OSError
        The port is taken, or there is no such folder.
    """
    if not root.is_dir():
        raise FileNotFoundError(
            f"{root} is not a folder. Give the folder in which browsing begins."
        )
    listener = open_listener(port)
    keys = Keys(listener.getsockname()[1], announce_address)
    desk = Desk(root.resolve())
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(desk, keys),
            log_level="warning",
            # Addresses hold tickets, and there is no proxy in between.
            access_log=False,
            proxy_headers=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=2,
        )
    )
    print(f"StratoNet's page: {keys.address}", flush=True)
    print("Ctrl-C closes it; a run that was started goes on.", flush=True)
    if opens_browser and has_browser():
        # With some browsers, this returns only when they are closed.
        threading.Thread(
            target=webbrowser.open, args=[keys.address], daemon=True
        ).start()
    try:
        server.run([listener])
    finally:
        desk.helper.close()
        listener.close()


def announce_address(address: str) -> None:
    """Print the address for another browser."""
    print(f"For another browser: {address}", flush=True)


def open_listener(port: int) -> socket.socket:
    """Listen on a port of this machine alone.

    Parameters
    ----------
    port : int
        0 for any free port.

    Raises
    ------
    OSError
        The port is taken, or not allowed for this user.

    Examples
    --------
    >>> listener = open_listener(0)
    >>> listener.getsockname()[0]
    '127.0.0.1'
    >>> listener.close()
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":
        # Allows the port of an app that has just been closed. On Windows, this would
        # let two listen at once.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        is_taken = error.errno == errno.EADDRINUSE
        reason = "is taken, perhaps by another app" if is_taken else error.strerror
        raise OSError(
            f"--port {port}: {reason}. Choose another port, or leave it out for any"
            " free one."
        ) from None
    return listener


def has_browser() -> bool:
    """Whether there is a browser with a window, not one for terminals."""
    if os.environ.get("BROWSER") or sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def make_app(desk: Desk, keys: Keys) -> Guard:
    """Make the application, with its guard.

    Parameters
    ----------
    desk : Desk
        What the pages share.
    keys : Keys
        What opens it.
    """
    desk.home, desk.reports = keys.home, keys.reports
    routes = [
        *pages.list_routes(desk),
        *run_pages.list_routes(desk),
        *(Route(f"/{name}", _make_asset_answer(name)) for name in ASSETS),
    ]

    def show_error(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        text = error.detail if isinstance(error, HTTPException) else str(error)
        return desk.render("error.html", status, title="Not available", alert=text)

    errors = (HTTPException, ValueError, OSError, RuntimeError)
    handlers = dict.fromkeys(errors, show_error)
    return Guard(Starlette(routes=routes, exception_handlers=handlers), keys)


def _make_asset_answer(name: str) -> Callable[[Request], Response]:
    package, media_type = ASSETS[name]

    def answer(request: Request) -> Response:
        return Response(read_asset(package, name), media_type=media_type)

    return answer
