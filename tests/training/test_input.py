import contextlib
import dataclasses
import json
import os
import threading
import time

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from scipy.io import savemat

tf = pytest.importorskip(
    "tensorflow",
    reason="training needs TensorFlow, which CellProfiler's environment has not",
)

from stratonet.preprocessing import to_grey  # noqa: E402
from training.config import Config  # noqa: E402
from training.evaluate import read_grey  # noqa: E402
from training.input import measure_input_speed, open_images  # noqa: E402
from training.pixels import decode_image, scale_grey  # noqa: E402

pytestmark = pytest.mark.slow

WNIDS = ["n01440764", "n02086240", "n03888257"]
CONFIG = Config(
    recipe="test", image_size=28, multiply=1.0, subtract=(0, 0, 0)
)  # resized to 32


def smooth(rng, width, height):
    """Make an image that survives JPEG: enlarged noise."""
    return Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )


def write_tree(root, rng, train=6, val=4, suffix="JPEG"):
    for split, count in (("train", train), ("val", val)):
        for wnid in WNIDS:
            (root / split / wnid).mkdir(parents=True)
            for number in range(count):
                width, height = rng.integers(30, 90, 2)
                smooth(rng, width, height).save(
                    root / split / wnid / f"{wnid}_{number}.{suffix}", quality=95
                )
    return root


@pytest.fixture
def tree(tmp_path, rng):
    return write_tree(tmp_path / "imagenet", rng)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """The images of such a tree, which tests must not change."""
    return open_images(
        write_tree(tmp_path_factory.mktemp("imagenet"), np.random.default_rng(0))
    )


def flatten(tree, rng):
    """Move the validation images into one folder; return the wnid of each, by name."""
    truth = {}
    paths = sorted((tree / "val").glob("*/*"))
    for number, position in enumerate(rng.permutation(len(paths)), 1):
        name = f"ILSVRC2012_val_{number:08}.JPEG"
        truth[name] = paths[position].parent.name
        paths[position].rename(tree / "val" / name)
    for folder in (tree / "val").glob("n*"):
        folder.rmdir()
    return truth


def write_kaggle(tree, truth):
    rows = [
        f"{name[:-5]},{wnid} 1 2 3 4 {WNIDS[0]} 5 6 7 8 "
        for name, wnid in reversed(truth.items())
    ]
    (tree / "LOC_val_solution.csv").write_text(
        "\n".join(["ImageId,PredictionString", *rows]) + "\n"
    )


def write_numbers(tree, truth):
    lines = [f"{name} {WNIDS.index(wnid)}" for name, wnid in reversed(truth.items())]
    (tree / "val.txt").write_text("\n".join(lines))


def write_wnids(tree, truth):
    (tree / "val" / "val.txt").write_text(
        "".join(f"{name[:-5]} {wnid}\n" for name, wnid in truth.items())
    )


def write_devkit(tree, truth):
    """Write the devkit's truth, whose numbers are not those of the sorted wnids.

    The leaves are followed by synsets that are not leaves.
    """
    numbers = {WNIDS[1]: 1, WNIDS[2]: 2, WNIDS[0]: 3, "n00001740": 4}
    folder = tree / "ILSVRC2012_devkit_t12" / "data"
    folder.mkdir(parents=True)
    lines = [f"{numbers[wnid]}\n" for _, wnid in sorted(truth.items())]
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(lines))
    fields = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object)]
    synsets = np.array(
        [(number, wnid, "a word") for wnid, number in numbers.items()], fields
    )
    savemat(folder / "meta.mat", {"synsets": synsets[:, None]})


def batches(dataset):
    return [[part.numpy() for part in batch] for batch in dataset]


def together(dataset):
    return [np.concatenate(parts) for parts in zip(*batches(dataset))]


def interleaved(shares):
    """Join the batches of all machines into those that a single machine has."""
    steps = [[np.stack(parts, 1) for parts in zip(*step)] for step in zip(*shares)]
    return [
        np.concatenate([part.reshape(-1, *part.shape[2:]) for part in parts])
        for parts in zip(*steps)
    ]


