"""Build the network for release: for planes of any size, and without idle gates."""

from __future__ import annotations

from collections.abc import Collection

import keras
import numpy as np

from training.architecture import build_network
from training.attention import EfficientChannelAttention


def build_trunk(model: keras.Model, depth: int, taps: Collection[str]) -> keras.Model:
    """Rebuild the trunk of a trained network, for planes of any size.

    Gates that are all at their identity start only halve their input. They are left
    out, and the batch normalisation before them is halved instead, which is exact and
    faster.

    Parameters
    ----------
    model : keras.Model
        From `architecture.build_network`, with or without a classifier.
    depth : {18, 34, 50, 101, 152}
        Depth of the network.
    taps : collection of str
        Layer names; the trunk ends at the last of them.

    Returns
    -------
    keras.Model
        Input (n, height, width, 3), float32; outputs ``{layer name: (n, width)}``.
    """
    gates = [
        layer for layer in model.layers if isinstance(layer, EfficientChannelAttention)
    ]
    idle = not any(np.any(gate.get_weights()[0]) for gate in gates)
    attention = None if idle else "eca"
    trunk = build_network(
        depth, attention, list(taps), input_size=None, for_inference=True
    )
    last = 2 if depth < 50 else 3
    halved = {gate.name.replace("_eca", f"_{last}_bn") for gate in gates if idle}
    for layer in trunk.layers:
        weights = model.get_layer(layer.name).get_weights() if layer.weights else []
        if layer.name in halved:
            gain, offset, mean, variance = weights
            weights = [gain / 2, offset / 2, mean, variance]
        layer.set_weights(weights)
    return trunk
