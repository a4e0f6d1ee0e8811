"""Features of objects as tables of SpatialData, as far as AnnData alone goes.

What spatialdata itself makes of them is in test_spatialdata_stores.py.
"""

import sys

import numpy as np
import pandas as pd
import pytest

from stratonet.tables import to_spatialdata_table, write_spatialdata_table

pytest.importorskip("anndata", reason="tables of SpatialData are AnnData")


def make_frame(number="Metadata_ObjectNumber", **columns):
    """Features of two objects of each of two image sets."""
    frame = pd.DataFrame(
        {
            "Metadata_Plate": "P1",
            "Metadata_Well": ["A01", "A01", "A02", "A02"],
            "Metadata_Site": ["1"] * 4,
            number: [1, 7, 1, 7],
            "Metadata_StratoFeatures": "stratonet50-1.0.0-9b08ec5a4d6a",
            "Metadata_Error": [None] * 4,
            "StratoFeatures_High0000_DNA": np.arange(4, dtype=np.float32),
            **columns,
        }
    )
    return frame


REGIONS = ["A01_nuclei"] * 2 + ["A02_nuclei"] * 2
BY_FRAME = pd.DataFrame(
    # Written in another way, with a row too many.
    {"Metadata_Well": ["a2", "A1", "A3"], "region": ["A02_nuclei", "A01_nuclei", "x"]}
)


@pytest.mark.parametrize(
    "region", ["{Metadata_Well}_nuclei", BY_FRAME, BY_FRAME.set_index("Metadata_Well")]
)
@pytest.mark.parametrize("number", ["Metadata_ObjectNumber", "ObjectNumber"])
def test_a_table_says_which_object_each_row_is(number, region, tmp_path):
    frame = make_frame(number)
    frame.to_parquet(tmp_path / "features.parquet")
    for features in (frame, tmp_path / "features.parquet", frame.set_index(number)):
        table = to_spatialdata_table(features, region)
        assert table.uns["spatialdata_attrs"] == {
            "region": ["A01_nuclei", "A02_nuclei"],
            "region_key": "region",
            "instance_key": number,
        }
        assert table.obs["region"].tolist() == REGIONS
        assert table.obs["region"].dtype == "category"
        assert table.obs[number].tolist() == [1, 7, 1, 7]
        assert table.obs[number].dtype == np.int64
        assert table.X.tolist() == [[0], [1], [2], [3]]
    # One region is a name, not a list; the frame stays what it was.
    before = frame.copy()
    table = to_spatialdata_table(frame[:2], "nuclei", region_key="label_image")
    assert table.uns["spatialdata_attrs"]["region"] == "nuclei"
    assert table.obs["label_image"].tolist() == ["nuclei"] * 2
    pd.testing.assert_frame_equal(frame, before)


def test_rows_have_names_of_their_own():
    frame = make_frame()
    # Two frames below each other, and numbers as pandas holds them beside a gap.
    both = pd.concat([frame[:2], frame[2:].reset_index(drop=True)])
    both = both.astype({"Metadata_ObjectNumber": "Float64"})
    table = to_spatialdata_table(both, "{Metadata_Well}")
    assert table.obs_names.is_unique
    assert table.obs["region"].tolist() == both["Metadata_Well"].tolist()
    assert table.obs["Metadata_ObjectNumber"].dtype == np.int64


@pytest.mark.parametrize(
    "columns, region, said",
    [
        ({}, "nuclei", "2 image sets have the region 'nuclei', such as P1 A01 1 and"),
        ({"Metadata_Plate": ["P1", "P1", "P2", "P2"]}, "{Metadata_Site}", "P1 A01 1 "),
        ({}, "{Metadata_well}", "no column 'Metadata_well'.*Did you mean"),
        ({}, "{StratoFeatures_High0000_DNA}", "there is no column"),
        ({}, "{Metadata_Well.x}", "there is no column 'Metadata_Well.x'"),
        ({}, "{Metadata_Well", "cannot be filled in"),
        ({}, "{}", "no column ''"),
        ({}, "", "`region` is the name of a label image"),
        ({}, 7, "`region` is the name of a label image.*Received: 7"),
        (
            {},
            BY_FRAME[1:],
            "names no label image for Metadata_Well A02: 2 objects of 4",
        ),
        ({}, BY_FRAME[["region"]], "needs a column region, and columns that tell"),
        ({}, BY_FRAME.rename(columns={"region": "name"}), "needs a column region"),
        ({}, pd.concat([BY_FRAME, BY_FRAME]), "`region` must have one row for each"),
        ({}, BY_FRAME.assign(Metadata_Dose=1), "no column 'Metadata_Dose'"),
        ({"Metadata_Well": ["A01", None, "A02", "A02"]}, BY_FRAME, "empty in row 2"),
        ({"region": "x"}, "{Metadata_Well}", "column region already.*`region_key`"),
        ({"Metadata_ObjectNumber": [1, 0, 1, 7]}, "{Metadata_Well}", "0 in row 2"),
        ({"Metadata_ObjectNumber": [1, 7, 1, 1.5]}, "{Metadata_Well}", "1.5 in row 4"),
        ({"Metadata_ObjectNumber": [1, 7, 7, 7]}, "{Metadata_Well}", "Object 7 of A02"),
        (
            {
                "Metadata_ObjectNumber": [1, None, 1, 7],
                "Metadata_Error": [None, "nuclei: gone", None, None],
            },
            "{Metadata_Well}",
            r"1 row of 4 have no .*, such as row 2 .*: nuclei: gone. Leave .*notna\(\)",
        ),
    ],
)
def test_no_region_and_no_object_is_guessed(columns, region, said):
    with pytest.raises(ValueError, match=said):
        to_spatialdata_table(make_frame(**columns), region)


def test_features_of_image_sets_annotate_no_objects():
    frame = make_frame().drop(columns="Metadata_ObjectNumber")
    with pytest.raises(ValueError, match="features of image sets.*--labels"):
        to_spatialdata_table(frame, "nuclei")
    with pytest.raises(ValueError, match="no rows"):
        to_spatialdata_table(make_frame()[:0], "nuclei")
    # A column that says the same is no other.
    table = to_spatialdata_table(make_frame(region=REGIONS), "{region}")
    assert table.obs["region"].tolist() == REGIONS


def test_a_store_is_a_folder_of_this_disk(tmp_path, monkeypatch):
    table = to_spatialdata_table(make_frame(), "{Metadata_Well}_nuclei")
    with pytest.raises(ValueError, match="s3://lab/a.zarr: .* store on a disk"):
        write_spatialdata_table(table, "s3://lab/a.zarr", "stratonet")
    with pytest.raises(FileNotFoundError, match="neither zarr.json nor .zgroup"):
        write_spatialdata_table(table, tmp_path, "stratonet")
    (tmp_path / "zarr.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "spatialdata", None)
    with pytest.raises(ImportError, match=r"Install stratonet\[spatialdata\]"):
        write_spatialdata_table(table, tmp_path, "stratonet")