def resized(path, side=32):
    return (
        np.asarray(
            Image.open(path)
            .convert("RGB")
            .resize((side, side), Image.Resampling.BILINEAR),
            np.float32,
        )
        / 255
    )


def test_folders(tree):
    (tree / "train" / ".cache").mkdir()
    (tree / "train" / WNIDS[0] / "notes.txt").write_text("not an image")
    images = open_images(tree)
    assert images.classes == tuple(WNIDS)
    assert (
        images.count_images("train"),
        images.count_images("val"),
        images.corrupt,
    ) == (18, 12, {})
    assert (images.count_batches("train", 5), images.count_batches("val", 5)) == (3, 3)
    files, labels = images.list_files("train")
    assert files == sorted(map(str, tree.glob("train/*/*.JPEG")))
    assert [WNIDS[label] for label in labels] == [
        os.path.basename(os.path.dirname(file)) for file in files
    ]


@pytest.mark.parametrize("suffix", ["jpg", "JPG", "jpeg", "png", "PNG"])
def test_suffixes(tmp_path, rng, suffix):
    assert open_images(write_tree(tmp_path, rng, 1, 1, suffix)).count_images("val") == 3


@pytest.mark.parametrize(
    "write", [write_kaggle, write_numbers, write_wnids, write_devkit]
)
def test_flat_validation(tree, rng, write):
    truth = flatten(tree, rng)
    write(tree, truth)
    files, labels = open_images(tree).list_files("val")
    assert {
        os.path.basename(file): WNIDS[label] for file, label in zip(files, labels)
    } == truth


def test_kaggle_archive(tree, rng, tmp_path):
    truth = flatten(tree, rng)
    archive = tmp_path / "kaggle"
    (archive / "ILSVRC" / "Data").mkdir(parents=True)
    tree.rename(archive / "ILSVRC" / "Data" / "CLS-LOC")
    write_kaggle(archive, truth)
    files, labels = open_images(archive).list_files("val")
    assert {
        os.path.basename(file): WNIDS[label] for file, label in zip(files, labels)
    } == truth


def test_validation_images_alone(tree, tmp_path):
    (tree / "val").rename(tmp_path / "val")
    images = open_images(tmp_path, splits=("val",))
    assert images.classes == tuple(WNIDS)
    with pytest.raises(
        ValueError, match="one of the opened splits: val. Received: 'train'"
    ):
        images.count_images("train")


def without_meta(tree, rng):
    write_devkit(tree, flatten(tree, rng))
    next(tree.rglob("meta.mat")).unlink()


def one_line_less(tree, rng):
    truth = flatten(tree, rng)
    write_devkit(tree, truth)
    path = next(tree.rglob("*ground_truth.txt"))
    path.write_text(path.read_text()[2:])


def number_too_high(tree, rng):
    flatten(tree, rng)
    (tree / "val.txt").write_text("ILSVRC2012_val_00000001.JPEG 3\n")


def one_image_unknown(tree, rng):
    truth = flatten(tree, rng)
    truth.popitem()
    write_wnids(tree, truth)


def truth_of_another_class(tree, rng):
    write_wnids(tree, dict.fromkeys(flatten(tree, rng), "n09999999"))


def class_of_validation_only(tree, rng):
    (tree / "val" / WNIDS[0]).rename(tree / "val" / "n09999999")


def empty_class(tree, rng):
    (tree / "train" / "n09999999").mkdir()
    (tree / "train" / "n09999999" / "n09999999.tar").touch()


