"""Recognise folders of shards, and check that they are complete.

This module does not need TensorFlow. A TFRecord file is a chain of records: length (8
bytes), checksum of the length (4), content, checksum of the content (4).
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.stored_files import DamagedFile, read_json

# The index gets its final name once all shards are written.
INDEX, UNFINISHED = "images.json", "images.unfinished.json"
FIELDS = ("image_size", "classes", "corrupt", "splits")
SPLIT_FIELDS = ("images", "shards", "by_class", "bytes")
ADVICE = (
    "Run python -m training records with the same folders again, which rewrites"
    " incomplete shards, or copy the shards again."
)


def name_shards(folder: Path, split: str, count: int) -> list[Path]:
    """Return the paths of all ``count`` shards of a split."""
    names = (f"{split}-{number:05}-of-{count:05}" for number in range(count))
    return [folder / f"{name}.tfrecord" for name in names]


def is_shard_folder(folder: Path) -> bool:
    """Tell whether a folder holds shards, or some of them.

    Judged by the content of ``images.json``: many data sets have a file of that name.
    """
    if any(_is_index(folder / name) for name in (INDEX, UNFINISHED)):
        return True
    # Shards without an index, but also without folders of images: the index was lost.
    has_images = any((folder / split).is_dir() for split in ("train", "val"))
    return not has_images and any(folder.glob("*.tfrecord"))


def _is_index(path: Path) -> bool:
    try:
        read_json(path, FIELDS, "")
    except (OSError, DamagedFile):
        return False
    return True


def read_index(folder: Path) -> dict[str, Any]:
    """Read the index of a folder of shards.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the shards.

    Returns
    -------
    dict
        ``image_size``, ``seed``, ``classes``, ``corrupt`` and, for each of ``splits``,
        number of ``images`` and ``shards``, a digest of the ``files``, the number of
        images per class (``by_class``), and the lengths of the shards (``bytes``).

    Raises
    ------
    ValueError
        The index is missing or damaged.
    """
    if not (folder / INDEX).exists():
        raise ValueError(
            f"{folder}: the shards are incomplete, because {INDEX} is missing. Run"
            " python -m training records with the same folders again; it resumes."
        )
    # Written last: if it exists, all shards were written.
    index = read_json(folder / INDEX, FIELDS, ADVICE)
    for split, entry in index["splits"].items():
        lacking = [name for name in SPLIT_FIELDS if name not in entry]
        if lacking:
            raise DamagedFile(
                f"{folder / INDEX} lacks {', '.join(lacking)} for {split}: it is from"
                " an earlier version. Run python -m training records with another"
                " output folder."
            )
    return index


def find_shards(folder: Path, index: Mapping[str, Any], split: str) -> list[Path]:
    """Find the shards of a split, and check that each still has its original length.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the shards.
    index : dict
        From `read_index`.
    split : {"train", "val"}
        Name of the split.

    Returns
    -------
    list of pathlib.Path

    Raises
    ------
    FileNotFoundError
        A shard is missing.
    ValueError
        A shard is shorter or longer.
    """
    entry = index["splits"][split]
    paths = name_shards(folder, split, entry["shards"])
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {len(missing)} of {len(paths)} shards, the first of them"
            f" {missing[0]}. {ADVICE}"
        )
    for path, expected in zip(paths, entry["bytes"]):
        size = path.stat().st_size
        if size != expected:
            raise DamagedFile(
                f"{path} is damaged, or was not completely written or copied: it has"
                f" {size:,} of {expected:,} bytes. {ADVICE}"
            )
    return paths


def count_records(path: Path) -> int:
    """Count the records of a shard, reading only their lengths.

    Parameters
    ----------
    path : pathlib.Path
        A TFRecord file.

    Returns
    -------
    int
        -1 if the file ends within a record.
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
    """Return a digest of the content of shards; a copy elsewhere has the same."""
    return hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()
