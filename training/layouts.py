"""Where the images of ImageNet lie, and of which classes they are, in the layouts that people have."""

import csv
import os
from pathlib import Path

import numpy as np

SUFFIXES = (".jpeg", ".jpg", ".png")
LAYOUTS = (
    "Known layouts: train/<wnid>/*.JPEG with val/<wnid>/*.JPEG; the same with"
    " val/*.JPEG and a ground-truth file (LOC_val_solution.csv, val.txt, or"
    " ILSVRC2012_validation_ground_truth.txt with meta.mat); Kaggle's"
    " ILSVRC/Data/CLS-LOC; shards of python -m training records."
)


def list_files(data, splits):
    """The image files of each split with their class numbers. Nothing is read but file names and ground truth.

    Parameters
    ----------
    data : Path
    splits : sequence of {"train", "val"}

    Returns
    -------
    root : Path
        ``data``, or the folder below it that holds the splits.
    classes : list of str
        WordNet ids, sorted: the folders of ``train``. Without that, the classes of the
        validation images.
    files : dict
        Split to names relative to ``root`` (array of bytes) and class numbers (array of
        int64).

    Raises
    ------
    FileNotFoundError, ValueError
        See `input.open_images`.
    """
    kaggle = data / "ILSVRC" / "Data" / "CLS-LOC"
    root = kaggle if kaggle.is_dir() else data
    classes = _folders(root / "train")
    listed = {split: _list(data, root, split, classes) for split in splits}
    classes = classes or sorted(
        {wnid for _, wnids in listed.values() for wnid in wnids}
    )
    numbers = {wnid: number for number, wnid in enumerate(classes)}
    files = {}
    for split, (names, wnids) in listed.items():
        unknown = sorted(set(wnids) - set(numbers))
        if unknown:
            raise ValueError(
                f"{root / split} has images of classes that are not in train:"
                f" {', '.join(unknown)}"
            )
        encoded = np.array([os.fsencode(name) for name in names])
        files[split] = encoded, np.array([numbers[wnid] for wnid in wnids], np.int64)
    return root, classes, files


def _folders(folder):
    if not folder.is_dir():
        return []
    return sorted(
        entry.name
        for entry in os.scandir(folder)
        if entry.is_dir() and not entry.name.startswith(".")
    )


def _images(folder):
    names = (entry.name for entry in os.scandir(folder) if not entry.is_dir())
    return sorted(
        name
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    )


def _list(data, root, split, classes):
    """Names relative to ``root``, and the wnid of each."""

    def found(folder):
        names = sorted(entry.name for entry in os.scandir(folder))
        return (
            f"Found in {folder}:"
            f" {', '.join(names[:5]) or 'nothing'}{', ...' * (len(names) > 5)}."
            f" {LAYOUTS}"
        )

    folder = root / split
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder. {found(root)}")
    wnids, flat = _folders(folder), _images(folder)
    if wnids and flat:
        raise ValueError(
            f"{folder} has both folders of classes and images beside them."
            f" {found(folder)}"
        )
    if flat and split != "train":
        return [f"{split}/{name}" for name in flat], _ground_truth(
            data, folder, flat, classes
        )
    if not wnids:
        raise ValueError(
            f"{folder} has no folders of classes with images. {found(folder)}"
        )
    images = {wnid: _images(folder / wnid) for wnid in wnids}
    for wnid, names in images.items():
        if not names:
            raise ValueError(
                f"{folder / wnid} has no images ({', '.join(SUFFIXES)})."
                f" {found(folder / wnid)}"
            )
    pairs = [
        (f"{split}/{wnid}/{name}", wnid) for wnid in wnids for name in images[wnid]
    ]
    return tuple(zip(*pairs))


def _ground_truth(data, folder, names, classes):
    """The wnids of the images of a flat folder."""

    def find(name):
        places = (
            place
            for depth in ("", "*/", "*/*/")
            for place in sorted(data.glob(depth + name))
        )
        return next(places, None)

    def wnid(answer):
        return classes[int(answer)] if answer.isdigit() else answer

    kaggle, plain = find("LOC_val_solution.csv"), find("val.txt")
    devkit, meta = find("ILSVRC2012_validation_ground_truth.txt"), find("meta.mat")
    path = kaggle or plain or devkit
    if path is None:
        raise FileNotFoundError(
            f"{folder} is flat, and {data} holds no file that says the classes."
            f" {LAYOUTS}"
        )
    if path == devkit and meta is None:
        raise FileNotFoundError(
            f"{devkit} has numbers of the devkit's own order of classes, which is not"
            " that of the wnids. The devkit's meta.mat says which class has which"
            f" number: put it in {data} too."
        )
    with open(path, newline="", encoding="utf-8") as file:
        try:
            if path == kaggle:
                truth = {
                    row["ImageId"]: row["PredictionString"].split()[0]
                    for row in csv.DictReader(file)
                }
            elif path == plain:
                truth = {
                    Path(name).stem: wnid(answer)
                    for name, answer in map(str.split, file)
                }
            else:
                from scipy.io import loadmat

                synsets = loadmat(meta, squeeze_me=True)["synsets"]
                wnids = {
                    int(synset["ILSVRC2012_ID"]): str(synset["WNID"])
                    for synset in synsets
                }
                truth = [wnids[int(line)] for line in file]
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is not as expected: {type(error).__name__}: {error}"
            ) from error
    if path == devkit:
        if len(truth) != len(names):
            raise ValueError(
                f"{path} has {len(truth)} lines, and {folder} has {len(names)} images."
            )
        return truth
    missing = [name for name in names if Path(name).stem not in truth]
    if missing:
        raise ValueError(
            f"{path} says nothing of {len(missing)} images in {folder}, the first"
            f" {missing[0]}."
        )
    return [truth[Path(name).stem] for name in names]
