import numpy as np
import pandas as pd
import pytest

from stratonet.files.images import read_plane
from stratonet_sklearn.datasets import read_plate, simulate_plate


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plate")
    simulate_plate(folder, rows=2, columns=3, sites=2, size=96)
    return folder


def test_a_simulated_plate_is_what_a_camera_gives(plate):
    images, labels = read_plate(plate)
    assert (
        list(images) == ["GFP", "DNA"]
        and len(images) == 12
        and labels.well.nunique() == 6
    )
    assert (
        set(labels.role) == {"negcon", "trt", "poscon"}
        and (labels.groupby("well").role.nunique() == 1).all()
    )
    planes = [read_plane(path) for path in images.to_numpy().ravel()]
    assert {plane.dtype for plane in planes} == {np.dtype("uint16")} and {
        plane.shape for plane in planes
    } == {(96, 96)}
    assert 0.01 < np.mean([plane.max() for plane in planes]) / 65535 < 0.1


def test_the_treatment_moves_the_protein_into_the_nucleus(plate):
    images, labels = read_plate(plate)
    inside = []
    for gfp, dna in images.to_numpy():
        gfp, dna = read_plane(gfp).astype(float), read_plane(dna)
        inside.append(gfp[dna > 600].mean() / gfp[dna < 200].mean())
    means = pd.Series(inside).groupby(labels.role).mean()
    assert means["negcon"] < means["trt"] < means["poscon"]


def test_the_same_seed_gives_the_same_pixels(plate, tmp_path):
    simulate_plate(tmp_path / "again", rows=2, columns=3, sites=2, size=96)
    simulate_plate(tmp_path / "other", rows=2, columns=3, sites=2, size=96, seed=1)
    name = "A01_s1_GFP.tif"
    first, again, other = (
        read_plane(folder / name)
        for folder in (plate, tmp_path / "again", tmp_path / "other")
    )
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize(
    "content, error, told",
    [
        (None, FileNotFoundError, "labels.csv is missing"),
        ("well,role\nA01,negcon\n", ValueError, "Received: \\['well', 'role'\\]"),
        ("well,file_DNA\nA01,\n", ValueError, "lacks a file in rows \\[0\\]"),
        (
            "well,file_DNA\nA01,gone.tif\n",
            FileNotFoundError,
            "1 files that do not exist, the first: .*gone.tif",
        ),
    ],
)
def test_a_folder_that_is_no_plate_is_refused(content, error, told, tmp_path):
    if content:
        (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(error, match=told):
        read_plate(tmp_path)


def test_text_of_a_plate_is_text(tmp_path):
    (tmp_path / "a.tif").touch()
    (tmp_path / "labels.csv").write_text(
        "well;treatment;dose;site;file_DNA\nA01;None;;1;a.tif\nA02;NA;0.5;2;a.tif\n"
    )
    _, labels = read_plate(tmp_path)
    assert labels.treatment.tolist() == ["None", "NA"]
    assert labels.dose.isna().tolist() == [True, False] and labels.dose[1] == 0.5
    assert labels.site.tolist() == [1, 2]


def test_real_plates_are_read(data):
    images, labels = read_plate(data / "bbbc013")
    assert list(images) == ["GFP_FKHR", "DNA_DRAQ"] and len(labels) == 96
    images, labels = read_plate(data / "bbbc022")
    assert images.shape == (12, 5) and labels.well.nunique() == 6
