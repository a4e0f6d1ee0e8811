"""The command ``stratonet``, which gathers the commands of all packages.

Their flags are set up here; the code of a command is imported when it is called.
"""

from __future__ import annotations

# Nothing that takes time is imported before Ctrl-C can be handled, see `_exit_at_once`.
import os
import signal
import sys

# Type checkers take this for True. Importing it from typing would take time.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any

FAILED, REFUSED, INTERRUPTED = 1, 2, 130
# As in a shell: 128 plus the number of SIGPIPE.
UNREAD = 141
# No extra installs these together: see requirements/everything.overrides.
DEMO_PACKAGES = ("cellprofiler", "matplotlib", "pandas", "pyarrow", "sklearn")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        The exit status: what the command returns (0, or 3 if something is incomplete);
        1 for an error; 2 for an option or value that is refused before anything is
        read; 130 for Ctrl-C; 141 if nobody reads the output any more, as after
        ``| head``.
    """
    if arguments is None:
        arguments = sys.argv[1:]
    try:
        status = _run_command(arguments)
    except BrokenPipeError:
        status = UNREAD
    except SystemExit:
        # Help and versions end in this way.
        if failure := _flush_output():
            return failure
        raise
    return _flush_output() or status


def _flush_output() -> int:
    """Flush the output; return 0, or the exit status if that fails."""
    status = 0
    for stream in (sys.stdout, sys.stderr):
        # None without a terminal, on Windows.
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError as error:
            # Python would try once more when it exits, and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if isinstance(error, BrokenPipeError):
                status = UNREAD
                continue
            status = FAILED
            print(f"stratonet: cannot print: {error.strerror}.", file=sys.stderr)
    return status


def _is_unread() -> bool:
    """Whether the broken pipe is that of the output, not of a connection."""
    if os.name != "posix":
        return False
    import select

    watch = select.poll()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            # No event is asked for: a missing reader is reported in any case.
            watch.register(stream, 0)
    return bool(watch.poll(0))


def _run_command(arguments: Sequence[str]) -> int:
    """Run the command, and print what has gone wrong."""
    _exit_on_interrupt()
    try:
        options = _parse_arguments(arguments)
        from stratonet.arguments import RefusedOption, name_flags
        from stratonet.messages import redact_text
    finally:
        _raise_on_interrupt()
    try:
        return options.run(options) or 0
    except KeyboardInterrupt:
        note = getattr(options, "when_interrupted", "")
        print(f"stratonet: interrupted. {note}".rstrip(), file=sys.stderr)
        return INTERRUPTED
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        if isinstance(error, BrokenPipeError) and _is_unread():
            return UNREAD
        message = name_flags(str(error), getattr(options, "flags", {}))
        # Once more: libraries may have put a URL into the message.
        if options.debug:
            from traceback import format_exc

            print(redact_text(format_exc()), file=sys.stderr)
        print(f"stratonet: {redact_text(message)}", file=sys.stderr)
        return REFUSED if isinstance(error, RefusedOption) else FAILED


def _exit_on_interrupt() -> None:
    """Let Ctrl-C end the process at once, while nothing has been done yet."""
    # Not if Ctrl-C is ignored, as under nohup.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        try:
            signal.signal(signal.SIGINT, _exit_at_once)
        except ValueError:
            # Called in a thread, which gets no signals.
            return


def _raise_on_interrupt() -> None:
    """Let Ctrl-C interrupt the command, which then tidies up."""
    if signal.getsignal(signal.SIGINT) is _exit_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _exit_at_once(number: int, frame: object) -> None:
    # Packages that are being imported would turn Ctrl-C into errors and tracebacks.
    os.write(2, b"stratonet: interrupted before it began.\n")
    os._exit(INTERRUPTED)


def _parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments, and import what the command needs."""
    options = build_parser().parse_args(arguments)
    options.command = _show_command(arguments)
    if options.threads:
        # Before the import of the libraries that read it, too.
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
    _import_modules(getattr(options, "modules", ()))
    return options


def _import_modules(names: Sequence[str]) -> None:
    """Import what a command needs, which takes most of its starting time."""
    from importlib import import_module

    for name in names:
        try:
            import_module(name)
        except ImportError:
            # The command itself says what is missing, and what installs it.
            return


def build_parser() -> argparse.ArgumentParser:
    """Set up all commands.

    Returns
    -------
    argparse.ArgumentParser
        shtab makes the completion of a shell from it, too.
    """
    from cellprofiler_plugin.command import (
        add_plugin,
        add_plugins_directory,
        add_run_cellprofiler,
    )
    from cellprofiler_plugin.gather_command import add_gather
    from stratonet.arguments import CommandParser, add_common_flags
    from stratonet.card_command import add_card
    from stratonet.extraction.command import add_extract
    from stratonet.versions import ShowVersion
    from stratonet_app.command import add_app
    from stratonet_sklearn.command import add_project
    from stratonet_sklearn.report.command import add_evaluate

    parser = CommandParser(
        prog="stratonet", description="Deep features for high-content screening."
    )
    parser.add_argument(
        "--version",
        action=ShowVersion,
        nargs=0,
        help="print the versions of StratoNet, its network and its libraries, and exit",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_plugins_directory(commands)
    add_plugin(commands)
    _add_demo(commands)
    add_run_cellprofiler(commands)
    add_gather(commands)
    add_extract(commands)
    add_evaluate(commands)
    add_app(commands)
    add_card(commands)
    add_project(commands)
    for command in commands.choices.values():
        add_common_flags(command)
    return parser


def _add_demo(commands: argparse._SubParsersAction[Any]) -> None:
    from pathlib import Path

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
        epilog="Example: stratonet demo --plate images/ --output demo",
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
    command.set_defaults(
        run=_demo,
        modules=("stratonet_demo",),
        when_interrupted="The demo was not finished.",
    )


def _demo(options: argparse.Namespace) -> None:
    from importlib.util import find_spec

    missing = [name for name in DEMO_PACKAGES if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"The demo needs {', '.join(missing)} in this Python: in a clone of the"
            " repository, make demo installs everything. stratonet extract and the"
            " transformer measure images without CellProfiler, too."
        )
    from stratonet_demo import run_demo

    run_demo(options.plate, options.output)


def _show_command(arguments: Sequence[str]) -> str:
    """Return the command as reports show it: without the secrets of URLs."""
    import shlex

    from stratonet.files.urls import is_url
    from stratonet.messages import redact_text

    shown = [
        redact_text(text.replace(" ", "%20")) if is_url(text) else text
        for text in arguments
    ]
    return shlex.join(["stratonet", *shown])


_PROGRAM = os.path.basename(sys.argv[0]).partition(".")[0]
if __name__ == "__main__" or _PROGRAM == "stratonet":
    _exit_on_interrupt()
if __name__ == "__main__":
    sys.exit(main())
