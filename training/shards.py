"""A folder of shards: what it is known by, and whether it is whole.

Nothing here needs TensorFlow. A TFRecord file is a chain of records, each with its
length (8 bytes) and the sum of that (4) in front, and a sum of the content (4) behind.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.kept import DamagedFile, read_json

# The index of shards appears when all of them are written, under its final name.
INDEX, UNFINISHED = "images.json", "images.unfinished.json"
FIELDS = ("image_size", "classes", "corrupt", "splits")
OF_SPLIT = ("images", "shards", "by_class", "bytes")
ADVICE = (
    "Run python -m training records with the same folders again, which writes what is"
    " not whole anew, or copy the shards again."
)


def name_shards(folder: Path, split: str, count: int) -> list[Path]:
    """Give the paths of all ``count`` shards of a split."""
    names = (f"{split}-{number:05}-of-{count:05}" for number in range(count))
    return [folder / f"{name}.tfrecord" for name in names]


def is_shard_folder(folder: Path) -> bool:
    """Tell whether a folder holds shards, or some of them.

    By what is in it: many data sets have an ``images.json`` of their own.
    """
    if any(_is_index(folder / name) for name in (INDEX, UNFINISHED)):
        return True
    # Shards alone are a folder whose index was lost, which is not one of images either.
    has_images = any((folder / split).is_dir() for split in ("train", "val"))
    return not has_images and any(folder.glob("*.tfrecord"))


def _is_index(path: Path) -> bool:
    try:
        read_json(path, FIELDS, "")
    except (OSError, DamagedFile):
        return False
    return True


def read_index(folder: Path) -> dict[str, Any]:
    """Read what a folder of shards holds.

    Parameters
    ----------
    folder : pathlib.Path
        Of the shards.

    Returns
    -------
    dict
        ``image_size``, ``seed``, ``classes``, ``corrupt`` and, for each of ``splits``,
        number of ``images`` and ``shards``, a digest of the ``files``, how many images
        each class has (``by_class``), and the lengths of the shards (``bytes``).

    Raises
    ------
    ValueError
        It is not there, or damaged.
    """
    if not (folder / INDEX).exists():
        raise ValueError(
            f"{folder}: the shards are incomplete, since there is no {INDEX}. Run"
            " python -m training records with the same folders again; it resumes."
        )
    # Written last: where it is, all shards were.
    index = read_json(folder / INDEX, FIELDS, ADVICE)
    for split, entry in index["splits"].items():
        lacking = [name for name in OF_SPLIT if name not in entry]
        if lacking:
            raise DamagedFile(
                f"{folder / INDEX} does not say {', '.join(lacking)} of {split}: it is"
                " of an earlier version. Run python -m training records into another"
                " folder."
            )
    return index


def find_shards(folder: Path, index: Mapping[str, Any], split: str) -> list[Path]:
    """Find the shards of a split, and check that each is as long as it was written.

    Parameters
    ----------
    folder : pathlib.Path
        Of the shards.
    index : dict
        From `read_index`.
    split : {"train", "val"}
        Which.

    Returns
    -------
    list of pathlib.Path

    Raises
    ------
    FileNotFoundError
        One is missing.
    ValueError
        One is shorter or longer.
    """
    entry = index["splits"][split]
    paths = name_shards(folder, split, entry["shards"])
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {len(missing)} of {len(paths)} shards, the first"
            f" {missing[0]}. {ADVICE}"
        )
    for path, expected in zip(paths, entry["bytes"]):
        size = path.stat().st_size
        if size != expected:
            raise DamagedFile(
                f"{path} is damaged, not written or copied whole: it has {size:,} of"
                f" {expected:,} bytes. {ADVICE}"
            )
    return paths


def count_records(path: Path) -> int:
    """Count the records of a shard, of which nothing but the lengths is read.

    Parameters
    ----------
    path : pathlib.Path
        A TFRecord file.

    Returns
    -------
    int
        -1 where the file ends within a record.
    """
    size = path.stat().st_size
    count = end = 0
    with open(path, "rb") as file:
        while end < size:
            file.seek(end)
            header = file.read(8)
            if len(header) < 8:
                return -1
            (length,) = struct.unpack("<Q", header)
            end += 8 + 4 + length + 4
            count += 1
    return count if end == size else -1


def identify_shards(index: Mapping[str, Any]) -> str:
    """Make a digest of what shards hold; a copy elsewhere has the same."""
    return hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()
