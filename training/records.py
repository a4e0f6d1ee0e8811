"""ImageNet as TFRecord shards.

Fewer and larger files, with the images already resized.
"""

import hashlib
import itertools
import json
import os
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from training.files import replacing
from training.input import INDEX, UNFINISHED, open_images, shard_paths
from training.pixels import decode, resize, resized_size


def write_records(data, output, image_size=None, per_shard=1000, seed=0, report=print):
    """Write the images of a folder as shards that `input.open_images` opens. Killed, the same call goes on.

    A shard holds tf.train.Examples: ``image`` (bytes), ``label`` (int64, class number),
    ``name`` (bytes, the file's path below ``data``). The last file to appear is
    ``images.json``: classes, corrupt files, number of images.

    Parameters
    ----------
    data : str or path
        Folders of images, as `input.open_images` takes them.
    output : str or path
        Folder for the shards, made if missing.
    image_size : int, optional
        Of the networks to train: images are resized to 256/224 of it, as training would
        do, and stored as JPEG of quality 95 with full colour. Default: the files go in
        as they are, and serve all sizes.
    per_shard : int
        Images of a shard, about.
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
    if output.resolve() == data.resolve():
        raise ValueError(
            f"Shards and images need two folders. Received: {data} for both"
        )
    output.mkdir(parents=True, exist_ok=True)
    images = open_images(data, checked=output / "checked.json", report=report)
    index = {
        "image_size": image_size,
        "seed": seed,
        "classes": images.classes,
        "corrupt": images.corrupt,
        "splits": {},
    }
    rows, pieces = [], []
    for split in ("train", "val"):
        files, labels = images.files(split)
        if split == "train":
            order = np.random.default_rng(seed).permutation(len(files))
            files, labels = [files[place] for place in order], labels[order]
        shards = -(-len(files) // per_shard)
        names = [os.path.relpath(file, data) for file in files]
        digest = hashlib.sha256(os.fsencode("\n".join(names))).hexdigest()
        index["splits"][split] = {
            "images": len(files),
            "shards": shards,
            "files": digest,
        }
        for path, part in zip(
            shard_paths(output, split, shards),
            np.array_split(np.arange(len(files)), shards),
        ):
            if not path.exists():
                rows += [(files[place], labels[place], names[place]) for place in part]
                pieces.append((path, len(part)))
    index = json.loads(json.dumps(index))  # as it will be read
    for kept in (output / INDEX, output / UNFINISHED):
        if kept.exists() and json.loads(kept.read_text(encoding="utf-8")) != index:
            raise ValueError(
                f"{output} holds shards of other images or settings ({kept.name})."
                " Choose another folder."
            )
    if not (output / INDEX).exists():
        with replacing(output / UNFINISHED) as part:
            part.write_text(json.dumps(index, indent=1), encoding="utf-8")
    if pieces:
        _write(rows, pieces, image_size)
    if (output / UNFINISHED).exists():
        os.replace(output / UNFINISHED, output / INDEX)
    sizes = {
        split: f"{images.size(split):,} in {found['shards']:,}"
        for split, found in index["splits"].items()
    }
    report(
        f"{output}: training images {sizes['train']} shards, validation images"
        f" {sizes['val']}."
    )


def _write(rows, pieces, image_size):
    def contents(path):
        if image_size is None:
            return tf.io.read_file(path)
        image = resize(decode(tf.io.read_file(path)), resized_size(image_size))
        image = tf.saturate_cast(tf.round(image), tf.uint8)
        return tf.io.encode_jpeg(image, quality=95, chroma_downsampling=False)

    paths, labels, names = zip(*rows)
    stored = tf.data.Dataset.from_tensor_slices([os.fsencode(path) for path in paths])
    stored = stored.map(contents, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    examples = map(_example, stored.as_numpy_iterator(), labels, names)
    with tqdm(total=len(rows), desc="writing", unit=" images") as bar:
        for path, count in pieces:
            shard = list(itertools.islice(examples, count))
            with replacing(path) as part:
                try:
                    with tf.io.TFRecordWriter(str(part)) as writer:
                        for example in shard:
                            writer.write(example)
                except tf.errors.OpError as error:
                    raise OSError(error.message) from None
            bar.update(count)


def _example(image, label, name):
    def feature(value):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    fields = {
        "image": feature(image),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "name": feature(os.fsencode(name)),
    }
    return tf.train.Example(
        features=tf.train.Features(feature=fields)
    ).SerializeToString()