def mixed_layout(tree, rng):
    next(tree.glob("val/*/*")).rename(tree / "val" / "a.JPEG")


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (without_meta, FileNotFoundError, "not that of the wnids.*meta.mat says which"),
        (one_line_less, ValueError, "has 11 lines, but .*val has 12 images"),
        (number_too_high, ValueError, "val.txt has class numbers from 3 to 3"),
        (
            one_image_unknown,
            ValueError,
            "does not name 1 of 12 images in .*val, the first ILSVRC2012_val_00000012",
        ),
        (
            truth_of_another_class,
            ValueError,
            "val has images of classes that are not in train: n09999999$",
        ),
        (
            class_of_validation_only,
            ValueError,
            "val has images of classes that are not in train: n09999999$",
        ),
        (
            lambda tree, rng: flatten(tree, rng),
            FileNotFoundError,
            "no file that lists the classes. Known layouts",
        ),
        (
            empty_class,
            ValueError,
            "n09999999 has no images .*Found in .*: n09999999.tar. Known layouts",
        ),
        (
            mixed_layout,
            ValueError,
            "val has both folders of classes and images next to them",
        ),
        (
            lambda tree, rng: (tree / "val").rename(tree / "validation"),
            FileNotFoundError,
            "Found in .*train, validat",
        ),
        (
            lambda tree, rng: tree.rename(tree.parent / "other"),
            FileNotFoundError,
            "imagenet is not a folder. Known",
        ),
    ],
)
def test_errors_say_what_is_wrong(tree, rng, spoil, error, message):
    spoil(tree, rng)
    with pytest.raises(error, match=message):
        open_images(tree)


