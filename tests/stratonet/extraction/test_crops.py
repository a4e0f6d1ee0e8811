"""`--crops`: what objects and sites look like, with the keys of their features."""

import io
import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile
from pandas.testing import assert_frame_equal
from pyarrow import parquet
from screen_images import CHANNELS, TAP, image, screen, write

from stratonet.crops import crop_square
from stratonet.extraction import (
    GalleryLayout,
    ObjectsFromCenters,
    ObjectsFromLabels,
    Shard,
    extract,
)
from stratonet.extraction.thumbnails import make_crop_column
from stratonet.files.images import read_plane
from stratonet.preprocessing import to_grey
from stratonet.tables import feature_columns, metadata_columns, read_features
from stratonet.weights_file import read_card

CARD = read_card("stratonet50")
CENTERS = [(40, 40), (3, 77), (20.6, 50.4)]
NAMES = {channel: f"Orig{channel}" for channel in CHANNELS}


@pytest.fixture
def plates(tmp_path):
    """A LoadData table of two plates of two wells, of which one image is damaged."""
    files, table = screen(wells=("A01", "A02"))
    files["images/P1/Images/HTS_A02_s1_w2.tif"] = b"no image"
    write(tmp_path, files)
    table.to_csv(tmp_path / "load_data.csv", index=False)
    return tmp_path / "load_data.csv"


@pytest.fixture
def centers(plates):
    rows = (
        pd.read_csv(plates)
        .filter(regex="Plate|Well|Site")
        .merge(
            pd.DataFrame(CENTERS, columns=["Location_Center_Y", "Location_Center_X"]),
            how="cross",
        )
    )
    path = plates.parent / "centres.csv"
    rows.to_csv(path, index=False)
    return ObjectsFromCenters(str(path), size=32)


def run(plates, output, **options):
    options = {"taps": TAP, "channels": NAMES, "crops": True, **options}
    return extract(plates, output, progress=False, **options)


def read_crops(output):
    frame = pd.read_parquet(output / "_crops")
    crops = frame.drop(columns=metadata_columns(frame))
    return frame[metadata_columns(frame)], crops.map(take_pixels)


def take_pixels(crop):
    """The pixels, as CytoDataFrame takes them."""
    if crop is None:
        return None
    assert crop["type"] == "ome.arrow"
    (plane,), meta = crop["planes"], crop["pixels_meta"]
    assert (meta["size_z"], meta["size_c"], meta["size_t"]) == (1, 1, 1)
    pixels = np.asarray(plane["pixels"])
    assert pixels.max() <= 255  # else it takes them for 16 bits
    # pandas makes floats of whole numbers among gaps.
    return pixels.reshape(int(meta["size_y"]), int(meta["size_x"]))


def scale(plane, shape, limits=None):
    return np.rint(to_grey(plane, CARD, shape, limits) * 255)


def read_planes(plates):
    """For each image set its planes, None where one is damaged."""
    for _, row in pd.read_csv(plates).iterrows():
        planes = {}
        for channel, name in NAMES.items():
            path = plates.parent / row[f"PathName_{name}"] / row[f"FileName_{name}"]
            is_image = path.read_bytes() != b"no image"
            planes[channel] = read_plane(path) if is_image else None
        yield planes


def test_objects_are_shown_as_they_were_cut(plates, centers, tmp_path):
    out = tmp_path / "out"
    run(plates, out, objects=centers)
    features = pd.read_parquet(out)
    metadata, crops = read_crops(out)
    assert_frame_equal(metadata, features[metadata_columns(features)])
    assert list(crops) == ["Crop_DNA", "Crop_ER"]
    rows = iter(crops.itertuples(index=False))
    for planes in read_planes(plates):
        for center in CENTERS:
            for crop, plane in zip(next(rows), planes.values()):
                if plane is None:
                    assert crop is None
                else:
                    expected = scale(crop_square(plane, center, 32), (32, 32))
                    assert np.array_equal(crop, expected)
    assert crops.Crop_ER.isna().sum() == len(CENTERS)


