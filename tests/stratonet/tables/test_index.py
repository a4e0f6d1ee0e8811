"""Plates and wells in the index, or in the names of folders, are columns."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from stratonet.naming import feature_columns
from stratonet.tables.anndata import to_anndata
from stratonet.tables.index import keep_index, read_parquet_frame, read_partitions
from stratonet.tables.reading import read_feature_table, read_features

KEYS = ["Metadata_Plate", "Metadata_Well"]
NAMES = ["StratoFeatures_High0000_DNA", "StratoFeatures_High0001_DNA"]


def make_features(**others):
    """Two plates of two wells, as `stratonet extract` writes them."""
    rows = [(plate, well) for plate in ("00149", "P2") for well in ("A01", "A02")]
    frame = pd.DataFrame(rows, columns=KEYS).assign(**others)
    frame["Metadata_StratoFeatures"] = "net-1-0123"
    values = np.arange(8, dtype=np.float32).reshape(4, 2)
    return pd.concat([frame, pd.DataFrame(values, columns=NAMES)], axis=1)


# Ways to take columns away, and what a row is then still to be known by.
INDEXED = {
    "plate and well": KEYS,
    "well": ["Metadata_Well"],
    "numbers": ["Metadata_Site"],
    "evenly spaced numbers": None,
}


def put_in_index(how):
    frame = make_features(Metadata_Site=[1, 3, 2, 4])
    if INDEXED[how]:
        return frame.set_index(INDEXED[how])
    sites = pd.RangeIndex(1, 9, 2, name="Metadata_Site")
    return frame.drop(columns="Metadata_Site").set_index(sites)


@pytest.mark.parametrize("how", INDEXED)
def test_named_levels_are_columns(how, tmp_path):
    frame = put_in_index(how)
    frame.to_parquet(tmp_path / "features.parquet")
    read = read_features(tmp_path / "features.parquet")
    expected = frame.reset_index()
    assert sorted(read) == sorted(expected)
    for name in expected:
        assert read[name].tolist() == expected[name].tolist()
    table = read_feature_table(tmp_path / "features.parquet")
    assert table.frame[KEYS].to_numpy().tolist() == expected[KEYS].to_numpy().tolist()


@pytest.mark.parametrize("how", INDEXED)
def test_of_any_program(how, tmp_path):
    frame = put_in_index(how).drop(columns="Metadata_StratoFeatures")
    frame.columns = [name.replace("StratoFeatures_", "Cells_") for name in frame]
    frame.to_parquet(tmp_path / "profiles.parquet")
    table = read_feature_table(tmp_path / "profiles.parquet")
    assert table.frame["Metadata_Plate"].tolist() == ["00149", "00149", "P2", "P2"]
    assert table.features == ["Cells_High0000_DNA", "Cells_High0001_DNA"]
    assert "Metadata_Site" in table.frame


@pytest.mark.parametrize("below", ["", "Metadata_Plate=00149"])
def test_folders_of_partitions(below, tmp_path):
    frame = make_features()
    frame.to_parquet(tmp_path / "set", partition_cols=["Metadata_Plate"])
    read = read_features(tmp_path / "set" / below)
    # A plate is text, and keeps its zeros.
    rows = frame[frame.Metadata_Plate == "00149"] if below else frame
    assert read[KEYS].to_numpy().tolist() == rows[KEYS].to_numpy().tolist()
    assert (read[NAMES] == rows[NAMES]).all(axis=None)
    chosen = read_features(tmp_path / "set", columns=["Metadata_Plate", NAMES[0]])
    assert list(chosen) == ["Metadata_Plate", NAMES[0]]


def test_folders_of_partitions_of_any_program(tmp_path):
    frame = make_features().drop(columns="Metadata_StratoFeatures")
    frame.columns = [name.replace("StratoFeatures_", "Cells_") for name in frame]
    frame.to_parquet(tmp_path / "set", partition_cols=["Metadata_Plate"])
    table = read_feature_table(tmp_path / "set")
    assert table.frame[KEYS].to_numpy().tolist() == frame[KEYS].to_numpy().tolist()
    assert table.features == ["Cells_High0000_DNA", "Cells_High0001_DNA"]
    other = frame.rename(columns={"Cells_High0001_DNA": "Cells_Area"})
    other.to_parquet(tmp_path / "set" / "other.parquet")
    with pytest.raises(ValueError, match="other.parquet have different columns, such"):
        read_feature_table(tmp_path / "set")


def test_a_single_file_of_a_partition(tmp_path):
    folder = tmp_path / "Metadata_Plate=P%201"
    folder.mkdir()
    frame = pd.DataFrame({"Metadata_Well": ["A01"], "Area": [Decimal("0.5")]})
    frame.to_parquet(folder / "profiles.parquet")
    read = read_parquet_frame(folder / "profiles.parquet")
    assert read.to_dict("records") == [
        {"Metadata_Plate": "P 1", "Metadata_Well": "A01", "Area": 0.5}
    ]
    frame.assign(Metadata_Plate="P2").to_parquet(folder / "profiles.parquet")
    with pytest.raises(
        ValueError, match="folder says Metadata_Plate is P 1.*file says P2"
    ):
        read_parquet_frame(folder / "profiles.parquet")


def test_folders_that_are_no_partitions():
    assert read_partitions("/data/a=b=c/my-run=3/x.parquet") == {"a": "b=c"}
    assert read_partitions("dose=__HIVE_DEFAULT_PARTITION__/0.parquet") == {
        "dose": None
    }
    assert read_partitions("plate=1.parquet") == {}


@pytest.mark.parametrize(
    "index",
    [KEYS, ["Metadata_Well"], ["Metadata_StratoFeatures", "Metadata_Well"]],
    ids=" ".join,
)
@pytest.mark.parametrize("drop", [True, False])
def test_anndata_of_an_indexed_frame(index, drop, tmp_path):
    anndata = pytest.importorskip("anndata", reason="AnnData is an extra")
    frame = make_features(Metadata_Dose=pd.array([1, None, 2, 3], "Int64"))
    made = to_anndata(frame.set_index(index, drop=drop))
    made.write_h5ad(tmp_path / "features.h5ad")
    read = anndata.read_h5ad(tmp_path / "features.h5ad")
    assert (
        read.obs[KEYS].astype(str).to_numpy().tolist()
        == frame[KEYS].to_numpy().tolist()
    )
    np.testing.assert_array_equal(read.obs["Metadata_Dose"], [1, np.nan, 2, 3])
    assert (frame[NAMES].to_numpy() == read.X).all()


@pytest.mark.parametrize("kind", ["numpy_nullable", "pyarrow"])
def test_anndata_of_nullable_numbers(kind, tmp_path):
    anndata = pytest.importorskip("anndata", reason="AnnData is an extra")
    frame = make_features(Metadata_Dose=[0.5, np.nan, 2, 3])
    frame.loc[1, NAMES[1]] = np.nan
    made = to_anndata(frame.convert_dtypes(dtype_backend=kind))
    made.write_h5ad(tmp_path / "features.h5ad")
    read = anndata.read_h5ad(tmp_path / "features.h5ad")
    assert read.X.dtype == np.float32
    np.testing.assert_array_equal(read.X, frame[feature_columns(frame)])
    np.testing.assert_array_equal(read.obs["Metadata_Dose"], [0.5, np.nan, 2, 3])


def test_an_index_and_a_column_that_differ_are_refused():
    frame = make_features()
    wells = pd.Index(["B01", "B02", "B03", "B04"], name="Metadata_Well")
    with pytest.raises(ValueError, match="index Metadata_Well and the column"):
        keep_index(frame.set_index(wells))
    plain = frame.set_index(np.arange(4) + 7)
    assert keep_index(plain) is plain
