"""Files that are there whole or not at all."""

import os
from contextlib import contextmanager


@contextmanager
def write_atomically(path):
    """A path beside ``path`` to write to; it takes the place of ``path`` when all has been written.

    Parameters
    ----------
    path : pathlib.Path

    Raises
    ------
    OSError
        It cannot be written; the message names it. What was there stays.
    """
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
