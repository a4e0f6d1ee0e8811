"""Read one plane from a file or URL.

TIFF files are read with tifffile, PNG and JPEG files with Pillow, and microscope files
that hold several images with `stratonet.files.microscopes`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Union

import numpy as np

from stratonet.files.microscopes.opening import (
    find_plane_file,
    holds_scenes,
    read_scene_plane,
)
from stratonet.files.raster import decode_raster
from stratonet.files.refusal import Refused
from stratonet.files.spelling import read_file
from stratonet.files.storage import Storage
from stratonet.files.tiff import MARKS, decode_tiff
from stratonet.files.urls import get_extension, is_web_url, redact_url, to_local_path

TIFF = (".tif", ".tiff")
PILLOW = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True, eq=False)
class ReadPixels:
    """A plane that a library has read from a file of several, as it is stored.

    Attributes
    ----------
    pixels : numpy.ndarray (height, width)
    """

    pixels: np.ndarray


# What one thread reads and another decodes: the bytes of a whole file, or one plane of
# a file that is too large to be read as a whole.
Content = Union[bytes, ReadPixels]


def read_plane(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a grey image in its original dtype.

    Parameters
    ----------
    path : str or path
        A local file, or a URL (``s3://``, ``https://``, ``http://``), which needs
        ``stratonet[sklearn]``. Microscope files (``.nd2``, ``.czi``, ``.lif``,
        ``.zarr``) need ``stratonet[microscopes]``, and must hold a single plane.

    Returns
    -------
    numpy.ndarray (height, width)

    Raises
    ------
    FileNotFoundError, PermissionError, OSError
        The file cannot be opened.
    TypeError
        The path is neither a string nor a path.
    ValueError
        See `decode_plane`.
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
    return read_plane_from(path, Storage())


def read_plane_from(path: str, storage: Storage) -> np.ndarray:
    """Read a grey image, see `read_plane`.

    Parameters
    ----------
    path : str
        Local path or URL.
    storage : Storage
        Reads it.

    Returns
    -------
    numpy.ndarray (height, width)
    """
    path = find_plane_file(path, storage)
    # Check before anything is fetched.
    if not holds_scenes(path, None):
        _check_extension(path)
    return decode_plane(read_content(path, storage), path)


def read_content(
    path: str,
    storage: Storage,
    frame: int | None = None,
    series: int | None = None,
    projection: str | None = None,
) -> Content:
    """Read the content that a plane is decoded from.

    Parameters
    ----------
    path : str
        Local path or URL.
    storage : Storage
        Reads it.
    frame, series, projection
        See `decode_plane`. Where a library can read a single plane of a large file,
        only that plane is read.

    Returns
    -------
    bytes or ReadPixels
        To be passed to `decode_plane`.

    Raises
    ------
    FileNotFoundError, PermissionError, ValueError, ImportError
        The file cannot be read.
    """
    if holds_scenes(path, frame):
        return ReadPixels(read_scene_plane(path, storage, series, frame, projection))
    return read_file(path, storage)


def decode_plane(
    content: Content,
    name: str,
    frame: int | None = None,
    series: int | None = None,
    projection: str | None = None,
) -> np.ndarray:
    """Decode the grey image in the bytes of a file, in its original dtype.

    Parameters
    ----------
    content : bytes or ReadPixels
        The whole file, or what `read_content` returned.
    name : str
        The file's path or URL: its extension gives the format, and error messages
        begin with it.
    frame, series : int, optional
        Which plane of a TIFF stack, and which image of a TIFF file that holds several,
        counted from 0 as in CellProfiler.
    projection : {"max", "mean", "middle"}, optional
        How the planes of a stack are projected. Without it, a stack is refused.

    Returns
    -------
    numpy.ndarray (height, width)
        It may be a read-only view of ``content``.

    Raises
    ------
    ValueError
        The file is not TIFF, PNG or JPEG, is damaged, empty or in colour, or is a stack
        and ``frame`` is missing or too large. The message names the file, what was
        received and what to do.
    """
    if isinstance(content, ReadPixels):
        plane = content.pixels
    else:
        plane = _decode_file(content, name, frame, series, projection)
    if plane.size == 0:
        raise ValueError(
            f"{redact_url(name)}: the image is empty. Received: shape {plane.shape}"
        )
    return plane


def _decode_file(
    content: bytes,
    name: str,
    frame: int | None,
    series: int | None,
    projection: str | None,
) -> np.ndarray:
    extension = _check_extension(name)
    with name_damaged_file(redact_url(name), content, "an image"):
        if extension in TIFF or content.startswith(MARKS):
            return decode_tiff(content, frame, series, projection)
        if frame or series:
            raise Refused(
                f"only TIFF files have frames and series. Received: frame {frame},"
                f" series {series}"
            )
        return decode_raster(content)


@contextmanager
def name_damaged_file(name: str, content: Sized, expected: str) -> Iterator[None]:
    """Turn the errors of decoders into a ValueError that names the file.

    Parameters
    ----------
    name : str
        The file's path or URL.
    content : bytes
        The file's content, whose length the message gives.
    expected : str
        What the file should be, such as ``"an image"``.

    Raises
    ------
    ValueError
        Instead of any error of a decoder, except MemoryError.
    """
    try:
        yield
    except MemoryError:
        raise
    except Refused as refused:
        raise ValueError(f"{name}: {refused}") from None
    # Decoders raise struct.error, zlib.error, KeyError, ...
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
            advice = ". A ? starts the query of a URL: in a file name, write it as %3F"
        raise ValueError(
            f"{redact_url(path)}: images are read from {', '.join(TIFF + PILLOW)}"
            f" files. Received: {extension!r}{advice}"
        )
    return extension
