"""Sources of images for tf.data: image files in folders, or shards.

Both provide tf.data datasets of elements, and read an element's contents and class.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

# Number of images from shards shuffled at a time; two such blocks are in memory.
BLOCK = 4096


@dataclass(frozen=True)
class ImageFiles:
    """Image files under a folder.

    Attributes
    ----------
    folder : pathlib.Path
        Folder to which the names are relative.
    names : numpy.ndarray of bytes, (n,)
        Names as in the file system, not all of them UTF-8.
    labels : numpy.ndarray of int, (n,)
        Class numbers.
    image_size : None
        The images have their original size, and are resized when they are read.
    """

    folder: Path
    names: np.ndarray
    labels: np.ndarray
    image_size: int | None = None

    def __len__(self) -> int:
        return len(self.names)

    def count_by_class(self, classes: int) -> list[int]:
        """Count the images of each class."""
        return np.bincount(self.labels, minlength=classes).tolist()

    def draw(self, key: tuple[int, int] | None = None) -> tf.data.Dataset:
        """Return names and class numbers: in order, or shuffled by ``key``."""
        order = np.arange(len(self))
        if key is not None:
            # All names at once, by NumPy: Dataset.shuffle only fills a buffer, and
            # depends on the global seed.
            order = np.random.default_rng(key).permutation(len(self))
        pair = (self.names[order], self.labels[order])
        return tf.data.Dataset.from_tensor_slices(pair)

    def read(self, element: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Read the contents of an element's file, and return them with its class."""
        name, label = element
        path = tf.strings.join([os.fsencode(self.folder), "/", name])
        return tf.io.read_file(path), label


@dataclass(frozen=True)
class Shards:
    """TFRecord files of images, as `records.write_records` writes them.

    Attributes
    ----------
    paths : list of pathlib.Path
        Paths of the shards, in order.
    images : int
        Number of images in all shards together.
    image_size : int or None
        Input size for which the images were resized; None if they were stored
        unchanged.
    by_class : list of int
        Number of images of each class.
    """

    paths: list[Path]
    images: int
    image_size: int | None
    by_class: list[int]

    @property
    def folder(self) -> Path:
        """The folder of the shards."""
        return self.paths[0].parent

    def __len__(self) -> int:
        return self.images

    def count_by_class(self, classes: int) -> list[int]:
        """Count the images of each class."""
        return self.by_class

    def draw(self, key: tuple[int, int] | None = None) -> tf.data.Dataset:
        """Return serialised examples: in order, or shuffled by ``key``."""
        paths = [str(path) for path in self.paths]
        if key is None:
            return tf.data.TFRecordDataset(paths)
        shuffled_paths = np.random.default_rng(key).permutation(paths)
        records = tf.data.Dataset.from_tensor_slices(shuffled_paths).interleave(
            tf.data.TFRecordDataset,
            # Neighbours in a batch come from 16 shards, not from one.
            cycle_length=16,
            num_parallel_calls=tf.data.AUTOTUNE,
        )

        # Dataset.shuffle would also depend on TensorFlow's global seed.
        def shuffle_block(number: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
            epoch_seed = tf.constant(key, tf.int64)
            seed = tf.random.experimental.stateless_fold_in(epoch_seed, number)
            return tf.random.experimental.stateless_shuffle(block, seed)

        # A block is shuffled as a whole, which mixes the images of different shards.
        blocks = records.batch(BLOCK).enumerate()
        return blocks.map(shuffle_block).prefetch(1).unbatch()

    def read(self, element: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the contents of the image file and the class from an example."""
        fields = {
            "image": tf.io.FixedLenFeature((), tf.string),
            "label": tf.io.FixedLenFeature((), tf.int64),
        }
        example = tf.io.parse_single_example(element, fields)
        return example["image"], example["label"]


Source = ImageFiles | Shards
