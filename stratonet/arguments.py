"""Arguments shared by several commands, and how their texts are parsed."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from stratonet.messages import suggest_name


class RefusedOption(ValueError):
    """An option or value that is refused before anything is read (exit status 2)."""


@contextmanager
def refuse_early() -> Iterator[None]:
    """Turn errors that are raised while options are checked into `RefusedOption`.

    Raises
    ------
    RefusedOption
        A value is refused, or a file named by an option does not exist.

    Examples
    --------
    >>> with refuse_early():
    ...     raise ValueError("--size only works with --labels.")
    Traceback (most recent call last):
        ...
    stratonet.arguments.RefusedOption: --size only works with --labels.
    """
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        raise RefusedOption(str(error)) from None


class CommandParser(argparse.ArgumentParser):
    """Parser that suggests the closest name for an unknown command or choice."""

    def error(self, message: str) -> NoReturn:
        """Print usage and message, and exit with status 2.

        Parameters
        ----------
        message : str
            As argparse writes it.
        """
        invalid = re.search(
            r"invalid choice: '?([^'\s]+)'? \(choose from (.*)\)", message
        )
        if invalid:
            choices = [name.strip("' ") for name in invalid[2].split(",")]
            message += f".{suggest_name(invalid[1], choices)}"
        super().error(message)


def add_common_flags(command: argparse.ArgumentParser) -> None:
    """Add the flags of every command.

    Parameters
    ----------
    command : argparse.ArgumentParser
        One command.
    """
    group = command.add_argument_group("every command")
    group.add_argument(
        "--threads",
        type=parse_count,
        metavar="N",
        help="cores to use (default: OMP_NUM_THREADS, else all of this process)",
    )
    group.add_argument(
        "--debug", action="store_true", help="after an error, print where it was raised"
    )


def parse_count(text: str) -> int:
    """Return a whole number, 1 or more."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(
            f"expected a whole number, 1 or more. Received: {text}"
        )
    return int(text)


def parse_names(text: str) -> tuple[str, ...]:
    """Return the names in ``A,B,...``."""
    return tuple(text.split(","))


def parse_replacement(text: str) -> tuple[str, str]:
    """Return both sides of ``OLD=NEW``."""
    old, separator, new = text.partition("=")
    if not (old and separator):
        raise argparse.ArgumentTypeError(f"expected OLD=NEW. Received: {text}")
    return old, new


def parse_column_value(text: str) -> tuple[str, str]:
    """Return both sides of ``COLUMN=VALUE``."""
    column, separator, value = text.partition("=")
    if not (column and separator):
        raise argparse.ArgumentTypeError(f"expected COLUMN=VALUE. Received: {text}")
    return column, value


def name_flags(message: str, flags: Mapping[str, str]) -> str:
    """Return a message of the library with its parameters replaced by flags.

    Parameters
    ----------
    message : str
        With parameters between backticks.
    flags : mapping of str to str
        What each is called on the command line.

    Examples
    --------
    >>> name_flags("Give a `pattern`.", {"pattern": "--pattern"})
    'Give a --pattern.'
    """
    for parameter, flag in flags.items():
        message = message.replace(f"`{parameter}`", flag)
    return message


def add_file_name_flags(group: argparse._ArgumentGroup) -> None:
    """Add ``--pattern`` and ``--replace-path``, which say how to find images."""
    group.add_argument(
        "--pattern",
        metavar="NAME|REGEX",
        help=(
            "how files of a folder are named: imagexpress, phenix, cellvoyager, incell,"
            " incucyte, incucyte-archive, cellomics, columbus, jump, or a regular"
            " expression with the named groups Channel, Well (or Row and Column),"
            " Plate, Site, ... (default: the instrument that fits best); leave out"
            " Channel for files that name their channels themselves"
        ),
    )
    group.add_argument(
        "--project",
        choices=["max", "mean", "middle"],
        help="how to make one plane of a file's z-stack (default: stacks are refused)",
    )
    group.add_argument(
        "--replace-path",
        dest="replace",
        type=parse_replacement,
        action="append",
        default=[],
        metavar="OLD=NEW",
        help=(
            "replace the beginning of the paths in a table; can be given more than once"
        ),
    )


def add_storage_flags(group: argparse._ArgumentGroup) -> None:
    """Add ``--endpoint``, ``--region`` and ``--anonymous``: how to reach S3."""
    group.add_argument(
        "--endpoint",
        metavar="URL",
        help="of an S3 service (default: AWS_ENDPOINT_URL, else AWS)",
    )
    group.add_argument(
        "--region", help="of the buckets (default: AWS_REGION or AWS_DEFAULT_REGION)"
    )
    group.add_argument(
        "--anonymous",
        action="store_true",
        help=(
            "never sign requests (default: signed with the usual AWS credentials if"
            " there are any; anonymous if there are none or a bucket refuses them)"
        ),
    )


def read_image_flags(options: argparse.Namespace) -> dict[str, Any]:
    """Return the values of both groups of flags, by the fields of `ImageSource`."""
    names = ("pattern", "project", "replace", "endpoint", "region", "anonymous")
    return {name: getattr(options, name) for name in names}
