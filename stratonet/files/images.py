"""Reading one plane from a file or URL.

TIFF with tifffile, PNG and JPEG with Pillow.
"""

from __future__ import annotations

import io
import math
import os
import sys
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from stratonet.files.spelling import read_file
from stratonet.files.storage import Storage
from stratonet.files.urls import get_extension, is_web_url, redact_url, to_local_path

if TYPE_CHECKING:
    import tifffile

TIFF = (".tif", ".tiff")
PILLOW = (".png", ".jpg", ".jpeg")
ONE_CHANNEL = "Give one grey file per channel, or split the colours first."
NATIVE = "<" if sys.byteorder == "little" else ">"
# Pillow's modes of one grey channel, from one bit to float.
GREY_MODES = ("1", "L", "I", "I;16", "I;16B", "I;16L", "F")


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
        if extension in TIFF:
            plane = _decode_tiff(content, frame, series)
        elif frame or series:
            raise _Refused(
                f"only TIFF files have frames and series. Received: frame {frame},"
                f" series {series}"
            )
        else:
            plane = _decode_with_pillow(content)
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
    except _Refused as refused:
        raise ValueError(f"{name}: {refused}") from None
    # Whatever decoders meet: struct.error, zlib.error, KeyError, ...
    except Exception as error:
        raise ValueError(
            f"{name}: cannot be read as {expected} ({type(error).__name__}: {error})."
            f" Received: {len(content)} bytes. Is the file damaged, or only partly"
            " copied?"
        ) from error


class _Refused(Exception):
    """A sound image that is not one plane."""


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


def _decode_tiff(content: bytes, frame: int | None, number: int | None) -> np.ndarray:
    import tifffile

    # A TiffFile is only freed by the garbage collector: the bytes must not wait for
    # that.
    with io.BytesIO(content) as file, tifffile.TiffFile(file) as tiff:
        series = _choose_series(tiff, frame, number)
        frames = math.prod(series.shape[:-2])
        if (frame or 0) >= frames:
            raise _Refused(
                f"frame {frame} was asked for, and it holds {frames}, counted from 0"
            )
        if frames == 1 and _lies_plain(tiff, series.keyframe):
            return _view_plane(content, series)
        try:
            if len(series.pages) == frames:
                return series.asarray(key=frame or 0)
            stack = series.asarray().reshape(frames, *series.shape[-2:])
            return stack[frame or 0]
        except ValueError as error:
            if "imagecodecs" not in str(error) or len(tiff.pages) > 1:
                raise
    # LZW, JPEG, ...: tifffile leaves them to a package that CellProfiler does not have,
    # Pillow reads them.
    return _decode_with_pillow(content)


def _choose_series(
    tiff: tifffile.TiffFile, frame: int | None, number: int | None
) -> tifffile.TiffPageSeries:
    """Return one image of a file, perhaps a stack."""
    if not tiff.series:
        raise ValueError("it holds no image")
    if (number or 0) >= len(tiff.series):
        raise _Refused(
            f"series {number} was asked for, and it holds {len(tiff.series)}, counted"
            " from 0"
        )
    series = tiff.series[number or 0]
    shape, axes = series.shape, series.axes
    if "S" in axes:
        raise _Refused(f"a colour image was received (shape {shape}). {ONE_CHANNEL}")
    is_ambiguous = len(shape) != 2 or (number is None and len(tiff.series) > 1)
    if frame is None and is_ambiguous:
        raise _Refused(
            f"a stack was received (shape {shape}, axes {axes}, {len(tiff.pages)}"
            " pages). Give one plane, or a projection of the stack."
        )
    return series


def _lies_plain(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> bool:
    """Whether the pixels lie in the file as they lie in memory."""
    is_native = page.is_contiguous and tiff.byteorder == NATIVE
    return bool(is_native and page.dtype)


def _view_plane(content: bytes, series: tifffile.TiffPageSeries) -> np.ndarray:
    """Return the pixels where they lie in the file: no copy."""
    page = series.keyframe
    count = math.prod(series.shape)
    pixels = np.frombuffer(content, page.dtype, count, page.dataoffsets[0])
    return pixels.reshape(series.shape[-2:])


def _decode_with_pillow(content: bytes) -> np.ndarray:
    try:
        image = Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        raise ValueError("not a PNG or JPEG file") from None
    with image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            raise _Refused(f"a stack of {frames} frames was received. Give one plane.")
        if image.mode not in GREY_MODES:
            raise _Refused(
                f"a colour image was received (mode {image.mode}). {ONE_CHANNEL}"
            )
        return np.asarray(image)
