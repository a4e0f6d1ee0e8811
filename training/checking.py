"""Which image files are corrupt: all are read and decoded once, before training."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from stratonet.files.atomic import write_atomically
from training.pixels import decode_image
from training.sources import ImageFiles


def find_corrupt_files(
    folder: Path, names: np.ndarray, checked: Path | None
) -> dict[str, str]:
    """Find the image files that cannot be decoded.

    Parameters
    ----------
    folder : pathlib.Path
        To which the names are relative.
    names : numpy.ndarray of bytes
        File names.
    checked : pathlib.Path, optional
        JSON file that keeps the result. It holds as long as names and sizes are the
        same.

    Returns
    -------
    dict of str to str
        Name to the reason, in TensorFlow's words.
    """
    digest = _digest_names(folder, names) if checked else ""
    if checked and checked.exists():
        kept = json.loads(checked.read_text(encoding="utf-8"))
        if kept.get("digest") == digest:
            return kept["corrupt"]
    corrupt = _decode_all(ImageFiles(folder, names, np.arange(len(names))))
    if checked:
        kept = {"images": len(names), "digest": digest, "corrupt": corrupt}
        with write_atomically(checked) as unfinished:
            unfinished.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    return corrupt


def _digest_names(folder: Path, names: np.ndarray) -> str:
    # Sizes, not times or contents: copies keep them, and a million are quickly read.
    digest = hashlib.sha256()
    for name in names:
        size = os.stat(os.path.join(os.fsencode(folder), name)).st_size
        digest.update(b"%s %d\n" % (name, size))
    return digest.hexdigest()


def _decode_all(source: ImageFiles) -> dict[str, str]:
    def decode_element(name: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        contents, number = source.read((name, number))
        # tf.data would not do a decoding whose result nobody uses.
        return tf.where(tf.size(decode_image(contents)) > 0, number, -1)

    # In parallel, in the order of the files, and past those that fail.
    decoded = source.draw().map(decode_element, tf.data.AUTOTUNE).ignore_errors()
    bad = np.ones(len(source), bool)
    with tqdm(total=len(source), desc="checking", unit=" images") as bar:
        for numbers in decoded.batch(64).as_numpy_iterator():
            bad[numbers] = False
            bar.update(len(numbers))
        bar.update(np.count_nonzero(bad))
    corrupt = {}
    # ignore_errors drops the reasons: the few bad files are decoded again.
    for number in np.flatnonzero(bad):
        try:
            decode_element(source.names[number], number)
        except tf.errors.OpError as error:
            name = os.fsdecode(source.names[number])
            corrupt[name] = _shorten_message(error.message)
    return corrupt


def _shorten_message(message: str) -> str:
    """Take out the names of TensorFlow's own operations."""
    return re.sub(r"{{.*?}}|\[Op:.*?\]", "", message).strip()
