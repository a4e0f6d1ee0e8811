"""Stores of SpatialData as sources: what old versions of spatialdata have written.

Stores of the newest version are in tests/stratonet/tables/test_spatialdata_stores.py.
"""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile
from microscope_files import plane, write_array, write_zarr_plate
from s3_server import S3Server
from screen_images import TAP
from spatial_stores import FIELDS, NUMBERS, OLD_VERSIONS, field, labels, unpack_stores

import stratonet_cli
from stratonet.extraction import ImageSource, ObjectsFromLabels, extract, objects
from stratonet.extraction.checks import check_source
from stratonet.extraction.sources.imagesets import read_image
from stratonet.extraction.sources.microscopes import MicroscopeSource
from stratonet.extraction.sources.read import read_source
from stratonet.files.microscopes.placements import have_same_placement, read_placement
from stratonet.files.storage import Storage
from stratonet.tables import feature_columns, read_features

pytest.importorskip("zarr", reason="stores are Zarr")
from stratonet.files.microscopes.spatialstores import choose_labels  # noqa: E402

NUCLEI = ObjectsFromLabels("nuclei", 32)


@pytest.fixture(params=OLD_VERSIONS)
def stores(request, tmp_path):
    """A folder with what a version has written: fields.zarr and stack.zarr."""
    unpack_stores(request.param, tmp_path)
    return tmp_path


@pytest.fixture
def store(tmp_path):
    unpack_stores(OLD_VERSIONS[-1], tmp_path)
    return tmp_path / "fields.zarr"


def write_tiff(folder):
    """The images and labels of a store of fields as TIFF files, with their table."""
    rows = []
    for name, seed in FIELDS.items():
        row = {"Metadata_Plate": "fields", "Metadata_Well": name}
        for channel, pixels in zip(("DAPI", "Alexa_488"), field(seed)):
            row[f"FileName_{channel}"] = f"{name}_{channel}.tif"
            tifffile.imwrite(folder / row[f"FileName_{channel}"], pixels)
        row["ObjectsFileName_nuclei"] = f"{name}_labels.tif"
        tifffile.imwrite(folder / row["ObjectsFileName_nuclei"], labels(seed))
        rows.append(row)
    pd.DataFrame(rows).to_csv(folder / "load_data.csv", index=False)
    return folder / "load_data.csv"


def test_images_are_image_sets_with_their_labels(stores):
    source = ImageSource(stores / "fields.zarr")
    check_source(MicroscopeSource(), source, [ImageSource(stores)])
    frame = read_source(source).frame
    names = list(FIELDS)
    assert frame["Metadata_Plate"].tolist() == ["fields"] * 2
    for column in ("Metadata_Well", "Metadata_Image"):
        assert frame[column].tolist() == names
    for row, seed in zip(frame.to_dict("records"), FIELDS.values()):
        planes = [read_image(row, c, source.storage) for c in ("DAPI", "Alexa_488")]
        np.testing.assert_array_equal(planes, field(seed))
        assert f"/labels/s{seed}_nuclei/" in row["Labels_nuclei"]
        assert row["Labels_nuclei"] == row[f"Labels_s{seed}_nuclei"]
    # Wells by a pattern, and one image alone.
    pattern = r"images/(?P<Well>s\d)_"
    wells = read_source(ImageSource(source.location, pattern=pattern)).frame
    assert wells["Metadata_Well"].tolist() == ["S01", "S02"]
    single_image = read_source(
        ImageSource(stores / "fields.zarr/images/s2_image")
    ).frame
    assert single_image["Metadata_Image"].tolist() == ["s2_image"]
    # A folder of stores is none.
    with pytest.raises(ValueError, match=r"holds OME-Zarr.* each as a source"):
        read_source(ImageSource(stores))


def test_features_are_those_of_the_same_pixels_in_tiff(stores):
    (stores / "tiff").mkdir()
    sources = {"store": stores / "fields.zarr", "tiff": write_tiff(stores / "tiff")}
    features = {}
    for name, source in sources.items():
        out = stores / name / "out" if name == "tiff" else stores / "out"
        done = extract(source, out, objects=NUCLEI, taps=TAP, progress=False)
        assert done.image_sets == 2 and done.incomplete == 0
        features[name] = read_features(out)
    of_store, of_tiff = features["store"], features["tiff"]
    assert of_store["Metadata_ObjectNumber"].tolist() == [*NUMBERS, *NUMBERS]
    regions = ["s1_nuclei"] * 3 + ["s2_nuclei"] * 3
    assert of_store["Metadata_Region"].tolist() == regions
    assert "Metadata_Region" not in of_tiff
    names = feature_columns(of_store)
    assert names == feature_columns(of_tiff)
    np.testing.assert_allclose(of_store[names], of_tiff[names], rtol=0, atol=1e-6)


