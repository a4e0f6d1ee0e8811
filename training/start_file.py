"""Load a weights file back into a network that can be trained."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from stratonet.weights_file import read_card
from training.architecture import BN_EPSILON


class _FileWeights(NamedTuple):
    """The weights in a file, by layer name.

    Attributes
    ----------
    kernels, biases : dict of str to numpy.ndarray
        Those of convolutions, with batch normalisation folded in.
    gates : dict of str to numpy.ndarray
        Kernels of channel attention.
    """

    kernels: dict[str, np.ndarray]
    biases: dict[str, np.ndarray]
    gates: dict[str, np.ndarray]


def load_weights_file(model: keras.Model, path: Path) -> None:
    """Load the weights of a file into a model, in place.

    Parameters
    ----------
    model : keras.Model
        Model of the same architecture; it may have fewer taps.
    path : pathlib.Path
        The ``.onnx`` file.

    Raises
    ------
    ValueError
        The file is of another architecture, or holds integers.
    """
    if read_card(path).fast_on:
        raise ValueError(
            f"{path} holds 8-bit integers, which cannot be trained. Start from the"
            " weights it was made from, and quantize the result."
        )
    weights = _read_weights_file(path)
    # By name, so that the file may have more taps than the network.
    names = [layer.name for layer in model.layers]
    gates = [name for name in names if name.endswith("_eca")]
    # The gate follows the last convolution of a block: the third, or the second.
    gated = set()
    for gate in gates:
        third = gate.replace("_eca", "_3_bn")
        gated.add(third if third in names else gate.replace("_eca", "_2_bn"))
    for layer in model.layers:
        try:
            values = _choose_values(layer.name, weights, gated)
            if layer.name in gates and not values:
                values = [np.zeros(layer.kernel.shape, "float32")]
            if values:
                layer.set_weights(values)
        except (KeyError, ValueError):
            raise ValueError(
                f"{path} does not hold {layer.name} in the shape of this network. A"
                " weights file can start networks of its own architecture (resnet), up"
                " to its last tap; for others give the folder of a run."
            ) from None


def _read_weights_file(path: Path) -> _FileWeights:
    import onnx
    from onnx.numpy_helper import to_array

    graph = onnx.load(path).graph
    values = {value.name: value for value in graph.initializer}
    weights = _FileWeights({}, {}, {})
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        # The graph's names contain Keras's: the kernel's name where batch normalisation
        # was folded in, and the node's name where it was not.
        kernel = re.search(r"(\w+_conv)(_\d+)?/convolution", node.input[1])
        gate = re.search(r"(\w+_eca)(_\d+)?/convolution", node.name)
        folded = kernel and len(node.input) == 3
        if not gate and not folded:
            continue
        # ONNX orders (out, in, height, width), Keras (height, width, in, out).
        array = to_array(values[node.input[1]]).transpose(2, 3, 1, 0)
        if gate:
            weights.gates[gate[1]] = array
        elif kernel:
            weights.kernels[kernel[1]] = array
            weights.biases[kernel[1]] = to_array(values[node.input[2]])
    return weights


def _choose_values(
    layer: str, weights: _FileWeights, gated: Collection[str]
) -> list[np.ndarray]:
    """Choose the start values of a layer; ``gated`` are layers followed by a gate."""
    if layer.endswith("_conv"):
        return [weights.kernels[layer]]
    if layer.endswith("_eca"):
        return [weights.gates[layer]] if weights.gates else []
    if layer.endswith("_bn"):
        bias = weights.biases[layer.replace("_bn", "_conv")]
        unit = np.ones_like(bias)
        # It only adds the bias: gain 1, mean 0, and variance plus epsilon 1.
        values = [unit, bias, 0 * unit, unit - np.float32(BN_EPSILON)]
        if layer in gated and not weights.gates:
            # Idle gates, which the file leaves out, halve their input.
            values[:2] = [2 * unit, 2 * bias]
        return values
    return []


def unfold_norms(model: keras.Model, images: Iterable[np.ndarray]) -> None:
    """Restore the statistics of batch normalisation that was folded away.

    The model's output stays the same. Without images, batch normalisation stays folded,
    which makes a difference in training only.

    Parameters
    ----------
    model : keras.Model
        Model after `load_weights_file`.
    images : iterable of numpy.ndarray (n, height, width, 3)
        Preprocessed images.
    """
    norms = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    # One pass for all layers: their output does not change meanwhile.
    inputs = keras.Model(model.input, [layer.input for layer in norms])
    sums = [np.zeros(layer.gamma.shape) for layer in norms]
    squares = [np.zeros(layer.gamma.shape) for layer in norms]
    count = 0
    for batch in images:
        for position, maps in enumerate(inputs(batch)):
            maps = keras.ops.convert_to_numpy(maps).astype(np.float64)
            sums[position] += maps.mean((1, 2)).sum(0)
            squares[position] += (maps**2).mean((1, 2)).sum(0)
        count += len(batch)
    if not count:
        return
    for layer, total, square in zip(norms, sums, squares):
        mean = total / count
        # In float64, because it is the difference of two large numbers.
        variance = square / count - mean**2
        _, bias, _, _ = layer.get_weights()
        # The gain cancels the layer's division, so that its output stays the same.
        gain = np.sqrt(variance + layer.epsilon)
        values = (gain, bias + mean, mean, variance)
        layer.set_weights([value.astype(np.float32) for value in values])
