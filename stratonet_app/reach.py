"""What may be looked at: the folder where the app was started, and what was chosen.

Folders are browsed by their names, from where the app was started downwards. A path
that is typed in is a choice, wherever it leads. Pages name images by numbers, never by
paths: there is nothing to be read but what was chosen.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from stratonet.files.listing import is_hidden_folder
from stratonet.files.urls import is_url, redact_url
from stratonet.tables.csvfiles import EXTENSIONS

# What a table of image sets may be called.
TABLES = (*EXTENSIONS, ".csv.gz", ".parquet")
# A page of more names helps nobody: the rest is found by typing.
MOST_NAMES = 300


class OutOfReach(ValueError):
    """A path leads out of what may be looked at."""


@dataclass(frozen=True)
class Listing:
    """What is in a folder.

    Attributes
    ----------
    folder : pathlib.Path
        Absolute, without links.
    parent : str or None
        Its parent relative to where browsing begins; None there.
    folders, tables : list of (str, str)
        The name of each, and its path relative to where browsing begins.
    n_left_out : int
        How many more there are.
    """

    folder: Path
    parent: str | None
    folders: list[tuple[str, str]]
    tables: list[tuple[str, str]]
    n_left_out: int = 0


def list_names(root: Path, relative: str = "") -> Listing:
    """List the folders and tables in a folder.

    Parameters
    ----------
    root : pathlib.Path
        Where browsing begins.
    relative : str
        The folder, relative to it.

    Raises
    ------
    OutOfReach
        It is not in there, also by way of a link.
    OSError
        It cannot be listed; the message names it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "P1").mkdir()
    ...     Path(folder, "map.csv").touch()
    ...     listing = list_names(Path(folder))
    >>> listing.folders, listing.tables
    ([('P1', 'P1')], [('map.csv', 'map.csv')])
    """
    folder = resolve_within(root, relative)
    base = root.resolve()
    folders, tables = [], []
    try:
        names = sorted(os.listdir(folder), key=str.lower)
    except OSError as error:
        raise type(error)(f"{folder} cannot be listed: {error.strerror}.") from None
    for name in names:
        path = folder / name
        # A name in another encoding cannot be part of an address.
        if not name.isprintable():
            continue
        # A link out of here is not followed, and so it is not offered either.
        if is_hidden_folder(name) or not path.resolve().is_relative_to(base):
            continue
        entry = (name, path.relative_to(base).as_posix())
        if path.is_dir():
            folders.append(entry)
        elif name.lower().endswith(TABLES):
            tables.append(entry)
    parent = None if folder == base else folder.parent.relative_to(base).as_posix()
    n_left_out = max(0, len(folders) + len(tables) - MOST_NAMES)
    folders = folders[:MOST_NAMES]
    return Listing(
        folder, parent, folders, tables[: MOST_NAMES - len(folders)], n_left_out
    )


def resolve_within(root: Path, relative: str) -> Path:
    """Return the path that is meant, if it lies in a folder.

    Parameters
    ----------
    root : pathlib.Path
        The folder.
    relative : str
        What is said of it; it may hold anything.

    Raises
    ------
    OutOfReach
        It leads out of the folder: by dots, as an absolute path, or by a link.
    """
    base = root.resolve()
    if "\0" in relative:
        raise OutOfReach("A path holds no zero byte.")
    path = (base / relative).resolve()
    if not path.is_relative_to(base):
        raise OutOfReach(
            f"{relative} is not in {base}, where the app was started. Type its whole"
            " path to choose it."
        )
    return path


def read_chosen_path(text: str, root: Path) -> Path:
    """Return the folder or file that a user has typed in.

    Parameters
    ----------
    text : str
        A path; ``~`` is the home folder, and relative ones begin at ``root``.
    root : pathlib.Path
        Where the app was started.

    Raises
    ------
    ValueError
        It is empty or a URL.
    FileNotFoundError
        There is nothing.
    """
    # As it is copied from a file manager or a terminal.
    text = text.strip().strip("\"'")
    if not text:
        raise ValueError("No path was given. Type one, or choose a folder below.")
    if is_url(text) or text.startswith("jump:"):
        raise ValueError(
            f"The app reads folders and tables of this machine. Received:"
            f" {redact_url(text)}. What is elsewhere is measured by stratonet extract."
        )
    if "\0" in text:
        raise ValueError("A path holds no zero byte.")
    path = Path(os.path.abspath(root / Path(text).expanduser()))
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is not there. Is it spelt as on the disk, and is the disk mounted?"
        )
    return path
