"""Which files of a folder are read, and as which class; no image is decoded."""

import os

import numpy as np
import pytest

from training.layouts import list_files
from training.shards import is_shard_folder
from training.stored_files import refuse_output_in_data

SPLITS = ("train", "val")


def write_tree(root, classes=("a", "b", "c"), flat=None, truth=None):
    """Write folders of classes with two files each; validation likewise, or flat."""
    for split in SPLITS:
        for name in classes if flat is None or split == "train" else ():
            (root / split / name).mkdir(parents=True)
            for number in range(2):
                (root / split / name / f"{number}.jpg").write_bytes(b"x" * number)
    for name in flat or ():
        (root / "val").mkdir(exist_ok=True)
        (root / "val" / name).touch()
    if truth is not None:
        (root / "val.txt").write_text(truth)
    return root


def list_answers(root):
    listing = list_files(root, SPLITS)
    labels = [listing.classes[number] for number in listing.labels["val"]]
    return dict(zip([name.decode()[4:] for name in listing.names["val"]], labels))


@pytest.mark.parametrize(
    ("classes", "truth", "expected"),
    [
        # Names of folders are matched first, even if they are numbers.
        (("0", "1", "10", "2"), "x.jpg 10\ny.jpg 2", {"x.jpg": "10", "y.jpg": "2"}),
        (("1", "2", "3"), "x.jpg 1\ny.jpg 2", {"x.jpg": "1", "y.jpg": "2"}),
        (("01", "02"), "x.jpg 02\ny.jpg 01", {"x.jpg": "02", "y.jpg": "01"}),
        # Caffe's lists number the names.
        (("a", "b", "c"), "x.jpg 0\ny.jpg 2", {"x.jpg": "a", "y.jpg": "c"}),
        # The byte order mark of Windows, empty lines, folders and tabs.
        (("a", "b"), "\ufeffx.jpg\tb\n\nval\\y.jpg a\n", {"x.jpg": "b", "y.jpg": "a"}),
        (("a", "b"), "x b\n./val/y a", {"x.jpg": "b", "y.jpg": "a"}),
        # Repeated lines do no harm.
        (("a", "b"), "x.jpg b\nx.jpg b\ny a", {"x.jpg": "b", "y.jpg": "a"}),
    ],
)
def test_a_list_says_the_classes(tmp_path, classes, truth, expected):
    write_tree(tmp_path, classes, ["x.jpg", "y.jpg"], truth)
    assert list_answers(tmp_path) == expected


@pytest.mark.parametrize(
    ("classes", "truth", "message"),
    [
        (("1", "2", "3"), "x.jpg 0\ny.jpg 2", "two ways: 0 is not the name of a class"),
        (("01", "02"), "x.jpg 1\ny.jpg 2", "two ways: 1 is not the name of a class"),
        (("10", "20"), "x.jpg 0\ny.jpg 1", "two ways: 0 is not the name of a class"),
        (("a", "b", "7"), "x.jpg a\ny.jpg 1", "two ways: 1 is not the name of a class"),
        # From 0 or from 1?
        (("a", "b", "c"), "x.jpg 1\ny.jpg 2", "from 1 to 2.*counted from 1"),
        (("a", "b", "c"), "x.jpg 1\ny.jpg 3", "from 1 to 3.*counted from 1"),
        (("a", "b"), "x.jpg 0\ny.jpg 2", "from 0 to 2, but there are 2 classes"),
        (("a", "b"), "x.jpg a\nx.jpg b\ny.jpg a", "several classes for x.jpg: a, b"),
        (("a", "b"), "x.jpg a", "does not name 1 of 2 images in .*, the first y.jpg"),
        (("a", "b"), "x.jpg", "val.txt is not as expected"),
        (("a", "b"), "x.jpg A\ny.jpg b", "classes that are not in train: A"),
    ],
)
def test_an_ambiguous_list_is_refused(tmp_path, classes, truth, message):
    write_tree(tmp_path, classes, ["x.jpg", "y.jpg"], truth)
    with pytest.raises(ValueError, match=message):
        list_files(tmp_path, SPLITS)


def test_images_of_one_name_are_told_apart_by_the_suffix(tmp_path):
    truth = "x.jpg a\nx.png b\n1.5.jpg a\n1.6.jpg b"
    names = ["x.jpg", "x.png", "1.5.jpg", "1.6.jpg"]
    write_tree(tmp_path, flat=names, truth=truth)
    assert list_answers(tmp_path) == dict(zip(names, "abab"))
    (tmp_path / "val.txt").write_text("1.5 b\n1.6 a\nx a")
    with pytest.raises(ValueError, match="x may be x.jpg or x.png"):
        list_files(tmp_path, SPLITS)
    (tmp_path / "val" / "x.png").unlink()
    assert list_answers(tmp_path) == {"1.5.jpg": "b", "1.6.jpg": "a", "x.jpg": "a"}


def test_two_lists_that_differ(tmp_path):
    write_tree(tmp_path, flat=["x.jpg"])
    for folder, truth in (("old", "x.jpg a"), ("new", "x.jpg a")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "val.txt").write_text(truth)
    assert list_answers(tmp_path) == {"x.jpg": "a"}
    (tmp_path / "new" / "val.txt").write_text("x.jpg b")
    with pytest.raises(ValueError, match="different files val.txt: .*new.*old"):
        list_files(tmp_path, SPLITS)


