"""ImageNet in the layout people have it, as tf.data.

An epoch is a function of the configuration's seed and the epoch's number, and of
nothing else: neither of the number of machines, nor of threads (tf.data keeps the order
of what it does in parallel), nor of what was drawn before.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from training.checking import find_corrupt_files
from training.config import Config
from training.layouts import LAYOUTS, list_files
from training.pixels import (
    compute_resized_side,
    decode_image,
    make_network_input,
    resize_image,
)
from training.sources import (
    INDEX,
    ImageFiles,
    Shards,
    Source,
    is_shard_folder,
    name_shards,
)


@dataclass(frozen=True)
class Images:
    """The images of a folder; see `open_images`.

    Attributes
    ----------
    classes : tuple of str
        WordNet ids, sorted: the position of one is the class number.
    corrupt : dict of str to str
        Path, relative to the folder, to the reason why it was left out.
    sources : dict of str to Source
        By split.
    """

    classes: tuple[str, ...]
    corrupt: Mapping[str, str]
    sources: Mapping[str, Source]

    def count_images(self, split: str) -> int:
        """Count the images of ``"train"`` or ``"val"``."""
        return len(self._get_source(split))

    def count_batches(self, split: str, batch: int) -> int:
        """Count the batches of all machines together.

        Only whole ones in training; in validation the last is padded.
        """
        images = self.count_images(split)
        # The images that a whole batch leaves over are other ones in every epoch.
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
        """Draw one epoch, shuffled and augmented (random flip and crop).

        Parameters
        ----------
        config : Config
            Its seed, image size and scaling are used.
        epoch : int
            From 0.
        batch : int
            Images per step of all machines and devices together.
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
        # Numbered before they are shared out: an image has the same number, and so the
        # same augmentation, on any number of machines.
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
            whole_key = tf.constant(key, tf.int64)
            own = tf.random.experimental.stateless_fold_in(whole_key, index)
            seeds = tf.random.experimental.stateless_split(own, 2)
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
            As those of `draw_training`.
        split : {"val", "train"}
            Of which images.

        Returns
        -------
        tf.data.Dataset
            Pixels and one-hot classes as those of `draw_training`, and weights
            (per_replica,), float32: 1, or 0 for the blank images that fill the last
            batch, whose class is all zeros.

        Raises
        ------
        ValueError
            As those of `draw_training`.
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
        # All machines must have as many batches, or one would wait for the others.
        # Rounded up, for training images too: here each counts once.
        batches = -(-self.count_images(split) // batch)
        wanted = batches * batch // machines
        own = len(range(machine, self.count_images(split), machines))
        # Their weight is 0: metrics are over real images only.
        blanks = tf.data.Dataset.from_tensors(blank).repeat(wanted - own)
        return _make_batches(rows.concatenate(blanks), share)

    def _get_source(self, split: str) -> Source:
        if split not in self.sources:
            raise ValueError(
                f"split must be one of those opened: {', '.join(self.sources)}."
                f" Received: {split!r}"
            )
        return self.sources[split]

    def _make_reader(
        self, split: str, config: Config
    ) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        # Shards are resized for one size; folders serve all.
        source = self._get_source(split)
        side = compute_resized_side(config.image_size)
        if source.image_size not in (None, config.image_size):
            raise ValueError(
                f"The shards in {source.folder} are for image_size"
                f" {source.image_size}, the configuration has {config.image_size}."
                " Write others with python -m training records --image-size."
            )

        def read_element(element: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            contents, label = source.read(element)
            image = decode_image(contents)
            if source.image_size is None:
                image = resize_image(image, side)
            else:
                image = tf.cast(image, tf.float32)
            # One-hot, because label smoothing spreads a label over all classes.
            one_hot = tf.one_hot(label, len(self.classes))
            return tf.ensure_shape(image, (side, side, 3)), one_hot

        return read_element


def measure_input_speed(dataset: tf.data.Dataset, seconds: float = 5.0) -> float:
    """Measure how fast a dataset of `Images` gives images, with nobody using them.

    Parameters
    ----------
    dataset : tf.data.Dataset
        Of `Images`.
    seconds : float
        How long to measure, unless the dataset ends before.

    Returns
    -------
    float
        Images per second, from the second batch on.

    Raises
    ------
    ValueError
        There is no second batch.
    """
    batches = iter(dataset)
    # Before the first batch, buffers are filled and files found.
    next(batches, None)
    begin = time.perf_counter()
    images = 0
    for pixels, *_ in batches:
        images += len(pixels)
        if time.perf_counter() - begin >= seconds:
            break
    if not images:
        raise ValueError(
            "The speed of the input shows from the second batch on, and there is none."
        )
    return images / (time.perf_counter() - begin)


def open_images(
    data: str | os.PathLike[str],
    splits: Sequence[str] = ("train", "val"),
    checked: str | os.PathLike[str] | None = None,
    report: Callable[[str], object] = print,
) -> Images:
    """Open the images of a folder.

    Every file is read and decoded once; those that fail are left out. Of shards nothing
    is read: their images were checked when they were written.

    Parameters
    ----------
    data : str or path
        Folder of ImageNet (ILSVRC) or another set in its layout:
        ``train/<wnid>/*.JPEG``, and ``val`` likewise or flat with a ground-truth file;
        Kaggle's archive; or shards of `records.write_records`.
    splits : sequence of {"train", "val"}
        Which to open.
    checked : str or path, optional
        JSON file in which the result of reading all files is kept: they are read again
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
    if is_shard_folder(data):
        return _open_shards(data, splits)
    return _open_files(data, splits, None if checked is None else Path(checked), report)


def _open_files(
    data: Path,
    splits: Sequence[str],
    checked: Path | None,
    report: Callable[[str], object],
) -> Images:
    listing = list_files(data, splits)
    # Of all splits at once: one bar, and one result to keep.
    names = np.concatenate(list(listing.names.values()))
    corrupt = find_corrupt_files(listing.root, names, checked)
    for name, reason in corrupt.items():
        report(f"Left out: {listing.root / name}: {reason}")
    if corrupt:
        report(f"{len(corrupt):,} of {len(names):,} images are corrupt and left out.")
    left_out = np.array([os.fsencode(name) for name in corrupt], "S")
    sources = {}
    for split, files in listing.names.items():
        # Bytes against bytes: not all file names are UTF-8.
        good = ~np.isin(files, left_out)
        if not good.any():
            raise ValueError(
                f"{listing.root / split}: all {len(files):,} images are corrupt."
            )
        labels = listing.labels[split][good]
        sources[split] = ImageFiles(listing.root, files[good], labels)
    return Images(tuple(listing.classes), corrupt, sources)


def _open_shards(data: Path, splits: Sequence[str]) -> Images:
    if not (data / INDEX).exists():
        raise ValueError(
            f"{data}: the shards are incomplete, since there is no {INDEX}. Run python"
            " -m training records with the same folders again; it resumes."
        )
    # Written last: where it is, all shards were.
    index = json.loads((data / INDEX).read_text(encoding="utf-8"))
    sources = {}
    for split in splits:
        entry = index["splits"][split]
        paths = name_shards(data, split, entry["shards"])
        missing = [path.name for path in paths if not path.exists()]
        if missing:
            raise FileNotFoundError(
                f"{data} lacks {len(missing)} of {len(paths)} shards, the first"
                f" {missing[0]}."
            )
        sources[split] = Shards(paths, entry["images"], index["image_size"])
    return Images(tuple(index["classes"]), index["corrupt"], sources)


def _compute_share(batch: int, shard: tuple[int, int], per_replica: int | None) -> int:
    """Compute the batch size of one machine's dataset."""
    _, machines = shard
    # Otherwise, some machines would have fewer images than others of a batch.
    if batch % machines:
        raise ValueError(
            f"batch must be a multiple of the {machines} machines. Received: {batch}"
        )
    own = batch // machines
    if per_replica and own % per_replica:
        raise ValueError(
            f"per_replica must divide the {own} images of a machine per step. Received:"
            f" {per_replica}"
        )
    return per_replica or own


def _make_batches(rows: tf.data.Dataset, size: int) -> tf.data.Dataset:
    # All batches have one static shape, so that a step is compiled once.
    return rows.batch(size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