def test_a_stack_needs_a_projection_and_numbers_its_channels(stores):
    path = stores / "stack.zarr"
    with pytest.raises(ValueError, match="stack.*3 planes in z.*`project` is max"):
        read_source(ImageSource(path))
    source = ImageSource(path, project="max")
    row = read_source(source).frame.to_dict("records")[0]
    for channel in range(2):
        planes = [plane(3, channel, z) for z in range(3)]
        image = read_image(row, str(channel), source.storage)
        np.testing.assert_array_equal(image, np.max(planes, axis=0))
    out = stores / "out"
    done = extract(source, out, objects=NUCLEI, taps=TAP, progress=False)
    assert done.incomplete == 0
    assert read_features(out)["Metadata_Region"].tolist() == ["nuclei"] * 3


def test_names_are_read_where_metadata_are_gathered(store):
    """As spatialdata itself does: what is not in there is not in the store."""
    names = ["images/s1_image/.zattrs", "images/.zgroup", "labels/s1_nuclei/.zattrs"]
    gathered = {"metadata": dict.fromkeys(names)}
    (store / ".zmetadata").write_text(json.dumps(gathered))
    frame = read_source(ImageSource(store)).frame
    assert frame["Metadata_Image"].tolist() == ["s1_image"]
    labels_of_store = [name for name in frame if name.startswith("Labels_")]
    assert labels_of_store == ["Labels_s1_nuclei", "Labels_nuclei"]


def edit(path, change):
    """Change the metadata of an element."""
    file = path / ".zattrs"
    metadata = json.loads(file.read_text())
    change(metadata["multiscales"][0])
    file.write_text(json.dumps(metadata))


def move(**transformation):
    """A change: how an element lies in its coordinate system."""

    def change(multiscale):
        (to_global,) = multiscale["coordinateTransformations"]
        del to_global["type"]
        to_global.update(transformation)

    return change


def rename_system(multiscale):
    (to_global,) = multiscale["coordinateTransformations"]
    to_global["output"]["name"] = "slide 2"


MIRRORED = move(type="affine", affine=[[1, 0, 0], [0, -1, 64]])
SCALED = move(type="scale", scale=[2.0, 2.0])


@pytest.mark.parametrize(
    "change, expected_message",
    [
        (SCALED, r"s1_nuclei.*does not lie on.*global: \[\[2.0.*s1_image.*: identity"),
        (MIRRORED, r"does not lie on the image.*\[0.0, -1.0, 64.0\]"),
        (rename_system, r"does not lie on .*slide 2: identity.*global: identity"),
        (move(type="displacements"), "s1_nuclei: a transformation of type 'displace"),
    ],
)
def test_labels_that_lie_elsewhere_are_refused(change, expected_message, store):
    for element in ("s1_nuclei", "s2_nuclei"):
        edit(store / "labels" / element, change)
    out = store.parent / "out"
    with pytest.raises(ValueError, match=expected_message):
        extract(store, out, objects=NUCLEI, taps=TAP, progress=False)
    assert not out.exists()


def test_one_label_image_that_lies_elsewhere_is_told_in_its_row(store):
    edit(store / "labels" / "s1_nuclei", SCALED)
    done = extract(store, store.parent / "out", objects=NUCLEI, taps=TAP)
    assert done.image_sets == 2 and done.incomplete == 1
    frame = read_features(store.parent / "out")
    assert "does not lie on the image" in frame["Metadata_Error"][0]
    assert frame["Metadata_ObjectNumber"].tolist()[1:] == list(NUMBERS)
    # Where both lie in one place, however far away, they fit.
    edit(store / "images" / "s1_image", move(type="scale", scale=[1.0, 2.0, 2.0]))
    done = extract(store, store.parent / "out2", objects=NUCLEI, taps=TAP)
    assert done.incomplete == 0


def test_ways_to_write_one_transformation():
    axes = {"axes": [{"name": name} for name in "cyx"]}
    ends = {"input": axes, "output": {**axes, "name": "global"}}
    scale = {"type": "scale", "scale": [1, 2, 3], **ends}
    shift = {"type": "translation", "translation": [0, 5, 6], **ends}
    sequence = {"type": "sequence", "transformations": [scale, shift], **ends}
    rows = [[1, 0, 0, 0], [0, 2, 0, 5], [0, 0, 3, 6]]
    affine = {"type": "affine", "affine": rows, **ends}
    turned = {"type": "mapAxis", "mapAxis": {"c": "c", "y": "x", "x": "y"}, **ends}
    read = [
        read_placement({"coordinateTransformations": [transformation]})
        for transformation in (sequence, affine, turned, scale)
    ]
    assert have_same_placement(read[0], read[1])
    assert not have_same_placement(read[0], read[3])
    assert read[2][0][1][:2] == ((0, 1, 0), (1, 0, 0))
    # OME-Zarr of others scales its own sizes, and names no system.
    assert read_placement({"coordinateTransformations": [{"type": "scale"}]}) == ()


