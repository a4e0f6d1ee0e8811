"""What may be read: the folder where the app was started, and what was chosen.

Folders are browsed by name, from the one where the app was started downwards. A path
that the user types is a choice, wherever it leads. Pages refer to images by number,
never by path, so nothing can be read but what was chosen.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from stratonet.files.listing import is_hidden_folder
from stratonet.files.urls import is_url, redact_url
from stratonet.tables.csvfiles import EXTENSIONS

# How the names of tables of image sets end.
TABLES = (*EXTENSIONS, ".csv.gz", ".parquet")
# A page of more names helps nobody: other paths can be typed.
MOST_NAMES = 300


class OutOfReach(ValueError):
    """A path leads outside what may be read."""


@dataclass(frozen=True)
class Listing:
    """What is in a folder.

    Attributes
    ----------
    folder : pathlib.Path
        Absolute, without links.
    parent : str or None
        Its parent, relative to where browsing begins; None if browsing begins here.
    folders, tables : list of (str, str)
        The name of each, and its path relative to where browsing begins.
    n_left_out : int
        How many more folders and tables there are.
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
        The folder does not lie in ``root``, or is a link that leads out of it.
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
        # A link that leads out of ``root`` is not followed, so it is not offered.
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
    """Return an absolute path, if it lies in a folder.

    Parameters
    ----------
    root : pathlib.Path
        The folder.
    relative : str
        The path relative to the folder, as received: it may contain anything.

    Raises
    ------
    OutOfReach
        It leads out of the folder: by dots, as an absolute path, or by a link.
    """
    base = root.resolve()
    if "\0" in relative:
        raise OutOfReach("A path cannot contain a zero byte.")
    path = (base / relative).resolve()
    if not path.is_relative_to(base):
        raise OutOfReach(
            f"{relative} is not in {base}, where the app was started. Type its full"
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
        There is no such file or folder.
    """
    # Quotes come along when a path is copied from a file manager or a terminal.
    text = text.strip().strip("\"'")
    if not text:
        raise ValueError("No path was given. Type one, or choose a folder below.")
    if is_url(text) or text.startswith("jump:"):
        raise ValueError(
            f"The app reads folders and tables on this machine. Received:"
            f" {redact_url(text)}. Use stratonet extract for images elsewhere."
        )
    if "\0" in text:
        raise ValueError("A path cannot contain a zero byte.")
    path = Path(os.path.abspath(root / Path(text).expanduser()))
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is not there. Is it spelt as on the disk, and is the disk mounted?"
        )
    return path
