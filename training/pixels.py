"""Turn the contents of an image file into the network's input, in TensorFlow ops."""

from __future__ import annotations

import tensorflow as tf

from stratonet.preprocessing import SMALLEST_SPAN
from training.config import Config

# Images are resized to 256 pixels for a network that takes 224 (thesis, section 4.1.1).
MARGIN = 256 / 224
# Grey images are scaled between this percentile and its counterpart from above.
PERCENT = 0.1
# Luminance of red, green and blue (ITU-R 601), as Pillow and OpenCV have it.
LUMINANCE = (0.299, 0.587, 0.114)


def compute_resized_side(image_size: int) -> int:
    """Return the side to which images are resized before cropping, in pixels.

    Parameters
    ----------
    image_size : int
        Side of the crops, in pixels.

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

    All images are read by this function: files that it refuses are named and left out
    everywhere.

    Parameters
    ----------
    contents : tf.Tensor of bytes
        JPEG (grey and CMYK too), PNG, GIF (its first frame), BMP or WebP.

    Returns
    -------
    tf.Tensor (height, width, 3), float32
        In 0..255. 16-bit PNG keeps its depth, in steps of 1/257.
    """
    image = tf.cond(
        has_sixteen_bits(contents),
        lambda: tf.cast(decode_sixteen_bits(contents), tf.float32) / 257,
        lambda: tf.cast(_decode_eight_bits(contents), tf.float32),
    )
    # decode_image leaves the number of dimensions undefined, because of GIFs.
    image.set_shape((None, None, 3))
    return image


def has_sixteen_bits(contents: tf.Tensor) -> tf.Tensor:
    """Tell whether the contents of a file are a PNG image with 16 bits per channel."""
    # The signature, followed by the header: length, name, width, height and depth.
    is_png = tf.strings.substr(contents, 0, 4) == b"\x89PNG"
    return tf.logical_and(is_png, _read_byte(contents, 24) == b"\x10")


def _read_byte(contents: tf.Tensor, position: int) -> tf.Tensor:
    # substr refuses to begin after the end.
    begin = tf.minimum(position, tf.strings.length(contents))
    return tf.strings.substr(contents, begin, 1)


def decode_sixteen_bits(contents: tf.Tensor) -> tf.Tensor:
    """Decode the contents of a 16-bit PNG image as RGB, uint16."""
    return tf.io.decode_png(contents, channels=3, dtype=tf.uint16)


def _decode_eight_bits(contents: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_image(contents, channels=3, expand_animations=False)


def resize_image(image: tf.Tensor, side: int) -> tf.Tensor:
    """Resize an image of any shape to float32 (side, side, 3)."""
    # Without antialiasing, details smaller than a pixel would become noise.
    return tf.image.resize(image, (side, side), antialias=True)


def make_network_input(image: tf.Tensor, config: Config) -> tf.Tensor:
    """Turn RGB pixels into the network's input.

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
    """Compute one plane (height, width) from RGB pixels (height, width, 3)."""
    return tf.tensordot(image, tf.constant(LUMINANCE), 1)


def scale_grey(plane: tf.Tensor) -> tf.Tensor:
    """Scale a plane as `stratonet.preprocessing.to_grey` scales one of this size.

    Parameters
    ----------
    plane : tf.Tensor (height, width), float32
        Plane with a static shape.

    Returns
    -------
    tf.Tensor (height, width), float32
        In [0, 1]; all 0 if the plane is constant.
    """
    pixels = tf.reshape(plane, [-1])
    low = -_compute_upper_percentile(-pixels)
    high = _compute_upper_percentile(pixels)
    # The library's own rule: a plane that only varies by rounding is black.
    largest = tf.maximum(tf.abs(low), tf.abs(high))
    constant = high - low <= SMALLEST_SPAN * largest
    scaled = tf.clip_by_value((plane - low) / (high - low), 0, 1)
    return tf.where(constant, 0.0, scaled)


def _compute_upper_percentile(pixels: tf.Tensor) -> tf.Tensor:
    # The few largest values are enough: sorting all pixels would take longer than all
    # other steps of the input.
    position = PERCENT / 100 * (pixels.shape.num_elements() - 1)
    below = int(position)
    largest = tf.math.top_k(pixels, below + 2).values
    first, second = tf.unstack(largest[below:])
    return first + (second - first) * (position - below)
