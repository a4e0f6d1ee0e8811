import shutil

import numpy as np
import pytest

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

from cellprofiler_plugin import parquet as plugin_parquet  # noqa: E402
from cellprofiler_plugin.merge import merge_parts  # noqa: E402
from stratonet.tables.trained import read_trained_wells  # noqa: E402

pytestmark = pytest.mark.stock_cellprofiler

IDS = {"Metadata_StratoFeatures": "net-1", "Metadata_StratoProjection": "pca2-1"}


@pytest.fixture
def parts(tmp_path, rng):
    """Objects of four image sets, the third without any, written out of order."""
    counts = {1: 2, 2: 5, 3: 0, 10: 1}
    features = {
        number: rng.random((count, 3), np.float32) for number, count in counts.items()
    }
    for number in (10, 2, 1, 3):
        keys = {"ImageNumber": number, "ObjectNumber": np.arange(1, counts[number] + 1)}
        keys.update(
            {
                "Metadata_Well": f"A{number:02d}",
                "Metadata_Dose": 0.5 if number < 10 else "none",
            }
        )
        plugin_parquet.write_image_set(
            tmp_path / "run", "Cells", number, keys, features[number]
        )
    return tmp_path, np.concatenate([features[number] for number in counts])


@pytest.mark.parametrize("rows", [1, 3, 4096])
def test_parts_are_gathered_in_order_however_many_at_a_time(rows, parts, monkeypatch):
    folder, features = parts
    monkeypatch.setattr(plugin_parquet, "ROWS", rows)
    path = folder / "cells.parquet"
    path.write_bytes(b"older")
    assert (
        plugin_parquet.gather_image_sets(
            folder / "run", "Cells", ["f0", "f1", "f2"], IDS, path
        )
        == 8
    )
    table = parquet.read_table(path).to_pydict()
    assert table["ImageNumber"] == [1] * 2 + [2] * 5 + [10]
    assert table["ObjectNumber"] == [1, 2, 1, 2, 3, 4, 5, 1]
    assert table["Metadata_Well"] == ["A01"] * 2 + ["A02"] * 5 + ["A10"]
    assert table["Metadata_Dose"] == ["0.5"] * 7 + ["none"], (
        "numbers and words in one column become words"
    )
    assert {name: set(table[name]) for name in IDS} == {
        name: {value} for name, value in IDS.items()
    }
    np.testing.assert_array_equal(
        np.array([table[name] for name in ("f0", "f1", "f2")], np.float32).T, features
    )
    assert sorted(item.name for item in folder.iterdir()) == ["cells.parquet", "run"]
    assert not list((folder / "run").iterdir())


def test_wells_of_fine_tuning_are_in_the_file_and_in_what_is_merged(parts):
    folder, _ = parts
    path = folder / "0" / "cells.parquet"
    path.parent.mkdir()
    names = ["f0", "f1", "f2"]
    wells = {"P1": ("A01",)}
    plugin_parquet.gather_image_sets(
        folder / "run", "Cells", names, IDS, path, trained_wells=wells
    )
    (folder / "1").mkdir()
    shutil.copy(path, folder / "1")
    merge_parts([folder / "0", folder / "1"], folder)
    for written in (path, folder / "cells.parquet"):
        metadata = parquet.read_metadata(written).metadata
        assert read_trained_wells([metadata]) == {"P1": {"A01"}}


def test_keys_that_only_some_image_sets_have(tmp_path):
    for number, keys in ((1, {}), (2, {"Metadata_QC": 1}), (3, {})):
        plugin_parquet.write_image_set(
            tmp_path,
            "Image",
            number,
            {"ImageNumber": number, **keys},
            np.ones((1, 1), np.float32),
        )
    plugin_parquet.gather_image_sets(
        tmp_path, "Image", ["f0"], IDS, tmp_path / "a.parquet"
    )
    assert parquet.read_table(tmp_path / "a.parquet")["Metadata_QC"].to_pylist() == [
        None,
        1,
        None,
    ]


def test_what_cannot_be_written_names_the_file_and_keeps_the_parts(parts):
    folder, _ = parts
    path = folder / "nowhere" / "cells.parquet"
    with pytest.raises(OSError, match=f"{path} cannot be written"):
        plugin_parquet.gather_image_sets(
            folder / "run", "Cells", ["f0", "f1", "f2"], IDS, path
        )
    assert len(list((folder / "run" / "Cells").glob("*.npz"))) == 4


def test_nothing_measured_writes_nothing(tmp_path):
    assert (
        plugin_parquet.gather_image_sets(
            tmp_path / "run", "Cells", ["f0"], IDS, tmp_path / "cells.parquet"
        )
        == 0
    )
    assert not list(tmp_path.iterdir())
