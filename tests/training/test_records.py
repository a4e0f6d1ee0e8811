import contextlib
import dataclasses
import itertools
import json
import os
import platform
import shutil
import struct
import subprocess
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

tf = pytest.importorskip(
    "tensorflow",
    reason="training needs TensorFlow, which CellProfiler's environment has not",
)

from training import records, sources  # noqa: E402
from training.config import Config  # noqa: E402
from training.input import open_images  # noqa: E402
from training.records import write_records  # noqa: E402
from training.shards import count_records  # noqa: E402

# The import of TensorFlow alone takes seconds.
pytestmark = pytest.mark.slow
WNIDS = ["n01440764", "n02086240", "n03888257"]
CONFIG = Config(
    recipe="test", image_size=28, multiply=1.0, subtract=(0, 0, 0)
)  # resized to 32


@pytest.fixture
def tree(tmp_path, rng):
    """15 training and 6 validation images, each recognisable by its own mean."""
    means = itertools.count(20, 10)
    for split, wnid in itertools.product(("train", "val"), WNIDS):
        folder = tmp_path / "imagenet" / split / wnid
        folder.mkdir(parents=True)
        for number in range(5 if split == "train" else 2):
            pixels = np.full((5, 5, 3), next(means)) + rng.integers(-20, 21, (5, 5, 3))
            width, height = rng.integers(30, 90, 2)
            image = Image.fromarray(pixels.astype(np.uint8)).resize(
                (width, height), Image.Resampling.BICUBIC
            )
            image.save(folder / f"{wnid}_{number}.JPEG", quality=95)
    return tmp_path / "imagenet"


@pytest.fixture
def output(tmp_path):
    return tmp_path / "shards"


def silent(line):
    pass


def together(dataset):
    return [np.concatenate([part.numpy() for part in parts]) for parts in zip(*dataset)]


def examples(path):
    rows = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        fields = tf.train.Example.FromString(record).features.feature
        rows.append(
            (fields["image"].bytes_list.value[0], fields["label"].int64_list.value[0])
        )
        rows[-1] += (fields["name"].bytes_list.value[0].decode(),)
    return rows


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_shards_hold_the_images_of_the_folders(tree, output):
    write_records(tree, output, 28, per_shard=4, report=silent)
    assert sorted(path.name for path in output.glob("*.tfrecord")) == [
        *(f"train-0000{number}-of-00004.tfrecord" for number in range(4)),
        *(f"val-0000{number}-of-00002.tfrecord" for number in range(2)),
    ]
    index = json.loads((output / "images.json").read_text())
    assert (index["image_size"], index["classes"], index["corrupt"]) == (28, WNIDS, {})
    assert {split: index["splits"][split]["images"] for split in index["splits"]} == {
        "train": 15,
        "val": 6,
    }
    order = []
    for split in ("train", "val"):
        rows = [
            row for path in sorted(output.glob(f"{split}-*")) for row in examples(path)
        ]
        order.append([name for _, _, name in rows])
        assert sorted(order[-1]) == sorted(
            str(path.relative_to(tree)) for path in tree.glob(f"{split}/*/*")
        )
        for image, label, name in rows:
            assert WNIDS[label] == name.split("/")[1]
            assert image[:3] == b"\xff\xd8\xff"
            assert tf.io.decode_jpeg(image).shape == (32, 32, 3)
    assert order[0] != sorted(order[0])
    assert order[1] == sorted(order[1])


def test_pixels_are_nearly_those_of_the_folders(tree, output):
    write_records(tree, output, 28, per_shard=4, report=silent)
    folders, shards = open_images(tree), open_images(output)
    assert shards.classes == folders.classes
    for expected, received in zip(
        together(folders.draw_validation(CONFIG, 4)),
        together(shards.draw_validation(CONFIG, 4)),
    ):
        assert expected.shape == received.shape
        assert 0 <= np.abs(expected - received).mean() * 255 < 2
    for split in ("train", "val"):
        assert shards.count_images(split) == folders.count_images(split)
        assert shards.count_batches(split, 4) == folders.count_batches(split, 4)


