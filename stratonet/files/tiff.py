"""One grey plane from the bytes of a TIFF file, as Bio-Formats shows it.

CellProfiler reads TIFF files with Bio-Formats 5.7: what OME-XML, ImageJ and others
write beside the pages is not believed, and pages are counted as they follow each other,
without those that are marked as reduced. What Bio-Formats shows otherwise than it is
stored is refused, so that the same file never has two sets of features.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from stratonet.files.raster import GREY_MODES
from stratonet.files.refusal import ONE_CHANNEL, Refused

if TYPE_CHECKING:
    import tifffile

MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
OTHER_MARKS = {b"\x89PNG": "PNG", b"\xff\xd8": "JPEG", b"BM": "BMP", b"GIF8": "GIF"}
REDUCED = 1
# A page that is no wider is no plane, but a row of pixels with their channels.
MOST_CHANNELS = 5
WHITE_IS_ZERO, BLACK_IS_ZERO, PALETTE, CMYK, YCBCR = 0, 1, 3, 5, 6
RAW, JPEG = 1, 7
WIDTH, PHOTOMETRIC, ORIENTATION = 256, 262, 274
# CCITT, LZW, JPEG, deflate, PackBits: Pillow decompresses them, tifffile leaves some to
# a package that CellProfiler does not have.
OF_PILLOW = (2, 3, 4, 5, 7, 8, 32773, 32946)


def decode_tiff(content: bytes, frame: int | None, series: int | None) -> np.ndarray:
    """Decode one page of a TIFF file.

    Parameters
    ----------
    content : bytes
        The whole file.
    frame : int, optional
        Which page, from 0. Without it there must be one, or one and its previews.
    series : int, optional
        0: Bio-Formats shows a TIFF file as one series of pages.

    Returns
    -------
    numpy.ndarray (height, width)
        bool, integer or float. Perhaps a view of ``content``.

    Raises
    ------
    Refused
        It is sound, but not one grey plane, or Bio-Formats shows other pixels.
    Exception
        Of any type, for a damaged file.
    """
    import tifffile

    for mark, kind in OTHER_MARKS.items():
        if content.startswith(mark):
            raise Refused(
                f"cannot be read as a TIFF file: it holds a {kind} image. Give it the"
                " name of one."
            )
    # A TiffFile is only freed by the garbage collector: the bytes must not wait for
    # that.
    with io.BytesIO(content) as file, tifffile.TiffFile(file) as tiff:
        pages = _list_pages(tiff)
        planes = max(len(pages), _count_hidden_planes(content, tiff, pages))
        number = _choose_number(pages, planes, frame, series)
        page = pages[number if len(pages) > 1 else 0]
        _check_page(page)
        if _lies_plain(page):
            hidden = number if len(pages) == 1 else 0
            pixels = _view_plane(content, page, hidden)
        else:
            pixels = _decompress(content, tiff, page)
        return _show_white_as_large(pixels, page)


def _list_pages(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """List pages as Bio-Formats counts them."""
    pages = []
    for page in tiff.pages:
        pages.append(page)
        pages.extend(page.pages or ())
    # Some programs keep words in pages without pixels.
    pages = [page for page in pages if WIDTH in page.tags]
    if not pages:
        raise ValueError("it holds no image")
    whole = [page for page in pages if page.subfiletype != REDUCED]
    return whole or pages


def _count_hidden_planes(
    content: bytes, tiff: tifffile.TiffFile, pages: list[tifffile.TiffPage]
) -> int:
    """Count planes that lie behind the only page, without pages of their own.

    ImageJ, MetaMorph and tifffile write such files. A single plane that was cut out of
    a stack often still has the words of the stack: what counts is what is there.
    """
    page = pages[0]
    if len(pages) > 1 or page.dtype is None or not _lies_plain(page):
        return 1
    room = (len(content) - page.dataoffsets[0]) // max(page.nbytes, 1)
    if room < 2:
        return 1
    claimed = 1
    if tiff.is_imagej and tiff.imagej_metadata:
        claimed = int(tiff.imagej_metadata.get("images", 1))
    elif tiff.is_shaped and tiff.shaped_metadata:
        shape = tiff.shaped_metadata[0]["shape"]
        claimed = math.prod(shape) // math.prod(page.shape)
    elif tiff.is_stk and tiff.stk_metadata:
        claimed = int(tiff.stk_metadata["NumberPlanes"])
    return min(claimed, room)


def _choose_number(
    pages: list[tifffile.TiffPage],
    planes: int,
    frame: int | None,
    series: int | None,
) -> int:
    if series:
        raise Refused(
            f"series {series} was asked for, and it holds 1, counted from 0: a TIFF"
            " file is one series, whose pages are told apart by their frame"
        )
    if (frame or 0) >= planes:
        raise Refused(
            f"frame {frame} was asked for, and it holds {planes}, counted from 0"
        )
    if frame is None and planes > 1 and not _has_only_previews(pages):
        raise Refused(_describe_stack(pages, planes))
    if planes > 1 and pages[0].imagewidth <= MOST_CHANNELS < pages[0].imagelength:
        raise Refused(
            f"{planes} pages of {pages[0].imagelength} x {pages[0].imagewidth} pixels"
            " were received: channels or planes seem to lie along the last axis. Save"
            " each as a page of its own."
        )
    if frame and len(pages) > 1:
        _check_likeness(pages, frame)
    return frame or 0


def _check_likeness(pages: list[tifffile.TiffPage], frame: int) -> None:
    if _describe_page(pages[frame]) != _describe_page(pages[0]):
        raise Refused(
            f"frame {frame} is unlike the first page, and CellProfiler reads it as if"
            f" it were not ({_describe_pages(pages)}). Give it in a file of its own."
        )


def _has_only_previews(pages: list[tifffile.TiffPage]) -> bool:
    """Whether all pages behind the first are small coloured pictures of it."""
    first, *others = pages
    return bool(others and first.samplesperpixel == 1) and all(
        page.samplesperpixel > 1
        and page.imagewidth < first.imagewidth
        and page.imagelength < first.imagelength
        for page in others
    )


def _describe_stack(pages: list[tifffile.TiffPage], planes: int) -> str:
    if len({_describe_page(page) for page in pages}) > 1:
        return (
            f"{planes} images were received: {_describe_pages(pages)}. Give one plane"
            " per file, or name its frame."
        )
    shape = (planes, *pages[0].shape)
    behind = ", one behind the other" if len(pages) == 1 else ""
    return (
        f"a stack was received (shape {shape}, {planes} planes{behind}). Give one"
        " plane, or a projection of the stack."
    )


def _describe_pages(pages: list[tifffile.TiffPage]) -> str:
    words = [_describe_page(page) for page in pages[:3]]
    if len(pages) > 3:
        words.append(f"and {len(pages) - 3} more")
    return ", ".join(words)


def _describe_page(page: tifffile.TiffPage) -> str:
    color = " in colour" if page.samplesperpixel > 1 else ""
    return f"{page.dtype} of shape {page.shape}{color}"


def _check_page(page: tifffile.TiffPage) -> None:
    """Refuse what is no grey plane, and what Bio-Formats shows otherwise."""
    if page.samplesperpixel > 1 or page.photometric in (CMYK, YCBCR):
        raise Refused(
            f"a colour image was received (shape {page.shape}, {page.samplesperpixel}"
            f" values per pixel). {ONE_CHANNEL}"
        )
    if page.imagedepth > 1:
        raise Refused(f"a stack was received (shape {page.shape}). Give one plane.")
    if page.dtype is None:
        raise Refused(
            "pixels of an unknown type were received (sample format"
            f" {page.sampleformat}, {page.bitspersample} bits). Save them as uint8,"
            " uint16 or float32."
        )
    if page.photometric == PALETTE and not _is_grey_ramp(page):
        raise Refused(
            "a colour image was received (numbers of colours in a palette)."
            f" {ONE_CHANNEL}"
        )
    for holds, what in SHOWN_OTHERWISE:
        if holds(page):
            raise Refused(
                f"{what.format(page.bitspersample)} were received, which CellProfiler"
                " reads as other pixels. Save the plane as uint8, uint16 or float32,"
                " without compression or with LZW."
            )


def _is_grey_ramp(page: tifffile.TiffPage) -> bool:
    """Whether the colour of each number is the grey of this number."""
    colors, ramp = page.colormap, np.arange(2**page.bitspersample)
    if colors is None:
        return True
    if page.bitspersample > 8 or colors.shape != (3, len(ramp)):
        return False
    # Shades have 16 bits, of which the upper 8 count; some programs write these alone.
    return bool(np.all(colors >> 8 == ramp) or np.all(colors == ramp))


def _has_odd_integers(page: tifffile.TiffPage) -> bool:
    bits = page.bitspersample
    return page.dtype.kind in "iu" and (bits == 64 or 16 < bits < 32)


def _has_white_zero(page: tifffile.TiffPage) -> bool:
    # Where nothing is said, tifffile takes zero for white.
    return page.photometric == WHITE_IS_ZERO and PHOTOMETRIC in page.tags


def _is_white_float(page: tifffile.TiffPage) -> bool:
    return _has_white_zero(page) and page.dtype.kind == "f"


def _is_odd_jpeg(page: tifffile.TiffPage) -> bool:
    is_odd = page.dtype.itemsize > 1 or _has_white_zero(page)
    return page.compression == JPEG and is_odd


def _has_packed_tiles(page: tifffile.TiffPage) -> bool:
    is_packed = page.bitspersample not in (1, 8, 16, 32, 64)
    tile = (page.tilelength, page.tilewidth)
    return page.is_tiled and is_packed and tile != page.shape


def _has_needless_predictor(page: tifffile.TiffPage) -> bool:
    is_needless = page.compression == RAW and page.predictor != 1
    # In a single strip, it is passed over.
    return is_needless and len(page.dataoffsets) > 1


def _lacks_bytes(page: tifffile.TiffPage) -> bool:
    return _lies_plain(page) and sum(page.databytecounts) < page.nbytes


def _lies_plain(page: tifffile.TiffPage) -> bool:
    """Whether the pixels lie in the file as in memory, but perhaps for byte order."""
    # A predictor is one of compression: without it there is none.
    return bool(page.is_contiguous and page.fillorder == 1)


# What a page may hold, in words.
SHOWN_OTHERWISE: tuple[tuple[Callable[[tifffile.TiffPage], bool], str], ...] = (
    (lambda page: page.dtype.kind not in "buif", "complex numbers"),
    (_has_odd_integers, "integers of {} bits"),
    (_is_white_float, "floating point numbers whose zero is white"),
    (_is_odd_jpeg, "{} bits per pixel as JPEG, or such whose zero is white,"),
    (_has_packed_tiles, "tiles of {} bits per pixel"),
    (_has_needless_predictor, "a predictor and no compression, {} bits per pixel,"),
    (_lacks_bytes, "too few bytes for a page of {} bits per pixel"),
)


def _view_plane(content: bytes, page: tifffile.TiffPage, number: int) -> np.ndarray:
    """Return the pixels where they lie in the file: no copy, if they need none."""
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
        page.compression not in OF_PILLOW
        or page.bitspersample not in (1, 8, 16, 32)
        or page.offset not in offsets
    ):
        raise Refused(
            f"a page of {page.bitspersample} bits per pixel, compression"
            f" {page.compression}, was received, and reading it needs the package"
            " imagecodecs. Install it: pip install imagecodecs"
        )
    plain = _take_as_stored(content, page)
    with Image.open(io.BytesIO(plain), formats=("TIFF",)) as image:
        image.seek(offsets.index(page.offset))
        if image.mode not in GREY_MODES:
            raise ValueError(f"Pillow reads it as {image.mode}")
        return np.asarray(image).astype(page.dtype, copy=False)


def _lacks_package(error: Exception) -> bool:
    words = str(error)
    return "imagecodecs" in words or "not supported" in words


def _take_as_stored(content: bytes, page: tifffile.TiffPage) -> bytearray:
    """Copy a file without the tags by which Pillow turns and inverts images."""
    plain = bytearray(content)
    for code in (ORIENTATION, PHOTOMETRIC):
        tag = page.tags.get(code)
        if tag is not None:
            number = "H" if tag.dtype == 3 else "I"
            order = page.parent.byteorder
            struct.pack_into(order + number, plain, tag.valueoffset, BLACK_IS_ZERO)
    return plain


def _show_white_as_large(pixels: np.ndarray, page: tifffile.TiffPage) -> np.ndarray:
    """Invert a plane whose zero is white, as Bio-Formats does."""
    if not _has_white_zero(page):
        return pixels
    if page.bitspersample in (1, 8 * page.dtype.itemsize):
        return np.invert(pixels)
    return pixels ^ pixels.dtype.type(2**page.bitspersample - 1)
