"""From a plane of pixels to the network's input, as the card says.

Nothing else in the project scales or resizes what is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stratonet.intensity import measure_intensity
from stratonet.percentiles import find_percentile
from stratonet.recipe import OF_PLANE
from stratonet.views import resize_image

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from PIL import Image

    from stratonet.card import Card
    from stratonet.recipe import Recipe

# If the span of grey values is this small relative to the values themselves, it is
# rounding, not signal: the plane is constant.
SMALLEST_SPAN = 1e-5
# Beyond these, float32 overflows or loses digits: the plane is first scaled to 1.
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
        The plane is not bool, integer or float, does not have two dimensions, is empty,
        or has pixels that are NaN, infinite or masked. The message says what was
        received.
    """
    if np.ma.is_masked(plane):
        n_hidden = int(np.ma.getmaskarray(plane).sum())
        raise ValueError(
            f"A plane has no masked pixels. Received: {n_hidden} of {np.size(plane)}"
            " pixels masked. Give them a grey value (filled), or crop the plane"
        )
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


@dataclass(frozen=True, eq=False)
class PreparedPlane:
    """A plane as the network sees it.

    Attributes
    ----------
    greys : tuple of numpy.ndarray (height, width), float32
        In [0, 1], one per view.
    intensity : numpy.ndarray (10,), float32, or None
        See `stratonet.intensity`; None where it is not measured.
    crop : numpy.ndarray (height, width), uint8, or None
        See `stratonet.extraction.thumbnails`; None if no crop is kept.
    """

    greys: tuple[np.ndarray, ...]
    intensity: np.ndarray | None = None
    crop: np.ndarray | None = None


def prepare_plane(
    plane: ArrayLike,
    card: Card,
    recipe: Recipe,
    limits: tuple[float, float] | None = None,
    intensity: bool = False,
    pixel_size: float | None = None,
) -> PreparedPlane:
    """Resize a plane for each view, and scale its grey values to [0, 1].

    Parameters
    ----------
    plane : array (height, width)
        bool, integer or float.
    card : Card
        Filter and percentiles.
    recipe : Recipe
        The views, and where the range of grey values comes from.
    limits : (float, float), optional
        The grey values that become 0 and 1, in the units of the plane. Default: the
        percentiles of the plane itself.
    intensity : bool
        Measure the brightness, too.
    pixel_size : float, optional
        Micrometres along the side of a pixel, for views in micrometres.

    Returns
    -------
    PreparedPlane

    Raises
    ------
    TypeError, ValueError
        As `check_plane`; or the recipe needs limits of grey values, or the pixel size,
        and they are not given.
    """
    plane = check_plane(plane)
    if limits is None and recipe.grey_range != OF_PLANE:
        raise ValueError(
            "This recipe scales grey values between the limits of a plate, or limits"
            " that are given for each channel. Received none for this plane"
        )
    image, unit = _to_image(plane)
    if limits:
        limits = limits[0] / unit, limits[1] / unit
    size = (image.height, image.width)
    greys = []
    for view in recipe.views:
        shape = view.choose_shape(size, not card.any_size, pixel_size)
        greys.append(_scale_image(image, card, shape, limits))
    brightness = measure_intensity(plane) if intensity else None
    return PreparedPlane(tuple(greys), brightness)


def to_grey(
    plane: ArrayLike,
    card: Card,
    shape: tuple[int, int] | None = None,
    limits: tuple[float, float] | None = None,
) -> np.ndarray:
    """Resize a plane, then scale it to [0, 1].

    Parameters
    ----------
    plane : array (height, width)
        bool, integer or float, in any unit: a factor on the grey values does not change
        the result, nor does an offset that is not far larger than their span.
    card : Card
        Filter and percentiles.
    shape : (int, int), optional
        Height and width. Default: the square of the card's ``input_size``.
    limits : (float, float), optional
        As `prepare_plane` takes them.

    Returns
    -------
    numpy.ndarray (height, width), float32
        A constant plane gives zeros.

    Raises
    ------
    TypeError, ValueError
        As `check_plane`.

    Examples
    --------
    >>> import numpy as np
    >>> from stratonet.weights_file import read_card
    >>> grey = to_grey(np.arange(12).reshape(3, 4), read_card("stratonet50"))
    >>> grey.shape, float(grey.min()), float(grey.max())
    ((224, 224), 0.0, 1.0)
    """
    if shape is None:
        shape = (card.input_size, card.input_size)
    image, unit = _to_image(check_plane(plane))
    if limits:
        limits = limits[0] / unit, limits[1] / unit
    return _scale_image(image, card, shape, limits)


def _scale_image(
    image: Image.Image,
    card: Card,
    shape: tuple[int, int],
    limits: tuple[float, float] | None = None,
) -> np.ndarray:
    pixels = np.asarray(resize_image(image, shape, card.resize))
    low, high = limits or (
        find_percentile(pixels, card.scaling.low),
        find_percentile(pixels, card.scaling.high),
    )
    if high - low <= SMALLEST_SPAN * max(abs(low), abs(high)):
        return np.zeros_like(pixels)
    # In float32 throughout: a float64 percentile would make all pixels float64. And in
    # place: for a large plane, most of the time is spent on memory.
    scaled = pixels - np.float32(low)
    scaled /= np.float32(high - low)
    return np.clip(scaled, 0, 1, out=scaled)


def to_planes(grey: np.ndarray, card: Card) -> np.ndarray:
    """Make the network's input from grey values in [0, 1].

    Parameters
    ----------
    grey : numpy.ndarray (height, width), float32
        What a view has cut out of a prepared plane.
    card : Card
        Number of planes, their factors, and the order of the axes.

    Returns
    -------
    numpy.ndarray, float32
        (1, height, width, planes), or (1, planes, height, width) where the card's
        layout is ``NCHW``.
    """
    multiply = np.asarray(card.planes.multiply, np.float32)
    subtract = np.asarray(card.planes.subtract, np.float32)
    if card.layout == "NCHW":
        # The planes are laid out one behind the other at once, not moved afterwards.
        multiply, subtract = (
            values.reshape(-1, 1, 1) for values in (multiply, subtract)
        )
        return (grey * multiply - subtract)[None]
    return grey[None, :, :, None] * multiply - subtract


def _to_image(plane: np.ndarray) -> tuple[Image.Image, float]:
    """Return a plane as a Pillow image of float32, and the divisor that was applied."""
    from PIL import Image

    unit = 1.0
    if plane.dtype.kind == "f":
        largest = float(np.abs(plane).max())
        if largest > 0 and not SMALLEST <= largest <= LARGEST:
            plane, unit = plane / largest, largest
    # Pillow converts these without an intermediate copy.
    if plane.dtype in (np.uint8, np.uint16):
        return Image.fromarray(plane).convert("F"), unit
    return Image.fromarray(plane.astype(np.float32, copy=False)), unit
