"""Reading one plane from a file or URL.

TIFF with tifffile, PNG and JPEG with Pillow.
"""

import io
import math
import os
import sys
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError

from stratonet.files.urls import get_extension, is_url

TIFF = (".tif", ".tiff")
PILLOW = (".png", ".jpg", ".jpeg")
ONE_CHANNEL = "Give one grey file a channel, or split the colours first."
NATIVE = "<" if sys.byteorder == "little" else ">"
GREY_MODES = ("1", "L", "I", "I;16", "I;16B", "I;16L", "F")


def read_plane(path):
    """Read a grey image, whose dtype is kept.

    Parameters
    ----------
    path : str or path
        A local file, or a URL (``s3://``, ``https://``, ...) that fsspec can open:
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
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"An image's path is a string. Received: {path!r} ({type(path).__name__})"
        )
    path = os.fspath(path)
    _checked_extension(path)
    return decode_plane(_read_content(path), path)


def decode_plane(content, name, frame=None, series=None):
    """The grey image in the bytes of a file, whose dtype is kept.

    Parameters
    ----------
    content : bytes
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
    kind = _checked_extension(name)
    with name_damaged_file(name, content, "an image"):
        if kind in TIFF:
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
def name_damaged_file(name, content, what):
    """Turn what decoders raise into a ValueError that names the file and calls what it should be ``what``."""
    try:
        yield
    except MemoryError:
        raise
    except _Refused as refused:
        raise ValueError(f"{name}: {refused}") from None
    except (
        Exception
    ) as error:  # whatever they meet: struct.error, zlib.error, KeyError, ...
        raise ValueError(
            f"{name}: cannot be read as {what} ({type(error).__name__}: {error})."
            f" Received: {len(content)} bytes. Is the file damaged, or was it copied"
            " half?"
        ) from error


def _checked_extension(path):
    kind = get_extension(path)
    if kind not in TIFF + PILLOW:
        raise ValueError(
            f"{path}: images are read from {', '.join(TIFF + PILLOW)} files. Received:"
            f" {kind!r}"
        )
    return kind


class _Refused(Exception):
    """A sound image of a kind that is not a plane."""


def _read_content(path):
    if not is_url(path):
        with open(path, "rb") as file:
            return file.read()
    try:
        import fsspec
    except ImportError:
        raise ImportError(
            f"{path}: reading URLs needs fsspec. Install stratonet[sklearn]."
        ) from None
    with fsspec.open(path, "rb") as file:
        return file.read()


def _decode_tiff(content, frame, number):
    import tifffile

    # A TiffFile is only freed by the garbage collector: the bytes must not wait for that.
    with io.BytesIO(content) as file, tifffile.TiffFile(file) as tiff:
        if not tiff.series:
            raise ValueError("it holds no image")
        if (number or 0) >= len(tiff.series):
            raise _Refused(
                f"series {number} was asked for, and it holds {len(tiff.series)},"
                " counted from 0"
            )
        series = tiff.series[number or 0]
        shape, axes = series.shape, series.axes
        if "S" in axes:
            raise _Refused(
                f"a colour image was received (shape {shape}). {ONE_CHANNEL}"
            )
        if frame is None and (
            len(shape) != 2 or (number is None and len(tiff.series) > 1)
        ):
            raise _Refused(
                f"a stack was received (shape {shape}, axes {axes}, {len(tiff.pages)}"
                " pages). Give one plane, or a projection of the stack."
            )
        frames = math.prod(shape[:-2])
        if (frame or 0) >= frames:
            raise _Refused(
                f"frame {frame} was asked for, and it holds {frames}, counted from 0"
            )
        page = series.keyframe
        if (
            frames == 1
            and page.is_contiguous
            and tiff.byteorder == NATIVE
            and page.dtype
        ):  # a view, not a copy
            return np.frombuffer(
                content, page.dtype, math.prod(shape), page.dataoffsets[0]
            ).reshape(shape[-2:])
        try:
            if len(series.pages) == frames:
                return series.asarray(key=frame or 0)
            return series.asarray().reshape(frames, *shape[-2:])[frame or 0]
        except ValueError as error:
            if "imagecodecs" not in str(error) or len(tiff.pages) > 1:
                raise
    # LZW, JPEG, ...: tifffile leaves them to a package that CellProfiler does not have, Pillow reads them.
    return _decode_with_pillow(content)


def _decode_with_pillow(content):
    try:
        image = Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        raise ValueError("not a PNG or JPEG file") from None
    with image:
        if getattr(image, "n_frames", 1) > 1:
            raise _Refused(
                f"a stack of {image.n_frames} frames was received. Give one plane."
            )
        if image.mode not in GREY_MODES:
            raise _Refused(
                f"a colour image was received (mode {image.mode}). {ONE_CHANNEL}"
            )
        return np.asarray(image)