def test_corrupt_files_are_named_and_left_out(tree, rng):
    folder = tree / "train" / WNIDS[1]
    good = (folder / f"{WNIDS[1]}_0.JPEG").read_bytes()
    bad = {
        "empty": b"",
        "truncated": good[: len(good) // 2],
        "ends": good[:-2],
        "text": b"<html>404</html>",
    }
    for name, contents in bad.items():
        (folder / f"{name}.JPEG").write_bytes(contents)
    smooth(rng, 40, 40).convert("CMYK").save(
        folder / "cmyk.JPEG"
    )  # ImageNet has 22 of these
    smooth(rng, 40, 40).save(folder / "png.JPEG", format="PNG")  # and one of these
    smooth(rng, 40, 40).convert("L").save(folder / "grey.JPEG")
    smooth(rng, 40, 40).save(folder / "progressive.JPEG", progressive=True)
    lines = []
    images = open_images(tree, report=lines.append)
    assert set(images.corrupt) == {f"train/{WNIDS[1]}/{name}.JPEG" for name in bad}
    assert "is empty" in images.corrupt[f"train/{WNIDS[1]}/empty.JPEG"]
    assert "{{" not in "".join(images.corrupt.values())
    assert sorted(lines[:-1]) == sorted(
        f"Left out: {tree / name}: {reason}" for name, reason in images.corrupt.items()
    )
    assert lines[-1] == "4 of 38 images are corrupt and left out."
    assert images.count_images("train") == 22
    assert not any(
        os.path.basename(file).split(".")[0] in bad
        for file in images.list_files("train")[0]
    )
    pixels, labels = together(images.draw_training(CONFIG, 0, 22))
    assert labels.sum(0).tolist() == [6, 10, 6]
    assert np.isfinite(pixels).all()


def test_cmyk_keeps_its_colours(tmp_path, rng):
    write_tree(tmp_path, rng, 1, 1)
    path = tmp_path / "val" / WNIDS[0] / f"{WNIDS[0]}_0.JPEG"
    Image.new("RGB", (50, 40), (200, 120, 40)).convert("CMYK").save(path, quality=95)
    pixels, *_ = together(open_images(tmp_path).draw_validation(CONFIG, 3))
    np.testing.assert_allclose(
        pixels[0] * 255, np.broadcast_to([200.0, 120, 40], (28, 28, 3)), atol=3
    )


def test_all_corrupt(tree):
    for path in tree.glob("val/*/*"):
        path.write_bytes(b"")
    with pytest.raises(
        ValueError, match=f"no image of the class {WNIDS[0]} can be read: all 4"
    ):
        open_images(tree, report=lambda line: None)


def test_a_class_of_which_nothing_can_be_read(tree):
    for path in (tree / "train" / WNIDS[1]).iterdir():
        path.write_bytes(b"<html>")
    lines = []
    with pytest.raises(ValueError, match=f"train: no image of the class {WNIDS[1]}"):
        open_images(tree, report=lines.append)
    assert len(lines) == 7


def test_images_of_each_class_are_counted(tree):
    for path in list((tree / "val" / WNIDS[2]).iterdir()):
        path.unlink()
    (tree / "val" / WNIDS[2]).rmdir()
    images = open_images(tree)
    assert images.describe_classes() == (
        f"Images of each class (train + val): {WNIDS[2]} 6 + 0, {WNIDS[0]} 6 + 4,"
        f" {WNIDS[1]} 6 + 4."
    )


def sixteen_bits(rng, low, high, size=40):
    return rng.integers(low, high, (size, size), np.uint16)


@pytest.mark.parametrize("mode", ["grey", "colour", "alpha"])
def test_sixteen_bits_keep_their_depth(tmp_path, rng, mode):
    """Images of a 12-bit camera are dim: in 8 bits all would be black."""
    write_tree(tmp_path, rng, 1, 1, "png")
    path = next(tmp_path.glob("val/*/*"))
    pixels = sixteen_bits(rng, 20, 220)
    written = {
        "grey": pixels,
        "colour": np.stack([pixels] * 3, -1),
        "alpha": np.stack([pixels] * 3 + [np.full_like(pixels, 65535)], -1),
    }
    path.write_bytes(tf.io.encode_png(np.atleast_3d(written[mode])).numpy())
    assert not open_images(tmp_path).corrupt
    decoded = decode_image(path.read_bytes())
    np.testing.assert_allclose(decoded[..., 1] * 257, pixels, rtol=1e-5)
    np.testing.assert_allclose(read_grey(path) * 257, pixels, rtol=1e-3)


def test_one_reader_for_all(tmp_path, rng):
    """Evaluation of weights files reads the same images as training."""
    write_tree(tmp_path, rng, 2, 1, "png")
    paths = sorted(tmp_path.glob("train/*/*"))
    # More text than Pillow takes, as in rendered images.
    text = PngImagePlugin.PngInfo()
    text.add_text("scene", "x" * 2_000_000, zip=True)
    smooth(rng, 40, 50).save(paths[0], pnginfo=text)
    # Colours of a palette, one of them transparent.
    picture = smooth(rng, 40, 50).quantize(8)
    picture.save(paths[1], transparency=0)
    smooth(rng, 40, 50).convert("1").save(paths[2])
    Image.fromarray(rng.integers(0, 255, (50, 40, 4), np.uint8)).save(paths[3])
    assert not open_images(tmp_path).corrupt
    for path in paths[:4]:
        assert read_grey(path).shape == (50, 40)
    expected = np.asarray(Image.open(paths[1]).convert("RGB"), float)
    grey = expected @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(read_grey(paths[1]), grey, atol=1e-3)


@pytest.mark.parametrize("change", ["damaged", "removed"])
def test_a_file_that_was_whole_before_is_named(tree, change):
    images = open_images(tree)
    path = tree / os.fsdecode(images.sources["train"].names[7])
    if change == "damaged":
        path.write_bytes(path.read_bytes()[:300])
    else:
        path.unlink()
    message = rf"{path} cannot be read: .*restore it"
    with pytest.raises(OSError, match=message), images.name_unreadable():
        together(images.draw_training(CONFIG, 0, 6))
    # Other errors are passed on unchanged.
    for error in (ValueError("x"), tf.errors.ResourceExhaustedError(None, None, "x")):
        with pytest.raises(type(error)), images.name_unreadable():
            raise error


def test_a_damaged_result_of_checking_is_ignored(tree, tmp_path):
    checked = tmp_path / "checked.json"
    open_images(tree, checked=checked)
    expected = checked.read_text()
    for content in ("", expected[:50], "[]", '{"digest": "x"}'):
        checked.write_text(content)
        assert not open_images(tree, checked=checked).corrupt
        assert checked.read_text() == expected


def test_files_are_not_read_again_when_they_were_checked(tree, tmp_path):
    checked = tmp_path / "checked.json"
    path = next(tree.glob("train/*/*"))
    size = path.stat().st_size
    assert not open_images(tree, checked=checked).corrupt
    assert json.loads(checked.read_text())["images"] == 30
    path.write_bytes(bytes(size))
    assert not open_images(tree, checked=checked).corrupt
    path.write_bytes(bytes(size - 1))
    name = str(path.relative_to(tree))
    for _ in range(2):
        assert list(
            open_images(tree, checked=checked, report=lambda line: None).corrupt
        ) == [name]
    path.unlink()
    assert not open_images(tree, checked=checked).corrupt


def test_an_epoch_is_the_same_whenever_it_is_drawn(opened):
    first = together(opened.draw_training(CONFIG, 3, 6))
    tf.random.set_seed(1)
    again = together(opened.draw_training(CONFIG, 3, 6))
    for part, other in zip(first, again):
        np.testing.assert_array_equal(part, other)
    assert (
        np.abs(first[0] - together(opened.draw_training(CONFIG, 4, 6))[0]).max() > 0.1
    )
    other = dataclasses.replace(CONFIG, seed=1)
    assert np.abs(first[0] - together(opened.draw_training(other, 3, 6))[0]).max() > 0.1


def test_each_image_is_drawn_once_and_the_rest_of_a_batch_not(tree):
    paths = sorted(tree.glob("train/*/*"))
    for number, path in enumerate(paths):
        Image.new("RGB", (40, 40), (number * 10,) * 3).save(path, quality=100)
    images = open_images(tree)
    drawn = []
    for epoch in (0, 1):
        pixels, labels = together(images.draw_training(CONFIG, epoch, 18))
        order = np.rint(pixels.mean((1, 2, 3)) * 255 / 10).astype(int)
        assert sorted(order) == list(range(18))
        np.testing.assert_array_equal(labels.argmax(1), order // 6)
        drawn.append(order.tolist())
    assert drawn[0] != drawn[1] != sorted(drawn[1])
    assert together(images.draw_training(CONFIG, 0, 8))[0].shape == (16, 28, 28, 3)


@pytest.mark.parametrize("machines", [2, 3])
def test_machines_share_each_batch(opened, machines):
    expected = batches(opened.draw_training(CONFIG, 0, 6))
    parts = [
        batches(opened.draw_training(CONFIG, 0, 6, (machine, machines)))
        for machine in range(machines)
    ]
    assert len(expected) == 3
    for machine, part in enumerate(parts):
        assert len(part) == 3
        for share, batch in zip(part, expected):
            for received, complete in zip(share, batch):
                np.testing.assert_array_equal(received, complete[machine::machines])


def test_replicas_get_smaller_batches(opened):
    received = batches(opened.draw_training(CONFIG, 0, 12, (1, 2), per_replica=3))
    assert [len(pixels) for pixels, _ in received] == [3, 3]
    np.testing.assert_array_equal(
        np.concatenate([pixels for pixels, _ in received]),
        together(opened.draw_training(CONFIG, 0, 12))[0][1::2],
    )


@pytest.mark.parametrize("machines", [1, 2])
def test_validation_is_padded_with_blanks_of_no_weight(tree, machines):
    for path in list(tree.glob("val/*/*"))[:3]:
        path.unlink()
    images = open_images(tree)
    shares = [
        batches(images.draw_validation(CONFIG, 4, (machine, machines)))
        for machine in range(machines)
    ]
    assert all(len(share) == 3 for share in shares)
    pixels, labels, weights = interleaved(shares)
    assert weights.tolist() == [1.0] * 9 + [0.0] * 3
    assert not pixels[9:].any() and not labels[9:].any()
    np.testing.assert_array_equal(labels[:9].argmax(1), images.list_files("val")[1])
    expected = np.stack(
        [resized(path)[2:30, 2:30] for path in sorted(tree.glob("val/*/*"))]
    )
    assert np.abs(pixels[:9] - expected).mean() < 2 / 255


def test_training_images_as_validation_images(opened):
    pixels, labels, weights = together(opened.draw_validation(CONFIG, 4, split="train"))
    assert len(pixels) == 20
    assert weights.tolist() == [1.0] * 18 + [0.0] * 2
    np.testing.assert_array_equal(labels[:18].argmax(1), opened.list_files("train")[1])


@pytest.mark.slow
def test_training_images_are_crops_of_the_resized_image(tmp_path, rng):
    write_tree(tmp_path, rng, 1, 1, "png")
    images = open_images(tmp_path)
    resized_images = {
        number: resized(path)
        for number, path in enumerate(sorted(tmp_path.glob("train/*/*")))
    }
    all_crops, alike = set(), 0
    for epoch in range(12):
        drawn = []
        for pixels, label in zip(*together(images.draw_training(CONFIG, epoch, 3))):
            matches = [
                (flip, top, left)
                for flip in (1, -1)
                for top in range(5)
                for left in range(5)
                if np.abs(
                    resized_images[label.argmax()][top : top + 28, ::flip][
                        :, left : left + 28
                    ]
                    - pixels
                ).max()
                < 1.5 / 255
            ]
            assert len(matches) == 1
            drawn.extend(matches)
        all_crops.update(drawn)
        alike += len(set(drawn)) == 1
    assert alike < 3
    for axis, values in enumerate([{1, -1}, set(range(5)), set(range(5))]):
        assert {crop[axis] for crop in all_crops} == values


def test_validation_images_are_the_middle_of_the_resized_image(tmp_path, rng):
    write_tree(tmp_path, rng, 1, 1, "png")
    pixels, *_ = together(open_images(tmp_path).draw_validation(CONFIG, 3))
    expected = [resized(path)[2:30, 2:30] for path in sorted(tmp_path.glob("val/*/*"))]
    np.testing.assert_allclose(pixels, expected, atol=1 / 255)


def test_pixels_are_as_the_network_takes_them(opened):
    plain, labels, _ = together(opened.draw_validation(CONFIG, 12))
    config = dataclasses.replace(
        CONFIG, multiply=255.0, subtract=(103.939, 116.779, 123.68), bgr=True
    )
    received, _, _ = together(opened.draw_validation(config, 12))
    np.testing.assert_allclose(
        received, plain[..., ::-1] * 255 - np.float32(config.subtract), atol=1e-4
    )
    assert (received.dtype, labels.dtype, labels.shape) == (
        np.float32,
        np.float32,
        (12, 3),
    )


def planes(rng):
    noise = rng.random((224, 224), np.float32)
    yield "noise", noise
    yield "dark with a few bright pixels", np.where(noise > 0.9995, 1, noise / 50)
    yield "two values", np.where(noise > 0.5, np.float32(0.25), np.float32(0.75))
    yield "ramp", np.linspace(0, 1, 224 * 224, dtype=np.float32).reshape(224, 224) ** 3
    yield "constant", np.full((224, 224), 0.3, np.float32)
    yield "constant but for a pixel", np.pad(np.ones((1, 1), np.float32), (100, 123))
    yield "constant but for rounding", np.float32(0.3) + noise * np.float32(1e-7)


def test_grey_is_scaled_as_microscopy_planes_are(net, rng):
    for name, plane in planes(rng):
        np.testing.assert_allclose(
            scale_grey(tf.constant(plane)),
            to_grey(plane, net.card),
            atol=1e-5,
            err_msg=name,
        )


def test_grey_images(net, tmp_path, rng):
    write_tree(tmp_path, rng, 1, 1, "png")
    images = open_images(tmp_path)
    grey = dataclasses.replace(CONFIG, multiply=2.0, subtract=(0, 1, 2), grey=True)
    pixels, *_ = together(images.draw_validation(grey, 3))
    colour, *_ = together(images.draw_validation(CONFIG, 3))
    card = dataclasses.replace(net.card, input_size=28)
    for received, image in zip(pixels, colour):
        expected = to_grey(image @ np.float32([0.299, 0.587, 0.114]), card)
        np.testing.assert_allclose(
            received, expected[..., None] * 2 - np.float32([0, 1, 2]), atol=2e-5
        )


def test_batches_that_cannot_be(opened):
    with pytest.raises(
        ValueError,
        match="batch must be at most 18, the number of images to train. Received: 19",
    ):
        opened.draw_training(CONFIG, 0, 19)
    with pytest.raises(ValueError, match="multiple of the 4 machines. Received: 6"):
        opened.draw_validation(CONFIG, 6, (0, 4))
    with pytest.raises(
        ValueError,
        match="per_replica must divide the 3 images of a machine .*Received: 2",
    ):
        opened.draw_training(CONFIG, 0, 6, (0, 2), per_replica=2)


@contextlib.contextmanager
def op_determinism():
    from tensorflow.python.framework import config

    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        config.disable_op_determinism()


def readers_at_once(pipes, read):
    """Return how many of the pipes ``read`` waits for at the same time.

    Nothing is written to them: each is opened and closed.
    """
    # A daemon: if this fails, it waits forever, because nobody writes to the pipes.
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    most, until = 0, time.monotonic() + 20
    while thread.is_alive():
        assert time.monotonic() < until
        time.sleep(0.2)
        ends = []
        for pipe in pipes:
            with contextlib.suppress(OSError):  # nobody waits for this one
                ends.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        most = max(most, len(ends))
        for end in ends:
            os.close(end)
    return most


@pytest.mark.skipif(os.cpu_count() < 2, reason="one processor reads one file at a time")
def test_files_are_read_in_parallel_though_operations_are_deterministic(tmp_path, rng):
    images = open_images(write_tree(tmp_path, rng, train=2, val=1))
    expected = together(images.draw_training(CONFIG, 0, 6))[0]
    with op_determinism():
        np.testing.assert_array_equal(
            together(images.draw_training(CONFIG, 0, 6))[0], expected
        )
        pipes = sorted(tmp_path.glob("train/*/*"))
        for pipe in pipes:
            pipe.unlink()
            os.mkfifo(pipe)

        def train():
            with contextlib.suppress(tf.errors.OpError):
                batches(images.draw_training(CONFIG, 0, 6))

        def check():
            with contextlib.suppress(ValueError):
                open_images(tmp_path, report=lambda line: None)

        assert readers_at_once(pipes, train) > 1
        assert readers_at_once(pipes, check) > 1


def test_images_per_second():
    def slow():
        for _ in range(1000):
            time.sleep(0.02)
            yield np.zeros((10, 1)), np.zeros(10)

    shapes = (tf.TensorSpec((10, 1)), tf.TensorSpec((10,)))
    dataset = tf.data.Dataset.from_generator(slow, output_signature=shapes)
    begin = time.monotonic()
    assert 20 < measure_input_speed(dataset, seconds=0.5) <= 500
    assert time.monotonic() - begin < 10
    assert 20 < measure_input_speed(dataset.take(3)) <= 500
    with pytest.raises(ValueError, match="from the second batch on"):
        measure_input_speed(dataset.take(1))


def test_real_images(data, tmp_path):
    folders = sorted((data / "imagenet20" / "val").iterdir())[:3]
    (tmp_path / "val").mkdir()
    for folder in folders:
        (tmp_path / "val" / folder.name).symlink_to(folder)
    images = open_images(tmp_path, splits=("val",))
    assert images.classes == tuple(folder.name for folder in folders)
    assert images.corrupt == {}
    config = dataclasses.replace(CONFIG, image_size=224)
    pixels, labels, weights = together(images.draw_validation(config, 64))
    assert pixels.shape == (192, 224, 224, 3)
    assert weights.sum() == images.count_images("val") == 150
    assert labels.sum(0).tolist() == [50, 50, 50]
    for number, path in list(enumerate(images.list_files("val")[0]))[::30]:
        assert (
            np.abs(pixels[number] - resized(path, 256)[16:240, 16:240]).mean() < 2 / 255
        )
