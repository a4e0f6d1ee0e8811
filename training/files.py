"""Files that are there whole or not at all, and folders that one process has to itself."""

import contextlib
import fcntl
import os
import zipfile

import numpy as np


@contextlib.contextmanager
def replacing(path):
    """A temporary path to write to; it takes the place of ``path`` when all went well, and is gone otherwise.

    Raises
    ------
    OSError
        It cannot be written; the message names the file.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise OSError(
            f"{path} cannot be written: {error}. Is the disk full?"
        ) from error


def write_arrays(path, arrays):
    """Write a dict of arrays as ``.npz``.

    On a full disk numpy.savez would leave its archive open, which complains.
    """
    with replacing(path) as part, zipfile.ZipFile(part, "w") as archive:
        for name, value in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(value))


@contextlib.contextmanager
def alone(folder, otherwise):
    """Have ``folder`` to oneself.

    The error ``otherwise`` is raised where another process has. A dead one has not.
    """
    with open(folder / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise otherwise from None
        yield
