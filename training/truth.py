"""Read the class of each image of a flat folder from a ground-truth file.

Names of images and classes are matched exactly first. A file that can be read in two
ways is refused, because nobody would notice a wrong class.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

KAGGLE_TRUTH = "LOC_val_solution.csv"
PLAIN_TRUTH = "val.txt"
DEVKIT_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


def read_ground_truth(
    data: Path, folder: Path, names: Sequence[str], classes: Sequence[str]
) -> list[str] | None:
    """Find the classes of the images of a flat folder.

    Parameters
    ----------
    data : pathlib.Path
        Folder with the ground-truth file, directly in it or up to two levels below.
    folder : pathlib.Path
        Folder of the images.
    names : sequence of str
        Names of the images.
    classes : sequence of str
        Names of the classes that are trained, sorted.

    Returns
    -------
    list of str or None
        A class for each of ``names``; None if there is no such file.

    Raises
    ------
    FileNotFoundError, ValueError
        The file is not as expected, lacks an image, or can be read in two ways.
    """
    kaggle = _find_file(data, KAGGLE_TRUTH)
    plain = _find_file(data, PLAIN_TRUTH)
    devkit = _find_file(data, DEVKIT_TRUTH)
    if kaggle:
        return _look_up(kaggle, _read_kaggle_truth(kaggle), folder, names)
    if plain:
        answers = _name_classes(plain, _read_plain_truth(plain), classes)
        return _look_up(plain, answers, folder, names)
    if devkit is None:
        return None
    answers_in_order = _read_devkit_truth(devkit, _find_file(data, "meta.mat"), data)
    _check_order(devkit, answers_in_order, folder, names)
    return answers_in_order


def _find_file(data: Path, name: str) -> Path | None:
    """Find a file in a folder or up to two levels below, where archives unpack to."""
    # Nearest levels first.
    for pattern in (name, f"*/{name}", f"*/*/{name}"):
        paths = sorted(data.glob(pattern))
        if len({path.read_bytes() for path in paths}) > 1:
            raise ValueError(
                f"{data} holds different files {name}: {paths[0]} and {paths[1]}."
                " Remove all but the correct one."
            )
        if paths:
            return paths[0]
    return None


# Lines of a file: the name of an image, and its class.
Lines = list[tuple[str, str]]


def _read_kaggle_truth(path: Path) -> Lines:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            # The class is followed by the corners of a box.
            return [
                (row["ImageId"], row["PredictionString"].split()[0])
                for row in csv.DictReader(file)
            ]
    except (
        AttributeError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
        csv.Error,
    ) as error:
        raise _describe_bad_truth(path, error) from error


def _read_plain_truth(path: Path) -> Lines:
    try:
        text = path.read_text(encoding="utf-8-sig")
        # Image names may contain spaces; names of class folders seldom do.
        pairs = [line.rsplit(None, 1) for line in text.splitlines() if line.strip()]
        return [(name.strip(), answer) for name, answer in pairs]
    except ValueError as error:
        raise _describe_bad_truth(path, error) from error


def _name_classes(path: Path, lines: Lines, classes: Sequence[str]) -> Lines:
    """Turn class numbers into class names, where the answers are numbers."""
    answers = {answer for _, answer in lines}
    named = answers & set(classes)
    numbers = {answer for answer in answers - named if answer.isdecimal()}
    if not numbers:
        return lines
    if named or any(name.isdecimal() for name in classes):
        raise ValueError(
            f"{path} can be read in two ways: {min(numbers)} is not the name of a"
            f" class folder, but {min(named or set(classes))} is one. Write the name of"
            " the folder after each image."
        )
    # Caffe's lists count the classes from 0, in the order of their names.
    values = {int(number) for number in numbers}
    if 0 not in values or max(values) >= len(classes):
        raise ValueError(
            f"{path} has class numbers from {min(values)} to {max(values)}, but there"
            f" are {len(classes)} classes, counted from 0 in the order of their names;"
            " if 0 is missing, they may have been counted from 1. Write the name of"
            " the folder after each image."
        )
    return [
        (name, classes[int(answer)] if answer in numbers else answer)
        for name, answer in lines
    ]


def _read_devkit_truth(path: Path, meta: Path | None, data: Path) -> list[str]:
    if meta is None:
        raise FileNotFoundError(
            f"{path} numbers the classes in the devkit's own order, which is not that"
            " of the wnids. The devkit's meta.mat says which class has which number:"
            f" put it in {data} too."
        )
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    bad = (IndexError, KeyError, TypeError, ValueError, NotImplementedError)
    try:
        synsets = loadmat(meta, squeeze_me=True)["synsets"]
        wnids = {
            int(synset["ILSVRC2012_ID"]): str(synset["WNID"]) for synset in synsets
        }
    except (*bad, MatReadError) as error:
        raise _describe_bad_truth(meta, error) from error
    try:
        with open(path, encoding="utf-8") as file:
            return [wnids[int(line)] for line in file]
    except bad as error:
        raise _describe_bad_truth(path, error) from error


def _check_order(
    path: Path, answers: Sequence[str], folder: Path, names: Sequence[str]
) -> None:
    # The devkit's lines have no names, but are in the order of the images.
    if len(answers) != len(names):
        raise ValueError(
            f"{path} has {len(answers)} lines, but {folder} has {len(names)} images."
        )
    lengths = {len(Path(name).stem) for name in names}
    if len(lengths) > 1:
        raise ValueError(
            f"{path} has no image names: its lines are in the order of the images, but"
            f" those in {folder} can be ordered in two ways, because their names differ"
            f" in length. Give the classes in {PLAIN_TRUTH}, as NAME CLASS."
        )


def _describe_bad_truth(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is not as expected: {type(error).__name__}: {error}")


def _look_up(path: Path, lines: Lines, folder: Path, names: Sequence[str]) -> list[str]:
    """Look up the class of each image, by its name with or without suffix."""
    exact, stems = _index_lines(lines)
    shared = defaultdict(list)
    for name in names:
        shared[Path(name).stem].append(name)
    answers: list[str] = []
    missing: list[str] = []
    for name in names:
        matches = exact.get(name)
        if not matches:
            # Kaggle's table has no suffix; a dot may belong to the name, too.
            stem = Path(name).stem
            matches = exact.get(stem) or stems.get(stem) or set()
            if matches and len(shared[stem]) > 1:
                raise ValueError(
                    f"{path}: {stem} may be {' or '.join(shared[stem])} in {folder}."
                    " Write the names with their suffixes."
                )
        if len(matches) > 1:
            raise ValueError(
                f"{path} has several classes for {name}: {', '.join(sorted(matches))}."
            )
        missing += [] if matches else [name]
        answers += matches
    if missing:
        raise ValueError(
            f"{path} does not name {len(missing)} of {len(names)} images in {folder},"
            f" the first {missing[0]}."
        )
    return answers


def _index_lines(lines: Lines) -> tuple[Mapping[str, set[str]], Mapping[str, set[str]]]:
    """Index the classes by the name in a line, and by that name without suffix."""
    exact: dict[str, set[str]] = defaultdict(set)
    stems: dict[str, set[str]] = defaultdict(set)
    for line, answer in lines:
        # Some lists have a folder before the name.
        name = line.replace("\\", "/").rpartition("/")[2]
        exact[name].add(answer)
        stems[Path(name).stem].add(answer)
    return exact, stems
