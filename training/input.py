"""ImageNet in the layout people have it, as tf.data.

An epoch is a function of the configuration's seed and the epoch's number, and of
nothing else: neither of the number of machines, nor of threads (tf.data keeps the order
of what it does in parallel), nor of what was drawn before.
"""

import hashlib
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from training.files import replacing
from training.layouts import LAYOUTS, list_files
from training.pixels import decode, network_input, resize, resized_size

INDEX, UNFINISHED = "images.json", "images.unfinished.json"
# Of the shards, so many images are shuffled at a time; two such blocks are in memory.
BLOCK = 4096


@dataclass(frozen=True)
class Images:
    """The images of a folder; see `open_images`.

    Attributes
    ----------
    classes : tuple of str
        WordNet ids, sorted: the place of one is the class number.
    corrupt : dict of str to str
        Path, relative to the folder, to the reason why it was left out.
    """

    classes: tuple
    corrupt: dict
    sources: dict

    def size(self, split):
        """Number of images of ``"train"`` or ``"val"``."""
        return len(self._source(split))

    def steps(self, split, batch):
        """Number of global batches.

        Whole ones only in training; in validation the last is padded.
        """
        return (
            self.size(split) // batch
            if split == "train"
            else -(-self.size(split) // batch)
        )

    def files(self, split):
        """Paths (list of str) and class numbers (int64 array) of a split.

        ValueError for shards, which have none.
        """
        source = self._source(split)
        if isinstance(source, _Shards):
            raise ValueError(
                f"{source.paths[0].parent} holds shards. This needs the folders of"
                " image files."
            )
        return [
            f"{source.root}/{os.fsdecode(name)}" for name in source.names
        ], source.labels

    def train(self, config, epoch, batch, shard=(0, 1), per_replica=None):
        """One epoch, shuffled and augmented (random flip and crop).

        Parameters
        ----------
        config : Config
        epoch : int
            From 0.
        batch : int
            Images a step of all machines and devices together.
        shard : tuple of int
            This machine's number and the number of machines (i, n): it takes images i,
            i + n, ... of each batch.
        per_replica : int, optional
            Images of a batch that is yielded. Default: this machine's share of
            ``batch``.

        Returns
        -------
        tf.data.Dataset
            Pixels (per_replica, image_size, image_size, 3), float32, as the network
            takes them, and one-hot classes (per_replica, classes), float32.

        Raises
        ------
        ValueError
            Fewer images than one batch, a batch that cannot be shared out, or shards
            for another image size.
        """
        if not self.steps("train", batch):
            raise ValueError(
                f"There are {self.size('train')} images to train: set batch to that at"
                f" most, not {batch}."
            )
        key = (config.seed, epoch)
        read = self._reader("train", config)

        def augmented(index, element):
            image, label = read(element)
            seeds = tf.random.experimental.stateless_fold_in(
                tf.constant(key, tf.int64), index
            )
            seeds = tf.random.experimental.stateless_split(seeds, 2)
            image = tf.image.stateless_random_flip_left_right(image, seeds[0])
            image = tf.image.stateless_random_crop(
                image, (config.image_size, config.image_size, 3), seeds[1]
            )
            return network_input(image, config), label

        share = _share(batch, shard, per_replica)
        elements = (
            self._source("train")
            .draw(key)
            .take(self.steps("train", batch) * batch)
            .enumerate()
        )
        return _batches(
            elements.shard(shard[1], shard[0]).map(augmented, tf.data.AUTOTUNE), share
        )

    def validation(self, config, batch, shard=(0, 1), per_replica=None, split="val"):
        """All images of a split in order, cropped at the centre; parameters and errors as those of `train`.

        Returns
        -------
        tf.data.Dataset
            Pixels and one-hot classes as those of `train`, and weights (per_replica,),
            float32: 1, or 0 for the blank images that fill the last batch, whose class
            is all zeros.
        """
        read = self._reader(split, config)
        (place, machines), size = shard, config.image_size

        def central(index, element):
            image, label = read(element)
            begin = (image.shape[0] - size) // 2
            image = image[begin : begin + size, begin : begin + size]
            return network_input(image, config), label, tf.constant(1.0)

        share = _share(batch, shard, per_replica)
        rows = (
            self._source(split)
            .draw()
            .enumerate()
            .shard(machines, place)
            .map(central, tf.data.AUTOTUNE)
        )
        blank = tf.data.Dataset.from_tensors(
            tuple(tf.zeros(spec.shape) for spec in rows.element_spec)
        )
        missing = -(-self.size(split) // batch) * batch // machines - len(
            range(place, self.size(split), machines)
        )
        return _batches(rows.concatenate(blank.repeat(missing)), share)

    def _source(self, split):
        if split not in self.sources:
            raise ValueError(
                f"Opened were the images of {', '.join(self.sources)}. Received:"
                f" {split!r}"
            )
        return self.sources[split]

    def _reader(self, split, config):
        source, side = self._source(split), resized_size(config.image_size)
        if source.image_size not in (None, config.image_size):
            raise ValueError(
                f"The shards in {source.paths[0].parent} are for image_size"
                f" {source.image_size}, the configuration has {config.image_size}."
                " Write others with python -m training records --image-size."
            )

        def read(element):
            contents, label = source.read(element)
            image = decode(contents)
            image = (
                resize(image, side)
                if source.image_size is None
                else tf.cast(image, tf.float32)
            )
            return tf.ensure_shape(image, (side, side, 3)), tf.one_hot(
                label, len(self.classes)
            )

        return read


@dataclass(frozen=True)
class _Files:
    """Image files: ``names`` (bytes) under ``root`` with their class numbers."""

    root: Path
    names: np.ndarray
    labels: np.ndarray
    image_size = None

    def __len__(self):
        return len(self.names)

    def draw(self, key=None):
        order = (
            np.arange(len(self))
            if key is None
            else np.random.default_rng(key).permutation(len(self))
        )
        return tf.data.Dataset.from_tensor_slices(
            (self.names[order], self.labels[order])
        )

    def read(self, element):
        name, label = element
        return (
            tf.io.read_file(tf.strings.join([os.fsencode(self.root), "/", name])),
            label,
        )


@dataclass(frozen=True)
class _Shards:
    """TFRecord files with ``images`` images in all, already resized for ``image_size`` if that is not None."""

    paths: list
    images: int
    image_size: int

    def __len__(self):
        return self.images

    def draw(self, key=None):
        paths = [str(path) for path in self.paths]
        if key is None:
            return tf.data.TFRecordDataset(paths)
        paths = np.random.default_rng(key).permutation(paths)
        records = tf.data.Dataset.from_tensor_slices(paths).interleave(
            tf.data.TFRecordDataset,
            cycle_length=16,
            num_parallel_calls=tf.data.AUTOTUNE,
        )

        # Dataset.shuffle would depend on TensorFlow's global seed too.
        def shuffled(number, block):
            seed = tf.random.experimental.stateless_fold_in(
                tf.constant(key, tf.int64), number
            )
            return tf.random.experimental.stateless_shuffle(block, seed)

        return records.batch(BLOCK).enumerate().map(shuffled).prefetch(1).unbatch()

    def read(self, element):
        fields = {
            "image": tf.io.FixedLenFeature((), tf.string),
            "label": tf.io.FixedLenFeature((), tf.int64),
        }
        example = tf.io.parse_single_example(element, fields)
        return example["image"], example["label"]


def images_per_second(dataset, seconds=5.0):
    """How fast a dataset of `Images` gives images, alone: for so many seconds or until it ends, first batch aside.

    Raises
    ------
    ValueError
        There is no second batch.
    """
    batches = iter(dataset)
    next(batches, None)
    begin, images = time.perf_counter(), 0
    for pixels, *_ in batches:
        images += len(pixels)
        if time.perf_counter() - begin >= seconds:
            break
    if not images:
        raise ValueError(
            "The speed of the input shows from the second batch on, and there is none."
        )
    return images / (time.perf_counter() - begin)


def open_images(data, splits=("train", "val"), checked=None, report=print):
    """Open the images of a folder. Every file is read and decoded once; those that fail are left out.

    Of shards nothing is read: their images were checked when they were written.

    Parameters
    ----------
    data : str or path
        Folder of ImageNet (ILSVRC) or another set in its layout:
        ``train/<wnid>/*.JPEG``, and ``val`` likewise or flat with a ground-truth file;
        Kaggle's archive; or shards of `records.write_records`.
    splits : sequence of {"train", "val"}
    checked : str or path, optional
        JSON file in which the result of reading all files is kept: it is read again
        only when files were added, removed or changed in size.
    report : callable
        Gets a line of text for each corrupt file, and one with their number.

    Returns
    -------
    Images

    Raises
    ------
    FileNotFoundError, ValueError
        A folder or file is missing, empty, or not as a known layout has it; a
        validation image is of a class that is not trained; the writing of shards did
        not finish. The message names it.
    """
    data = Path(data)
    if not data.is_dir():
        raise FileNotFoundError(f"{data} is not a folder. {LAYOUTS}")
    if any((data / name).exists() for name in (INDEX, UNFINISHED)) or any(
        data.glob("*.tfrecord")
    ):
        return _open_shards(data, splits)
    root, classes, listed = list_files(data, splits)
    names = np.concatenate([names for names, _ in listed.values()])
    corrupt = _corrupt(root, names, checked and Path(checked))
    for name, reason in corrupt.items():
        report(f"Left out: {root / name}: {reason}")
    if corrupt:
        report(f"{len(corrupt):,} of {len(names):,} images are corrupt and left out.")
    sources = {}
    for split, (names, labels) in listed.items():
        good = np.isin(
            names, np.array([os.fsencode(name) for name in corrupt], "S"), invert=True
        )
        if not good.any():
            raise ValueError(f"{root / split}: all {len(names):,} images are corrupt.")
        sources[split] = _Files(root, names[good], labels[good])
    return Images(tuple(classes), corrupt, sources)


def _open_shards(data, splits):
    if not (data / INDEX).exists():
        raise ValueError(
            f"{data}: the writing of these shards did not finish, for there is no"
            f" {INDEX}. Run python -m training records with the same folders again: it"
            " goes on."
        )
    index = json.loads((data / INDEX).read_text(encoding="utf-8"))
    sources = {}
    for split in splits:
        paths = shard_paths(data, split, index["splits"][split]["shards"])
        missing = [path.name for path in paths if not path.exists()]
        if missing:
            raise FileNotFoundError(
                f"{data} lacks {len(missing)} of {len(paths)} shards, the first"
                f" {missing[0]}."
            )
        sources[split] = _Shards(
            paths, index["splits"][split]["images"], index["image_size"]
        )
    return Images(tuple(index["classes"]), index["corrupt"], sources)


def shard_paths(folder, split, count):
    """The paths of all ``count`` shards of a split."""
    return [
        folder / f"{split}-{number:05}-of-{count:05}.tfrecord"
        for number in range(count)
    ]


def _corrupt(root, names, checked):
    """Name to reason of those files that cannot be decoded."""
    digest = hashlib.sha256()
    if checked:
        for name in names:
            digest.update(
                b"%s %d\n"
                % (name, os.stat(os.path.join(os.fsencode(root), name)).st_size)
            )
        kept = (
            json.loads(checked.read_text(encoding="utf-8")) if checked.exists() else {}
        )
        if kept.get("digest") == digest.hexdigest():
            return kept["corrupt"]
    source = _Files(root, names, np.arange(len(names)))

    def decoded(*element):
        contents, number = source.read(element)
        return tf.where(
            tf.size(decode(contents)) > 0, number, -1
        )  # decoding that nobody uses would not be done

    good = source.draw().map(decoded, tf.data.AUTOTUNE).ignore_errors().batch(64)
    bad = np.ones(len(names), bool)
    with tqdm(total=len(names), desc="checking", unit=" images") as bar:
        for numbers in good.as_numpy_iterator():
            bad[numbers] = False
            bar.update(len(numbers))
        bar.update(np.count_nonzero(bad))
    corrupt = {}
    for number in np.flatnonzero(bad):
        try:
            decoded(names[number], number)
        except tf.errors.OpError as error:
            corrupt[os.fsdecode(names[number])] = re.sub(
                r"{{.*?}}|\[Op:.*?\]", "", error.message
            ).strip()
    if checked:
        with replacing(checked) as part:
            kept = {
                "images": len(names),
                "digest": digest.hexdigest(),
                "corrupt": corrupt,
            }
            part.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    return corrupt


def _share(batch, shard, per_replica):
    """The batch size of one machine's dataset."""
    machines = shard[1]
    if batch % machines:
        raise ValueError(
            f"batch must be a multiple of the {machines} machines. Received: {batch}"
        )
    if per_replica and batch // machines % per_replica:
        raise ValueError(
            f"Batches of {per_replica} do not fill a machine's {batch // machines}"
            " images of a step."
        )
    return per_replica or batch // machines


def _batches(rows, size):
    return rows.batch(size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
