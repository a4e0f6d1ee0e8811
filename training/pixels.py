"""From the contents of an image file to the network's input, in TensorFlow ops."""

import tensorflow as tf

from stratonet.preprocessing import SMALLEST_SPAN

# Images are resized to 256 pixels for a network that takes 224 (thesis, section 4.1.1), and grey ones are scaled
# between these percentiles from below and from above.
MARGIN, PERCENT = 256 / 224, 0.1


def resized_size(image_size):
    """Height and width to which images are resized before they are cropped to ``image_size``, in pixels."""
    return round(image_size * MARGIN)


def decode(contents):
    """The contents of a JPEG (grey and CMYK too), PNG, GIF, BMP or WebP file as RGB, uint8 (height, width, 3)."""
    image = tf.io.decode_image(contents, channels=3, expand_animations=False)
    image.set_shape((None, None, 3))
    return image


def resize(image, side):
    """The image as float32 (side, side, 3), whatever its height and width were."""
    return tf.image.resize(image, (side, side), antialias=True)


def network_input(image, config):
    """What the network takes, float32 (size, size, 3), from RGB in 0..255 of the same shape."""
    image = image / 255
    if config.grey:
        plane = scale_grey(tf.tensordot(image, tf.constant((0.299, 0.587, 0.114)), 1))
        image = tf.stack([plane] * 3, axis=-1)
    if config.bgr:
        image = image[..., ::-1]
    return image * config.multiply - tf.constant(config.subtract, tf.float32)


def scale_grey(plane):
    """A plane (float32, static shape) scaled as `stratonet.preprocessing.to_grey` scales one of its size."""
    position = PERCENT / 100 * (plane.shape.num_elements() - 1)
    below = int(position)

    def percentile(pixels):
        first, second = tf.unstack(tf.math.top_k(pixels, below + 2).values[below:])
        return first + (second - first) * (position - below)

    pixels = tf.reshape(plane, [-1])
    low, high = -percentile(-pixels), percentile(pixels)
    constant = high - low <= SMALLEST_SPAN * tf.maximum(tf.abs(low), tf.abs(high))
    return tf.where(constant, 0.0, tf.clip_by_value((plane - low) / (high - low), 0, 1))
