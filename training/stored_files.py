"""Read the files that commands store for later commands.

A full disk, an interrupted copy or a power failure leaves incomplete files behind.
Whatever is wrong with a file, the error is a single line that names it.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from stratonet.arguments import RefusedOption

# What numpy, zipfile and zlib raise for an incomplete file.
_DAMAGED = (
    ValueError,
    EOFError,
    KeyError,
    AttributeError,
    TypeError,
    zipfile.BadZipFile,
    zlib.error,
)


class DamagedFile(ValueError):
    """A stored file is not as it was written; the message names it."""


def read_json(path: Path, fields: tuple[str, ...], advice: str) -> dict[str, Any]:
    """Read an object that was stored as JSON.

    Parameters
    ----------
    path : pathlib.Path
        File to read.
    fields : tuple of str
        Fields that the object must have.
    advice : str
        A sentence for the error message: what to do if the file is damaged.

    Returns
    -------
    dict

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DamagedFile
        The file is not JSON, or lacks a field.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "result.json")
    >>> _ = path.write_text('{"epochs": 3}')
    >>> read_json(path, ("epochs",), "Train again.")
    {'epochs': 3}
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        reason = "it is empty" if not path.stat().st_size else str(error)
        raise _describe(path, reason, advice) from None
    lacking = [name for name in fields if not _has(values, name)]
    if lacking or not isinstance(values, dict):
        reason = f"it lacks {', '.join(lacking) or 'every field'}"
        raise _describe(path, reason, advice)
    return values


def _has(values: object, name: str) -> bool:
    return isinstance(values, dict) and name in values


def read_arrays(path: Path, advice: str) -> dict[str, np.ndarray]:
    """Read all arrays that were stored as ``.npz``.

    Parameters
    ----------
    path : pathlib.Path
        File to read.
    advice : str
        A sentence for the error message: what to do if the file is damaged.

    Returns
    -------
    dict of str to numpy.ndarray

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DamagedFile
        The file is not an archive of arrays, or an array is not as it was written.
    """
    try:
        # Each array is verified by its checksum as it is read.
        with np.load(path) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except _DAMAGED as error:
        # For files that are not archives, numpy's message is about pickles.
        is_archive = zipfile.is_zipfile(path)
        reason = str(error) if is_archive else "its end is missing"
        raise _describe(path, reason, advice) from None


def _describe(path: Path, reason: str, advice: str) -> DamagedFile:
    return DamagedFile(
        f"{path} is damaged, or was not completely written or copied: {reason}."
        f" {advice}"
    )


def refuse_output_in_data(
    data: str | os.PathLike[str], output: str | os.PathLike[str]
) -> None:
    """Refuse to write into the folder that images are read from.

    Files written there could be mistaken for part of the data.

    Parameters
    ----------
    data, output : str or path
        Folders.

    Raises
    ------
    RefusedOption
        ``output`` is ``data`` or lies in it, directly or through links.
    """
    images, folder = Path(data).resolve(), Path(output).resolve()
    if folder == images or images in folder.parents:
        raise RefusedOption(
            f"output must be a folder outside the images in {data}. Received: {output}"
        )
