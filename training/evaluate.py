"""Evaluate a run or a weights file on validation images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from stratonet import StratoNet
from stratonet.weights_file import read_card
from stratonet_sklearn.evaluation.separation import fit_probe
from training.input import open_images
from training.pixels import compute_luminance, decode_image
from training.runs import read_run
from training.start import BEST, load_variables
from training.steps import Scores, Steps

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def evaluate_run(run: str | os.PathLike[str], data: str | os.PathLike[str]) -> Scores:
    """Evaluate a run's best checkpoint on the validation images.

    Parameters
    ----------
    run : str or path
        Folder of the run.
    data : str or path
        Images, as `input.open_images` takes them.

    Returns
    -------
    Scores

    Raises
    ------
    FileNotFoundError
        The folder holds no run with a checkpoint.
    ValueError
        The classes of ``data`` are not those of the run.
    """
    config, result = read_run(run)
    # The training images take long to check, and are not needed.
    images = open_images(data, splits=("val",))
    print(images.describe_classes())
    if list(images.classes) != result["classes"]:
        raise ValueError(
            f"{run} was trained on {len(result['classes'])} classes, but {data} holds"
            " other classes. Give the images that it was trained on."
        )
    # On one device: the scores are the same for a run that used several.
    steps = Steps(config, len(images.classes), tf.distribute.get_strategy())
    load_variables(steps.model, Path(run) / BEST)

    def draw_images(shard: tuple[int, int], per_replica: int) -> tf.data.Dataset:
        return images.draw_validation(config, config.batch, shard, per_replica)

    with images.name_unreadable():
        return steps.validate(draw_images)


def evaluate_weights(
    weights: str | os.PathLike[str],
    data: str | os.PathLike[str],
    per_class: int = 200,
    seed: int = 0,
) -> dict[str, float]:
    """Evaluate a weights file, which has no classifier, by linear probes.

    The training images, at most ``per_class`` of each class, and all validation images
    become features as planes of a microscope do (grey, scaled by percentiles). Probes
    are fitted on the training images and tested on the validation images.

    Parameters
    ----------
    weights : str or path
        As `StratoNet.load` takes them. Taps with an alias are probed.
    data : str or path
        Folders of images, as `input.open_images` takes them; not shards.
    per_class : int
        Number of training images per class.
    seed : int
        Seed of the draw of these images.

    Returns
    -------
    dict
        ``top1`` and ``top5`` of all taps together and, as ``top1_<tap>``, top-1 of each
        tap alone.
    """
    # The network sees photographs whole, as it did in training.
    side = read_card(weights).input_size
    net = StratoNet.load(weights, recipe=f"whole{side}/mean")
    if per_class < 1:
        raise ValueError(f"per_class must be at least 1. Received: {per_class}")
    images = open_images(data)
    print(images.describe_classes())
    files, labels = images.list_files("train")
    chosen = _choose_per_class(labels, per_class, seed)
    train = _embed(net, [files[position] for position in chosen], "train")
    train_labels = labels[chosen]
    files, val_labels = images.list_files("val")
    val = _embed(net, files, "val")
    scores = {}
    for suffix, columns in _list_columns(net):
        probe = fit_probe(train[:, columns], train_labels)
        top1, top5 = compute_accuracies(probe, val[:, columns], val_labels)
        scores[f"top1{suffix}"] = top1
        if not suffix:
            scores["top5"] = top5
    return scores


def _choose_per_class(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    chosen = [
        rng.permutation(np.flatnonzero(labels == label))[:per_class]
        for label in np.unique(labels)
    ]
    # In the order of the files, so that each folder is read in one go.
    return np.sort(np.concatenate(chosen))


def _embed(net: StratoNet, files: list[str], split: str) -> np.ndarray:
    # Grey planes, as a microscope gives them; the library applies the card's scaling.
    rows = net.stream(files, read=read_grey, name=str)
    with_bar = tqdm(rows, desc=split, total=len(files), unit=" images")
    return np.stack(list(with_bar))


def _list_columns(net: StratoNet) -> Iterator[tuple[str, slice]]:
    """Yield suffix and columns of all taps together, then of each alone."""
    yield "", slice(None)
    begin = 0
    for tap in net.taps:
        yield f"_{tap.alias or tap.layer}", slice(begin, begin + tap.width)
        begin += tap.width


def read_grey(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a photograph as one plane, as a microscope gives it.

    Parameters
    ----------
    path : str or path
        As `pixels.decode_image` takes it.

    Returns
    -------
    numpy.ndarray (height, width), float32
        Its luminance, in 0..255.
    """
    # The same reader that checked the file, and that training uses.
    contents = tf.io.read_file(os.fspath(path))
    return compute_luminance(decode_image(contents)).numpy()


def compute_accuracies(
    probe: Pipeline, features: np.ndarray, labels: np.ndarray
) -> tuple[float, float]:
    """Compute top-1 and top-5 of a fitted probe.

    Parameters
    ----------
    probe : sklearn.pipeline.Pipeline
        From `separation.fit_probe`.
    features : numpy.ndarray (n, width)
        Features of images that it has not seen.
    labels : numpy.ndarray (n,)
        Classes of these images.

    Returns
    -------
    top1, top5 : float
        Shares of images whose class is the most probable, or among the five most
        probable.
    """
    # Classes that the probe has not seen count as misses.
    order = np.argsort(-probe.predict_proba(features), axis=1)
    hits = probe.classes_[order] == np.asarray(labels)[:, None]
    top1 = hits[:, 0].mean()
    top5 = hits[:, :5].any(axis=1).mean()
    return float(top1), float(top5)
