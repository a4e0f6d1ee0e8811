"""Reading one plane from a file or URL.

TIFF with tifffile, PNG and JPEG with Pillow, files of microscopes that hold several
images with `stratonet.files.microscopes`.
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
    """A plane that a library has taken out of a file of several, as it is stored.

    Attributes
    ----------
    pixels : numpy.ndarray (height, width)
    """

    pixels: np.ndarray


# What is read in one thread, and decoded in another: the bytes of a whole file, or one
# plane of a file that is too large for that.
Content = Union[bytes, ReadPixels]


def read_plane(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a grey image, whose dtype is kept.

    Parameters
    ----------
    path : str or path
        A local file, or a URL (``s3://``, ``https://``, ``http://``), which needs
        ``stratonet[sklearn]``. Files of microscopes (``.nd2``, ``.czi``, ``.lif``,
        ``.zarr``) need ``stratonet[microscopes]``, and hold one plane.

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
    return read_plane_from(path, Storage())


def read_plane_from(path: str, storage: Storage) -> np.ndarray:
    """Read a grey image, see `read_plane`.

    Parameters
    ----------
    path : str
        Local path or URL.
    storage : Storage
        What reads it.

    Returns
    -------
    numpy.ndarray (height, width)
    """
    path = find_plane_file(path, storage)
    # Before anything is fetched.
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
    """Read what a plane is decoded from.

    Parameters
    ----------
    path : str
        Local path or URL.
    storage : Storage
        What reads it.
    frame, series, projection
        See `decode_plane`. Where a library can read a single plane of a large file,
        only that is read.

    Returns
    -------
    bytes or ReadPixels
        For `decode_plane`.

    Raises
    ------
    FileNotFoundError, PermissionError, ValueError, ImportError
        It cannot be read.
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
    """Decode the grey image in the bytes of a file, whose dtype is kept.

    Parameters
    ----------
    content : bytes or ReadPixels
        The whole file, or what `read_content` has returned.
    name : str
        The file's path or URL: its extension tells the format, and errors begin with
        it.
    frame, series : int, optional
        Which plane of a TIFF stack, and which image of a TIFF file that holds several,
        from 0 as CellProfiler counts.
    projection : {"max", "mean", "middle"}, optional
        What becomes of the planes of a stack. Without it, a stack is refused.

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
