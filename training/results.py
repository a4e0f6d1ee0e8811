"""What a run is worth, and the weights file it becomes."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from stratonet import Card, Planes, Scaling, StratoNet, Tap
from training.architecture import block_names, reductions, tap
from training.config import Config
from training.export import export
from training.input import open_images
from training.start import BEST, load, network, start, taps_of
from training.trainer import Steps

THESIS = (
    "van Elswijk, M. (2024). StratoNet, a deep learning approach to high content"
    " screening feature extraction. Master's thesis, Leiden University."
)


def evaluate_run(run, data):
    """Loss, top-1 and top-5 of a run's best checkpoint on the validation images of ``data``, as a dict.

    Raises
    ------
    FileNotFoundError
        The folder holds no run with a checkpoint.
    ValueError
        The classes of ``data`` are not those of the run.
    """
    config, result = _read_run(run)
    images = open_images(data, splits=("val",))
    if list(images.classes) != result["classes"]:
        raise ValueError(
            f"{run} knows {len(result['classes'])} classes, and {data} holds others."
        )
    steps = Steps(config, len(images.classes), tf.distribute.get_strategy())
    load(steps.model, Path(run) / BEST)
    return steps.validate(
        lambda **place: images.validation(config, config.batch, **place)
    )


def evaluate_weights(weights, data, per_class=200, seed=0):
    """Top-1 and top-5 of a linear probe on a weights file, which ends with its taps and has no classifier.

    The training images, at most ``per_class`` of each class, and all validation images
    become features as planes of a microscope do (grey, scaled by percentiles); a
    logistic regression on the standardised features of the taps that have an alias is
    fitted on the first and tested on the second.

    Returns
    -------
    dict
        ``top1`` and ``top5``, of all taps together and, as ``top1_<tap>``, of each
        alone.
    """
    net = StratoNet.load(weights)
    images = open_images(data)
    rng = np.random.default_rng(seed)
    features, labels = {}, {}
    for split in ("train", "val"):
        files, numbers = images.files(split)
        if split == "train":
            chosen = [
                rng.permutation(np.flatnonzero(numbers == number))[:per_class]
                for number in np.unique(numbers)
            ]
            chosen = np.sort(np.concatenate(chosen))
            files, numbers = [files[place] for place in chosen], numbers[chosen]
        rows = net.stream(files, read=read_grey, name=str)
        features[split] = np.stack(
            list(tqdm(rows, desc=split, total=len(files), unit=" images"))
        )
        labels[split] = numbers
    found, begin = {}, 0
    for width, label in [(None, "")] + [
        (each.width, f"_{each.alias or each.layer}") for each in net.taps
    ]:
        columns = slice(None) if width is None else slice(begin, begin := begin + width)
        train, val = (features[split][:, columns] for split in ("train", "val"))
        top1, top5 = probe(train, labels["train"], val, labels["val"])
        found[f"top1{label}"] = top1
        if width is None:
            found["top5"] = top5
    return found


def read_grey(path):
    """A colour image as one plane: its luminance, uint8 (height, width)."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def probe(features, labels, test_features, test_labels):
    """Top-1 and top-5 of a logistic regression on standardised features, fitted on the first, tested on the second."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, max_iter=500)
    ).fit(features, labels)
    ranked = model.classes_[np.argsort(-model.predict_proba(test_features), axis=1)]
    hits = ranked == np.asarray(test_labels)[:, None]
    return float(hits[:, 0].mean()), float(hits[:, :5].any(axis=1).mean())


def export_run(
    source, output, name=None, version="1.0.0", licence=None, input_size=None
):
    """Write the weights file of a run's best checkpoint, or of a configuration's start weights, with its card.

    Parameters
    ----------
    source : path
        The folder of a run, or a configuration file: then nothing is trained, and the
        network is what it starts from.
    output : path
        The ``.onnx`` file.
    name : str, optional
        Default: the stem of ``output``.
    version : str
    licence : str, optional
        Default: that of the weights that the run started from.
    input_size : int, optional
        Of the exported network, in pixels. Default: the size of the crops it was
        trained on.

    Returns
    -------
    Card
    """
    source, output = Path(source), Path(output)
    if source.is_file():
        config, result = _sized(Config.read(source), input_size), None
        keras.utils.set_random_seed(config.seed)
        model = network(config, 1000)
        origin = start(model, config, lambda: ())
    else:
        config, result = _read_run(source)
        config = _sized(config, input_size)
        model = network(dataclasses.replace(config, start=""), len(result["classes"]))
        load(model, source / BEST)
        origin = result["start"], result["start_licence"]
    taps = taps_of(config)
    layers = set(taps.values())
    if config.architecture == "resnet":
        # Every block on the way is a tap too, without an alias: that costs nothing where it is not asked for.
        blocks = block_names(config.depth)
        layers |= set(blocks[: max(blocks.index(layer) for layer in layers) + 1])
    model = tap(model, layers)
    aliases = {layer: alias for alias, layer in taps.items()}
    reduction = reductions(model, model.output)
    card = Card(
        name=name or output.stem,
        version=version,
        architecture=_in_words(config),
        taps=tuple(
            Tap(layer, pooled.shape[1], aliases.get(layer), reduction[layer])
            for layer, pooled in model.output.items()
        ),
        input_size=config.image_size,
        resize="BILINEAR",
        scaling=Scaling(low=0.1, high=99.9),
        planes=Planes(config.multiply, tuple(config.subtract)),
        trained_on=_trained_on(config, result),
        trained_from=origin[0],
        metrics=(
            {name: round(result[name], 4) for name in ("val_top1", "val_top5")}
            if result
            else {}
        ),
        licence=licence or origin[1] or "not stated: give export --licence",
        citation=THESIS,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    export(model, card, output)
    return card


def _sized(config, size):
    return config if size is None else dataclasses.replace(config, image_size=size)


def _read_run(run):
    run = Path(run)
    if not (run / BEST).is_file():
        raise FileNotFoundError(
            f"{run} holds no run with a checkpoint ({BEST}). Train first."
        )
    return Config.read(run / "config.json"), json.loads(
        (run / "result.json").read_text(encoding="utf-8")
    )


def _in_words(config):
    if config.architecture != "resnet":
        return f"{config.architecture} of Keras {keras.__version__}"
    if config.attention == "none":
        return f"ResNet-{config.depth} v1"
    name = "StratoNet" if config.classifier_on == "taps" else "ECANet"
    return (
        f"{name}-{config.depth}: ResNet-{config.depth} v1 with efficient channel"
        " attention"
    )


def _trained_on(config, result):
    if result is None:
        return f"Nothing beyond its start weights. {config.recipe}"
    versions = ", ".join(
        f"{name} {version}" for name, version in result["versions"].items()
    )
    which = (
        f"layers {', '.join(config.train_only)}" if config.train_only else "all layers"
    )
    which += f" behind {config.freeze}" if config.freeze else ""
    return (
        f"{result['data']}: {result['train_images']:,} images of"
        f" {len(result['classes']):,} classes{' in grey' if config.grey else ''}"
        f" ({len(result['corrupt_images'])} corrupt left out), {which}, epoch"
        f" {result['best_epoch']} of {config.epochs}, {config.optimizer}, batch"
        f" {config.batch}, learning rate {config.learning_rate:g}, seed {config.seed};"
        f" {versions}. {config.recipe}"
    )
