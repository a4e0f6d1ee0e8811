"""The pages of a TIFF file, as Bio-Formats counts and shows them.

CellProfiler reads TIFF files with Bio-Formats 5.7. So metadata of OME-XML, ImageJ and
others is ignored, and pages are counted in the order of the file, without those that
are marked as reduced. Pages that Bio-Formats shows with other pixels than are stored
are refused, so that the same file never has two sets of features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from stratonet.files.refusal import ONE_CHANNEL, Refused

if TYPE_CHECKING:
    import tifffile

REDUCED = 1
# A page of at most this width is no plane: its last axis holds channels.
MOST_CHANNELS = 5
WHITE_IS_ZERO, BLACK_IS_ZERO, PALETTE, CMYK, YCBCR = 0, 1, 3, 5, 6
RAW, JPEG = 1, 7
WIDTH, PHOTOMETRIC, ORIENTATION = 256, 262, 274


def list_pages(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """List pages as Bio-Formats counts them.

    Parameters
    ----------
    tiff : tifffile.TiffFile
        Open.

    Returns
    -------
    list of tifffile.TiffPage
        All except previews; previews only if there is nothing else.
    """
    pages = []
    for page in tiff.pages:
        pages.append(page)
        pages.extend(page.pages or ())
    # Some programs store text in pages without pixels.
    pages = [page for page in pages if WIDTH in page.tags]
    if not pages:
        raise ValueError("it holds no image")
    full_pages = [page for page in pages if page.subfiletype != REDUCED]
    return full_pages or pages


def choose_page(
    pages: list[tifffile.TiffPage],
    planes: int,
    frame: int | None,
    series: int | None,
) -> int:
    """Choose a page, or refuse the request.

    Parameters
    ----------
    pages : list of tifffile.TiffPage
        See `list_pages`.
    planes : int
        Number of planes, including those without pages of their own.
    frame, series : int, optional
        See `decode_tiff`.

    Returns
    -------
    int
        Number of the page, from 0.

    Raises
    ------
    Refused
        There is no such page, there are several and none was chosen, or CellProfiler
        shows it differently.
    """
    if series:
        raise Refused(
            f"series {series} was asked for, but the file holds 1, counted from 0: a"
            " TIFF file is one series, whose pages are chosen by their frame"
        )
    if (frame or 0) >= planes:
        raise Refused(
            f"frame {frame} was asked for, but the file holds {planes}, counted from 0"
        )
    if frame is None and planes > 1 and not has_only_previews(pages):
        raise Refused(_describe_stack(pages, planes))
    if planes > 1 and pages[0].imagewidth <= MOST_CHANNELS < pages[0].imagelength:
        raise Refused(
            f"{planes} pages of {pages[0].imagelength} x {pages[0].imagewidth} pixels"
            " were received: the last axis seems to hold channels or planes. Save each"
            " as a page of its own."
        )
    if frame and len(pages) > 1:
        _check_likeness(pages, frame)
    return frame or 0


def _check_likeness(pages: list[tifffile.TiffPage], frame: int) -> None:
    if _describe_page(pages[frame]) != _describe_page(pages[0]):
        raise Refused(
            f"frame {frame} differs from the first page, but CellProfiler reads it like"
            f" the first ({_describe_pages(pages)}). Save it as a file of its own."
        )


def has_only_previews(pages: list[tifffile.TiffPage]) -> bool:
    """Whether all pages after the first are small coloured previews of it.

    Parameters
    ----------
    pages : list of tifffile.TiffPage
        See `list_pages`.
    """
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
    order = ", one behind the other" if len(pages) == 1 else ""
    return (
        f"a stack was received (shape {shape}, {planes} planes{order}). Give one"
        " plane, or say how to project the stack: `project` is max, mean or middle."
    )


def _describe_pages(pages: list[tifffile.TiffPage]) -> str:
    descriptions = [_describe_page(page) for page in pages[:3]]
    if len(pages) > 3:
        descriptions.append(f"and {len(pages) - 3} more")
    return ", ".join(descriptions)


def _describe_page(page: tifffile.TiffPage) -> str:
    color = " in colour" if page.samplesperpixel > 1 else ""
    return f"{page.dtype} of shape {page.shape}{color}"


def check_page(page: tifffile.TiffPage) -> None:
    """Refuse a page that is no grey plane, or that Bio-Formats shows differently.

    Parameters
    ----------
    page : tifffile.TiffPage
        Only its tags are used, not its pixels.

    Raises
    ------
    Refused
    """
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
            "a colour image was received (indices into a palette of colours)."
            f" {ONE_CHANNEL}"
        )
    for has_property, description in REFUSED_PROPERTIES:
        if has_property(page):
            raise Refused(
                f"{description.format(page.bitspersample)} were received, which"
                " CellProfiler reads as other pixels. Save the plane as uint8, uint16"
                " or float32, without compression or with LZW."
            )


def _is_grey_ramp(page: tifffile.TiffPage) -> bool:
    """Whether the palette maps each number to the grey value of the same number."""
    colors, ramp = page.colormap, np.arange(2**page.bitspersample)
    if colors is None:
        return True
    if page.bitspersample > 8 or colors.shape != (3, len(ramp)):
        return False
    # Colours have 16 bits, of which the upper 8 count; some programs write only those.
    return bool(np.all(colors >> 8 == ramp) or np.all(colors == ramp))


def _has_odd_integers(page: tifffile.TiffPage) -> bool:
    bits = page.bitspersample
    return page.dtype.kind in "iu" and (bits == 64 or 16 < bits < 32)


def _has_white_zero(page: tifffile.TiffPage) -> bool:
    # If the tag is missing, tifffile takes zero for white.
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
    # In a single strip, the predictor is ignored.
    return is_needless and len(page.dataoffsets) > 1


def _lacks_bytes(page: tifffile.TiffPage) -> bool:
    return is_stored_plainly(page) and sum(page.databytecounts) < page.nbytes


def is_stored_plainly(page: tifffile.TiffPage) -> bool:
    """Whether the pixels are stored as in memory, except perhaps for the byte order.

    Parameters
    ----------
    page : tifffile.TiffPage
        Only its tags are used, not its pixels.
    """
    # Predictors belong to compression: a page without compression has none.
    return bool(page.is_contiguous and page.fillorder == 1)


# Properties of pages that Bio-Formats shows with other pixels, and their descriptions.
REFUSED_PROPERTIES: tuple[tuple[Callable[[tifffile.TiffPage], bool], str], ...] = (
    (lambda page: page.dtype.kind not in "buif", "complex numbers"),
    (_has_odd_integers, "integers of {} bits"),
    (_is_white_float, "floating point numbers whose zero is white"),
    (_is_odd_jpeg, "JPEG pixels of {} bits, or with white as zero,"),
    (_has_packed_tiles, "tiles of {} bits per pixel"),
    (_has_needless_predictor, "a predictor and no compression, {} bits per pixel,"),
    (_lacks_bytes, "too few bytes for a page of {} bits per pixel"),
)


def show_white_as_large(pixels: np.ndarray, page: tifffile.TiffPage) -> np.ndarray:
    """Invert a plane whose zero is white, as Bio-Formats does.

    Parameters
    ----------
    pixels : numpy.ndarray (height, width)
        The pixels as stored.
    page : tifffile.TiffPage
        The page that they come from.
    """
    if not _has_white_zero(page):
        return pixels
    if page.bitspersample in (1, 8 * page.dtype.itemsize):
        return np.invert(pixels)
    return pixels ^ pixels.dtype.type(2**page.bitspersample - 1)
