"""List the files of a folder: hidden folders are skipped, no file is listed twice."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator

# Folders that file servers, desktops and archives keep beside users' files: thumbnails,
# deleted files and snapshots of earlier days. In lower case.
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
    """Whether a folder belongs to the system rather than to the user.

    Parameters
    ----------
    name : str
        Name of the folder, without its path.

    Examples
    --------
    >>> is_hidden_folder(".snapshot"), is_hidden_folder("@eaDir"), is_hidden_folder("P")
    (True, True, False)
    """
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def is_listed(path: str) -> bool:
    """Whether an S3 key is a file that lies in no hidden folder.

    Parameters
    ----------
    path : str
        The key, relative to the folder that is listed.

    Examples
    --------
    >>> is_listed("P/a.tif"), is_listed("P/.snapshot/a.tif"), is_listed("P/")
    (True, False, False)
    """
    *folders, name = path.split("/")
    # Keys that end with a slash are folders, made so by S3's own web page.
    return name != "" and not any(map(is_hidden_folder, folders))


def list_folder(root: str) -> list[str]:
    """List the files of a folder and its subfolders, each once.

    Hidden folders are skipped, unless ``root`` itself is hidden. A link is followed,
    unless it leads to a folder that contains it, or to a file that is listed anyway.

    Parameters
    ----------
    root : str
        Local path.

    Returns
    -------
    list of str
        Sorted; empty if there is no such folder.

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
    """Yield each file with its folder: as it was reached, and with links resolved."""
    real_root = os.path.realpath(root)
    # A link to a parent folder would bring in the neighbours of the root.
    seen_folders = set(_list_parents(real_root))
    folders, linked = deque([root]), deque[str]()
    # Links come last: a plate is named after its folder, not after a link to it.
    while folders or linked:
        folder = folders.popleft() if folders else linked.popleft()
        real_folder = os.path.realpath(folder)
        if real_folder in seen_folders:
            continue
        seen_folders.add(real_folder)
        for entry in _read_folder(folder):
            if not _is_folder(entry):
                yield folder, real_folder, entry
            elif not is_hidden_folder(entry.name):
                queue = linked if entry.is_symlink() else folders
                queue.append(os.path.join(folder, entry.name))


def _list_parents(path: str) -> Iterator[str]:
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        yield path


def _read_folder(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []  # there is none, or somebody has just removed it


def _is_folder(entry: os.DirEntry[str]) -> bool:
    # A link to itself raises an error when it is followed.
    if entry.is_symlink():
        return os.path.isdir(entry.path)
    return entry.is_dir()
