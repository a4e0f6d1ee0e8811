"""Read labelled images and store their planes, as the network sees them, in a folder.

Images are read once. Planes are stored as float16, which is finer than the grey levels
of cameras, and read from disk when needed: there may be more than fit into memory.
"""

from __future__ import annotations

import math
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
from stratonet.files.urls import to_local_path
from stratonet.naming import LABELS, URL, parse_image_column
from stratonet.parallel import count_cores, get_worker_pool, map_ahead
from stratonet.preprocessing import to_grey
from stratonet.tables.columns import PLATE, WELL
from training.finetune_table import Assay

PLANES, ROWS = "planes.f16", "examples.csv"
# Objects drawn at most from an image whose objects all have its class: other images
# teach the network more than further cells of the same image.
MOST_OBJECTS = 100
# Columns with these prefixes name files.
FILE_PREFIXES = (URL, LABELS)


@dataclass(frozen=True, eq=False)
class LabelledPlanes:
    """The examples of an assay: whole images or objects.

    Attributes
    ----------
    name : str
        Name of the assay.
    channels : tuple of str
        Channels of its images.
    rows : pandas.DataFrame (n,)
        ``label``, ``plate`` and ``well`` of each example, as text.
    planes : numpy.ndarray (n, n channels, side, side), float16
        In [0, 1]; read from disk when needed.
    """

    name: str
    channels: tuple[str, ...]
    rows: pd.DataFrame
    planes: np.ndarray


def prepare_planes(
    assay: Assay, folder: Path, card: Card, seed: int = 0
) -> LabelledPlanes:
    """Read the images of an assay, unless the folder already holds their planes.

    Parameters
    ----------
    assay : Assay
        Assay to read.
    folder : pathlib.Path
        Folder for the planes; made if missing.
    card : Card
        Says how planes are resized and scaled.
    seed : int
        Seed of the draw of objects from images with many.

    Returns
    -------
    LabelledPlanes

    Raises
    ------
    ValueError
        No image of a class could be read; the message says why.
    """
    if not _is_complete(assay, folder, card):
        folder.mkdir(parents=True, exist_ok=True)
        _write_planes(assay, folder, card, seed)
    rows = _read_rows(folder)
    shape = _compute_shape(assay, card, len(rows))
    planes = np.memmap(folder / PLANES, np.float16, "r", shape=shape)
    return LabelledPlanes(assay.name, assay.channels, rows, planes)


def _is_complete(assay: Assay, folder: Path, card: Card) -> bool:
    """Tell whether all planes are present; if not, the images are read again."""
    # The rows are written last: their planes are there, unless a copy is incomplete.
    try:
        shape = _compute_shape(assay, card, len(_read_rows(folder)))
        size = (folder / PLANES).stat().st_size
    except (OSError, ValueError):
        return False
    return size == math.prod(shape) * np.dtype(np.float16).itemsize


def _read_rows(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / ROWS, dtype=str, keep_default_na=False)


def _compute_shape(assay: Assay, card: Card, count: int) -> tuple[int, int, int, int]:
    return count, len(assay.channels), card.input_size, card.input_size


def list_lengths(rows: pd.DataFrame) -> list[int]:
    """List the lengths in bytes of the files that image sets name; -1 for those on S3.

    Parameters
    ----------
    rows : pandas.DataFrame
        Image sets in normal form.

    Returns
    -------
    list of int
    """
    columns = [
        name for name in rows if (parse_image_column(name) or ("",))[0] in FILE_PREFIXES
    ]
    lengths = []
    for path in rows[columns].to_numpy().ravel():
        try:
            lengths.append(os.stat(to_local_path(str(path))).st_size)
        except (OSError, ValueError):
            lengths.append(-1)
    return lengths


class _ImageSet(NamedTuple):
    """An image set to be read."""

    number: int
    row: dict[str, Any]
    centers: pd.DataFrame | None


class _Result(NamedTuple):
    """The examples of an image set, or the reason why there are none."""

    labels: list[str]
    planes: list[np.ndarray]  # (n channels, side, side), float16, of each example
    failure: str
    outside: int = 0  # objects whose centre lies outside the image


