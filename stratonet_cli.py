"""The command ``stratonet``: gathers the commands of the rooms below.

Their flags are set up here; what they do is imported when one of them is called.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cellprofiler_plugin.command import add_plugins_directory, add_run_cellprofiler
from stratonet import __version__
from stratonet.card_command import add_card
from stratonet.extraction.command import add_extract
from stratonet.files.urls import is_url, redact_text
from stratonet_sklearn.command import add_project
from stratonet_sklearn.report.command import add_evaluate

FAILED, INTERRUPTED = 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        The exit status.
    """
    if arguments is None:
        arguments = sys.argv[1:]
    options = _build_parser().parse_args(arguments)
    options.command = _show_command(arguments)
    try:
        return options.run(options) or 0
    except KeyboardInterrupt:
        print(
            "stratonet: interrupted. Finished work is kept; run the same command again"
            " to resume.",
            file=sys.stderr,
        )
        return INTERRUPTED
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        message = _name_flags(str(error), getattr(options, "flags", {}))
        # Once more: libraries below may have named a URL in their own way.
        print(f"stratonet: {redact_text(message)}", file=sys.stderr)
        return FAILED


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stratonet", description="Deep features for high-content screening."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_plugins_directory(commands)
    _add_demo(commands)
    add_run_cellprofiler(commands)
    add_extract(commands)
    add_evaluate(commands)
    add_card(commands)
    add_project(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction[Any]) -> None:
    command = commands.add_parser(
        "demo",
        help=(
            "turn a plate into features through CellProfiler and through scikit-learn,"
            " and compare"
        ),
        description=(
            "Measure a plate in headless CellProfiler and in a scikit-learn Pipeline,"
            " check that both give the same features, and tell positive from negative"
            " control wells. Needs CellProfiler in the same Python, which make demo"
            " sets up."
        ),
    )
    command.add_argument(
        "--plate",
        type=Path,
        metavar="DIR",
        help=(
            "folder with labels.csv: a column well, file_<channel> for each channel,"
            " and role with negcon and poscon (default: a simulated plate)"
        ),
    )
    command.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        default=Path("stratonet-demo"),
        help="default: %(default)s",
    )
    command.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> None:
    from stratonet_demo import run_demo

    run_demo(options.plate, options.output)


def _show_command(arguments: Sequence[str]) -> str:
    """Return the command as pages show it: without the secrets of URLs."""
    shown = [
        redact_text(text.replace(" ", "%20")) if is_url(text) else text
        for text in arguments
    ]
    return shlex.join(["stratonet", *shown])


def _name_flags(message: str, flags: Mapping[str, str]) -> str:
    """Return a message of the library with flags in place of the parameters."""
    for parameter, flag in flags.items():
        message = message.replace(f"`{parameter}`", flag)
    return message


if __name__ == "__main__":
    sys.exit(main())
