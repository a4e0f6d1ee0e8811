"""Files that are there whole or not at all, and folders that one process has to itself."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

LOCK = "lock"


class FolderInUse(RuntimeError):
    """Another process works in the folder."""


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to, which then takes the place of ``path``.

    Parameters
    ----------
    path : pathlib.Path
        In a folder that exists.

    Yields
    ------
    pathlib.Path
        Removed if anything goes wrong; what was at ``path`` before then stays.

    Raises
    ------
    OSError
        It cannot be written; the message names ``path``.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    except OSError as error:
        reason = error.strerror or error
        raise type(error)(f"{path} cannot be written: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def write_arrays_atomically(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as ``.npz``, whole or not at all.

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


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder, as far as they ask.

    The lock is the operating system's: it ends with the process, however that ends.

    Parameters
    ----------
    folder : pathlib.Path
        It exists.

    Raises
    ------
    FolderInUse
        Another process has the lock; the message names it and the folder.
    """
    import filelock

    path = folder / LOCK
    try:
        with filelock.FileLock(path, timeout=0):
            holder = folder / f"{LOCK}.process"
            holder.write_text(str(os.getpid()))
            yield
    except filelock.Timeout:
        with contextlib.suppress(OSError):
            process = (folder / f"{LOCK}.process").read_text()
            raise FolderInUse(
                f"Another run (process {process}) is using {folder}. Wait for it to"
                " finish, or choose another folder."
            ) from None
        raise FolderInUse(f"Another run is using {folder}.") from None