def _write_planes(assay: Assay, folder: Path, card: Card, seed: int) -> None:
    image_sets = list(_list_image_sets(assay))

    def read(image_set: _ImageSet) -> _Result:
        return _read_image_set(assay, image_set, card, seed)

    cores = count_cores()
    pool = get_worker_pool(os.getpid(), cores)
    results = map_ahead(pool, read, image_sets, 2 * cores)
    bar = tqdm(
        results, desc=f"reading {assay.name}", total=len(image_sets), unit=" image sets"
    )
    rows: list[dict[str, str]] = []
    failures: list[str] = []
    outside = 0
    with write_atomically(folder / PLANES) as unfinished, unfinished.open("wb") as file:
        for image_set, result in zip(image_sets, bar):
            position = {
                "plate": str(image_set.row[PLATE]),
                "well": str(image_set.row[WELL]),
            }
            rows += [{"label": label, **position} for label in result.labels]
            for planes in result.planes:
                file.write(planes.tobytes())
            outside += result.outside
            if result.failure:
                failures.append(result.failure)
    _report_failures(assay, failures, {row["label"] for row in rows})
    if outside:
        tqdm.write(
            f"{assay.name}: left out {outside:,} objects whose centre lies outside the"
            " image."
        )
    with write_atomically(folder / ROWS) as unfinished:
        pd.DataFrame(rows).to_csv(unfinished, index=False)


def _report_failures(assay: Assay, failures: list[str], classes_read: set[str]) -> None:
    lost_classes = sorted(set(_list_classes(assay)) - classes_read)
    if lost_classes:
        classes = "" if not classes_read else f" of the class {lost_classes[0]}"
        raise ValueError(
            f"{assay.source.location}: no image{classes} could be read, or none has an"
            f" object. {'; '.join(failures[:1])}"
        )
    if failures:
        tqdm.write(
            f"{assay.name}: left out {len(failures):,} image sets that could not be"
            f" read. The first: {failures[0]}"
        )


def _list_classes(assay: Assay) -> Iterator[str]:
    if assay.object_labels is not None:
        yield from assay.object_labels
        return
    for unit in assay.units:
        yield from unit.rows[assay.label]


def _list_image_sets(assay: Assay) -> Iterator[_ImageSet]:
    number = 0
    for unit in assay.units:
        for index, row in enumerate(unit.rows.to_dict("records")):
            centers = None if unit.centers is None else unit.centers[index]
            yield _ImageSet(number, row, centers)
            number += 1


def _read_image_set(
    assay: Assay, image_set: _ImageSet, card: Card, seed: int
) -> _Result:
    """Read the images of an image set, and cut its objects out."""
    storage = assay.source.storage
    try:
        planes = [
            read_image(image_set.row, channel, storage) for channel in assay.channels
        ]
        objects = _read_objects(assay, image_set)
        if objects is None:
            label = image_set.row[assay.label]
            return _Result([label], [_show_planes(planes, card)], "")
        rng = np.random.default_rng((seed, image_set.number))
        return _cut_objects(assay, image_set, planes, objects, card, rng)
    except FILE_ERRORS as error:
        return _Result([], [], str(error))


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
) -> _Result:
    size = assay.objects.size
    assert size is not None
    result = _Result([], [], "")
    outside = 0
    for index in _draw_objects(assay, len(objects.numbers), rng):
        try:
            crops = [objects.crop_plane(plane, index, size) for plane in planes]
        except ValueError:
            # The centre is outside the image: there is nothing to learn from.
            outside += 1
            continue
        label = image_set.row[assay.label]
        if assay.object_labels is not None:
            label = assay.object_labels[objects.numbers[index]]
        result.labels.append(label)
        result.planes.append(_show_planes(crops, card))
    return result._replace(outside=outside)


def _draw_objects(assay: Assay, count: int, rng: np.random.Generator) -> np.ndarray:
    # Objects with classes of their own were chosen on purpose: all are taken.
    if assay.object_labels is not None or count <= MOST_OBJECTS:
        return np.arange(count)
    return np.sort(rng.permutation(count)[:MOST_OBJECTS])


def _show_planes(planes: list[np.ndarray], card: Card) -> np.ndarray:
    """Return the planes of all channels as the network sees them."""
    return np.stack([to_grey(plane, card) for plane in planes]).astype(np.float16)
