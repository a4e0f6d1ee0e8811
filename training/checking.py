"""Find corrupt image files: read and decode all of them once, before training."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from stratonet.files.atomic import write_atomically
from training.pixels import decode_image
from training.sources import ImageFiles, Shards, Source
from training.stored_files import DamagedFile, read_json


def find_corrupt_files(
    folder: Path, names: np.ndarray, sizes: np.ndarray, checked: Path | None
) -> dict[str, str]:
    """Find the image files that cannot be decoded.

    Parameters
    ----------
    folder : pathlib.Path
        Folder to which the names are relative.
    names : numpy.ndarray of bytes
        File names.
    sizes : numpy.ndarray of int
        Their lengths in bytes.
    checked : pathlib.Path, optional
        JSON file that stores the result. The result stays valid as long as names and
        sizes are the same.

    Returns
    -------
    dict of str to str
        File name to the reason, in TensorFlow's words.
    """
    digest = _digest_names(names, sizes) if checked else ""
    if checked:
        earlier = _read_checked(checked)
        if earlier.get("digest") == digest:
            return earlier["corrupt"]
    corrupt = find_undecodable(ImageFiles(folder, names, np.arange(len(names))))
    if checked:
        result = {"images": len(names), "digest": digest, "corrupt": corrupt}
        with write_atomically(checked) as unfinished:
            unfinished.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return corrupt


def _read_checked(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, ("digest", "corrupt"), "")
    except (FileNotFoundError, DamagedFile):
        # All files are then read again, and this one is rewritten.
        return {}


def _digest_names(names: np.ndarray, sizes: np.ndarray) -> str:
    # Sizes, not times or contents: copies have the same, and they are read quickly.
    digest = hashlib.sha256()
    for name, size in zip(names, sizes):
        digest.update(b"%s %d\n" % (name, size))
    return digest.hexdigest()


def find_undecodable(source: ImageFiles) -> dict[str, str]:
    """Find the files of a source that cannot be decoded.

    Parameters
    ----------
    source : ImageFiles
        Files to read.

    Returns
    -------
    dict of str to str
        Name to the reason, in TensorFlow's words.
    """
    source = dataclasses.replace(source, labels=np.arange(len(source)))

    def decode_element(name: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        contents, number = source.read((name, number))
        # tf.data would skip a decoding whose result is not used.
        return tf.where(tf.size(decode_image(contents)) > 0, number, -1)

    # In parallel, in the order of the files, skipping those that fail.
    decoded = source.draw().map(decode_element, tf.data.AUTOTUNE).ignore_errors()
    is_bad = np.ones(len(source), bool)
    with tqdm(total=len(source), desc="checking", unit=" images") as bar:
        for numbers in decoded.batch(64).as_numpy_iterator():
            is_bad[numbers] = False
            bar.update(len(numbers))
        bar.update(np.count_nonzero(is_bad))
    corrupt = {}
    # ignore_errors drops the reasons, so the few bad files are decoded again.
    for number in np.flatnonzero(is_bad):
        try:
            decode_element(source.names[number], number)
        except tf.errors.OpError as error:
            name = os.fsdecode(source.names[number])
            corrupt[name] = _shorten_message(error.message)
    return corrupt


def find_damage(source: Source) -> str:
    """Find the first file of a source that cannot be read to its end.

    Parameters
    ----------
    source : Source
        Source to read completely.

    Returns
    -------
    str
        A sentence that names the file; empty if all can be read.
    """
    if isinstance(source, Shards):
        results = ((path, _read_shard(source, path)) for path in source.paths)
        path, reason = next((pair for pair in results if pair[1]), (None, ""))
    else:
        corrupt = find_undecodable(source)
        name, reason = next(iter(corrupt.items()), ("", ""))
        path = source.folder / name
    return f"{path} cannot be read: {reason.rstrip('.')}." if reason else ""


def _read_shard(source: Shards, path: Path) -> str:
    """Read a shard; return the reason why that fails, or an empty text."""
    try:
        for element in dataclasses.replace(source, paths=[path]).draw():
            decode_image(source.read(element)[0])
    except tf.errors.OpError as error:
        return _shorten_message(error.message)
    return ""


def _shorten_message(message: str) -> str:
    """Remove the names of TensorFlow's own operations from a message."""
    return re.sub(r"{{.*?}}|\[Op:.*?\]( name:\s*\w*)?", "", message).strip()
