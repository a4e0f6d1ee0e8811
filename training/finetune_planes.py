"""The planes of labelled images, as the network sees them, kept in a folder.

Images are read once. Planes are kept as float16, which is finer than what cameras give,
and read from the disk as they are needed: there may be more than fit into memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from stratonet import Card
from stratonet.extraction.job import ObjectsFromLabels
from stratonet.extraction.objects import (
    SegmentedObjects,
    read_label_image,
    take_centers,
)
from stratonet.extraction.planes import FILE_ERRORS
from stratonet.extraction.sources.imagesets import read_image
from stratonet.files.atomic import write_atomically
from stratonet.parallel import count_cores, get_worker_pool, map_ahead
from stratonet.preprocessing import to_grey
from stratonet.tables.columns import PLATE, WELL
from training.finetune_table import Assay

PLANES, ROWS = "planes.f16", "examples.csv"
# Of the objects of one image, which all have its class, so many are drawn: other images
# teach more than more cells of the same.
MOST_OBJECTS = 100


@dataclass(frozen=True, eq=False)
class LabelledPlanes:
    """The examples of an assay: whole images, or objects.

    Attributes
    ----------
    name : str
        Of the assay.
    channels : tuple of str
        Of its images.
    rows : pandas.DataFrame (n,)
        ``label``, ``plate`` and ``well`` of each example, as text.
    planes : numpy.ndarray (n, n channels, side, side), float16
        In [0, 1]; on the disk.
    """

    name: str
    channels: tuple[str, ...]
    rows: pd.DataFrame
    planes: np.ndarray


def prepare_planes(
    assay: Assay, folder: Path, card: Card, seed: int = 0
) -> LabelledPlanes:
    """Read the images of an assay, unless they have been read into the folder before.

    Parameters
    ----------
    assay : Assay
        What to read.
    folder : pathlib.Path
        Where planes are kept; made if missing.
    card : Card
        Says how planes are resized and scaled.
    seed : int
        Of the objects that are drawn from images with many.

    Returns
    -------
    LabelledPlanes

    Raises
    ------
    ValueError
        No image could be read; the message says why.
    """
    # Written last: what it counts is there.
    if not (folder / ROWS).exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write_planes(assay, folder, card, seed)
    rows = pd.read_csv(folder / ROWS, dtype=str, keep_default_na=False)
    shape = (len(rows), len(assay.channels), card.input_size, card.input_size)
    planes = np.memmap(folder / PLANES, np.float16, "r", shape=shape)
    return LabelledPlanes(assay.name, assay.channels, rows, planes)


class _ImageSet(NamedTuple):
    """An image set to read."""

    number: int
    row: dict[str, Any]
    centers: pd.DataFrame | None


class _Read(NamedTuple):
    """The examples of an image set, or why there are none."""

    labels: list[str]
    planes: list[np.ndarray]  # (n channels, side, side), float16, of each example
    failure: str


def _write_planes(assay: Assay, folder: Path, card: Card, seed: int) -> None:
    image_sets = list(_list_image_sets(assay))

    def read(image_set: _ImageSet) -> _Read:
        return _read_image_set(assay, image_set, card, seed)

    cores = count_cores()
    pool = get_worker_pool(os.getpid(), cores)
    results = map_ahead(pool, read, image_sets, 2 * cores)
    bar = tqdm(
        results, desc=f"reading {assay.name}", total=len(image_sets), unit=" image sets"
    )
    rows: list[dict[str, str]] = []
    failures: list[str] = []
    with write_atomically(folder / PLANES) as unfinished, unfinished.open("wb") as file:
        for image_set, result in zip(image_sets, bar):
            place = {
                "plate": str(image_set.row[PLATE]),
                "well": str(image_set.row[WELL]),
            }
            rows += [{"label": label, **place} for label in result.labels]
            for planes in result.planes:
                file.write(planes.tobytes())
            if result.failure:
                failures.append(result.failure)
    _report_failures(assay, failures, len(rows))
    with write_atomically(folder / ROWS) as unfinished:
        pd.DataFrame(rows).to_csv(unfinished, index=False)


def _report_failures(assay: Assay, failures: list[str], n_read: int) -> None:
    if not n_read:
        raise ValueError(
            f"{assay.source.location}: no image could be read, or none has an object."
            f" {'; '.join(failures[:1])}"
        )
    if failures:
        tqdm.write(
            f"{assay.name}: {len(failures):,} image sets could not be read and are left"
            f" out. The first: {failures[0]}"
        )


def _list_image_sets(assay: Assay) -> Iterator[_ImageSet]:
    number = 0
    for unit in assay.units:
        for index, row in enumerate(unit.rows.to_dict("records")):
            centers = None if unit.centers is None else unit.centers[index]
            yield _ImageSet(number, row, centers)
            number += 1


def _read_image_set(assay: Assay, image_set: _ImageSet, card: Card, seed: int) -> _Read:
    """Read the images of an image set, and cut its objects out."""
    storage = assay.source.storage
    try:
        planes = [
            read_image(image_set.row, channel, storage) for channel in assay.channels
        ]
        objects = _read_objects(assay, image_set)
        if objects is None:
            label = image_set.row[assay.label]
            return _Read([label], [_show_planes(planes, card)], "")
        rng = np.random.default_rng((seed, image_set.number))
        return _cut_objects(assay, image_set, planes, objects, card, rng)
    except FILE_ERRORS as error:
        return _Read([], [], str(error))


def _read_objects(assay: Assay, image_set: _ImageSet) -> SegmentedObjects | None:
    if isinstance(assay.objects, ObjectsFromLabels):
        storage = assay.source.storage
        return read_label_image(image_set.row, assay.objects.label, storage)
    return None if image_set.centers is None else take_centers(image_set.centers)


def _cut_objects(
    assay: Assay,
    image_set: _ImageSet,
    planes: list[np.ndarray],
    objects: SegmentedObjects,
    card: Card,
    rng: np.random.Generator,
) -> _Read:
    size = assay.objects.size
    assert size is not None
    read = _Read([], [], "")
    for index in _draw_objects(assay, len(objects.numbers), rng):
        try:
            crops = [objects.crop_plane(plane, index, size) for plane in planes]
        except ValueError:
            # A centre outside of the image: there is nothing to learn from.
            continue
        label = image_set.row[assay.label]
        if assay.object_labels is not None:
            label = assay.object_labels[objects.numbers[index]]
        read.labels.append(label)
        read.planes.append(_show_planes(crops, card))
    return read


def _draw_objects(assay: Assay, count: int, rng: np.random.Generator) -> np.ndarray:
    # Objects with classes of their own were chosen by somebody: all are taken.
    if assay.object_labels is not None or count <= MOST_OBJECTS:
        return np.arange(count)
    return np.sort(rng.permutation(count)[:MOST_OBJECTS])


def _show_planes(planes: list[np.ndarray], card: Card) -> np.ndarray:
    """Planes of all channels as the network sees them."""
    return np.stack([to_grey(plane, card) for plane in planes]).astype(np.float16)
