"""Decode a grey plane from the bytes of a PNG or JPEG file, with Pillow."""

from __future__ import annotations

import io
from typing import cast

import numpy as np
from PIL import Image, UnidentifiedImageError

from stratonet.files.refusal import ONE_CHANNEL, Refused

FORMATS = ("PNG", "JPEG")
# Pillow's modes of one grey channel, from one bit to float.
GREY_MODES = ("1", "L", "I", "I;16", "I;16B", "I;16L", "F")
PNG_MARK = b"\x89PNG\r\n\x1a\n"
# Chunks of a PNG file that hold no pixels. Pillow refuses files in which they are long.
METADATA_CHUNKS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf")
# Position of the byte in a PNG file that gives the number of bits per pixel.
BIT_DEPTH = 24


def decode_raster(content: bytes) -> np.ndarray:
    """Decode the grey image in the bytes of a PNG or JPEG file, as it is stored.

    Parameters
    ----------
    content : bytes
        The whole file.

    Returns
    -------
    numpy.ndarray (height, width)
        bool, uint8, uint16 or int32.

    Raises
    ------
    Refused
        The file is intact, but holds more or other than one grey plane.
    ValueError, OSError
        The file is neither PNG nor JPEG, or is damaged.
    """
    if content.startswith(PNG_MARK):
        content = _drop_metadata_chunks(content)
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError("not a TIFF, PNG or JPEG file") from None
    with image:
        _check_raster(image)
        pixels = np.asarray(image)
    if image.format == "PNG" and content[BIT_DEPTH] in (2, 4):
        # Pillow scales these to 0 to 255; CellProfiler shows the values as stored.
        return pixels // np.uint8(255 // (2 ** content[BIT_DEPTH] - 1))
    return pixels


def _drop_metadata_chunks(content: bytes) -> bytes:
    kept_chunks, start = [PNG_MARK], len(PNG_MARK)
    while start + 8 <= len(content):
        length = int.from_bytes(content[start : start + 4], "big")
        # Length, name and checksum have four bytes each.
        end = start + length + 12
        if content[start + 4 : start + 8] not in METADATA_CHUNKS:
            kept_chunks.append(content[start:end])
        start = end
    return b"".join(kept_chunks)


def _check_raster(image: Image.Image) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise Refused(f"a stack of {frames} frames was received. Give one plane.")
    if image.info.get("interlace"):
        raise Refused(
            "an interlaced PNG image was received, which CellProfiler decodes to"
            " different pixels. Save it without interlacing."
        )
    if image.mode == "P" and _is_grey_ramp(image):
        return
    if image.mode not in GREY_MODES:
        raise Refused(
            f"a colour image was received ({_name_mode(image)}). {ONE_CHANNEL}"
        )


def _is_grey_ramp(image: Image.Image) -> bool:
    """Whether the palette maps each number to the grey value of the same number."""
    colors = cast("list[int]", image.getpalette("RGB"))
    return colors == [grey for grey in range(256) for _ in "RGB"]


def _name_mode(image: Image.Image) -> str:
    mode = f"mode {image.mode}"
    if image.mode == "P":
        return f"{mode}: indices into a palette of colours"
    if image.mode == "LA":
        return f"{mode}: grey with transparency"
    return mode
