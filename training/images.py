"""The images of a folder, as tf.data.

An epoch depends on the configuration's seed and the epoch's number only: not on the
number of machines, nor on threads (tf.data keeps the order of parallel work), nor on
earlier draws.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from stratonet.messages import shorten_list
from training.checking import find_damage
from training.config import Config
from training.pixels import (
    compute_resized_side,
    decode_image,
    make_network_input,
    resize_image,
)
from training.sources import Shards, Source

# Errors that reading raises; a device that is out of memory raises another.
READER_ERRORS = (
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.OutOfRangeError,
    tf.errors.PermissionDeniedError,
    tf.errors.UnknownError,
)
# Larger numbers of classes are not listed one by one.
MOST_CLASSES = 30


@dataclass(frozen=True)
class Images:
    """The images of a folder; see `input.open_images`.

    Attributes
    ----------
    classes : tuple of str
        WordNet ids, sorted: the position of an id is the class number.
    corrupt : dict of str to str
        Path, relative to the folder, to the reason why the file was left out.
    sources : dict of str to Source
        Sources by split.
    identity : str
        Differs for other images, and is the same for a copy in another folder.
    """

    classes: tuple[str, ...]
    corrupt: Mapping[str, str]
    sources: Mapping[str, Source]
    identity: str

    def count_images(self, split: str) -> int:
        """Count the images of ``"train"`` or ``"val"``."""
        return len(self._get_source(split))

    def describe_classes(self) -> str:
        """Return a sentence with the number of images per class in each split."""
        counts = {
            split: source.count_by_class(len(self.classes))
            for split, source in self.sources.items()
        }
        rows = list(zip(self.classes, *counts.values()))
        # Rarest classes first, and before them those that lack images in a split.
        rows.sort(key=lambda row: (min(row[1:]), sum(row[1:])))
        named = [f"{name} {' + '.join(map(str, numbers))}" for name, *numbers in rows]
        return (
            f"Images of each class ({' + '.join(counts)}):"
            f" {shorten_list(named, MOST_CLASSES)}."
        )

    @contextlib.contextmanager
    def name_unreadable(self) -> Iterator[None]:
        """Name the file if TensorFlow raises an error because of one.

        Raises
        ------
        OSError
            A file was damaged or removed since it was checked.
        """
        try:
            yield
        except READER_ERRORS:
            for source in self.sources.values():
                damage = find_damage(source)
                if damage:
                    raise OSError(
                        f"{damage} It could be read before: restore it, and run the"
                        " same command again."
                    ) from None
            raise

    def count_batches(self, split: str, batch: int) -> int:
        """Count the batches of all machines together.

        Training uses complete batches only; in validation the last batch is padded.
        """
        images = self.count_images(split)
        # Which images do not fill a batch, and are left out, changes every epoch.
        return images // batch if split == "train" else -(-images // batch)

    def list_files(self, split: str) -> tuple[list[str], np.ndarray]:
        """List the image files of a split.

        Returns
        -------
        paths : list of str
            In the order of the layout.
        labels : numpy.ndarray of int64
            Class numbers.

        Raises
        ------
        ValueError
            The folder holds shards, which have no image files.
        """
        source = self._get_source(split)
        if isinstance(source, Shards):
            raise ValueError(
                f"{source.folder} holds shards. This needs the folders of image files."
            )
        names = [os.fsdecode(name) for name in source.names]
        return [f"{source.folder}/{name}" for name in names], source.labels

    def draw_training(
        self,
        config: Config,
        epoch: int,
        batch: int,
        shard: tuple[int, int] = (0, 1),
        per_replica: int | None = None,
    ) -> tf.data.Dataset:
        """Draw the images of one epoch, shuffled and augmented (random flip and crop).

        Parameters
        ----------
        config : Config
            Its seed, image size and scaling are used.
        epoch : int
            Number of the epoch, from 0.
        batch : int
            Images per step, over all machines and devices together.
        shard : tuple of int
            This machine's number and the number of machines (i, n): it takes images i,
            i + n, ... of each batch.
        per_replica : int, optional
            Number of images in each batch that is yielded. Default: this machine's
            share of ``batch``.

        Returns
        -------
        tf.data.Dataset
            Pixels (per_replica, image_size, image_size, 3), float32, as the network
            takes them, and one-hot classes (per_replica, classes), float32.

        Raises
        ------
        ValueError
            There are fewer images than one batch, the batch cannot be divided evenly,
            or the shards are for another image size.
        """
        if not self.count_batches("train", batch):
            raise ValueError(
                f"batch must be at most {self.count_images('train')}, the number of"
                f" images to train. Received: {batch}"
            )
        key = (config.seed, epoch)
        augment = self._make_augmenter(config, key)
        share = _compute_share(batch, shard, per_replica)
        machine, machines = shard
        used = self.count_batches("train", batch) * batch
        # Numbered before they are divided among machines: an image has the same number,
        # and so the same augmentation, on any number of machines.
        elements = self._get_source("train").draw(key).take(used).enumerate()
        rows = elements.shard(machines, machine).map(augment, tf.data.AUTOTUNE)
        return _make_batches(rows, share)

    def _make_augmenter(
        self, config: Config, key: tuple[int, int]
    ) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        read = self._make_reader("train", config)
        shape = (config.image_size, config.image_size, 3)

        def augment(
            index: tf.Tensor, element: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            image, label = read(element)
            epoch_seed = tf.constant(key, tf.int64)
            seed = tf.random.experimental.stateless_fold_in(epoch_seed, index)
            seeds = tf.random.experimental.stateless_split(seed, 2)
            image = tf.image.stateless_random_flip_left_right(image, seeds[0])
            image = tf.image.stateless_random_crop(image, shape, seeds[1])
            return make_network_input(image, config), label

        return augment

    def draw_validation(
        self,
        config: Config,
        batch: int,
        shard: tuple[int, int] = (0, 1),
        per_replica: int | None = None,
        split: str = "val",
    ) -> tf.data.Dataset:
        """Draw all images of a split in order, cropped at the centre.

        Parameters
        ----------
        config, batch, shard, per_replica
            As in `draw_training`.
        split : {"val", "train"}
            Split to draw from.

        Returns
        -------
        tf.data.Dataset
            Pixels and one-hot classes as in `draw_training`, and weights
            (per_replica,), float32: 1, or 0 for the blank images that fill the last
            batch, whose class is all zeros.

        Raises
        ------
        ValueError
            As in `draw_training`.
        """
        read = self._make_reader(split, config)
        size = config.image_size
        begin = (compute_resized_side(size) - size) // 2

        def crop_centre(
            index: tf.Tensor, element: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            image, label = read(element)
            image = image[begin : begin + size, begin : begin + size]
            return make_network_input(image, config), label, tf.constant(1.0)

        share = _compute_share(batch, shard, per_replica)
        machine, machines = shard
        elements = self._get_source(split).draw().enumerate()
        rows = elements.shard(machines, machine).map(crop_centre, tf.data.AUTOTUNE)
        blank = tuple(tf.zeros(spec.shape) for spec in rows.element_spec)
        # All machines need equally many batches, or one would wait for the others.
        # Rounded up for training images too: here each image counts once.
        batches = -(-self.count_images(split) // batch)
        wanted = batches * batch // machines
        available = len(range(machine, self.count_images(split), machines))
        # Their weight is 0, so that metrics are over real images only.
        blanks = tf.data.Dataset.from_tensors(blank).repeat(wanted - available)
        return _make_batches(rows.concatenate(blanks), share)

    def _get_source(self, split: str) -> Source:
        if split not in self.sources:
            raise ValueError(
                f"split must be one of the opened splits: {', '.join(self.sources)}."
                f" Received: {split!r}"
            )
        return self.sources[split]

    def _make_reader(
        self, split: str, config: Config
    ) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        # Shards hold images of one size; folders serve all sizes.
        source = self._get_source(split)
        side = compute_resized_side(config.image_size)
        if source.image_size not in (None, config.image_size):
            raise ValueError(
                f"The shards in {source.folder} are for image_size"
                f" {source.image_size}, but the configuration has {config.image_size}."
                " Write new shards with python -m training records --image-size."
            )

        def read_element(element: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            contents, label = source.read(element)
            image = decode_image(contents)
            if source.image_size is None:
                image = resize_image(image, side)
            # One-hot, because label smoothing spreads a label over all classes.
            one_hot = tf.one_hot(label, len(self.classes))
            return tf.ensure_shape(image, (side, side, 3)), one_hot

        return read_element


def _compute_share(batch: int, shard: tuple[int, int], per_replica: int | None) -> int:
    """Compute the batch size of one machine's dataset."""
    _, machines = shard
    # Otherwise some machines would have fewer images of a batch than others.
    if batch % machines:
        raise ValueError(
            f"batch must be a multiple of the {machines} machines. Received: {batch}"
        )
    share = batch // machines
    if per_replica and share % per_replica:
        raise ValueError(
            f"per_replica must divide the {share} images of a machine per step."
            f" Received: {per_replica}"
        )
    return per_replica or share


def _make_batches(rows: tf.data.Dataset, size: int) -> tf.data.Dataset:
    # All batches have the same static shape, so that a step is compiled once.
    return rows.batch(size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
