"""From a plane of pixels to the network's input, as the card says.

Nothing else in the project scales or resizes what is measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from PIL import Image

    from stratonet.card import Card

# A span of grey values this small beside the values themselves is rounding, not signal:
# such a plane is constant.
SMALLEST_SPAN = 1e-5
# Beyond these, float32 overflows or loses digits: such a plane is brought to 1 first.
SMALLEST, LARGEST = 1e-30, 1e30


def check_plane(plane: ArrayLike) -> np.ndarray:
    """Return the plane as a 2-D array of numbers.

    Parameters
    ----------
    plane : array (height, width)
        bool, integer or float.

    Raises
    ------
    TypeError, ValueError
        Not bool, integer or float; not two dimensions; empty; NaN or infinity. The
        message says what was received.
    """
    plane = np.asarray(plane)
    if plane.dtype.kind not in "buif":
        raise TypeError(
            "A plane holds bool, integer or float pixels. Received: dtype"
            f" {plane.dtype}"
        )
    if plane.ndim != 2:
        raise ValueError(
            "A plane has two dimensions (height, width). Received: shape"
            f" {plane.shape}. Give the channels of a colour image one by one, and one"
            " plane (or a projection) of a 3D stack."
        )
    if plane.size == 0:
        raise ValueError(
            f"A plane has at least one pixel. Received: shape {plane.shape}"
        )
    if plane.dtype.kind == "f":
        bad = plane.size - np.count_nonzero(np.isfinite(plane))
        if bad:
            raise ValueError(
                f"A plane has finite pixels only. Received: {bad} of {plane.size}"
                " pixels NaN or infinite"
            )
    return plane


def to_grey(plane: ArrayLike, card: Card) -> np.ndarray:
    """Resize a plane, then scale it to [0, 1] by its own percentiles.

    Parameters
    ----------
    plane : array (height, width)
        bool, integer or float, in any unit: a factor on the grey values does not change
        the result, nor does an offset that is not far larger than their span.
    card : Card
        Size, filter and percentiles.

    Returns
    -------
    numpy.ndarray (input_size, input_size), float32
        A constant plane gives zeros.

    Raises
    ------
    TypeError, ValueError
        As `check_plane`.

    Examples
    --------
    >>> import numpy as np
    >>> from stratonet.network import read_card
    >>> grey = to_grey(np.arange(12).reshape(3, 4), read_card("stratonet50"))
    >>> grey.shape, float(grey.min()), float(grey.max())
    ((224, 224), 0.0, 1.0)
    """
    from PIL import Image

    image = _to_image(check_plane(plane))
    size = (card.input_size, card.input_size)
    small = np.asarray(image.resize(size, Image.Resampling[card.resize]))
    low, high = np.percentile(small, (card.scaling.low, card.scaling.high))
    if high - low <= SMALLEST_SPAN * max(abs(low), abs(high)):
        return np.zeros_like(small)
    # In float32 throughout: a float64 percentile would make all pixels float64.
    scaled = (small - np.float32(low)) / np.float32(high - low)
    return np.clip(scaled, 0, 1)


def to_planes(grey: np.ndarray, card: Card) -> np.ndarray:
    """Make the network's input of grey in [0, 1].

    Parameters
    ----------
    grey : numpy.ndarray (input_size, input_size), float32
        From `to_grey`.
    card : Card
        Number of planes, their factors, and the order of the axes.

    Returns
    -------
    numpy.ndarray, float32
        (1, input_size, input_size, planes), or (1, planes, input_size, input_size)
        where the card's layout is ``NCHW``.
    """
    multiply = np.asarray(card.planes.multiply, np.float32)
    subtract = np.asarray(card.planes.subtract, np.float32)
    planes = grey[None, :, :, None] * multiply - subtract
    if card.layout == "NCHW":
        return np.ascontiguousarray(np.moveaxis(planes, -1, 1))
    return planes


def _to_image(plane: np.ndarray) -> Image.Image:
    """Return a plane as a Pillow image of float32."""
    from PIL import Image

    if plane.dtype.kind == "f":
        largest = float(np.abs(plane).max())
        if largest > 0 and not SMALLEST <= largest <= LARGEST:
            plane = plane / largest
    # Pillow converts these without a copy in between.
    if plane.dtype in (np.uint8, np.uint16):
        return Image.fromarray(plane).convert("F")
    return Image.fromarray(plane.astype(np.float32, copy=False))
