"""`stratonet extract` of files that hold several images, as its user calls it."""

import json
import shutil

import numpy as np
import pytest
from microscope_files import stack, write_lif, write_nd2, write_zarr_plate
from screen_images import TAP

import stratonet_cli
from stratonet import StratoNet
from stratonet.extraction import ImageSource, ObjectsFromLabels, extract
from stratonet.extraction.command import INCOMPLETE
from stratonet.files.microscopes.opening import _open_version
from stratonet.tables import feature_columns, read_features

pytest.importorskip("nd2")


def call(*arguments):
    """The command within this process: its exit status."""
    words = ["extract", *map(str, arguments), "--taps", TAP, "--quiet"]
    return stratonet_cli.main(words)


def test_a_plate_of_stacks_is_measured_resumed_and_not_mixed(tmp_path, capsys):
    scenes = [stack(number, n_z=3) for number in range(4)]
    wells = ["A01_1", "A01_2", "A02_1", "B01_1"]
    path, out = tmp_path / "plate.nd2", tmp_path / "out"
    write_nd2(path, scenes, wells)
    # Without the name of a projection nothing is measured.
    assert call(path, "--output", out) == 1
    message = capsys.readouterr().err
    assert "3 planes in z" in message and "--project is max, mean or middle" in message
    assert not out.exists()
    command = (path, "--output", out, "--project", "max")
    # In two parts, the second of which makes the table.
    assert call(*command, "--shard", "1/2") == 0
    assert call(*command, "--shard", "2/2") == 0
    features = read_features(out)
    assert list(features["Metadata_Well"]) == ["A01", "A01", "A02", "B01"]
    assert set(features["Metadata_StackProjection"]) == {"max"}
    assert json.loads((out / "_stratonet.json").read_text())["project"] == "max"
    # They are those of the projected planes.
    net = StratoNet.load(taps=TAP)
    expected = [
        np.concatenate([net.features(scene[0, :, c].max(axis=0))[0] for c in range(2)])
        for scene in scenes
    ]
    values = features[feature_columns(features)].to_numpy()
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-5)
    capsys.readouterr()
    # Again, with nothing left to do; and by another projection, which is refused.
    assert call(*command) == 0
    assert "3 wells already measured" in capsys.readouterr().out
    assert call(path, "--output", out, "--project", "mean") == 1
    message = capsys.readouterr().err
    assert "project: 'max' there, 'mean' now" in message


def test_a_damaged_plane_gives_its_reason_and_the_others_their_features(
    tmp_path, capsys
):
    write_zarr_plate(tmp_path / "p.zarr", fields=1)
    # A channel of one well whose chunks are lost, and a chunk of another cut off.
    shutil.rmtree(tmp_path / "p.zarr" / "A" / "1" / "0" / "0" / "0" / "1")
    chunk = tmp_path / "p.zarr/B/2/0/0/0/0/0/1/1"
    chunk.write_bytes(chunk.read_bytes()[:40])
    out = tmp_path / "out"
    assert call(tmp_path / "p.zarr", "--output", out) == INCOMPLETE
    features = read_features(out)
    lost, cut = features["Metadata_Error"]
    assert lost.startswith("GFP: ") and "A/1/0: none of the chunks" in lost
    assert cut.startswith("DAPI: ") and "B/2/0: cannot be read as OME-Zarr" in cut
    names = feature_columns(features)
    is_dapi = np.array([name.endswith("DAPI") for name in names])
    for row, is_lost in zip(features[names].to_numpy(), (~is_dapi, is_dapi)):
        np.testing.assert_array_equal(np.isnan(row), is_lost)


def test_objects_of_label_images_of_ome_zarr(tmp_path):
    labels = np.zeros((48, 64), np.uint16)
    labels[5:15, 5:15], labels[20:30, 30:40] = 1, 7
    write_zarr_plate(tmp_path / "p.zarr", fields=1, labels=[("nuclei", labels)])
    objects = ObjectsFromLabels("nuclei", 32)
    out = tmp_path / "out"
    done = extract(tmp_path / "p.zarr", out, objects=objects, taps=TAP, progress=False)
    assert done.image_sets == 2 and done.incomplete == 0
    assert list(read_features(out)["Metadata_ObjectNumber"]) == [1, 7, 1, 7]


def test_two_plates_of_one_name_are_not_taken_for_one(tmp_path):
    for name in ("day1", "day2"):
        write_zarr_plate(tmp_path / f"{name}.zarr", wells=("A/1",), fields=1)
    sources = [tmp_path / "day1.zarr", tmp_path / "day2.zarr"]
    with pytest.raises(ValueError, match="holds well A01 of plate Plate 7 already"):
        extract(sources, tmp_path / "out", taps=TAP, progress=False)
    # A plate that was moved is the same.
    (tmp_path / "moved").mkdir()
    shutil.move(tmp_path / "day1.zarr", tmp_path / "moved" / "day1.zarr")
    moved = tmp_path / "moved" / "day1.zarr"
    done = extract(moved, tmp_path / "out", taps=TAP, progress=False)
    assert done.image_sets == 0 and done.wells_before == 1


def test_files_are_not_kept_open_without_end(tmp_path):
    for number in range(12):
        write_lif(tmp_path / f"{number:02d}.lif", [stack(number)], ["A/1"])
    sources = [ImageSource(tmp_path / f"{number:02d}.lif") for number in range(12)]
    done = extract(sources, tmp_path / "out", taps=TAP, progress=False)
    assert done.image_sets == 12 and done.incomplete == 0
    assert _open_version.cache_info().currsize <= 8


def test_sources_of_one_run_are_projected_alike(tmp_path):
    write_nd2(tmp_path / "a.nd2", [stack(0, n_z=2)], ["A01"])
    sources = [ImageSource(tmp_path / "a.nd2", project=p) for p in ("max", "mean")]
    with pytest.raises(ValueError, match="have the same project"):
        extract(sources, tmp_path / "out", taps=TAP, progress=False)