def test_lines_in_the_order_of_names_that_can_be_ordered_in_two_ways(tmp_path):
    from scipy.io import savemat

    write_tree(tmp_path, flat=["val_2.jpg", "val_10.jpg"])
    (tmp_path / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n2\n")
    fields = [("ILSVRC2012_ID", object), ("WNID", object)]
    synsets = np.array([(1, "a"), (2, "b")], fields)[:, None]
    savemat(tmp_path / "meta.mat", {"synsets": synsets})
    with pytest.raises(ValueError, match="ordered in two ways"):
        list_files(tmp_path, SPLITS)
    (tmp_path / "val" / "val_2.jpg").rename(tmp_path / "val" / "val_02.jpg")
    assert list_answers(tmp_path) == {"val_02.jpg": "a", "val_10.jpg": "b"}
    (tmp_path / "meta.mat").write_bytes(b"")
    with pytest.raises(ValueError, match="meta.mat is not as expected: MatReadError"):
        list_files(tmp_path, SPLITS)


def test_damaged_table_of_kaggle(tmp_path):
    write_tree(tmp_path, flat=["x.jpg"])
    table = tmp_path / "LOC_val_solution.csv"
    table.write_bytes(b"ImageId,PredictionString\n\0\0\0\n")
    with pytest.raises(ValueError, match="LOC_val_solution.csv (is not as|does not)"):
        list_files(tmp_path, SPLITS)


def test_files_that_are_not_read_are_named(tmp_path):
    write_tree(tmp_path)
    folder = tmp_path / "train" / "b"
    for name in ("s.tif", "t.tif", "u.TIFF", "notes", ".DS_Store", "Thumbs.db"):
        (folder / name).touch()
    for name in ("w.webp", "x.BMP", "y.gif", "z.jfif"):
        (folder / name).touch()
    (folder / "batch2").mkdir()
    (tmp_path / "val" / "readme.md").touch()
    listing = list_files(tmp_path, SPLITS)
    assert sorted(listing.skip_notes) == [
        f"Not read in {folder}: 1 folders (batch2); 1 files without suffix (notes);"
        " 2 files .tif (s.tif, t.tif); 1 files .TIFF (u.TIFF).",
        f"Not read in {tmp_path / 'val'}: 1 files .md (readme.md).",
    ]
    read = {os.path.basename(name) for name in listing.names["train"]}
    assert read == {b"0.jpg", b"1.jpg", b"w.webp", b"x.BMP", b"y.gif", b"z.jfif"}


def test_files_that_are_not_read_are_named_in_flat_folders(tmp_path):
    write_tree(tmp_path, flat=["x.jpg", "y.tif"])
    # Inside the folder, val.txt is a list, not a file that is not read.
    (tmp_path / "val" / "val.txt").write_text("x.jpg a")
    (line,) = list_files(tmp_path, SPLITS).skip_notes
    assert line == f"Not read in {tmp_path / 'val'}: 1 files .tif (y.tif)."


def test_one_class_is_refused(tmp_path):
    write_tree(tmp_path, classes=("everything",))
    with pytest.raises(ValueError, match="only one class, everything. At least two"):
        list_files(tmp_path, SPLITS)
    with pytest.raises(ValueError, match="only one class, everything"):
        list_files(tmp_path, ("val",))


def test_images_are_known_by_names_lengths_and_classes(tmp_path):
    first = write_tree(tmp_path / "first", flat=["x.jpg"], truth="x.jpg a")
    copy = write_tree(tmp_path / "copy", flat=["x.jpg"], truth="x.jpg a")

    def identify():
        return [list_files(root, SPLITS).identify() for root in (first, copy)]

    assert len(set(identify())) == 1
    earlier = set(identify())
    changes = (
        lambda: (copy / "val.txt").write_text("x.jpg b"),
        lambda: (copy / "train/a/0.jpg").write_bytes(b"longer"),
        lambda: (copy / "train/a/0.jpg").rename(copy / "train/a/3.jpg"),
        lambda: (copy / "train/a/3.jpg").unlink(),
        lambda: (copy / "train/b/0.jpg").rename(copy / "train/c/2.jpg"),
    )
    for change in changes:
        change()
        before, after = identify()
        assert after not in earlier
        earlier.add(after)
    assert before in earlier


def test_shards_are_known_by_what_is_in_the_folder(tmp_path):
    (tmp_path / "images.json").write_text('{"images": [], "categories": []}')
    assert not is_shard_folder(tmp_path)
    (tmp_path / "images.json").write_text('{"digest": "", "corrupt": {}, "images": 1}')
    assert not is_shard_folder(tmp_path)
    (tmp_path / "images.json").write_text("[]")
    assert not is_shard_folder(tmp_path)
    write_tree(tmp_path)
    (tmp_path / "more.tfrecord").touch()
    assert not is_shard_folder(tmp_path)
    index = '{"image_size": 32, "classes": [], "corrupt": {}, "splits": {}}'
    (tmp_path / "images.unfinished.json").write_text(index)
    assert is_shard_folder(tmp_path)


def test_output_within_the_images(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "link").symlink_to(data)
    for output in ("data", "data/run", "data/../data/a/b", "link", "link/run"):
        with pytest.raises(ValueError, match="outside the images in .*data. Receiv"):
            refuse_output_in_data(data, tmp_path / output)
    for output in ("run", "data2", "data/../run", "."):
        refuse_output_in_data(data, tmp_path / output)
