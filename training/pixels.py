"""From the contents of an image file to the network's input, in TensorFlow ops."""

from __future__ import annotations

import tensorflow as tf

from stratonet.preprocessing import SMALLEST_SPAN
from training.config import Config

# Images are resized to 256 pixels for a network that takes 224 (thesis, section 4.1.1).
MARGIN = 256 / 224
# Grey images are scaled between these percentiles from below and from above.
PERCENT = 0.1
# Luminance of red, green and blue (ITU-R 601), as Pillow and OpenCV have it.
LUMINANCE = (0.299, 0.587, 0.114)


def compute_resized_side(image_size: int) -> int:
    """Give the side to which images are resized before they are cropped, in pixels.

    Parameters
    ----------
    image_size : int
        Side of the crops.

    Returns
    -------
    int

    Examples
    --------
    >>> compute_resized_side(224)
    256
    """
    return round(image_size * MARGIN)


def decode_image(contents: tf.Tensor) -> tf.Tensor:
    """Decode the contents of an image file as RGB.

    The one reader of images: what it refuses is left out by name, wherever images are
    read.

    Parameters
    ----------
    contents : tf.Tensor of bytes
        JPEG (grey and CMYK too), PNG, GIF (its first frame), BMP or WebP.

    Returns
    -------
    tf.Tensor (height, width, 3), float32
        In 0..255. PNG of 16 bits keeps its depth, in steps of 1/257.
    """
    image = tf.cond(
        has_sixteen_bits(contents),
        lambda: tf.cast(decode_sixteen_bits(contents), tf.float32) / 257,
        lambda: tf.cast(_decode_eight_bits(contents), tf.float32),
    )
    # decode_image leaves the number of dimensions open, because of GIFs.
    image.set_shape((None, None, 3))
    return image


def has_sixteen_bits(contents: tf.Tensor) -> tf.Tensor:
    """Tell whether the contents of a file are a PNG image of 16 bits per channel."""
    # The signature, then the header: length, name, width, height and depth.
    is_png = tf.strings.substr(contents, 0, 4) == b"\x89PNG"
    return tf.logical_and(is_png, _read_byte(contents, 24) == b"\x10")


def _read_byte(contents: tf.Tensor, position: int) -> tf.Tensor:
    # substr refuses to begin behind the end.
    begin = tf.minimum(position, tf.strings.length(contents))
    return tf.strings.substr(contents, begin, 1)


def decode_sixteen_bits(contents: tf.Tensor) -> tf.Tensor:
    """Decode the contents of a PNG image of 16 bits as RGB, uint16."""
    return tf.io.decode_png(contents, channels=3, dtype=tf.uint16)


def _decode_eight_bits(contents: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_image(contents, channels=3, expand_animations=False)


def resize_image(image: tf.Tensor, side: int) -> tf.Tensor:
    """Resize an image to float32 (side, side, 3), whatever its shape was."""
    # Without antialias, details smaller than a pixel would become noise.
    return tf.image.resize(image, (side, side), antialias=True)


def make_network_input(image: tf.Tensor, config: Config) -> tf.Tensor:
    """Make what the network takes of RGB pixels.

    Parameters
    ----------
    image : tf.Tensor (size, size, 3)
        In 0..255, float32.
    config : Config
        Its ``grey``, ``bgr``, ``multiply`` and ``subtract`` are used.

    Returns
    -------
    tf.Tensor (size, size, 3), float32
    """
    # The card's multiply and subtract are for pixels in [0, 1].
    image = image / 255
    if config.grey:
        plane = scale_grey(compute_luminance(image))
        image = tf.stack([plane] * 3, axis=-1)
    if config.bgr:
        image = image[..., ::-1]
    return image * config.multiply - tf.constant(config.subtract, tf.float32)


def compute_luminance(image: tf.Tensor) -> tf.Tensor:
    """Make one plane (height, width) of red, green and blue (height, width, 3)."""
    return tf.tensordot(image, tf.constant(LUMINANCE), 1)


def scale_grey(plane: tf.Tensor) -> tf.Tensor:
    """Scale a plane as `stratonet.preprocessing.to_grey` scales one of its size.

    Parameters
    ----------
    plane : tf.Tensor (height, width), float32
        Of a static shape.

    Returns
    -------
    tf.Tensor (height, width), float32
        In [0, 1]; all 0 where the plane is constant.
    """
    pixels = tf.reshape(plane, [-1])
    low = -_compute_upper_percentile(-pixels)
    high = _compute_upper_percentile(pixels)
    # The library's own rule: a plane that varies by rounding only is black.
    largest = tf.maximum(tf.abs(low), tf.abs(high))
    constant = high - low <= SMALLEST_SPAN * largest
    scaled = tf.clip_by_value((plane - low) / (high - low), 0, 1)
    return tf.where(constant, 0.0, scaled)


def _compute_upper_percentile(pixels: tf.Tensor) -> tf.Tensor:
    # The few largest values are enough for it: sorting all pixels would take longer
    # than the rest of the input.
    position = PERCENT / 100 * (pixels.shape.num_elements() - 1)
    below = int(position)
    largest = tf.math.top_k(pixels, below + 2).values
    first, second = tf.unstack(largest[below:])
    return first + (second - first) * (position - below)