def test_colour_keeps_its_full_resolution(tree, output):
    """Red and blue columns of one pixel: half chroma resolution would mix them."""
    for path in tree.glob("val/*/*"):
        columns = np.zeros((32, 32, 3), np.uint8)
        columns[:, ::2, 0] = columns[:, 1::2, 2] = 255
        Image.fromarray(columns).save(path, format="PNG")
    write_records(tree, output, 28, report=silent)
    pixels, *_ = together(open_images(output).draw_validation(CONFIG, 6))
    assert np.abs(pixels * 255 - columns[2:30, 2:30]).mean() < 10


def test_without_a_size_the_files_go_in_as_they_are(tree, output):
    write_records(tree, output, report=silent)
    assert [
        image for image, _, _ in examples(output / "val-00000-of-00001.tfrecord")
    ] == [path.read_bytes() for path in sorted(tree.glob("val/*/*"))]
    folders, shards = open_images(tree), open_images(output)
    for size in (28, 56):
        config = dataclasses.replace(CONFIG, image_size=size)
        for expected, received in zip(
            together(folders.draw_validation(config, 4)),
            together(shards.draw_validation(config, 4)),
        ):
            np.testing.assert_array_equal(expected, received)


def means(pixels):
    return (np.rint((pixels.mean((1, 2, 3)) * 255 - 20) / 10)).astype(int).tolist()


