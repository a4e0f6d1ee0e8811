"""Files that are there whole or not at all, and folders for one process alone."""

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

# Names of files that are not whole yet begin so: then who writes them, and a random
# part, since threads of one process may write the same file.
TEMPORARY = ".stratonet-"
LOCK = "lock"
# Beside the lock: who has it. Windows lets nobody read a file that is locked.
HOLDER = "lock.process"


class FolderInUse(RuntimeError):
    """Another process works in the folder."""


def explain_os_error(
    error: OSError, path: str | os.PathLike[str], failure: str
) -> OSError:
    """Make the same error with a message that names a path.

    Parameters
    ----------
    error : OSError
        What was raised.
    path : str or path
        What the user knows, which may not be the file that the error names.
    failure : str
        ``"cannot be written"`` or the like.

    Returns
    -------
    OSError
        Of the same class, so that callers can tell a missing file from a full disk.
    """
    # Classes of libraries (urllib's HTTPError) take other arguments than a message.
    is_builtin = type(error).__module__ == "builtins"
    same_class = type(error) if is_builtin else OSError
    return same_class(f"{path} {failure}: {error.strerror or error}")


@contextlib.contextmanager
def write_atomically(path: Path, anew: bool = False) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to, which then takes the place of ``path``.

    Parameters
    ----------
    path : pathlib.Path
        In a folder that exists.
    anew : bool
        Never replace a file that is there.

    Yields
    ------
    pathlib.Path
        Removed if anything goes wrong; what was at ``path`` before then stays. A
        process that is killed leaves it: `remove_unfinished` finds it.

    Raises
    ------
    FileExistsError
        There is one, and it is to be written anew.
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
        put = _link_or_rename if anew else os.replace
        put(unfinished, path)
    except OSError as error:
        # A file that is only read meanwhile keeps its own error.
        concerned = (None, os.fspath(unfinished), os.fspath(path))
        if error.filename is not None and os.fspath(error.filename) not in concerned:
            raise
        raise explain_os_error(error, path, "cannot be written") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def _link_or_rename(unfinished: Path, path: Path) -> None:
    """Put a file in its place unless there is one; of two at once, one does."""
    try:
        os.link(unfinished, path)
    except FileExistsError:
        raise
    except OSError as error:
        # A file system without links, such as that of a memory stick.
        if path.exists():
            raise FileExistsError(errno.EEXIST, "File exists", str(path)) from error
        os.replace(unfinished, path)


def move_file(source: Path, target: Path) -> None:
    """Move a file within a file system; a file that is there already is replaced.

    Parameters
    ----------
    source, target : pathlib.Path
        Before and after.

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
    """Write arrays as ``.npz``, whole or not at all.

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
    # On a full disk numpy.savez would leave its archive open, which complains later.
    with write_atomically(path) as unfinished, zipfile.ZipFile(unfinished, "w") as file:
        for name, value in arrays.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asarray(value))


def remove_unfinished(folder: str | os.PathLike[str]) -> None:
    """Remove what killed processes of this machine had begun to write to a folder.

    Parameters
    ----------
    folder : str or path
        With all folders in it; it may be missing.
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
    """Keep other processes out of a folder, as far as they ask.

    The lock is the operating system's: it ends with the process, however that ends, and
    a file that a dead process has left locks nobody out.

    Parameters
    ----------
    folder : pathlib.Path
        It exists. The files ``lock`` and ``lock.process`` are written to it.

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
        # The lock file itself stays: whoever waits for it has it open.
        with contextlib.suppress(OSError):
            holder.unlink()
        lock.release()


def _describe_holder(folder: Path) -> str:
    advice = "Wait for it to finish, or choose another folder."
    try:
        process = (folder / HOLDER).read_text()
    except OSError:
        process = ""
    # Empty for the moment between the lock and the name of who has it.
    if not process:
        return f"Another run is using {folder}. {advice}"
    return f"Another run (process {process}) is using {folder}. {advice}"


def _is_running(process: int) -> bool:
    """Whether there is a process of this number on this machine."""
    if os.name != "posix":
        # On Windows, asking with a signal would end the process.
        with name_missing_extra("Looking for processes", "extract"):
            import psutil

        return psutil.pid_exists(process)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # of another user
    return True
