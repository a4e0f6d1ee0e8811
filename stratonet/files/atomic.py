"""Files that are written completely or not at all, and folders locked by a process."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import numpy as np

from stratonet.extras import name_missing_extra

# Prefix of the names of incomplete files, followed by the process that writes them and
# a random part, since threads of one process may write the same file.
TEMPORARY = ".stratonet-"
LOCK = "lock"
# Beside the lock: which process holds it. On Windows, nobody can read a locked file.
HOLDER = "lock.process"


class FolderInUse(RuntimeError):
    """Another process is working in the folder."""


def explain_os_error(
    error: OSError, path: str | os.PathLike[str], failure: str
) -> OSError:
    """Return the same error with a message that names a path.

    Parameters
    ----------
    error : OSError
        The error that was raised.
    path : str or path
        The path that the user knows, which may differ from the file that the error
        names.
    failure : str
        What failed, such as ``"cannot be written"``.

    Returns
    -------
    OSError
        An error of the same class, so that callers can tell a missing file from a full
        disk.
    """
    # Libraries' own classes (urllib's HTTPError) take more than a message.
    is_builtin = type(error).__module__ == "builtins"
    same_class = type(error) if is_builtin else OSError
    return same_class(f"{path} {failure}: {error.strerror or error}")


@contextlib.contextmanager
def write_atomically(path: Path, must_be_new: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; what is written there replaces ``path``.

    Parameters
    ----------
    path : pathlib.Path
        In a folder that exists.
    must_be_new : bool
        Never replace an existing file.

    Yields
    ------
    pathlib.Path
        If anything goes wrong, it is removed, and an earlier file at ``path`` stays. A
        process that is killed leaves it behind: `remove_unfinished` finds it.

    Raises
    ------
    FileExistsError
        ``path`` exists already, and ``must_be_new`` is true.
    OSError
        It cannot be written; the message names ``path``.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "plan.json")
    ...     with write_atomically(path) as unfinished:
    ...         count = unfinished.write_text("{}")
    ...     path.read_text()
    '{}'
    """
    writer = f"{platform.node()}-{os.getpid()}"
    unfinished = path.with_name(f"{TEMPORARY}{writer}-{uuid4().hex}")
    try:
        yield unfinished
        move = _link_or_rename if must_be_new else os.replace
        move(unfinished, path)
    except OSError as error:
        # An error about another file, read in the meantime, stays as it is.
        own_paths = (None, os.fspath(unfinished), os.fspath(path))
        if error.filename is not None and os.fspath(error.filename) not in own_paths:
            raise
        raise explain_os_error(error, path, "cannot be written") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def _link_or_rename(unfinished: Path, path: Path) -> None:
    """Move a file to ``path`` unless that exists; of two processes, only one does."""
    try:
        os.link(unfinished, path)
    except FileExistsError:
        raise
    except OSError as error:
        # A file system without hard links, such as that of a memory stick.
        if path.exists():
            raise FileExistsError(errno.EEXIST, "File exists", str(path)) from error
        os.replace(unfinished, path)


def move_file(source: Path, target: Path) -> None:
    """Move a file within a file system, replacing an existing file.

    Parameters
    ----------
    source, target : pathlib.Path
        Old and new path.

    Raises
    ------
    OSError
        It cannot be moved; the message names ``target``.
    """
    try:
        os.replace(source, target)
    except OSError as error:
        raise explain_os_error(error, target, "cannot be written") from error


def write_arrays_atomically(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as an ``.npz`` file, completely or not at all.

    Parameters
    ----------
    path : pathlib.Path
        In a folder that exists.
    arrays : mapping of str to numpy.ndarray
        As `numpy.savez` takes them.

    Raises
    ------
    OSError
        It cannot be written; the message names ``path``.
    """
    # On a full disk, numpy.savez would leave its archive open, whose clean-up then
    # fails, too.
    with write_atomically(path) as unfinished, zipfile.ZipFile(unfinished, "w") as file:
        for name, value in arrays.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asarray(value))


def remove_unfinished(folder: str | os.PathLike[str]) -> None:
    """Remove the incomplete files that killed processes of this machine left behind.

    Parameters
    ----------
    folder : str or path
        Searched with all its subfolders; it may be missing.
    """
    pattern = re.compile(rf"{re.escape(TEMPORARY)}(.+)-(\d+)-[0-9a-f]{{32}}")
    for parent, _, names in os.walk(folder):
        for name in names:
            match = pattern.fullmatch(name)
            if match is None or match[1] != platform.node():
                continue
            if not _is_running(int(match[2])):
                with contextlib.suppress(FileNotFoundError):
                    os.remove(os.path.join(parent, name))


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes that lock it, too.

    The lock is the operating system's: it ends with the process, however that ends, and
    a lock file that a dead process left behind locks nobody out.

    Parameters
    ----------
    folder : pathlib.Path
        An existing folder. The files ``lock`` and ``lock.process`` are written to it.

    Raises
    ------
    FolderInUse
        Another process, or another part of this one, has the lock; the message names
        the process and the folder.
    ImportError
        The package filelock is missing.
    OSError
        The folder cannot be written to.
    """
    with name_missing_extra("Locking a folder", "cellprofiler"):
        import filelock

    lock = filelock.FileLock(folder / LOCK)
    holder = folder / HOLDER
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise FolderInUse(_describe_holder(folder)) from None
    try:
        holder.write_text(str(os.getpid()))
        yield
    finally:
        # The lock file itself stays: a process that waits for it has it open.
        with contextlib.suppress(OSError):
            holder.unlink()
        lock.release()


def _describe_holder(folder: Path) -> str:
    advice = "Wait for it to finish, or choose another folder."
    try:
        process = (folder / HOLDER).read_text()
    except OSError:
        process = ""
    # Empty for a moment, between taking the lock and writing the process's number.
    if not process:
        return f"Another run is using {folder}. {advice}"
    return f"Another run (process {process}) is using {folder}. {advice}"


def _is_running(process: int) -> bool:
    """Whether a process with this number is running on this machine."""
    if os.name != "posix":
        # On Windows, sending a signal to test the process would end it.
        with name_missing_extra("Looking for processes", "extract"):
            import psutil

        return psutil.pid_exists(process)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's process
    return True
