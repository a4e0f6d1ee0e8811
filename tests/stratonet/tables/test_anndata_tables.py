"""Tables of AnnData and SpatialData are read as feature tables."""

import numpy as np
import pandas as pd
import pytest
from s3_server import S3Server

from stratonet.tables import to_spatialdata_table
from stratonet.tables.columns import OBJECT, REGION
from stratonet.tables.reading import read_feature_table

anndata = pytest.importorskip("anndata", reason="tables of SpatialData are AnnData")
scipy_sparse = pytest.importorskip("scipy.sparse")

NAME = "StratoFeatures_High0000_DNA"
FEATURE_SET_ID = "stratonet50-1.0.0-9b08ec5a4d6a"


def make_features():
    return pd.DataFrame(
        {
            "Metadata_Plate": "00149",
            "Metadata_Well": ["A01", "A01", "A02", "A02"],
            OBJECT: [1, 7, 1, 7],
            "Metadata_StratoFeatures": FEATURE_SET_ID,
            "Metadata_Error": [None] * 4,
            NAME: np.arange(4, dtype=np.float32),
        }
    )


def make_table_of_others(values=None, **columns):
    """As squidpy and others keep measurements of the objects of label images."""
    observations = {
        "plate": ["00149"] * 4,
        "well": ["A01", "A01", "A02", "A02"],
        "region": pd.Categorical(["A01_nuclei"] * 2 + ["A02_nuclei"] * 2),
        "instance_id": [1, 7, 1, 7],
        "n_counts": [5, 6, 7, 8],
        **columns,
    }
    names = [f"cell {number}" for number in range(4)]
    keys = {"region_key": "region", "instance_key": "instance_id"}
    return anndata.AnnData(
        np.eye(4, 2, dtype=np.float32) if values is None else values,
        pd.DataFrame(observations, index=names),
        pd.DataFrame(index=["mean_DNA", "mean_ER"]),
        uns={"spatialdata_attrs": {"region": ["A01_nuclei", "A02_nuclei"], **keys}},
    )


def write(table, path):
    if path.suffix == ".h5ad":
        table.write_h5ad(path)
    else:
        table.write_zarr(path)
    return path


@pytest.fixture(params=["t.h5ad", "s.zarr/tables/t"])
def path(request, tmp_path):
    path = tmp_path / request.param
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_what_was_written_is_read_back(path):
    features = make_features()
    write(to_spatialdata_table(features, "{Metadata_Well}_nuclei"), path)
    table = read_feature_table(path)
    assert table.name == "t"
    assert table.feature_set_id == FEATURE_SET_ID
    assert table.features == [NAME]
    same = ["Metadata_Plate", "Metadata_Well", OBJECT, NAME]
    pd.testing.assert_frame_equal(table.frame[same], features[same], check_dtype=False)
    assert table.frame[REGION].tolist() == ["A01_nuclei"] * 2 + ["A02_nuclei"] * 2
    assert table.frame["Metadata_Error"].isna().all()


@pytest.mark.parametrize("is_sparse", [False, True])
def test_tables_of_others(path, is_sparse):
    values = np.eye(4, 2, dtype=np.float32)
    given = scipy_sparse.csr_matrix(values) if is_sparse else values
    table = read_feature_table(write(make_table_of_others(given), path))
    assert table.features == ["mean_DNA", "mean_ER"]
    np.testing.assert_array_equal(table.frame[table.features], values)
    # What stands in obs is metadata, numbers, too.
    assert table.frame["Metadata_n_counts"].tolist() == [5, 6, 7, 8]
    assert table.frame["Metadata_Plate"].tolist() == ["00149"] * 4
    assert table.frame[[REGION, OBJECT]].to_numpy().tolist() == [
        ["A01_nuclei", 1],
        ["A01_nuclei", 7],
        ["A02_nuclei", 1],
        ["A02_nuclei", 7],
    ]


def test_what_cannot_be_read_is_said(path, tmp_path):
    def refused(table, said):
        with pytest.raises(ValueError, match=said) as caught:
            read_feature_table(write(table, path))
        assert str(path) in str(caught.value)

    lacking = make_table_of_others()
    del lacking.obs["well"]
    refused(lacking, "has no Metadata_Well. Received: Metadata_Plate, Metadata_Region")
    twice = make_table_of_others()
    twice.var_names = ["mean", "mean"]
    refused(twice, "has mean twice, as names in obs or var")
    empty = make_table_of_others()
    empty.X = None
    refused(empty, "has no X, which holds the features")
    refused(make_table_of_others()[:0].copy(), "has no rows")
    if path.is_dir():
        write(make_table_of_others(), path)
        for folder in (path.parent, path.parents[1]):
            with pytest.raises(ValueError, match=f"Give one of them: {path}"):
                read_feature_table(folder)
        for text in ("{", "[1]", '{"attributes": 1}'):
            (path / ".zattrs").write_text(text)
            with pytest.raises(
                ValueError, match=r"\.zattrs does not describe a Zarr folder"
            ):
                read_feature_table(path)
    damaged = tmp_path / "damaged.h5ad"
    damaged.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="damaged.h5ad cannot be read as AnnData"):
        read_feature_table(damaged)


def test_a_file_on_s3(tmp_path, monkeypatch):
    path = write(make_table_of_others(), tmp_path / "t.h5ad")
    with S3Server() as s3:
        s3.put("bucket", {"t.h5ad": path.read_bytes(), "damaged.h5ad": b"nothing"})
        for name, value in s3.env.items():
            monkeypatch.setenv(name, value)
        table = read_feature_table("s3://bucket/t.h5ad")
        damaged = "s3://bucket/damaged.h5ad cannot be read as AnnData"
        with pytest.raises(ValueError, match=damaged):
            read_feature_table("s3://bucket/damaged.h5ad")
    assert table.source == "s3://bucket/t.h5ad"
    pd.testing.assert_frame_equal(table.frame, read_feature_table(path).frame)
