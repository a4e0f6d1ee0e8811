"""ImageNet as TFRecord shards.

Fewer and larger files, with the images already resized.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from stratonet.files.atomic import remove_unfinished, write_atomically
from training.images import Images
from training.input import open_images
from training.kept import read_json, refuse_output_in_data
from training.pixels import (
    compute_resized_side,
    decode_image,
    has_sixteen_bits,
    resize_image,
)
from training.shards import (
    ADVICE,
    FIELDS,
    INDEX,
    UNFINISHED,
    count_records,
    name_shards,
    read_index,
)


@dataclass(frozen=True)
class _Shard:
    """A file to write.

    Attributes
    ----------
    path : pathlib.Path
        Where.
    files : list of str
        Paths of the images in it.
    labels : numpy.ndarray of int
        Their class numbers.
    names : list of str
        Their paths below the folder of images.
    """

    path: Path
    files: list[str]
    labels: np.ndarray
    names: list[str]


def write_records(
    data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    image_size: int | None = None,
    per_shard: int = 1000,
    seed: int = 0,
    report: Callable[[str], object] = print,
) -> None:
    """Write the images of a folder as shards that `input.open_images` opens.

    If interrupted, call it again with the same arguments; it resumes. A shard holds
    tf.train.Examples: ``image`` (bytes), ``label`` (int64, class number), ``name``
    (bytes, the file's path below ``data``). The last file to appear is ``images.json``:
    classes, corrupt files, number of images, lengths of the shards.

    Parameters
    ----------
    data : str or path
        Folders of images, as `input.open_images` takes them.
    output : str or path
        Folder for the shards, made if missing.
    image_size : int, optional
        Of the networks to train: images are resized to 256/224 of it, as training would
        do, and stored as JPEG of quality 95 with full colour, or as PNG where they have
        16 bits. Default: the files go in as they are, and serve all sizes.
    per_shard : int
        Images per shard, about.
    seed : int
        Of the order of the training images over the shards. Validation images keep
        their order.
    report : callable
        Gets lines of text: corrupt images, and what was written.

    Raises
    ------
    OSError
        The disk is full, or ``output`` cannot be written. The message names the file.
    ValueError
        ``output`` holds shards of other images or settings, or ``data`` is not as it
        should be.
    """
    data, output = Path(data), Path(output)
    for name, value in (("image_size", image_size), ("per_shard", per_shard)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1. Received: {value}")
    refuse_output_in_data(data, output)
    output.mkdir(parents=True, exist_ok=True)
    # Its own name: images.json is the index, which says that all is written.
    images = open_images(data, checked=output / "checked.json", report=report)
    shards = {
        split: _plan_shards(images, data, output, split, per_shard, seed)
        for split in ("train", "val")
    }
    index = {
        "image_size": image_size,
        "seed": seed,
        "classes": images.classes,
        "corrupt": images.corrupt,
        "splits": {
            split: _describe_split(plan, len(images.classes))
            for split, plan in shards.items()
        },
    }
    _begin(output, index)
    with images.name_unreadable():
        _write_missing([*shards["train"], *shards["val"]], image_size)
    _finish(output, index, shards)
    train, val = (
        f"{images.count_images(split):,} in {len(plan):,}"
        for split, plan in shards.items()
    )
    report(f"{output}: training images {train} shards, validation images {val}.")
    report(images.describe_classes())


def _plan_shards(
    images: Images, data: Path, output: Path, split: str, per_shard: int, seed: int
) -> list[_Shard]:
    files, labels = images.list_files(split)
    order = np.arange(len(files))
    if split == "train":
        # Folders hold one class each; a shard has to hold many, for training shuffles
        # within few shards at a time.
        order = np.random.default_rng(seed).permutation(len(files))
    count = -(-len(files) // per_shard)
    paths = name_shards(output, split, count)
    shards = []
    for path, positions in zip(paths, np.array_split(order, count)):
        chosen = [files[position] for position in positions]
        names = [os.path.relpath(file, data) for file in chosen]
        shards.append(_Shard(path, chosen, labels[positions], names))
    return shards


def _describe_split(shards: Sequence[_Shard], classes: int) -> dict[str, object]:
    names = [name for shard in shards for name in shard.names]
    # Of the names: contents were read already, and are many gigabytes.
    digest = hashlib.sha256(os.fsencode("\n".join(names))).hexdigest()
    labels = np.concatenate([shard.labels for shard in shards])
    return {
        "images": len(names),
        "shards": len(shards),
        "files": digest,
        "by_class": np.bincount(labels, minlength=classes).tolist(),
    }


def _begin(output: Path, index: Mapping[str, object]) -> None:
    """Refuse a folder of other shards, and say in it what will be written."""
    wanted = json.loads(json.dumps(index))  # as it is read: lists for tuples
    for path in (output / INDEX, output / UNFINISHED):
        if path.exists() and _read_plan(path) != wanted:
            raise ValueError(
                f"{output} holds shards of other images or settings ({path.name})."
                " Choose another folder."
            )
    remove_unfinished(output)  # shards are large
    if (output / INDEX).exists():
        _remove_others(output)
    else:
        _write_index(output / UNFINISHED, wanted)


def _remove_others(output: Path) -> None:
    """Remove shards that are not as long as they were written: they come anew."""
    index = read_index(output)
    for split, entry in index["splits"].items():
        for path, size in zip(
            name_shards(output, split, entry["shards"]), entry["bytes"]
        ):
            if path.exists() and path.stat().st_size != size:
                path.unlink()


def _read_plan(path: Path) -> dict[str, Any]:
    """Read what is to be written; how long the shards became is no part of it."""
    index = read_json(path, FIELDS, f"Remove it, then: {ADVICE}")
    for entry in index["splits"].values():
        entry.pop("bytes", None)
    return index


def _write_index(path: Path, index: Mapping[str, object]) -> None:
    with write_atomically(path) as unfinished:
        unfinished.write_text(json.dumps(index, indent=1), encoding="utf-8")


def _finish(
    output: Path, index: Mapping[str, Any], shards: Mapping[str, Sequence[_Shard]]
) -> None:
    """Write the index, by which shards are known that were cut short later."""
    whole = json.loads(json.dumps(index))
    for split, plan in shards.items():
        sizes = [shard.path.stat().st_size for shard in plan]
        whole["splits"][split]["bytes"] = sizes
    _write_index(output / INDEX, whole)
    (output / UNFINISHED).unlink(missing_ok=True)


def _write_missing(shards: Sequence[_Shard], image_size: int | None) -> None:
    shards = [shard for shard in shards if not _is_whole(shard)]
    if not shards:
        return
    examples = _make_examples(shards, image_size)
    total = sum(len(shard.files) for shard in shards)
    with tqdm(total=total, desc="writing", unit=" images") as bar:
        for shard in shards:
            # All are made before the file is begun: an image that fails leaves none.
            ready = list(itertools.islice(examples, len(shard.files)))
            _write_shard(shard.path, ready)
            bar.update(len(ready))


def _is_whole(shard: _Shard) -> bool:
    # They are written whole, but may have been copied or kept otherwise.
    return shard.path.exists() and count_records(shard.path) == len(shard.files)


def _write_shard(path: Path, examples: Sequence[bytes]) -> None:
    with write_atomically(path) as unfinished:
        try:
            with tf.io.TFRecordWriter(str(unfinished)) as writer:
                for example in examples:
                    writer.write(example)
        except tf.errors.OpError as error:
            raise OSError(error.message) from None


def _make_examples(shards: Sequence[_Shard], image_size: int | None) -> Iterator[bytes]:
    """Read the images of all shards, several at a time, and give them in order."""

    def read_contents(path: tf.Tensor) -> tf.Tensor:
        contents = tf.io.read_file(path)
        if image_size is None:
            return contents
        side = compute_resized_side(image_size)
        image = resize_image(decode_image(contents), side)
        return tf.cond(
            has_sixteen_bits(contents),
            lambda: _encode_sixteen_bits(image),
            lambda: _encode_eight_bits(image),
        )

    paths = [os.fsencode(file) for shard in shards for file in shard.files]
    labels = np.concatenate([shard.labels for shard in shards])
    names = [name for shard in shards for name in shard.names]
    contents = tf.data.Dataset.from_tensor_slices(paths)
    contents = contents.map(read_contents, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    return map(_make_example, contents.as_numpy_iterator(), labels, names)


def _encode_eight_bits(image: tf.Tensor) -> tf.Tensor:
    pixels = tf.saturate_cast(tf.round(image), tf.uint8)
    # JPEG's usual half resolution of colour would blur what the networks see.
    return tf.io.encode_jpeg(pixels, quality=95, chroma_downsampling=False)


def _encode_sixteen_bits(image: tf.Tensor) -> tf.Tensor:
    # A camera of 12 bits fills a sixteenth of the range: in 8 bits, some 16 greys.
    return tf.io.encode_png(tf.saturate_cast(tf.round(image * 257), tf.uint16))


def _make_example(image: bytes, label: int, name: str) -> bytes:
    fields = {
        "image": _make_bytes_feature(image),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "name": _make_bytes_feature(os.fsencode(name)),
    }
    features = tf.train.Features(feature=fields)
    return tf.train.Example(features=features).SerializeToString()


def _make_bytes_feature(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