@pytest.mark.parametrize(
    "array, axes, expected_message",
    [
        (np.zeros((24, 32), int), "yx", r"label image has shape \(24, 32\), the image"),
        (
            np.zeros((2, 48, 64), int),
            "zyx",
            "label image must be one plane.*2 planes in z",
        ),
    ],
)
def test_labels_of_other_pixels_are_refused(
    array, axes, expected_message, store, capsys
):
    for element in ("s1_nuclei", "s2_nuclei"):
        path = store / "labels" / element

        def change(multiscale):
            multiscale["axes"] = [{"name": name} for name in axes]
            del multiscale["coordinateTransformations"]

        edit(path, change)
        shutil.rmtree(path / "0")
        write_array(path / "0", array, "0.4")
    out = store.parent / "out"
    words = ["extract", store, "--output", out, "--labels", "nuclei", "--taps", TAP]
    assert stratonet_cli.main(list(map(str, words))) == 1
    assert re.search(expected_message, capsys.readouterr().err)
    assert not out.exists()
    # Whole images do not mind.
    assert extract(store, out, taps=TAP, progress=False).incomplete == 0


def test_what_is_not_in_a_store_is_told(store):
    def refuse(source, expected_message, objects=NUCLEI, error=ValueError):
        with pytest.raises(error, match=expected_message):
            extract(source, store.parent / "out", objects=objects, taps=TAP)

    refuse(store / "images" / "s9", r"without an image 's9'.*s1_image, s2_image")
    refuse(store, "lacks Labels_nucleus.*Labels_nuclei", ObjectsFromLabels("nucleus"))
    # An image of which nothing is there but its name, and a store without any.
    (store / "images" / "s1_image" / ".zattrs").unlink()
    refuse(store, r"s1_image/\.zattrs", error=FileNotFoundError)
    shutil.rmtree(store / "images")
    refuse(store, r"without images was received. It holds: labels \(s1_nuclei")
    shutil.rmtree(store / "labels")
    refuse(store, r"is not an OME-Zarr folder", error=FileNotFoundError)
    # What looks like a store and is a plate.
    write_zarr_plate(store.parent / "plate.zarr", fields=1)
    refuse(store.parent / "plate.zarr/images/s1", "is not a SpatialData store")


@pytest.mark.parametrize(
    "image, expected",
    [
        # The longest name of an image counts, with or without _image.
        ("s1_image", {"cells": "s1_cells", "s1_cells": "s1_cells"}),
        ("s1_b", {"nuclei": "s1_b-nuclei", "s1_b-nuclei": "s1_b-nuclei"}),
        ("s10", {}),
    ],
)
def test_labels_belong_to_the_image_they_are_named_after(image, expected):
    images = ["s1_image", "s1_b", "s10"]
    labels_of_all = {"tissue": "tissue"}
    names = ["s1_b-nuclei", "s1_cells", "tissue"]
    assert dict(choose_labels(image, images, names)) == {**expected, **labels_of_all}


@pytest.mark.parametrize("at_once", [1, 100, 2**22])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, bool])
def test_centres_do_not_depend_on_how_much_is_looked_at(
    at_once, dtype, tmp_path, monkeypatch
):
    monkeypatch.setattr(objects, "PIXELS_AT_ONCE", at_once)
    # Objects of several pieces, of one pixel, and numbers that are none.
    image = np.random.default_rng(0).integers(-3, 40, (31, 17))
    image[image % 3 == 0] = 0
    image = image.clip(0, None).astype(dtype) if dtype != np.int16 else image
    options = {"photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "a.tif", image.astype(dtype), **options)
    row = {"Labels_a": str(tmp_path / "a.tif")}
    segmented = objects.read_label_image(row, "a", Storage())
    assert segmented.numbers.tolist() == [n for n in np.unique(image) if n > 0]
    expected = [np.argwhere(image == n).mean(axis=0) for n in segmented.numbers]
    np.testing.assert_allclose(segmented.centers, expected, rtol=1e-14)
    # Neither objects nor pixels.
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 7), dtype), **options)
    segmented = objects.read_label_image(row, "a", Storage())
    assert segmented.numbers.shape == (0,) and segmented.centers.shape == (0, 2)


def test_stores_of_one_name_are_not_taken_for_one(stores):
    for folder in ("day1", "day2"):
        shutil.copytree(stores / "fields.zarr", stores / folder / "data.zarr")
    twice = [stores / "day1" / "data.zarr", stores / "day1" / "data.zarr"]
    done = extract(twice, stores / "out", taps=TAP, progress=False)
    assert done.image_sets == 2
    sources = [stores / "day1" / "data.zarr", stores / "day2" / "data.zarr"]
    with pytest.raises(ValueError, match="day1/.* and .*day2/.* are named alike"):
        extract(sources, stores / "out2", taps=TAP, progress=False)


def test_a_store_on_s3(store, monkeypatch):
    files = {
        str(path.relative_to(store.parent)): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file()
    }
    with S3Server() as s3:
        for name, value in s3.env.items():
            monkeypatch.setenv(name, value)
        s3.put("lab", files)
        source = ImageSource("s3://lab/fields.zarr")
        frame = read_source(source).frame
        assert frame["Metadata_Image"].tolist() == list(FIELDS)
        row = frame.to_dict("records")[1]
        image = read_image(row, "DAPI", source.storage)
        np.testing.assert_array_equal(image, field(2)[0])
        out = store.parent / "out"
        done = extract(source, out, objects=NUCLEI, taps=TAP, progress=False)
        assert done.incomplete == 0
