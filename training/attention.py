"""Efficient channel attention (ECA), by Wang et al. (2020), in Keras 3."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
from keras import layers, ops


def compute_eca_kernel_size(channels: int) -> int:
    """Compute the width of the ECA convolution for a number of channels.

    abs(log2(C)/2 + 1/2), made odd upward (Wang et al. 2020).

    Examples
    --------
    >>> compute_eca_kernel_size(64), compute_eca_kernel_size(2048)
    (3, 7)
    """
    size = int(abs(math.log2(channels) / 2 + 0.5))
    return size if size % 2 else size + 1


@keras.saving.register_keras_serializable("stratonet")
class EfficientChannelAttention(layers.Layer):
    """Multiply each channel by a gate, computed from its own and its neighbours' means.

    Input and output: (n, height, width, channels). Gates are in (0, 1). A caller that
    already has the means, (n, 1, 1, channels), may pass them.

    Parameters
    ----------
    kernel_initializer : str or keras.initializers.Initializer
        How the kernel is initialised; ``"zeros"`` makes every gate 0.5.
    **kwargs
        Passed on to the Keras layer.
    """

    def __init__(
        self,
        kernel_initializer: str | keras.initializers.Initializer = "glorot_uniform",
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(
        self, x_shape: Sequence[int], means_shape: Sequence[int] | None = None
    ) -> None:
        """Create the kernel for the input's number of channels."""
        self.kernel = self.add_weight(
            name="kernel",
            shape=(1, compute_eca_kernel_size(x_shape[-1]), 1, 1),
            initializer=self.kernel_initializer,
        )

    def call(
        self, x: keras.KerasTensor, means: keras.KerasTensor | None = None
    ) -> keras.KerasTensor:
        """Apply the gates."""
        if means is None:
            means = ops.mean(x, axis=(1, 2), keepdims=True)
        # The channels become the width of an image one pixel high, along which the
        # kernel slides.
        pooled = ops.transpose(means, (0, 1, 3, 2))
        mixed = ops.conv(
            pooled, self.kernel, padding="same", data_format="channels_last"
        )
        return x * ops.transpose(ops.sigmoid(mixed), (0, 1, 3, 2))

    def get_config(self) -> dict[str, object]:
        """Return what Keras needs to create the layer again."""
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), "kernel_initializer": initializer}
