"""Decode a grey plane from the bytes of a TIFF file, as Bio-Formats shows it.

`stratonet.files.tiffpages` lists the pages and decides which are refused.
"""

from __future__ import annotations

import io
import math
import re
import struct
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from stratonet.files.projections import project_planes
from stratonet.files.raster import GREY_MODES
from stratonet.files.refusal import Refused
from stratonet.files.tiffpages import (
    BLACK_IS_ZERO,
    ORIENTATION,
    PHOTOMETRIC,
    check_page,
    choose_page,
    has_only_previews,
    is_stored_plainly,
    list_pages,
    show_white_as_large,
)

if TYPE_CHECKING:
    import tifffile

MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
OTHER_MARKS = {b"\x89PNG": "PNG", b"\xff\xd8": "JPEG", b"BM": "BMP", b"GIF8": "GIF"}
# CCITT, LZW, JPEG, deflate, PackBits: Pillow decompresses them; for some, tifffile
# needs a package that CellProfiler does not have.
PILLOW_COMPRESSIONS = (2, 3, 4, 5, 7, 8, 32773, 32946)


def decode_tiff(
    content: bytes,
    frame: int | None,
    series: int | None,
    projection: str | None = None,
) -> np.ndarray:
    """Decode one page of a TIFF file, or a projection of its pages.

    Parameters
    ----------
    content : bytes
        The whole file.
    frame : int, optional
        Which page, from 0. Without it, there must be a single page, apart from its
        previews.
    series : int, optional
        Must be 0: Bio-Formats shows a TIFF file as one series of pages.
    projection : {"max", "mean", "middle"}, optional
        How the pages of a stack are projected. Without it, a stack is refused.

    Returns
    -------
    numpy.ndarray (height, width)
        bool, integer or float. It may be a view of ``content``.

    Raises
    ------
    Refused
        The file is intact, but not one grey plane, or Bio-Formats shows other pixels.
    Exception
        Of any type, for a damaged file.
    """
    import tifffile

    for mark, format_name in OTHER_MARKS.items():
        if content.startswith(mark):
            raise Refused(
                f"cannot be read as a TIFF file: it holds a {format_name} image. Rename"
                " it with the extension of that format."
            )
    # Only the garbage collector frees a TiffFile: the bytes must be freed earlier.
    with io.BytesIO(content) as file, tifffile.TiffFile(file) as tiff:
        pages = list_pages(tiff)
        planes = max(len(pages), _count_hidden_planes(content, tiff, pages))

        def decode(number: int) -> np.ndarray:
            return _decode_page(content, tiff, pages, number)

        is_stack = planes > 1 and not has_only_previews(pages)
        if projection is None or frame is not None or not is_stack:
            return decode(choose_page(pages, planes, frame, series))
        _check_stack(tiff, pages, planes, series)
        return project_planes(projection, decode, range(planes))


def _decode_page(
    content: bytes,
    tiff: tifffile.TiffFile,
    pages: list[tifffile.TiffPage],
    number: int,
) -> np.ndarray:
    page = pages[number if len(pages) > 1 else 0]
    check_page(page)
    if is_stored_plainly(page):
        plane_number = number if len(pages) == 1 else 0
        pixels = _view_plane(content, page, plane_number)
    else:
        pixels = _decompress(content, tiff, page)
    return show_white_as_large(pixels, page)


def _check_stack(
    tiff: tifffile.TiffFile,
    pages: list[tifffile.TiffPage],
    planes: int,
    series: int | None,
) -> None:
    """Refuse pages that are channels or time points rather than a stack."""
    for number in range(planes):
        choose_page(pages, planes, number, series)
    axis_sizes = {}
    if tiff.is_imagej and tiff.imagej_metadata:
        axis_sizes = {
            "channels": tiff.imagej_metadata.get("channels", 1),
            "time points": tiff.imagej_metadata.get("frames", 1),
        }
    elif tiff.is_ome:
        sizes = dict(re.findall(r'\bSize([CT])="(\d+)"', tiff.ome_metadata))
        axis_sizes = {"channels": sizes.get("C", 1), "time points": sizes.get("T", 1)}
    for axis, count in axis_sizes.items():
        if int(count) > 1:
            raise Refused(
                f"{planes} planes were received, of {count} {axis}: they are no stack"
                " to project. Save each as a file of its own."
            )


def _count_hidden_planes(
    content: bytes, tiff: tifffile.TiffFile, pages: list[tifffile.TiffPage]
) -> int:
    """Count planes stored after the pixels of the only page, without own pages.

    ImageJ, MetaMorph and tifffile write such files. A single plane that was cut out of
    a stack often still has the metadata of the stack: the planes in the file count.
    """
    page = pages[0]
    if len(pages) > 1 or page.dtype is None or not is_stored_plainly(page):
        return 1
    n_fitting = (len(content) - page.dataoffsets[0]) // max(page.nbytes, 1)
    if n_fitting < 2:
        return 1
    n_claimed = 1
    if tiff.is_imagej and tiff.imagej_metadata:
        n_claimed = int(tiff.imagej_metadata.get("images", 1))
    elif tiff.is_shaped and tiff.shaped_metadata:
        shape = tiff.shaped_metadata[0]["shape"]
        n_claimed = math.prod(shape) // math.prod(page.shape)
    elif tiff.is_stk and tiff.stk_metadata:
        n_claimed = int(tiff.stk_metadata["NumberPlanes"])
    return min(n_claimed, n_fitting)


def _view_plane(content: bytes, page: tifffile.TiffPage, number: int) -> np.ndarray:
    """Return the pixels as a view of the file's bytes, copied only if necessary."""
    dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    offset = page.dataoffsets[0] + number * page.nbytes
    shape = (page.imagelength, page.imagewidth)
    pixels = np.frombuffer(content, dtype, math.prod(shape), offset)
    return pixels.reshape(shape).astype(page.dtype, copy=False)


def _decompress(
    content: bytes, tiff: tifffile.TiffFile, page: tifffile.TiffPage
) -> np.ndarray:
    try:
        return page.asarray().reshape(page.imagelength, page.imagewidth)
    except (ValueError, NotImplementedError) as error:
        if not _lacks_package(error):
            raise
    offsets = [other.offset for other in tiff.pages]
    if (
        page.compression not in PILLOW_COMPRESSIONS
        or page.bitspersample not in (1, 8, 16, 32)
        or page.offset not in offsets
    ):
        raise Refused(
            f"a page of {page.bitspersample} bits per pixel, compression"
            f" {page.compression}, was received, and reading it needs the package"
            " imagecodecs. Install it: pip install imagecodecs"
        )
    plain = _reset_display_tags(content, page)
    with Image.open(io.BytesIO(plain), formats=("TIFF",)) as image:
        image.seek(offsets.index(page.offset))
        if image.mode not in GREY_MODES:
            raise ValueError(f"Pillow reads it as {image.mode}")
        return np.asarray(image).astype(page.dtype, copy=False)


def _lacks_package(error: Exception) -> bool:
    text = str(error)
    return "imagecodecs" in text or "not supported" in text


def _reset_display_tags(content: bytes, page: tifffile.TiffPage) -> bytearray:
    """Copy a file with the tags reset that make Pillow rotate or invert images."""
    plain = bytearray(content)
    for code in (ORIENTATION, PHOTOMETRIC):
        tag = page.tags.get(code)
        if tag is not None:
            value_format = "H" if tag.dtype == 3 else "I"
            order = page.parent.byteorder
            struct.pack_into(
                order + value_format, plain, tag.valueoffset, BLACK_IS_ZERO
            )
    return plain
