"""Where the images of ImageNet lie, and of which classes they are.

In the layouts that people have; nothing but file names and ground truth is read here.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SUFFIXES = (".jpeg", ".jpg", ".png")
LAYOUTS = (
    "Known layouts: train/<wnid>/*.JPEG with val/<wnid>/*.JPEG; the same with"
    " val/*.JPEG and a ground-truth file (LOC_val_solution.csv, val.txt, or"
    " ILSVRC2012_validation_ground_truth.txt with meta.mat); Kaggle's"
    " ILSVRC/Data/CLS-LOC; shards of python -m training records."
)
KAGGLE_TRUTH = "LOC_val_solution.csv"
PLAIN_TRUTH = "val.txt"
DEVKIT_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


@dataclass(frozen=True)
class Listing:
    """The image files of a folder.

    Attributes
    ----------
    root : pathlib.Path
        The folder that holds the splits: the one that was given, or one below it.
    classes : list of str
        WordNet ids, sorted: the folders of ``train``. Without that, the classes of the
        validation images.
    names : dict of str to numpy.ndarray of bytes
        Split to file names relative to ``root``.
    labels : dict of str to numpy.ndarray of int64
        Split to class numbers, in the order of ``names``.
    """

    root: Path
    classes: list[str]
    names: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]


def list_files(data: Path, splits: Sequence[str]) -> Listing:
    """List the image files of each split with their class numbers.

    Parameters
    ----------
    data : pathlib.Path
        A folder in one of the known layouts.
    splits : sequence of {"train", "val"}
        Which to list.

    Returns
    -------
    Listing

    Raises
    ------
    FileNotFoundError, ValueError
        See `input.open_images`.
    """
    # Kaggle's archive is unpacked to this, with its ground truth beside ILSVRC.
    kaggle = data / "ILSVRC" / "Data" / "CLS-LOC"
    root = kaggle if kaggle.is_dir() else data
    classes = _list_folders(root / "train")
    listed = {split: _list_split(data, root, split, classes) for split in splits}
    # Where only validation images were opened, there is no train.
    classes = classes or _collect_classes(listed)
    numbers = {wnid: number for number, wnid in enumerate(classes)}
    names, labels = {}, {}
    for split, (files, wnids) in listed.items():
        unknown = sorted(set(wnids) - set(numbers))
        if unknown:
            raise ValueError(
                f"{root / split} has images of classes that are not in train:"
                f" {', '.join(unknown)}"
            )
        names[split] = np.array([os.fsencode(name) for name in files])
        labels[split] = np.array([numbers[wnid] for wnid in wnids], np.int64)
    return Listing(root, classes, names, labels)


def _collect_classes(listed: Mapping[str, tuple[list[str], list[str]]]) -> list[str]:
    classes: set[str] = set()
    for _, wnids in listed.values():
        classes.update(wnids)
    return sorted(classes)


def _list_folders(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(
        entry.name
        for entry in os.scandir(folder)
        # Tools leave .cache and the like.
        if entry.is_dir() and not entry.name.startswith(".")
    )


def _list_images(folder: Path) -> list[str]:
    names = (entry.name for entry in os.scandir(folder) if not entry.is_dir())
    return sorted(
        name
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    )


def _list_split(
    data: Path, root: Path, split: str, classes: list[str]
) -> tuple[list[str], list[str]]:
    """List names relative to ``root``, and the wnid of each."""
    folder = root / split
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder. {_describe_folder(root)}")
    # Two kinds of layouts: a folder for each class, or all images in one.
    wnids, flat = _list_folders(folder), _list_images(folder)
    if wnids and flat:
        raise ValueError(
            f"{folder} has both folders of classes and images beside them."
            f" {_describe_folder(folder)}"
        )
    # Training images are in folders in every layout; only validation images are flat.
    if flat and split != "train":
        truth = _read_ground_truth(data, folder, flat, classes)
        return [f"{split}/{name}" for name in flat], truth
    if not wnids:
        raise ValueError(
            f"{folder} has no folders of classes with images."
            f" {_describe_folder(folder)}"
        )
    return _list_class_folders(folder, split, wnids)


def _list_class_folders(
    folder: Path, split: str, wnids: Sequence[str]
) -> tuple[list[str], list[str]]:
    files: list[str] = []
    classes: list[str] = []
    for wnid in wnids:
        names = _list_images(folder / wnid)
        if not names:
            raise ValueError(
                f"{folder / wnid} has no images ({', '.join(SUFFIXES)})."
                f" {_describe_folder(folder / wnid)}"
            )
        files += [f"{split}/{wnid}/{name}" for name in names]
        classes += [wnid] * len(names)
    return files, classes


def _describe_folder(folder: Path) -> str:
    """Say what is in a folder that is not as expected, and what would be."""
    names = sorted(entry.name for entry in os.scandir(folder))
    # Five are enough to recognise a folder; some hold a million.
    content = ", ".join(names[:5]) or "nothing"
    if len(names) > 5:
        content += ", ..."
    return f"Found in {folder}: {content}. {LAYOUTS}"


def _read_ground_truth(
    data: Path, folder: Path, names: Sequence[str], classes: Sequence[str]
) -> list[str]:
    """Find the wnids of the images of a flat folder, in the order of ``names``."""
    kaggle = _find_file(data, KAGGLE_TRUTH)
    plain = _find_file(data, PLAIN_TRUTH)
    devkit = _find_file(data, DEVKIT_TRUTH)
    if kaggle:
        return _look_up(kaggle, _read_kaggle_truth(kaggle), folder, names)
    if plain:
        return _look_up(plain, _read_plain_truth(plain, classes), folder, names)
    if devkit is None:
        raise FileNotFoundError(
            f"{folder} has no folders of classes, and {data} holds no file that says"
            f" the classes. {LAYOUTS}"
        )
    wnids = _read_devkit_truth(devkit, _find_file(data, "meta.mat"), data)
    # The devkit's lines have no names: they are in the order of the images.
    if len(wnids) != len(names):
        raise ValueError(
            f"{devkit} has {len(wnids)} lines, and {folder} has {len(names)} images."
        )
    return wnids


def _find_file(data: Path, name: str) -> Path | None:
    """Find a file in a folder or up to two levels below: archives unpack to these."""
    # The nearest first.
    for pattern in (name, f"*/{name}", f"*/*/{name}"):
        paths = sorted(data.glob(pattern))
        if paths:
            return paths[0]
    return None


def _read_kaggle_truth(path: Path) -> dict[str, str]:
    truth = {}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                # After the class come the corners of a box.
                truth[row["ImageId"]] = row["PredictionString"].split()[0]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise _describe_bad_truth(path, error) from error
    return truth


def _read_plain_truth(path: Path, classes: Sequence[str]) -> dict[str, str]:
    truth = {}
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                name, answer = line.split()
                # Caffe's lists have class numbers, others have wnids.
                wnid = classes[int(answer)] if answer.isdigit() else answer
                truth[Path(name).stem] = wnid
    except (IndexError, ValueError) as error:
        raise _describe_bad_truth(path, error) from error
    return truth


def _read_devkit_truth(path: Path, meta: Path | None, data: Path) -> list[str]:
    if meta is None:
        raise FileNotFoundError(
            f"{path} has numbers of the devkit's own order of classes, which is not"
            " that of the wnids. The devkit's meta.mat says which class has which"
            f" number: put it in {data} too."
        )
    from scipy.io import loadmat

    try:
        synsets = loadmat(meta, squeeze_me=True)["synsets"]
        wnids = {
            int(synset["ILSVRC2012_ID"]): str(synset["WNID"]) for synset in synsets
        }
        with open(path, encoding="utf-8") as file:
            return [wnids[int(line)] for line in file]
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise _describe_bad_truth(path, error) from error


def _describe_bad_truth(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is not as expected: {type(error).__name__}: {error}")


def _look_up(
    path: Path, truth: Mapping[str, str], folder: Path, names: Sequence[str]
) -> list[str]:
    # Without the suffix: Kaggle's table has none.
    missing = [name for name in names if Path(name).stem not in truth]
    if missing:
        raise ValueError(
            f"{path} does not name {len(missing)} of {len(names)} images in {folder},"
            f" the first {missing[0]}."
        )
    return [truth[Path(name).stem] for name in names]
