"""Open the images of a folder: ImageNet in one of its usual layouts, or shards."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from training.checking import find_corrupt_files
from training.images import Images
from training.layouts import LAYOUTS, Listing, list_files
from training.shards import find_shards, identify_shards, is_shard_folder, read_index
from training.sources import ImageFiles, Shards

# At most so many folders with files that are not read are named.
MOST_LINES = 20


def open_images(
    data: str | os.PathLike[str],
    splits: Sequence[str] = ("train", "val"),
    checked: str | os.PathLike[str] | None = None,
    report: Callable[[str], object] = print,
) -> Images:
    """Open the images of a folder.

    Every file is read and decoded once; those that fail are left out. For shards only
    their lengths are checked: their images were checked when they were written.

    Parameters
    ----------
    data : str or path
        Folder of ImageNet (ILSVRC) or another data set in its layout:
        ``train/<wnid>/*.JPEG``, and ``val`` likewise or flat with a ground-truth file;
        Kaggle's archive; or shards of `records.write_records`.
    splits : sequence of {"train", "val"}
        Splits to open.
    checked : str or path, optional
        JSON file that stores the result of reading all files: they are read again
        only after files were added, removed or changed in size.
    report : callable
        Called with a line of text for each corrupt file, one with their number, and one
        for each folder that holds files that are not read.

    Returns
    -------
    Images

    Raises
    ------
    FileNotFoundError, ValueError
        A folder or file is missing, empty, or not in a known layout; there are fewer
        than two classes, or no image of a class could be read; a validation image
        belongs to a class that is not trained; the shards were not written to the end.
        The message names the folder or file.
    """
    data = Path(data)
    if not data.is_dir():
        raise FileNotFoundError(f"{data} is not a folder. {LAYOUTS}")
    if is_shard_folder(data):
        return _open_shards(data, splits)
    return _open_files(data, splits, None if checked is None else Path(checked), report)


def _open_files(
    data: Path,
    splits: Sequence[str],
    checked: Path | None,
    report: Callable[[str], object],
) -> Images:
    listing = list_files(data, splits)
    for line in listing.skip_notes[:MOST_LINES]:
        report(line)
    if len(listing.skip_notes) > MOST_LINES:
        more = len(listing.skip_notes) - MOST_LINES
        report(f"{more:,} more folders also hold files that are not read.")
    # All splits at once: one progress bar, and one result to store.
    names = np.concatenate(list(listing.names.values()))
    sizes = np.concatenate(list(listing.sizes.values()))
    corrupt = find_corrupt_files(listing.root, names, sizes, checked)
    for name, reason in corrupt.items():
        report(f"Left out: {listing.root / name}: {reason}")
    if corrupt:
        report(f"{len(corrupt):,} of {len(names):,} images are corrupt and left out.")
    sources = {split: _leave_out(listing, split, corrupt) for split in listing.names}
    return Images(tuple(listing.classes), corrupt, sources, listing.identify())


def _leave_out(listing: Listing, split: str, corrupt: Collection[str]) -> ImageFiles:
    files, labels = listing.names[split], listing.labels[split]
    left_out = np.array([os.fsencode(name) for name in corrupt], "S")
    # Compared as bytes, since not all file names are UTF-8.
    is_readable = ~np.isin(files, left_out)
    lost_classes = sorted(set(labels) - set(labels[is_readable]))
    if lost_classes:
        first = lost_classes[0]
        raise ValueError(
            f"{listing.root / split}: no image of the class {listing.classes[first]}"
            f" can be read: all {np.count_nonzero(labels == first):,} are corrupt."
        )
    return ImageFiles(listing.root, files[is_readable], labels[is_readable])


def _open_shards(data: Path, splits: Sequence[str]) -> Images:
    index = read_index(data)
    sources = {}
    for split in splits:
        entry = index["splits"][split]
        paths = find_shards(data, index, split)
        by_class = entry["by_class"]
        sources[split] = Shards(paths, entry["images"], index["image_size"], by_class)
    classes = tuple(index["classes"])
    return Images(classes, index["corrupt"], sources, identify_shards(index))


def measure_input_speed(dataset: tf.data.Dataset, seconds: float = 5.0) -> float:
    """Measure how fast a dataset of `Images` yields images that are not used.

    Parameters
    ----------
    dataset : tf.data.Dataset
        A dataset of `Images`.
    seconds : float
        How long to measure, unless the dataset ends sooner.

    Returns
    -------
    float
        Images per second, from the second batch on.

    Raises
    ------
    ValueError
        There is no second batch.
    """
    batches = iter(dataset)
    # Up to the first batch, buffers are filled and files are found.
    next(batches, None)
    begin = time.perf_counter()
    images = 0
    for pixels, *_ in batches:
        images += len(pixels)
        if time.perf_counter() - begin >= seconds:
            break
    if not images:
        raise ValueError(
            "The input has only one batch, and its speed is measured from the second"
            " batch on."
        )
    return images / (time.perf_counter() - begin)
