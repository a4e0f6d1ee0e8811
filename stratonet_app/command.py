"""The command ``stratonet app``: its flags, and what it does."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stratonet.extras import name_missing_extra

LARGEST_PORT = 65535


def add_app(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "app",
        help="from images to a report on a page in the browser, without CellProfiler",
        description=(
            "Open a page in the browser of this machine: choose images, see what is"
            " recognised and what the network sees, click the wells of the controls,"
            " and run stratonet extract and stratonet evaluate. Nobody else can open"
            " the page, and nothing leaves this machine."
        ),
        epilog=(
            "Example: stratonet app plates/ --port 8765. A run goes on when the page is"
            " closed, and can be opened again by its folder."
        ),
    )
    command.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder in which browsing begins (default: the current one)",
    )
    command.add_argument(
        "--port",
        type=_parse_port,
        default=0,
        metavar="N",
        help="port of the page (default: any free port)",
    )
    command.add_argument(
        "--no-browser",
        dest="opens_browser",
        action="store_false",
        help="only print the address",
    )
    command.set_defaults(
        run=_run_app,
        modules=("stratonet_app.server",),
        when_interrupted="The page is closed; a run that was started goes on.",
    )


def _run_app(options: argparse.Namespace) -> None:
    with name_missing_extra("stratonet app", "app"):
        from stratonet_app.server import serve
    serve(options.folder, options.port, options.opens_browser)


def _parse_port(text: str) -> int:
    """Return the number of a port."""
    if not (text.isdecimal() and 1 <= int(text) <= LARGEST_PORT):
        raise argparse.ArgumentTypeError(
            f"expected a number from 1 to {LARGEST_PORT}. Received: {text}"
        )
    return int(text)
