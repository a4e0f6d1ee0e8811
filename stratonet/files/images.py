"""Reading one plane from a file or URL.

TIFF with tifffile, PNG and JPEG with Pillow.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sized
from contextlib import contextmanager

import numpy as np

from stratonet.files.raster import decode_raster
from stratonet.files.refusal import Refused
from stratonet.files.spelling import read_file
from stratonet.files.storage import Storage
from stratonet.files.tiff import MARKS, decode_tiff
from stratonet.files.urls import get_extension, is_web_url, redact_url, to_local_path

TIFF = (".tif", ".tiff")
PILLOW = (".png", ".jpg", ".jpeg")


def read_plane(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a grey image, whose dtype is kept.

    Parameters
    ----------
    path : str or path
        A local file, or a URL (``s3://``, ``https://``, ``http://``), which needs
        ``stratonet[sklearn]``.

    Returns
    -------
    numpy.ndarray (height, width)

    Raises
    ------
    FileNotFoundError, PermissionError, OSError
        The file cannot be opened.
    TypeError, ValueError
        As `decode_plane`.
    ImportError
        A package that URLs need is missing.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, tifffile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "A01_DNA.tif")
    ...     tifffile.imwrite(path, np.zeros((48, 64), np.uint16))
    ...     read_plane(path).shape
    (48, 64)
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"An image's path is a string. Received: {path!r} ({type(path).__name__})"
        )
    path = to_local_path(os.fspath(path))
    # Before anything is fetched.
    _check_extension(path)
    return decode_plane(read_file(path, Storage()), path)


def decode_plane(
    content: bytes, name: str, frame: int | None = None, series: int | None = None
) -> np.ndarray:
    """Decode the grey image in the bytes of a file, whose dtype is kept.

    Parameters
    ----------
    content : bytes
        The whole file.
    name : str
        The file's path or URL: its extension tells the format, and errors begin with
        it.
    frame, series : int, optional
        Which plane of a TIFF stack, and which image of a TIFF file that holds several,
        from 0 as CellProfiler counts.

    Returns
    -------
    numpy.ndarray (height, width)
        Perhaps a view of ``content``, which cannot be written to.

    Raises
    ------
    ValueError
        Not a TIFF, PNG or JPEG file, damaged, empty, coloured, a stack without
        ``frame``, or without that frame. The message names the file, what was received
        and what to do.
    """
    extension = _check_extension(name)
    name = redact_url(name)
    with name_damaged_file(name, content, "an image"):
        if extension in TIFF or content.startswith(MARKS):
            plane = decode_tiff(content, frame, series)
        elif frame or series:
            raise Refused(
                f"only TIFF files have frames and series. Received: frame {frame},"
                f" series {series}"
            )
        else:
            plane = decode_raster(content)
    if plane.size == 0:
        raise ValueError(f"{name}: the image is empty. Received: shape {plane.shape}")
    return plane


@contextmanager
def name_damaged_file(name: str, content: Sized, expected: str) -> Iterator[None]:
    """Turn what decoders raise into a ValueError that names the file.

    Parameters
    ----------
    name : str
        The file's path or URL.
    content : bytes
        Its length is told.
    expected : str
        What the file should be: ``"an image"``.

    Raises
    ------
    ValueError
        Instead of whatever a decoder raises; a MemoryError stays one.
    """
    try:
        yield
    except MemoryError:
        raise
    except Refused as refused:
        raise ValueError(f"{name}: {refused}") from None
    # Whatever decoders meet: struct.error, zlib.error, KeyError, ...
    except Exception as error:
        raise ValueError(
            f"{name}: cannot be read as {expected} ({type(error).__name__}: {error})."
            f" Received: {len(content)} bytes. Is the file damaged, or only partly"
            " copied?"
        ) from error


def _check_extension(path: str) -> str:
    extension = get_extension(path)
    if extension not in TIFF + PILLOW:
        advice = ""
        if is_web_url(path) and "?" in path:
            advice = ". A ? begins the query of a URL: in a name it is written %3F"
        raise ValueError(
            f"{redact_url(path)}: images are read from {', '.join(TIFF + PILLOW)}"
            f" files. Received: {extension!r}{advice}"
        )
    return extension
