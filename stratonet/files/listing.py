"""Listing folders as people mean them: without hidden folders, and nothing twice."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator

# What file servers, desktops and archives keep beside the files of users: thumbnails,
# files that were removed, and copies of earlier days. In small letters.
SYSTEM_FOLDERS = {
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "@eadir",
    "@recently-snapshot",
    "@recycle",
    "__macosx",
    "lost+found",
    "system volume information",
    "~snapshot",
}


def is_hidden_folder(name: str) -> bool:
    """Whether a folder is the system's, not the user's.

    Parameters
    ----------
    name : str
        Of the folder, without its path.

    Examples
    --------
    >>> is_hidden_folder(".snapshot"), is_hidden_folder("@eaDir"), is_hidden_folder("P")
    (True, True, False)
    """
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def is_listed(path: str) -> bool:
    """Whether a key of S3 is a file, and in no hidden folder.

    Parameters
    ----------
    path : str
        What follows the folder that is listed.

    Examples
    --------
    >>> is_listed("P/a.tif"), is_listed("P/.snapshot/a.tif"), is_listed("P/")
    (True, False, False)
    """
    *folders, name = path.split("/")
    # Keys that end in a slash are folders, as S3's own web page makes them.
    return name != "" and not any(map(is_hidden_folder, folders))


def list_folder(root: str) -> list[str]:
    """List the files of a folder and of the folders in it, each once.

    Hidden folders are passed over, unless ``root`` is one. A link is followed, unless
    it leads to a folder that holds it, or to what is listed anyway.

    Parameters
    ----------
    root : str
        Local path.

    Returns
    -------
    list of str
        Sorted; [] if there is no such folder.

    Raises
    ------
    OSError
        A folder cannot be read; the message names it.
    """
    real_paths = set()
    files = []
    links = []
    for folder, real_folder, entry in _walk(root):
        path = os.path.join(folder, entry.name)
        if entry.is_symlink():
            links.append(path)
        else:
            files.append(path)
            real_paths.add(os.path.join(real_folder, entry.name))
    for path in links:
        if os.path.realpath(path) not in real_paths:
            files.append(path)
    return sorted(files)


def _walk(root: str) -> Iterator[tuple[str, str, os.DirEntry[str]]]:
    """Yield each file with its folder, as it was reached and as it is without links."""
    real_root = os.path.realpath(root)
    # A link that leads above the folder would bring in its neighbours.
    seen = set(_list_parents(real_root))
    folders, linked = deque([root]), deque[str]()
    # Links come last: a plate is called as its folder is, not as a link to it.
    while folders or linked:
        folder = folders.popleft() if folders else linked.popleft()
        real_folder = os.path.realpath(folder)
        if real_folder in seen:
            continue
        seen.add(real_folder)
        for entry in _read_folder(folder):
            if not _is_folder(entry):
                yield folder, real_folder, entry
            elif not is_hidden_folder(entry.name):
                waiting = linked if entry.is_symlink() else folders
                waiting.append(os.path.join(folder, entry.name))


def _list_parents(path: str) -> Iterator[str]:
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        yield path


def _read_folder(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []  # or somebody has removed it meanwhile


def _is_folder(entry: os.DirEntry[str]) -> bool:
    # A link to itself raises an error when it is followed.
    if entry.is_symlink():
        return os.path.isdir(entry.path)
    return entry.is_dir()
