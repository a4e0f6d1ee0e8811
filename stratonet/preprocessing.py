"""From a plane of pixels to the network's input, as the card says.

Nothing else in the project scales or resizes.
"""

import numpy as np
from PIL import Image

# A span of grey values this small beside the values themselves is rounding, not signal: such a plane is constant.
SMALLEST_SPAN = 1e-5
# Beyond these, float32 overflows or loses digits: such a plane is brought to 1 first.
SMALLEST, LARGEST = 1e-30, 1e30


def check_plane(plane):
    """The plane as a 2-D array of numbers.

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


def to_grey(plane, card):
    """The plane as the network sees it: resized, then scaled to [0, 1] by its own percentiles.

    Parameters
    ----------
    plane : array (height, width)
        bool, integer or float, in any unit: a factor on the grey values does not change
        the result, nor does an offset that is not far larger than their span.
    card : Card

    Returns
    -------
    numpy.ndarray (input_size, input_size), float32
        A constant plane gives zeros.
    """
    plane = check_plane(plane)
    if plane.dtype.kind == "f":
        largest = float(np.abs(plane).max())
        if not SMALLEST <= largest <= LARGEST and largest > 0:
            plane = plane / largest
    if plane.dtype in (
        np.uint8,
        np.uint16,
    ):  # Pillow converts these without a copy in between
        pixels = Image.fromarray(plane).convert("F")
    else:
        pixels = Image.fromarray(plane.astype(np.float32, copy=False))
    small = np.asarray(
        pixels.resize((card.input_size, card.input_size), Image.Resampling[card.resize])
    )
    low, high = np.percentile(small, (card.scaling.low, card.scaling.high))
    if high - low <= SMALLEST_SPAN * max(abs(low), abs(high)):
        return np.zeros_like(small)
    return np.clip((small - np.float32(low)) / np.float32(high - low), 0, 1)


def to_planes(grey, card):
    """The network's input, (1, input_size, input_size, 3), float32, from grey in [0, 1]."""
    planes = card.planes
    return (grey[None, :, :, None] * np.float32(planes.multiply)) - np.asarray(
        planes.subtract, np.float32
    )
