"""What all files of the collection are made of."""

import io
from dataclasses import dataclass

import numpy as np
import tifffile
from PIL import Image

from .writer import build_tiff, make_page

ORDERS = {"little": "<", "big": ">"}
SIGNED, FLOAT, COMPLEX = 2, 3, 6
DEFLATE = 8
HEIGHT, WIDTH = 37, 53
_rng = np.random.default_rng(20170920)
DEEP = _rng.integers(0, 65536, (HEIGHT, WIDTH), np.uint16)
BYTES = (DEEP >> 8).astype(np.uint8)
SMOOTH = np.uint8(120 + 100 * np.sin(np.add.outer(np.arange(48), np.arange(64)) / 9))
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class PlaneFile:
    """A file, what is to be seen of it, or the words with which it is refused.

    Attributes
    ----------
    pixels : numpy.ndarray (height, width)
        The plane that was put in.
    refused : str
        Words of the refusal; none where the plane is to be read.
    close : int
        By how much pixels may differ, for compression with losses.
    package : bool
        Whether tifffile needs another package to read it.
    hidden : bool
        Whether there are planes that Bio-Formats does not see.
    """

    name: str
    content: bytes
    pixels: np.ndarray
    refused: str = ""
    close: int = 0
    package: bool = False
    hidden: bool = False


def take_bits(bits):
    """Whole numbers of so many bits."""
    return (DEEP.astype(np.uint64) * (2**bits - 1) // 65535).astype(np.uint64)


def one_page(samples, bits=16, order="<", **more):
    return build_tiff(make_page(samples, bits, order, **more), order=order)


def write(samples, **options):
    """By tifffile."""
    file = io.BytesIO()
    tifffile.imwrite(file, samples, **options)
    return file.getvalue()


def save(image, kind, **options):
    """By Pillow."""
    file = io.BytesIO()
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(file, kind, **options)
    return file.getvalue()
