"""The planes of labelled images, as the network sees them, kept in a folder.

Images are read once. Planes are kept as float16, which is finer than what cameras give,
and read from the disk as they are needed: there may be more than fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
from tqdm import tqdm

from stratonet.extraction.measure import (
    READERS_PER_CORE,
    Failure,
    ReadImageSet,
    prepare_unit,
    read_unit,
)
from stratonet.extraction.objects import SegmentedObjects
from stratonet.extraction.recipe import Recipe
from stratonet.files.atomic import write_atomically
from stratonet.parallel import count_cores
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
    assay: Assay,
    folder: Path,
    weights: Path,
    illumination: str | None = None,
    seed: int = 0,
) -> LabelledPlanes:
    """Read the images of an assay, unless they have been read into the folder before.

    Parameters
    ----------
    assay : Assay
        What to read.
    folder : pathlib.Path
        Where planes are kept; made if missing.
    weights : pathlib.Path
        The weights file whose card says how planes are resized and scaled.
    illumination : {"divide", "subtract"}, optional
        See `stratonet.extraction.extract`.
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
    recipe = Recipe(
        assay.source.storage,
        assay.channels,
        weights=str(weights),
        objects=assay.objects,
        illumination=illumination,
    )
    # Written last: what it counts is there.
    if not (folder / ROWS).exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write_examples(assay, recipe, folder, seed)
    rows = pd.read_csv(folder / ROWS, dtype=str, keep_default_na=False)
    side = recipe.card.input_size
    shape = (len(rows), len(assay.channels), side, side)
    planes = np.memmap(folder / PLANES, np.float16, "r", shape=shape)
    return LabelledPlanes(assay.name, assay.channels, rows, planes)


def _write_examples(assay: Assay, recipe: Recipe, folder: Path, seed: int) -> None:
    rows: list[dict[str, str]] = []
    failures: list[str] = []
    with write_atomically(folder / PLANES) as unfinished, unfinished.open("wb") as file:
        for row, image_set in _read_image_sets(assay, recipe):
            failed = [part for part in image_set.planes if isinstance(part, Failure)]
            if isinstance(image_set.objects, Failure):
                failed.append(image_set.objects)
            if failed:
                failures.append(failed[0].reason)
                continue
            rng = np.random.default_rng((seed, len(rows)))
            rows += _write_image_set(assay, recipe, row, image_set, file, rng)
    if not rows:
        raise ValueError(
            f"{assay.source.location}: no image could be read, or none has an object."
            f" {'; '.join(failures[:1])}"
        )
    if failures:
        tqdm.write(
            f"{assay.name}: {len(failures):,} image sets could not be read and are left"
            f" out. The first: {failures[0]}"
        )
    with write_atomically(folder / ROWS) as unfinished:
        pd.DataFrame(rows).to_csv(unfinished, index=False)


def _read_image_sets(
    assay: Assay, recipe: Recipe
) -> Iterator[tuple[dict[str, str], ReadImageSet]]:
    """Yield image sets with decoded planes: whole ones as the network sees them."""
    total = sum(len(unit.rows) for unit in assay.units)
    with (
        ThreadPoolExecutor(READERS_PER_CORE * count_cores()) as readers,
        tqdm(total=total, desc=f"reading {assay.name}", unit=" image sets") as bar,
    ):
        for unit in assay.units:
            image_sets = prepare_unit(recipe, unit, read_unit(recipe, unit, readers))
            for row, image_set in zip(unit.rows.to_dict("records"), image_sets):
                yield row, image_set
                bar.update()


def _write_image_set(
    assay: Assay,
    recipe: Recipe,
    row: dict[str, str],
    image_set: ReadImageSet,
    file: BinaryIO,
    rng: np.random.Generator,
) -> list[dict[str, str]]:
    """Write the planes of an image set; the rows of its examples."""
    place = {"plate": str(row[PLATE]), "well": str(row[WELL])}
    if image_set.objects is None:
        _write_planes(image_set.planes, file)
        return [{"label": row[assay.label], **place}]
    size = recipe.objects.size
    assert isinstance(image_set.objects, SegmentedObjects) and size is not None
    rows = []
    for index in _draw_objects(assay, len(image_set.objects.numbers), rng):
        try:
            crops = [
                image_set.objects.crop_plane(plane, index, size)
                for plane in image_set.planes
            ]
        except ValueError:
            # A centre outside of the image: there is nothing to learn from.
            continue
        _write_planes([to_grey(crop, recipe.card) for crop in crops], file)
        label = row[assay.label]
        if assay.object_labels is not None:
            label = assay.object_labels[image_set.objects.numbers[index]]
        rows.append({"label": label, **place})
    return rows


def _draw_objects(assay: Assay, count: int, rng: np.random.Generator) -> np.ndarray:
    # Objects with classes of their own were chosen by somebody: all are taken.
    if assay.object_labels is not None or count <= MOST_OBJECTS:
        return np.arange(count)
    return np.sort(rng.permutation(count)[:MOST_OBJECTS])


def _write_planes(planes: list[np.ndarray], file: BinaryIO) -> None:
    for plane in planes:
        file.write(plane.astype(np.float16).tobytes())
