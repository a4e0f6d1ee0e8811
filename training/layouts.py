"""List the images of ImageNet and their classes, in the usual layouts.

Only file names and ground truth are read here.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stratonet.messages import shorten_list
from training.truth import KAGGLE_TRUTH, PLAIN_TRUTH, read_ground_truth

SUFFIXES = (".jpeg", ".jpg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp")
# Files that desktops leave in folders they have shown, and files that list classes.
NO_IMAGES = ("thumbs.db", "desktop.ini", PLAIN_TRUTH, KAGGLE_TRUTH.lower())
LAYOUTS = (
    "Known layouts: train/<wnid>/*.JPEG with val/<wnid>/*.JPEG; the same with"
    " val/*.JPEG and a ground-truth file (LOC_val_solution.csv, val.txt, or"
    " ILSVRC2012_validation_ground_truth.txt with meta.mat); Kaggle's"
    " ILSVRC/Data/CLS-LOC; shards of python -m training records."
)


@dataclass(frozen=True)
class Listing:
    """The image files of a folder.

    Attributes
    ----------
    root : pathlib.Path
        The folder that holds the splits: the given folder, or one below it.
    classes : list of str
        WordNet ids, sorted: the folders of ``train``, or without ``train`` the classes
        of the validation images.
    names : dict of str to numpy.ndarray of bytes
        Split to file names relative to ``root``.
    labels : dict of str to numpy.ndarray of int64
        Split to class numbers, in the order of ``names``.
    sizes : dict of str to numpy.ndarray of int64
        Split to lengths of the files in bytes, in the order of ``names``; -1 for a link
        whose target does not exist.
    skip_notes : list of str
        A line about each folder that holds files that are not read.
    """

    root: Path
    classes: list[str]
    names: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    sizes: dict[str, np.ndarray]
    skip_notes: list[str]

    def identify(self) -> str:
        """Return a digest of names, classes and lengths; a copy elsewhere has the same.

        It uses lengths, not times or contents: copies have the same, and those of a
        million files are read quickly.
        """
        digest = hashlib.sha256("\n".join(self.classes).encode(errors="replace"))
        for split in sorted(self.names):
            rows = zip(self.names[split], self.labels[split], self.sizes[split])
            for name, label, size in rows:
                digest.update(b"%s %d %d\n" % (name, label, size))
        return digest.hexdigest()


class _Content(NamedTuple):
    """The content of a folder, without hidden files and folders."""

    folders: list[str]
    images: list[str]
    others: list[str]


def list_files(data: Path, splits: Sequence[str]) -> Listing:
    """List the image files of each split with their class numbers.

    Parameters
    ----------
    data : pathlib.Path
        A folder in one of the known layouts.
    splits : sequence of {"train", "val"}
        Splits to list.

    Returns
    -------
    Listing

    Raises
    ------
    FileNotFoundError, ValueError
        See `input.open_images`.
    """
    # Kaggle's archive unpacks to this folder, with its ground truth next to ILSVRC.
    kaggle = data / "ILSVRC" / "Data" / "CLS-LOC"
    root = kaggle if kaggle.is_dir() else data
    train = root / "train"
    classes = _list_content(train).folders if train.is_dir() else []
    skip_notes: list[str] = []
    listed = {
        split: _list_split(data, root, split, classes, skip_notes) for split in splits
    }
    # If only validation images are opened, there may be no train folder.
    classes = classes or _collect_classes(listed)
    if len(classes) < 2:
        raise ValueError(
            f"{data} has only one class, {classes[0]}. At least two are needed, each in"
            f" a folder. {_describe_folder(root / splits[0] / classes[0])}"
        )
    numbers = {wnid: number for number, wnid in enumerate(classes)}
    names, labels, sizes = {}, {}, {}
    for split, (files, wnids) in listed.items():
        unknown = sorted(set(wnids) - set(numbers))
        if unknown:
            raise ValueError(
                f"{root / split} has images of classes that are not in train:"
                f" {', '.join(unknown)}"
            )
        names[split] = np.array([os.fsencode(name) for name in files])
        labels[split] = np.array([numbers[wnid] for wnid in wnids], np.int64)
        sizes[split] = _measure_sizes(root, names[split])
    return Listing(root, classes, names, labels, sizes, skip_notes)


def _measure_sizes(root: Path, names: np.ndarray) -> np.ndarray:
    def measure(name: bytes) -> int:
        try:
            return os.stat(os.path.join(os.fsencode(root), name)).st_size
        except OSError:
            return -1

    return np.array([measure(name) for name in names], np.int64)


def _collect_classes(listed: Mapping[str, tuple[list[str], list[str]]]) -> list[str]:
    classes: set[str] = set()
    for _, wnids in listed.values():
        classes.update(wnids)
    return sorted(classes)


def _list_content(folder: Path) -> _Content:
    content = _Content([], [], [])
    # Tools leave hidden folders such as .cache.
    entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.is_dir():
            content.folders.append(entry.name)
        elif entry.name.lower().endswith(SUFFIXES):
            content.images.append(entry.name)
        elif entry.name.lower() not in NO_IMAGES:
            content.others.append(entry.name)
    return content


def _list_split(
    data: Path,
    root: Path,
    split: str,
    classes: list[str],
    skip_notes: list[str],
) -> tuple[list[str], list[str]]:
    """List names relative to ``root``, and the wnid of each."""
    folder = root / split
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder. {_describe_folder(root)}")
    # Layouts have a folder for each class, or all images in one folder.
    content = _list_content(folder)
    if content.folders and content.images:
        raise ValueError(
            f"{folder} has both folders of classes and images next to them."
            f" {_describe_folder(folder)}"
        )
    skip_notes += _describe_others(folder, [], content.others)
    # Every layout has folders of training images; only validation images may be flat.
    if content.images and split != "train":
        truth = read_ground_truth(data, folder, content.images, classes)
        if truth is None:
            raise FileNotFoundError(
                f"{folder} has no folders of classes, and {data} holds no file that"
                f" lists the classes. {LAYOUTS}"
            )
        return [f"{split}/{name}" for name in content.images], truth
    if not content.folders:
        raise ValueError(
            f"{folder} has no folders of classes with images."
            f" {_describe_folder(folder)}"
        )
    return _list_class_folders(folder, split, content.folders, skip_notes)


def _list_class_folders(
    folder: Path, split: str, wnids: Sequence[str], skip_notes: list[str]
) -> tuple[list[str], list[str]]:
    files: list[str] = []
    classes: list[str] = []
    for wnid in wnids:
        folders, images, others = _list_content(folder / wnid)
        if not images:
            raise ValueError(
                f"{folder / wnid} has no images ({', '.join(SUFFIXES)})."
                f" {_describe_folder(folder / wnid)}"
            )
        skip_notes += _describe_others(folder / wnid, folders, others)
        files += [f"{split}/{wnid}/{name}" for name in images]
        classes += [wnid] * len(images)
    return files, classes


def _describe_others(
    folder: Path, folders: Sequence[str], others: Sequence[str]
) -> Iterator[str]:
    """Yield a line that says what in a folder is not read, if anything."""
    parts = []
    if folders:
        parts.append(f"{len(folders)} folders ({shorten_list(folders, 3)})")
    by_suffix: dict[str, list[str]] = defaultdict(list)
    for name in others:
        by_suffix[Path(name).suffix].append(name)
    for suffix, names in by_suffix.items():
        description = suffix or "without suffix"
        parts.append(f"{len(names)} files {description} ({shorten_list(names, 2)})")
    if parts:
        yield f"Not read in {folder}: {'; '.join(parts)}."


def _describe_folder(folder: Path) -> str:
    """Describe the content of an unexpected folder, and the known layouts."""
    names = sorted(entry.name for entry in os.scandir(folder))
    # Five are enough to recognise a folder; some hold a million.
    content = ", ".join(names[:5]) or "nothing"
    if len(names) > 5:
        content += ", ..."
    return f"Found in {folder}: {content}. {LAYOUTS}"
