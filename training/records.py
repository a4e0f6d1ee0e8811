"""Write ImageNet as TFRecord shards: fewer and larger files, with resized images."""

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
from training.stored_files import read_json, refuse_output_in_data


@dataclass(frozen=True)
class _Shard:
    """A shard to write.

    Attributes
    ----------
    path : pathlib.Path
        Path of the shard.
    files : list of str
        Paths of its images.
    labels : numpy.ndarray of int
        Their class numbers.
    names : list of str
        Their paths relative to the folder of images.
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
    (bytes, the file's path relative to ``data``). ``images.json`` is written last:
    classes, corrupt files, number of images, lengths of the shards.

    Parameters
    ----------
    data : str or path
        Folders of images, as `input.open_images` takes them.
    output : str or path
        Folder for the shards, made if missing.
    image_size : int, optional
        Input size of the networks to train: images are resized to 256/224 of it, as
        training would do, and stored as JPEG of quality 95 with full colour resolution,
        or as PNG if they have 16 bits. Default: files are stored unchanged, and serve
        all sizes.
    per_shard : int
        Approximate number of images per shard.
    seed : int
        Seed of the distribution of training images over the shards. Validation images
        keep their order.
    report : callable
        Called with lines of text: corrupt images, and what was written.

    Raises
    ------
    OSError
        The disk is full, or ``output`` cannot be written. The message names the file.
    ValueError
        ``output`` holds shards of other images or settings, or ``data`` cannot be
        opened by `input.open_images`.
    """
    data, output = Path(data), Path(output)
    for name, value in (("image_size", image_size), ("per_shard", per_shard)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1. Received: {value}")
    refuse_output_in_data(data, output)
    output.mkdir(parents=True, exist_ok=True)
    # Not images.json: that is the index, which shows that all shards are written.
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
        # Folders hold one class each. A shard must hold many classes, because training
        # shuffles within a few shards at a time.
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
    # Only of the names: the contents, many gigabytes, would have to be read again.
    digest = hashlib.sha256(os.fsencode("\n".join(names))).hexdigest()
    labels = np.concatenate([shard.labels for shard in shards])
    return {
        "images": len(names),
        "shards": len(shards),
        "files": digest,
        "by_class": np.bincount(labels, minlength=classes).tolist(),
    }


def _begin(output: Path, index: Mapping[str, object]) -> None:
    """Refuse a folder of other shards, and note in it what will be written."""
    wanted = json.loads(json.dumps(index))  # with lists instead of tuples, as read
    for path in (output / INDEX, output / UNFINISHED):
        if path.exists() and _read_plan(path) != wanted:
            raise ValueError(
                f"{output} holds shards of other images or settings ({path.name})."
                " Choose another folder."
            )
    remove_unfinished(output)  # shards are large
    if (output / INDEX).exists():
        _remove_damaged(output)
    else:
        _write_index(output / UNFINISHED, wanted)


def _remove_damaged(output: Path) -> None:
    """Remove shards whose length has changed, so that they are written again."""
    index = read_index(output)
    for split, entry in index["splits"].items():
        for path, size in zip(
            name_shards(output, split, entry["shards"]), entry["bytes"]
        ):
            if path.exists() and path.stat().st_size != size:
                path.unlink()


def _read_plan(path: Path) -> dict[str, Any]:
    """Read which shards are to be written, without the lengths they were given."""
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
    """Write the index, with lengths by which shards cut short later are noticed."""
    complete = json.loads(json.dumps(index))
    for split, plan in shards.items():
        sizes = [shard.path.stat().st_size for shard in plan]
        complete["splits"][split]["bytes"] = sizes
    _write_index(output / INDEX, complete)
    (output / UNFINISHED).unlink(missing_ok=True)


def _write_missing(shards: Sequence[_Shard], image_size: int | None) -> None:
    shards = [shard for shard in shards if not _is_complete(shard)]
    if not shards:
        return
    examples = _make_examples(shards, image_size)
    total = sum(len(shard.files) for shard in shards)
    with tqdm(total=total, desc="writing", unit=" images") as bar:
        for shard in shards:
            # All examples are made before the file is opened, so that an image that
            # fails leaves no file behind.
            shard_examples = list(itertools.islice(examples, len(shard.files)))
            _write_shard(shard.path, shard_examples)
            bar.update(len(shard_examples))


def _is_complete(shard: _Shard) -> bool:
    # Shards are written completely, but may have been damaged later.
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
    """Read the images of all shards, several at a time, and yield them in order."""

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
    # The half resolution of colour that JPEG usually has would blur the images.
    return tf.io.encode_jpeg(pixels, quality=95, chroma_downsampling=False)


def _encode_sixteen_bits(image: tf.Tensor) -> tf.Tensor:
    # A 12-bit camera fills a sixteenth of the range: 8 bits would leave 16 greys.
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
