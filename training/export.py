"""Export a run or a Keras network as a weights file: ``.onnx`` with its card."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path

import keras
import numpy as np
import onnx

from stratonet import Card, Planes, Scaling, Tap
from stratonet.files.atomic import explain_os_error
from training.architecture import (
    compute_reductions,
    name_deviation,
    tap_network,
)
from training.blocks import list_blocks
from training.channels import put_channels_first
from training.config import Config
from training.runs import read_run
from training.start import (
    BEST,
    Origin,
    build_classifier,
    choose_taps,
    load_start_weights,
    load_variables,
)
from training.trunk import build_trunk

THESIS = (
    "van Elswijk, M. (2024). StratoNet, a deep learning approach to high content"
    " screening feature extraction. Master's thesis, Leiden University."
)
# For networks that are not trained: their classifier is dropped anyway.
IMAGENET_CLASSES = 1000


def export_model(model: keras.Model, card: Card, path: str | os.PathLike[str]) -> None:
    """Write a network and its card as a weights file, completely or not at all.

    Parameters
    ----------
    model : keras.Model
        Outputs ``{layer name: (n, width)}``, as `architecture.tap_network` makes it.
    card : Card
        Describes the model.
    path : str or path
        The ``.onnx`` file to write.

    Raises
    ------
    ValueError
        The card does not describe the model: taps, widths or input size differ.
    OSError
        The disk is full, or the folder cannot be written to; the message names the
        file.
    """
    _check_card(model, card)
    path = Path(path)
    # Keras exports only models that have been called.
    model(np.zeros((1, card.input_size, card.input_size, 3), "float32"))
    # In the same folder: a rename across disks would be a copy, which can be cut short.
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            raw = os.path.join(folder, "raw.onnx")
            model.export(raw, format="onnx", verbose=False)
            _finish_file(raw, card)
            os.replace(raw, path)
    except OSError as error:
        raise explain_os_error(error, path, "cannot be written") from error


def _check_card(model: keras.Model, card: Card) -> None:
    size = None if card.any_size else card.input_size
    outputs = {}
    for tap in card.taps:
        outputs[tap.layer] = tap.width
        if tap.sd:
            outputs[tap.sd] = tap.width
    described = size, outputs
    widths = {layer: output.shape[1] for layer, output in model.output.items()}
    received = model.input_shape[1], widths
    if described != received:
        raise ValueError(
            f"The card does not describe the model. Card: {described}. Received:"
            f" {received}"
        )


def _finish_file(path: str, card: Card) -> None:
    """Put channels first, as ONNX Runtime does, and add the card."""
    graph = onnx.load(path)
    graph.producer_name = "stratonet"
    # Constants that tf2onnx has folded away may remain as inputs, such as those of
    # EfficientNet's normalisation.
    used = {name for node in graph.graph.node for name in node.input}
    unused = [value for value in graph.graph.input if value.name not in used]
    for value in unused:
        graph.graph.input.remove(value)
    if card.layout == "NCHW":
        put_channels_first(graph.graph, card)
    onnx.helper.set_model_props(graph, {"card": card.to_json()})
    # A file that ONNX Runtime refuses must not replace one that it accepts.
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def export_run(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    name: str | None = None,
    version: str = "1.0.0",
    licence: str | None = None,
    input_size: int | None = None,
) -> Card:
    """Write a run's best checkpoint as a weights file, with its card.

    Or write the start weights of a configuration.

    Parameters
    ----------
    source : str or path
        The folder of a run, or a configuration file, whose start weights are exported
        without training.
    output : str or path
        The ``.onnx`` file to write.
    name : str, optional
        Default: the stem of ``output``.
    version : str
        Version of the weights.
    licence : str, optional
        Default: that of the weights that the run started from.
    input_size : int, optional
        Input size of the exported network, in pixels. Default: the size of the crops
        it was trained on.

    Returns
    -------
    Card

    Raises
    ------
    FileNotFoundError
        The folder holds no run with a checkpoint.
    """
    source, output = Path(source), Path(output)
    read = _read_start if source.is_file() else _read_best
    trained = read(source, input_size)
    model = tap_trained(trained)
    licence = licence or trained.origin.licence or "not stated: give export --licence"
    card = make_card(trained, model, name or output.stem, version, licence)
    output.parent.mkdir(parents=True, exist_ok=True)
    export_model(model, card, output)
    return card


@dataclasses.dataclass(frozen=True)
class Trained:
    """A network before it becomes a weights file.

    Attributes
    ----------
    config : Config
        Configuration with the input size of the export.
    model : keras.Model
        Network with a classifier.
    origin : Origin
        Origin of the start weights.
    result : dict or None
        Result of the run; None where nothing was trained.
    """

    config: Config
    model: keras.Model
    origin: Origin
    result: dict | None


def tap_trained(trained: Trained) -> keras.Model:
    """Make the network to export: with its taps, and without a classifier.

    Parameters
    ----------
    trained : Trained
        If it is of this project's own architecture, the network is rebuilt for planes
        of any size; otherwise the result shares its layers.

    Returns
    -------
    keras.Model
        As `export_model` expects it.
    """
    layers = _choose_layers(trained.config)
    model = trained.model
    if trained.config.architecture == "resnet":
        model = build_trunk(model, trained.config.depth, layers)
    return tap_network(model, layers, deviations=True)


def make_card(
    trained: Trained, model: keras.Model, name: str, version: str, licence: str
) -> Card:
    """Make the card of a trained network.

    Parameters
    ----------
    trained : Trained
        The network, and how it was trained.
    model : keras.Model
        From `tap_trained`.
    name, version, licence : str
        Name, version and licence of the weights.

    Returns
    -------
    Card
    """
    config = trained.config
    aliases = {layer: alias for alias, layer in choose_taps(config).items()}
    layers = [layer for layer in model.output if name_deviation(layer) in model.output]
    reductions = compute_reductions(model, layers)
    any_size = model.input_shape[1] is None
    taps = [
        Tap(
            layer,
            model.output[layer].shape[1],
            aliases.get(layer),
            reductions[layer],
            name_deviation(layer),
        )
        for layer in reductions
    ]
    return Card(
        name=name,
        version=version,
        architecture=_describe_architecture(config),
        taps=tuple(taps),
        input_size=config.image_size,
        resize="BILINEAR",
        # Whatever the network was trained on, planes come from microscopes, whose
        # cameras have offsets and stuck pixels: benchmarks/scaling.py chose these.
        scaling=Scaling(low=0.1, high=99.9),
        planes=Planes(config.multiply, config.subtract),
        trained_on=_describe_training(config, trained.result),
        trained_from=trained.origin.description,
        metrics=_choose_metrics(trained.result),
        licence=licence,
        citation=THESIS,
        # Networks of Keras may begin with other operations before any convolution.
        layout="NCHW" if any_size else "NHWC",
        any_size=any_size,
        recipes=_recommend_recipes(config.image_size) if any_size else {},
    )


def _recommend_recipes(side: int) -> dict[str, str]:
    """Return recipes for a network of any size, as chosen by benchmarks/recipes.py."""
    return {
        "fields": f"tiles{side}-across2/mean+sd",
        "objects": f"tiles{side}/mean+sd",
        f"whole{side}": f"whole{side}/mean",
    }


def _read_start(path: Path, input_size: int | None) -> Trained:
    config = _set_size(Config.read(path), input_size)
    keras.utils.set_random_seed(config.seed)
    model = build_classifier(config, IMAGENET_CLASSES)
    # Without images, batch normalisation stays folded: this network is not trained.
    origin = load_start_weights(model, config, lambda: ())
    return Trained(config, model, origin, None)


def _read_best(run: Path, input_size: int | None) -> Trained:
    config, result = read_run(run)
    config = _set_size(config, input_size)
    # The checkpoint replaces the start weights, which need not be fetched again.
    blank = dataclasses.replace(config, start="")
    model = build_classifier(blank, len(result["classes"]))
    load_variables(model, run / BEST)
    origin = Origin(result["start"], result["start_licence"])
    return Trained(config, model, origin, result)


def _set_size(config: Config, size: int | None) -> Config:
    return config if size is None else dataclasses.replace(config, image_size=size)


def _choose_layers(config: Config) -> set[str]:
    layers = set(choose_taps(config).values())
    if config.architecture == "resnet":
        # Every block on the way is a tap too, without an alias: taps that are not
        # requested cost nothing.
        blocks = list_blocks(config.depth)
        last = max(blocks.index(layer) for layer in layers)
        layers.update(blocks[: last + 1])
    return layers


def _choose_metrics(result: dict | None) -> dict[str, float]:
    if result is None:
        return {}
    return {name: round(result[name], 4) for name in ("val_top1", "val_top5")}


def _describe_architecture(config: Config) -> str:
    if config.architecture != "resnet":
        return f"{config.architecture} of Keras {keras.__version__}"
    if config.attention == "none":
        return f"ResNet-{config.depth} v1"
    name = "StratoNet" if config.classifier_on == "taps" else "ECANet"
    return (
        f"{name}-{config.depth}: ResNet-{config.depth} v1 with efficient channel"
        " attention"
    )


def _describe_training(config: Config, result: dict | None) -> str:
    if result is None:
        return f"Nothing beyond its start weights. {config.recipe}"
    versions = [f"{name} {version}" for name, version in result["versions"].items()]
    colors = " in grey" if config.grey else ""
    return (
        f"{result['data']}: {result['train_images']:,} images of"
        f" {len(result['classes']):,} classes{colors}"
        f" ({len(result['corrupt_images'])} corrupt left out),"
        f" {_describe_layers(config)}, epoch"
        f" {result['best_epoch']} of {config.epochs}, {config.optimizer}, batch"
        f" {config.batch}, learning rate {config.learning_rate:g}, seed {config.seed};"
        f" {', '.join(versions)}. {config.recipe}"
    )


def _describe_layers(config: Config) -> str:
    layers = "all layers"
    if config.train_only:
        layers = f"layers {', '.join(config.train_only)}"
    if config.freeze:
        layers += f" behind {config.freeze}"
    return layers