def test_sites_are_shown_small_between_the_limits_that_are_given(plates, tmp_path):
    # One plane that is larger than what is kept of it.
    large = plates.parent / "images/P2/Images/HTS_A01_s1_w1.tif"
    large.write_bytes(image(7, size=300))
    limits = {"DNA": (0, 700), "ER": (100, 2000)}
    run(plates, tmp_path / "out", grey_range=limits)
    _, crops = read_crops(tmp_path / "out")
    for row, planes in zip(crops.itertuples(index=False), read_planes(plates)):
        for crop, (channel, plane) in zip(row, planes.items()):
            if plane is not None:
                shape = (256, 256) if len(plane) == 300 else (80, 80)
                expected = scale(plane, shape, limits[channel])
                assert np.array_equal(crop, expected)


@pytest.mark.slow
def test_interrupted_and_resumed_they_are_the_same(plates, centers, tmp_path):
    whole_run, parts = tmp_path / "whole", tmp_path / "parts"
    run(plates, whole_run, objects=centers)
    for number in (1, 2, 1):
        run(plates, parts, objects=centers, shard=Shard(number, 2))
    tables = [parquet.read_table(folder / "_crops") for folder in (parts, whole_run)]
    assert tables[0].equals(tables[1])
    # Who removes them has them made again, with the features, which stay the same.
    before = read_features(parts)
    shutil.rmtree(parts / "_crops" / "source_8" / "J3" / "P1")
    assert run(plates, parts, objects=centers).image_sets == 4
    assert len(read_crops(parts)[0]) == len(before)
    assert_frame_equal(read_features(parts), before)
    assert parquet.read_table(parts / "_crops").equals(tables[1])
    assert not (parts / "_units").exists()


@pytest.mark.slow
def test_a_destination_has_them_from_the_beginning_or_not_at_all(plates, tmp_path):
    with_crops, without = tmp_path / "with", tmp_path / "without"
    run(plates, with_crops)
    run(plates, without, crops=False)
    assert not (without / "_crops").exists()
    assert_frame_equal(read_features(with_crops), read_features(without))
    for output, crops in ((with_crops, False), (without, True)):
        with pytest.raises(ValueError, match="measured in another way .*crops"):
            run(plates, output, crops=crops)


def test_label_images_the_gallery_and_lost_objects(plates, tmp_path):
    """An image set without label image is one row, which shows nothing."""
    labels = np.zeros((80, 80), np.uint16)
    labels[10:20, 10:20], labels[70:80, 70:80] = 3, 9
    file = io.BytesIO()
    tifffile.imwrite(file, labels)
    (plates.parent / "nuclei.tif").write_bytes(file.getvalue())
    table = pd.read_csv(plates, dtype=str)[:4]
    table["ObjectsFileName_Nuclei"] = ["nuclei.tif", None, "nuclei.tif", "gone.tif"]
    table.to_csv(plates, index=False)
    objects = ObjectsFromLabels("Nuclei", size=16)
    run(plates, tmp_path / "out", objects=objects, layout=GalleryLayout())
    (folder,) = (tmp_path / "out" / "embeddings").iterdir()
    metadata, crops = read_crops(folder)
    numbers = metadata.Metadata_ObjectNumber.tolist()
    assert str(numbers) == "[3.0, 9.0, nan, 3.0, 9.0, nan]"
    assert crops.Crop_DNA.isna().tolist() == [False, False, True] * 2
    assert crops.Crop_DNA[0].shape == (16, 16)
    embedding = parquet.read_schema(next(folder.rglob("embedding.parquet")))
    assert not any(name.startswith("Crop_") for name in embedding.names)


def test_they_are_no_features(plates, tmp_path):
    run(plates, tmp_path / "out")
    crops = pd.read_parquet(tmp_path / "out" / "_crops")
    assert feature_columns(crops) == []


@pytest.mark.parametrize("n_lost", [0, 1, 2, 3])
def test_a_column_has_gaps_where_nothing_is_to_be_seen(n_lost):
    crops = [np.full((2, number + 1), number, np.uint8) for number in range(3)]
    crops[:n_lost] = [None] * n_lost
    column = make_crop_column(crops, "DNA")
    assert column.null_count == n_lost
    for crop, value in zip(crops, column.to_pylist()):
        assert (crop is None) == (value is None)
        if crop is not None:
            assert np.array_equal(take_pixels(value), crop)
            assert value["pixels_meta"]["channels"][0]["name"] == "DNA"
