"""The order of an image's axes: images that seem to have another order are refused."""

from __future__ import annotations

from collections.abc import Sequence

MOST_CHANNELS = 16
# Planes are wider than this; a row of pixels with their channels may not be.
NARROWEST = 4


def check_axes(shape: Sequence[int], name: str) -> None:
    """Check that an image looks like (height, width) or (height, width, channels).

    Parameters
    ----------
    shape : sequence of int
        Of the image.
    name : str
        Name of the image in error messages.

    Raises
    ------
    ValueError
        Channels seem to come before the last axis, or planes are a few pixels wide.

    Examples
    --------
    >>> check_axes((64, 80), "Image 0")
    >>> check_axes((64, 80, 2), "Image 0")
    >>> check_axes((2, 64, 80), "Image 0")
    Traceback (most recent call last):
    ValueError: Image 0: channels come last, (height, width, channels). Received: \
shape (2, 64, 80), which looks like 2 channels of 64 x 80 pixels. Move them: \
np.moveaxis(image, 0, -1)
    """
    small = min(shape)
    if len(shape) == 3:
        is_turned = shape[-1] > MOST_CHANNELS >= small and shape[-1] > 2 * small
        if is_turned:
            raise ValueError(_describe_turned(tuple(shape), name))
    elif small <= NARROWEST and max(shape) > 2 * MOST_CHANNELS:
        raise ValueError(
            f"{name}: a plane is (height, width). Received: shape {tuple(shape)}, which"
            " looks like a row of pixels with their channels. One image of several"
            " channels is an array (1, height, width, channels): image[np.newaxis]"
        )


def _describe_turned(shape: tuple[int, ...], name: str) -> str:
    axis = shape.index(min(shape))
    height, width = (size for number, size in enumerate(shape) if number != axis)
    return (
        f"{name}: channels come last, (height, width, channels). Received: shape"
        f" {shape}, which looks like {shape[axis]} channels of {height} x {width}"
        f" pixels. Move them: np.moveaxis(image, {axis}, -1)"
    )