@pytest.mark.parametrize(("per_shard", "block"), [(4, 1), (15, 6)])
def test_an_epoch_of_shards(tree, output, monkeypatch, per_shard, block):
    """Shards alone are shuffled, or blocks of a single shard."""
    monkeypatch.setattr(sources, "BLOCK", block)
    write_records(tree, output, 28, per_shard=per_shard, report=silent)
    images = open_images(output)
    epoch_batch = together(images.draw_training(CONFIG, 0, 15))
    order = means(epoch_batch[0])
    assert sorted(order) == list(range(15))
    assert [label // 5 for label in order] == epoch_batch[1].argmax(1).tolist()
    tf.random.set_seed(1)
    for expected, received in zip(
        epoch_batch, together(open_images(output).draw_training(CONFIG, 0, 15))
    ):
        np.testing.assert_array_equal(expected, received)
    orders = [
        means(together(images.draw_training(CONFIG, epoch, 15))[0]) for epoch in (1, 2)
    ]
    assert order != orders[0] != orders[1] != order
    if block == 6:
        stored = [
            name for _, _, name in examples(output / "train-00000-of-00001.tfrecord")
        ]
        stored = [sorted(stored).index(name) for name in stored]
        first, second = (
            [
                stored[start : start + 6].index(number)
                for number in order[start : start + 6]
            ]
            for start in (0, 6)
        )
        assert first != second
    for machine in range(3):
        for expected, received in zip(
            epoch_batch,
            together(images.draw_training(CONFIG, 0, 15, (machine, 3), per_replica=5)),
        ):
            np.testing.assert_array_equal(expected[machine::3], received)
    assert together(images.draw_training(CONFIG, 0, 6))[0].shape == (12, 28, 28, 3)


def test_shards_of_another_size(tree, output):
    write_records(tree, output, 28, report=silent)
    images = open_images(output)
    config = dataclasses.replace(CONFIG, image_size=56)
    for draw in (
        lambda: images.draw_training(config, 0, 4),
        lambda: images.draw_validation(config, 4),
    ):
        with pytest.raises(
            ValueError,
            match="for image_size 28, but the configuration has 56. Write new",
        ):
            draw()
    with pytest.raises(ValueError, match="holds shards. This needs the folders"):
        images.list_files("val")


def test_corrupt_images_are_named_and_left_out(tree, output):
    path = next(tree.glob("train/*/*"))
    path.write_bytes(path.read_bytes()[:300])
    others = [wnid for wnid in WNIDS if wnid != path.parent.name]
    lines = []
    write_records(tree, output, 28, report=lines.append)
    assert lines[0].startswith(f"Left out: {path}: ")
    assert lines[1:] == [
        "1 of 21 images are corrupt and left out.",
        f"{output}: training images 14 in 1 shards, validation images 6 in 1.",
        f"Images of each class (train + val): {path.parent.name} 4 + 2,"
        f" {others[0]} 5 + 2, {others[1]} 5 + 2.",
    ]
    images = open_images(output)
    assert list(images.corrupt) == [str(path.relative_to(tree))]
    assert images.count_images("train") == 14


@pytest.mark.skipif(
    not os.path.exists("/dev/full"), reason="no device that is always full"
)
def test_a_write_that_stopped_resumes(tree, output, tmp_path, monkeypatch):
    write_records(tree, tmp_path / "at once", 28, per_shard=4, report=silent)
    output.mkdir()
    write = records.write_atomically

    @contextlib.contextmanager
    def write_on_full_disk(path):
        with write(path) as unfinished:
            if path.name == "train-00002-of-00004.tfrecord":
                unfinished.symlink_to("/dev/full")
            yield unfinished

    monkeypatch.setattr(records, "write_atomically", write_on_full_disk)
    with pytest.raises(
        OSError,
        match="train-00002-of-00004.tfrecord cannot be written: .*No space",
    ):
        write_records(tree, output, 28, per_shard=4, report=silent)
    assert sorted(path.name for path in output.glob("*.tfrecord*")) == [
        f"train-0000{number}-of-00004.tfrecord" for number in range(2)
    ]
    with pytest.raises(
        ValueError,
        match="incomplete, because images.json is missing. Run .* again; it resumes",
    ):
        open_images(output)
    inodes = [path.stat().st_ino for path in sorted(output.glob("*.tfrecord"))]
    monkeypatch.undo()
    with subprocess.Popen(["true"]) as killed:
        killed.wait()
    leftover = output / f".stratonet-{platform.node()}-{killed.pid}-{uuid4().hex}"
    leftover.write_bytes(b"half a shard")
    write_records(tree, output, 28, per_shard=4, report=silent)
    assert [path.stat().st_ino for path in sorted(output.glob("*.tfrecord"))][
        :2
    ] == inodes
    assert contents(output) == contents(tmp_path / "at once")


def test_a_lost_shard_is_named_and_written_again(tree, output):
    write_records(tree, output, 28, per_shard=4, report=silent)
    before = contents(output)
    (output / "val-00001-of-00002.tfrecord").unlink()
    with pytest.raises(
        FileNotFoundError,
        match="lacks 1 of 2 shards, the first of them val-00001-of-00002.tfrecord",
    ):
        open_images(output)
    write_records(tree, output, 28, per_shard=4, report=silent)
    assert contents(output) == before


def cut_between(path):
    """Cut after the first record, as in a copy that ended at a block of the disk."""
    (length,) = struct.unpack("<Q", path.read_bytes()[:8])
    os.truncate(path, 16 + length)


def cut_within(path):
    os.truncate(path, path.stat().st_size - 100)


def empty(path):
    os.truncate(path, 0)


def swap(path):
    """Replace a shard by another one of the folder."""
    shutil.copy(path.with_name("train-00000-of-00004.tfrecord"), path)


@pytest.mark.parametrize("spoil", [cut_between, cut_within, empty, swap])
def test_a_damaged_shard_is_named_and_written_again(tree, output, spoil):
    write_records(tree, output, 28, per_shard=4, report=silent)
    before = contents(output)
    path = output / "train-00002-of-00004.tfrecord"
    spoil(path)
    with pytest.raises(ValueError, match=f"{path} is damaged.* of .* bytes. Run"):
        open_images(output)
    # Validation alone does not need the training shard.
    assert open_images(output, splits=("val",)).count_images("val") == 6
    write_records(tree, output, 28, per_shard=4, report=silent)
    assert contents(output) == before


def test_a_shard_of_an_unfinished_folder_is_counted(tree, output):
    write_records(tree, output, 28, per_shard=4, report=silent)
    before = contents(output)
    assert count_records(output / "train-00001-of-00004.tfrecord") == 4
    index = json.loads((output / "images.json").read_text())
    for entry in index["splits"].values():
        del entry["bytes"]
    (output / "images.json").unlink()
    (output / "images.unfinished.json").write_text(json.dumps(index))
    cut_between(output / "train-00001-of-00004.tfrecord")
    cut_within(output / "val-00000-of-00002.tfrecord")
    write_records(tree, output, 28, per_shard=4, report=silent)
    assert contents(output) == before


def test_a_changed_byte_names_the_shard(tree, output):
    write_records(tree, output, 28, per_shard=4, report=silent)
    path = output / "train-00002-of-00004.tfrecord"
    spoilt = bytearray(path.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    path.write_bytes(spoilt)
    images = open_images(output)
    message = f"{path} cannot be read: corrupted record"
    with pytest.raises(OSError, match=message), images.name_unreadable():
        together(images.draw_training(CONFIG, 0, 15))


@pytest.mark.parametrize("content", ["", '{"image_size": 28', "[]", "{}"])
def test_a_damaged_index_is_named(tree, output, content):
    write_records(tree, output, 28, per_shard=4, report=silent)
    (output / "images.json").write_text(content)
    with pytest.raises(ValueError, match="images.json is damaged"):
        open_images(output)
    with pytest.raises(
        ValueError, match="images.json is damaged.*Remove it, then: Run"
    ):
        write_records(tree, output, 28, per_shard=4, report=silent)


def test_an_index_of_an_earlier_version_is_refused(tree, output):
    write_records(tree, output, 28, per_shard=4, report=silent)
    index = json.loads((output / "images.json").read_text())
    del index["splits"]["val"]["bytes"]
    (output / "images.json").write_text(json.dumps(index))
    message = "images.json lacks bytes for val: .* earlier version. Run"
    with pytest.raises(ValueError, match=message):
        open_images(output)


def test_sixteen_bits_stay_in_shards(tree, output, rng):
    for number, path in enumerate(sorted(tree.glob("val/*/*"))):
        pixels = np.full((32, 32), 20 + 40 * number, np.uint16)
        pixels[::2] += 9
        Image.fromarray(pixels).save(path, format="PNG")
    write_records(tree, output, 28, report=silent)
    folders, shards = open_images(tree), open_images(output)
    expected, received = (
        together(images.draw_validation(CONFIG, 6))[0] for images in (folders, shards)
    )
    np.testing.assert_allclose(expected * 65535, received * 65535, atol=0.6)
    assert len(np.unique(received.mean((1, 2, 3)))) == 6


def test_counts_below_one_are_refused(tree, output):
    for settings in ({"image_size": 0}, {"per_shard": 0}):
        with pytest.raises(ValueError, match="must be at least 1. Received: 0"):
            write_records(tree, output, **settings)
    assert not output.exists()


def test_other_images_or_settings_are_not_mixed(tree, output):
    write_records(tree, output, 28, per_shard=4, report=silent)
    before = contents(output)
    for settings in ({"image_size": 56}, {"seed": 1}, {"per_shard": 8}):
        with pytest.raises(
            ValueError,
            match="shards holds shards of other images or settings .images.json.",
        ):
            write_records(
                tree,
                output,
                **{"image_size": 28, "per_shard": 4, **settings},
                report=silent,
            )
    path = next(tree.glob("train/*/*"))
    path.rename(path.with_name("another.JPEG"))
    with pytest.raises(ValueError, match="other images or settings"):
        write_records(tree, output, 28, per_shard=4, report=silent)
    assert {
        name: content
        for name, content in contents(output).items()
        if name != "checked.json"
    } == {name: content for name, content in before.items() if name != "checked.json"}
    with pytest.raises(ValueError, match="outside the images"):
        write_records(tree, tree, 28)
