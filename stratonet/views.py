"""Views: how a plane is shown to the network.

A view says to which shape a plane is resized (`choose_shape`), and cuts it into what
the network takes at once (`cut`). A network that was trained on photographs knows
textures and shapes of some pixels in size, so what it sees of a cell depends on how
many pixels the cell has. Tiles in micrometres give a cell the same number of pixels at
every magnification.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Union

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

SMALLEST_SIDE, LARGEST_SIDE = 16, 4096
MOST_ACROSS = 16
# In pixels: a plane whose sides are no longer than this shows a cell, not a field.
LARGEST_CROP = 160
# A value outside these limits is a typing error, or not in micrometres.
SMALLEST_PIXEL, LARGEST_PIXEL = 0.001, 100.0
SMALLEST_TILE, LARGEST_TILE = 1.0, 10_000.0
# Enlarged further, a plane would be nothing but blur, and too large for memory.
MOST_ENLARGED = 8


@dataclass(frozen=True)
class WholePlane:
    """The whole plane, resized to a square.

    Attributes
    ----------
    side : int
        Of the square, in pixels.

    Examples
    --------
    >>> WholePlane(224).text
    'whole224'
    """

    side: int = 224

    def __post_init__(self) -> None:
        """Refuse a side that is too small or too large."""
        _check_side("side", self.side)

    @property
    def label(self) -> str:
        """Part of feature names, where there are several views."""
        return "Whole"

    @property
    def micrometres(self) -> None:
        """None: the whole plane is shown, however large it is."""
        return None

    @property
    def text(self) -> str:
        """The view as users write it."""
        return f"whole{self.side}"

    def choose_shape(
        self,
        shape: tuple[int, int],
        fixed: bool = False,
        pixel_size: float | None = None,
    ) -> tuple[int, int]:
        """Choose the height and width to which a plane is resized.

        Parameters
        ----------
        shape : (int, int)
            Height and width of the plane, in pixels.
        fixed : bool
            The network takes squares of one side only.
        pixel_size : float, optional
            Not used: the whole plane is shown, however large it is.

        Returns
        -------
        (int, int)
            Height and width.
        """
        return self.side, self.side

    def cut(self, grey: np.ndarray) -> list[np.ndarray]:
        """Cut a plane of the chosen shape into what the network takes at once."""
        return [grey]


@dataclass(frozen=True)
class Tiles:
    """Squares of the plane, side by side; their features are averaged.

    The tiles cover the plane, and overlap if it is not a multiple of their side. A
    small plane, such as the crop of a cell, is shown at its own scale.

    Attributes
    ----------
    side : int
        Of a tile, in pixels.
    across : int, optional
        The plane is resized until this many tiles fit into its shorter side, unless it
        is small. None: tiles show the plane at its own scale.
    smallest : int
        A smaller plane is enlarged until its longer side has this many pixels.
    overlap : int
        The smallest overlap of neighbouring tiles, in percent of a tile's side.
    micrometres : float, optional
        The plane is resized until the side of a tile covers this many micrometres, for
        which the pixel size must be known. It is then not enlarged for other reasons.

    Examples
    --------
    >>> Tiles(224).text, Tiles(224, across=2).text, Tiles(224, overlap=50).text
    ('tiles224', 'tiles224-across2', 'tiles224-overlap50')
    >>> Tiles(224, micrometres=75).choose_shape((1080, 1080), pixel_size=0.65)
    (2097, 2097)
    >>> [tile.shape for tile in Tiles(224).cut(np.zeros((224, 300)))]
    [(224, 224), (224, 224)]
    """

    side: int = 224
    across: int | None = None
    smallest: int = 96
    overlap: int = 0
    micrometres: float | None = None

    def __post_init__(self) -> None:
        """Refuse sides that are too small or too large, and two scales at once."""
        _check_side("side", self.side)
        _check_side("smallest", self.smallest)
        if self.across is not None and not 1 <= self.across <= MOST_ACROSS:
            raise ValueError(
                f"across is 1 to {MOST_ACROSS} tiles. Received: {self.across}"
            )
        if not 0 <= self.overlap <= 90:
            raise ValueError(
                f"overlap is 0 to 90 percent of a tile. Received: {self.overlap}"
            )
        if self.micrometres is not None:
            self._check_micrometres(self.micrometres)

    @property
    def label(self) -> str:
        """Part of feature names, where there are several views."""
        return "Tiles"

    @property
    def text(self) -> str:
        """The view as users write it."""
        text = f"tiles{self.side}"
        if self.micrometres:
            text += f"-{_write_number(self.micrometres)}um"
        if self.across:
            text += f"-across{self.across}"
        if self.smallest != Tiles.smallest:
            text += f"-smallest{self.smallest}"
        if self.overlap:
            text += f"-overlap{self.overlap}"
        return text

    def choose_shape(
        self,
        shape: tuple[int, int],
        fixed: bool = False,
        pixel_size: float | None = None,
    ) -> tuple[int, int]:
        """Choose the height and width to which a plane is resized.

        Parameters
        ----------
        shape : (int, int)
            Height and width of the plane, in pixels.
        fixed : bool
            The network takes squares of one side only: no plane is smaller than a tile.
        pixel_size : float, optional
            Micrometres along the side of a pixel of the plane; used by tiles in
            micrometres.

        Returns
        -------
        (int, int)
            Height and width; those of the plane if there is no reason to resize it.

        Raises
        ------
        ValueError
            Tiles are in micrometres, and the pixel size is missing, impossible, or
            unsuitable for the plane.
        """
        if self.micrometres is not None:
            return self._scale_to_micrometres(shape, fixed, pixel_size)
        factor = self._choose_factor(shape, fixed)
        # Strips of a few pixels do not survive the strides of a network.
        height, width = (max(SMALLEST_SIDE, round(factor * n)) for n in shape)
        return height, width

    def cut(self, grey: np.ndarray) -> list[np.ndarray]:
        """Cut a plane of the chosen shape into what the network takes at once."""
        height, width = grey.shape
        return [
            grey[top : top + self.side, left : left + self.side]
            for top in self._choose_starts(height)
            for left in self._choose_starts(width)
        ]

    def _choose_factor(self, shape: tuple[int, int], fixed: bool) -> float:
        if self.across and max(shape) > LARGEST_CROP:
            return self.across * self.side / min(shape)
        if fixed:
            return max(1.0, self.side / min(shape))
        return max(1.0, self.smallest / max(shape))

    def _check_micrometres(self, micrometres: float) -> None:
        if not SMALLEST_TILE <= micrometres <= LARGEST_TILE:
            raise ValueError(
                f"A tile covers {SMALLEST_TILE:g} to {LARGEST_TILE:g} micrometres."
                f" Received: {micrometres}"
            )
        if self.across or self.smallest != Tiles.smallest:
            raise ValueError(
                "Tiles in micrometres take their scale from the pixel size, and allow"
                f" neither across nor smallest. Received: {self.text}"
            )

    def _scale_to_micrometres(
        self, shape: tuple[int, int], fixed: bool, pixel_size: float | None
    ) -> tuple[int, int]:
        pixel_size = check_pixel_size(pixel_size, self.text)
        assert self.micrometres is not None
        factor = self.side * pixel_size / self.micrometres
        height, width = (round(factor * n) for n in shape)
        # The plane is not stretched to fit, or a cell would no longer have its size.
        smallest_side = self.side if fixed else SMALLEST_SIDE
        if factor <= MOST_ENLARGED and min(height, width) >= smallest_side:
            return height, width
        raise ValueError(
            f"With {pixel_size:g} micrometres per pixel, {self.text} makes {height} x"
            f" {width} pixels of the plane's {shape[0]} x {shape[1]}. At least"
            f" {smallest_side} x {smallest_side} are needed, and at most"
            f" {MOST_ENLARGED} times as many along a side: correct the pixel size, or"
            " choose other tiles"
        )

    def _choose_starts(self, length: int) -> list[int]:
        """Return where tiles begin along a side, evenly from border to border."""
        remainder = length - self.side
        if remainder <= 0:
            return [0]
        stride = max(1, self.side * (100 - self.overlap) // 100)
        count = -(-remainder // stride)
        return [round(number * remainder / count) for number in range(count + 1)]


# A union with | needs Python 3.10 outside of annotations.
View = Union[WholePlane, Tiles]

_VIEW = re.compile(
    r"(?P<view>whole|tiles)(?P<side>\d+)(-(?P<micrometres>\d+(\.\d+)?)um)?"
    r"(-across(?P<across>\d+))?(-smallest(?P<smallest>\d+))?(-overlap(?P<overlap>\d+))?"
)


def parse_view(text: str) -> View:
    """Read a view as users write it.

    Parameters
    ----------
    text : str
        Such as ``whole224``, ``tiles224``, ``tiles224-across2``, ``tiles224-75um``,
        ``tiles224-overlap50``, ``tiles224-smallest64``.

    Raises
    ------
    ValueError
        The text is not a view.

    Examples
    --------
    >>> parse_view("tiles224-overlap50")
    Tiles(side=224, across=None, smallest=96, overlap=50, micrometres=None)
    """
    match = _VIEW.fullmatch(text)
    options: dict[str, Any] = {}
    if match:
        options = {
            name: float(number) if name == "micrometres" else int(number)
            for name, number in match.groupdict().items()
            if name != "view" and number is not None
        }
    if match and match["view"] == "tiles":
        return Tiles(**options)
    if match and set(options) == {"side"}:
        return WholePlane(**options)
    raise ValueError(
        "A view is whole or tiles, and the side in pixels: whole224, tiles224,"
        " tiles224-across2, tiles224-overlap50; or tiles with a side in micrometres:"
        f" tiles224-75um. Received: {text!r}"
    )


def check_pixel_size(pixel_size: float | None, view: str) -> float:
    """Return the pixel size, if it is possible.

    Parameters
    ----------
    pixel_size : float, optional
        Micrometres along the side of a pixel.
    view : str
        The view that needs it, for the message.

    Raises
    ------
    ValueError
        It is missing, not a number, or not in micrometres.

    Examples
    --------
    >>> check_pixel_size(0.65, "tiles224-75um")
    0.65
    """
    if pixel_size is None:
        raise ValueError(
            f"{view} is in micrometres, and the size of a pixel is not known. Give"
            " `pixel_size`, in micrometres per pixel (the camera's pixel divided by the"
            " magnification, such as 0.65 at 10x or 0.325 at 20x), or choose tiles in"
            " pixels"
        )
    is_number = isinstance(pixel_size, Real) and not isinstance(pixel_size, bool)
    if not is_number or not SMALLEST_PIXEL <= pixel_size <= LARGEST_PIXEL:
        raise ValueError(
            "`pixel_size` is micrometres per pixel, a number from"
            f" {SMALLEST_PIXEL:g} to {LARGEST_PIXEL:g}. Received: {pixel_size!r}"
        )
    return float(pixel_size)


def resize_image(
    image: Image.Image, shape: tuple[int, int], resample: str
) -> Image.Image:
    """Resize an image to a height and width, if it has others.

    Parameters
    ----------
    image : PIL.Image.Image
        Of float32.
    shape : (int, int)
        Height and width, in pixels.
    resample : str
        Pillow's filter.
    """
    from PIL import Image

    height, width = shape
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling[resample])


def _write_number(number: float) -> str:
    """Write 75 and 75.0, which are the same tiles, as the same text."""
    integer = math.floor(number)
    return str(integer) if integer == number else repr(float(number))


def _check_side(name: str, side: int) -> None:
    if not SMALLEST_SIDE <= side <= LARGEST_SIDE:
        raise ValueError(
            f"`{name}` is {SMALLEST_SIDE} to {LARGEST_SIDE} pixels. Received: {side}"
        )
