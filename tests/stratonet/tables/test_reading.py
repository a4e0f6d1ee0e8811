"""Feature tables as frames, and on to pycytominer and AnnData."""

import builtins
import warnings
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal
from s3_server import S3Server

from stratonet import StratoNet
from stratonet.card import Tap
from stratonet.files.storage import Storage
from stratonet.naming import feature_columns, feature_names, metadata_columns
from stratonet.tables.anndata import to_anndata
from stratonet.tables.columns import KEYS, OBJECT, find_object_column
from stratonet.tables.reading import read_feature_table, read_features
from stratonet.tables.writing import write_wide_table

TAPS = (Tap("conv2_block3_out", 3), Tap("conv4_block6_out", 2, alias="high"))
CHANNELS = ("DNA", "OrigDNA_2", "2021_ER")
NAMES = feature_names(TAPS, CHANNELS)


def table(plate, wells=("A01", "A02"), names=NAMES, **metadata):
    """A feature table as the extraction writes it.

    The features are those of nobody else.
    """
    rng = np.random.default_rng(list(map(ord, plate)))
    frame = pd.DataFrame(
        {
            "Metadata_Plate": plate,
            "Metadata_Well": wells,
            "Metadata_StratoFeatures": "net-1-0123",
        }
    )
    frame = frame.assign(Metadata_Error=None, **metadata)
    values = rng.normal(size=(len(wells), len(names))).astype(np.float32)
    return pd.concat([frame, pd.DataFrame(values, columns=names)], axis=1)


@pytest.fixture
def screen(tmp_path):
    """Two plates of a batch, one in two files, and files that are no feature tables."""
    tables = {
        "B1/P1/part-0.parquet": table("P1"),
        "B1/P1/part-1.parquet": table("P1", ["B01"]),
    }
    tables["B1/P2/part-0.parquet"] = table("P2", Metadata_Dose=[1.5, 2.0])
    others = [
        "_units/B1/P3/A01.parquet",
        "B1/.tmp/part-0.parquet",
        "B1/P1/_part-2.parquet",
        "B1/P1/.part-3.parquet",
        "B1/P1/a.json",
    ]
    for name in [*tables, *others]:
        (tmp_path / "_screen" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "_screen" / name).write_bytes(b"not Parquet")
    for name, one in tables.items():
        one.to_parquet(tmp_path / "_screen" / name, index=False)
    return tmp_path / "_screen"


def test_whole_destination_plate_and_file(screen):
    frame = read_features(screen)
    assert list(frame.Metadata_Plate + frame.Metadata_Well) == [
        "P1A01",
        "P1A02",
        "P1B01",
        "P2A01",
        "P2A02",
    ]
    assert list(frame.index) == list(range(5))
    assert feature_columns(frame) == NAMES == list(frame)[-len(NAMES) :] and set(
        frame[NAMES].dtypes
    ) == {np.dtype("float32")}
    assert metadata_columns(frame) == list(frame)[: -len(NAMES)]
    assert frame.Metadata_Dose.isna().tolist() == [True] * 3 + [False] * 2
    np.testing.assert_array_equal(frame[NAMES].iloc[3:], table("P2")[NAMES])
    assert_frame_equal(
        read_features(f"{screen}/B1/P2/"), table("P2", Metadata_Dose=[1.5, 2.0])
    )
    assert_frame_equal(read_features(screen / "B1/P1/part-0.parquet"), table("P1"))
    chosen = [NAMES[4], "Metadata_Well", NAMES[0]]
    assert_frame_equal(read_features(screen, columns=chosen), frame[chosen])
    assert_frame_equal(
        read_features(screen, columns=["Metadata_Well"]), frame[["Metadata_Well"]]
    )


def test_rows_that_were_chosen_with_pandas(screen, tmp_path):
    """pandas keeps the index of a choice in the file."""
    chosen = read_features(screen).query("Metadata_Well != 'A01'")
    chosen.to_parquet(tmp_path / "chosen.parquet")
    assert_frame_equal(
        read_features(tmp_path / "chosen.parquet"), chosen.reset_index(drop=True)
    )


def test_same_from_s3(screen, monkeypatch):
    files = {
        f"_out/{path.relative_to(screen)}": path.read_bytes()
        for path in screen.rglob("*")
        if path.is_file()
    }
    with S3Server() as s3:
        s3.put("bucket", files)
        for name, value in s3.env.items():
            monkeypatch.setenv(name, value)
        assert_frame_equal(read_features("s3://bucket/_out/"), read_features(screen))
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        storage = Storage(s3.endpoint)
        assert_frame_equal(
            read_features("s3://bucket/_out", storage), read_features(screen)
        )
        url = "s3://bucket/_out/B1/P2/part-0.parquet"
        assert_frame_equal(read_features(url, storage), read_features(screen / "B1/P2"))
        with pytest.raises(
            FileNotFoundError, match="^s3://bucket/_out/B2 holds no feature tables"
        ):
            read_features("s3://bucket/_out/B2", storage)


def test_unmeasured_is_nan_and_rows_of_several_groups_stay_in_order(tmp_path):
    frame = table("P1", [f"A{number:02d}" for number in range(1, 8)])
    frame.loc[2, NAMES[:5]] = np.nan
    frame["Metadata_Error"] = [None, None, "DNA: damaged", None, None, None, None]
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=3, index=False)
    assert_frame_equal(read_features(tmp_path), frame)


def test_what_cannot_be_one_frame_is_refused(screen):
    def refused(message, frame=None, error=ValueError, **options):
        if frame is not None:
            frame.to_parquet(screen / "B1/P4.parquet")
        with pytest.raises(error, match=message):
            read_features(screen, **options)

    refused(
        "has no column StratoFeatures_Low0000_DNA",
        columns=["Metadata_Well", "StratoFeatures_Low0000_DNA"],
    )
    fewer = feature_names(TAPS, CHANNELS[:2])
    refused(
        f"part-0.parquet and .*P4.parquet hold different .* 15 and 10.*{NAMES[10]}",
        table("P4", names=fewer),
    )
    refused(
        "another order: 15 and 15; not in both: none", table("P4", names=NAMES[::-1])
    )
    refused(
        "different feature sets.*net-1-0123, net-2",
        table("P4").assign(Metadata_StratoFeatures="net-2"),
    )
    refused("different feature sets", columns=NAMES[:1])
    refused(
        "different feature sets", table("P4").drop(columns="Metadata_StratoFeatures")
    )
    refused(
        "do not fit together.*Metadata_Dose", table("P4", Metadata_Dose=["high", "low"])
    )
    (screen / "B1/P4.parquet").write_bytes(
        (screen / "B1/P2/part-0.parquet").read_bytes()[:-20]
    )
    refused("^.*P4.parquet: cannot be read as a Parquet file")
    for path in screen.glob("B1/P*/*.parquet"):
        path.unlink()
    pd.DataFrame({"x": [1]}).to_parquet(screen / "B1/P4.parquet")
    refused("no features of StratoNet: Metadata_StratoFeatures is missing")
    (screen / "B1/P4.parquet").unlink()
    refused("holds no feature tables", error=FileNotFoundError)


def test_names_are_taken_apart_as_they_were_put_together():
    pytest.importorskip("anndata")
    adata = to_anndata(table("P1"))
    expected = [
        (c, tap.label, n) for c in CHANNELS for tap in TAPS for n in range(tap.width)
    ]
    assert list(adata.var.itertuples(index=False, name=None)) == expected
    assert (
        expected[2] == ("DNA", "Conv2Block3", 2)
        and adata.var_names[2] == "StratoFeatures_Conv2Block30002_DNA"
    )
    names = StratoNet.load().feature_names(["DNA", "w1"])
    assert (
        feature_columns(
            [
                "Metadata_StratoFeatures",
                "StratoFeatures_DNA",
                *names,
                "Cells_High0001_DNA",
                7,
            ]
        )
        == names
    )


def test_anndata_and_back_from_a_file(screen, tmp_path):
    anndata = pytest.importorskip("anndata")

    frame = read_features(screen)
    frame["Metadata_Day"] = pd.to_datetime(date(2024, 6, 13))
    frame["Metadata_Control"] = [True, None, False, True, True]
    frame.loc[1, "Metadata_Error"] = "ER: damaged"
    frame = frame[frame.Metadata_Well != "A02"]
    before = frame.copy()
    adata = to_anndata(frame)
    assert (
        adata.X.dtype == np.float32
        and adata.X.flags.c_contiguous
        and adata.X.flags.writeable
    )
    adata.X[0] = 7
    assert_frame_equal(frame, before)
    adata = to_anndata(frame)
    adata.write_h5ad(tmp_path / "a.h5ad")
    read = anndata.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(read.X, frame[NAMES])
    assert list(read.obs_names) == ["0", "2", "3"] and list(read.var_names) == NAMES
    assert (
        list(read.obs) == metadata_columns(frame)
        and read.obs.Metadata_Dose.iloc[2] == 1.5
    )
    assert (
        read.obs.Metadata_Day.iloc[0] == "2024-06-13 00:00:00"
        and read.obs.Metadata_Error.isna().all()
    )
    assert read.obs.Metadata_Control.tolist() == ["True", "False", "True"]
    assert read.var.channel.iloc[-1] == "2021_ER" and read.var.number.iloc[-1] == 1
    assert read.uns["feature_set_id"] == "net-1-0123"
    np.testing.assert_array_equal(
        to_anndata(screen / "B1").X, read_features(screen)[NAMES]
    )
    with pytest.raises(ValueError, match="different feature sets"):
        to_anndata(
            pd.concat(
                [table("P1"), table("P2").assign(Metadata_StratoFeatures="other")]
            )
        )


def test_missing_anndata_is_named(monkeypatch):
    there = builtins.__import__

    def without(name, *arguments, **options):
        if name == "anndata":
            raise ImportError(name, name=name)
        return there(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"stratonet\[profiles\]"):
        to_anndata(table("P1"))


def test_pycytominer_with_the_names_given(tmp_path):
    pycytominer = pytest.importorskip("pycytominer")

    wells = [f"{row}{column:02d}" for row in "ABCD" for column in range(1, 7)]
    frame = table("P1", wells * 2)
    frame["Metadata_Role"] = [
        "negcon" if well[0] == "A" else "trt" for well in frame.Metadata_Well
    ]
    frame[NAMES[3]] = np.float32(2)  # without variance
    frame[NAMES[4]] = frame[NAMES[5]] * 3  # the same as another
    frame.to_parquet(tmp_path / "a.parquet")
    frame = read_features(tmp_path)
    features, strata = (
        feature_columns(frame),
        ["Metadata_Plate", "Metadata_Well", "Metadata_Role"],
    )
    profiles = pycytominer.aggregate(frame, strata=strata, features=features)
    assert profiles.shape == (24, 3 + len(NAMES))
    first = frame[frame.Metadata_Well == "A01"]
    np.testing.assert_allclose(
        profiles[features].iloc[0].astype(float), first[features].median(), rtol=1e-5
    )
    normalized = pycytominer.normalize(
        profiles,
        features=features,
        meta_features=strata,
        samples="Metadata_Role == 'negcon'",
    )
    negative = normalized.loc[normalized.Metadata_Role == "negcon", NAMES[0]]
    assert abs(negative.mean()) < 1e-5 and negative.std(ddof=0) == pytest.approx(
        1, abs=1e-4
    )
    selected = pycytominer.feature_select(
        normalized,
        features=features,
        operation=["variance_threshold", "correlation_threshold"],
    )
    kept = feature_columns(selected)
    assert (
        NAMES[3] not in kept
        and len({NAMES[4], NAMES[5]} & set(kept)) == 1
        and metadata_columns(selected) == strata
    )


@pytest.mark.slow
def test_wide_files_are_read_into_one_block(tmp_path):
    names = feature_names(StratoNet.load().taps, ["DNA"])
    for number in range(3):
        frame = table(f"P{number}", [f"A{well:02d}" for well in range(18)], names)
        content = pa.Table.from_pandas(frame, preserve_index=False)
        write_wide_table(tmp_path / f"{number}.parquet", [content])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = read_features(tmp_path)
        read["Metadata_New"] = 1
    assert read.shape == (54, len(names) + 5)
    # One block: what is taken out of the middle is a view.
    assert np.shares_memory(read[names[0]].to_numpy(), read[names[-1]].to_numpy().base)


def write_objects(path, **columns):
    """Four objects of two image sets of a well, as one of the programs writes them."""
    features = dict(zip(NAMES, np.arange(4.0 * len(NAMES)).reshape(-1, 4)))
    keys = {"Metadata_Plate": "P1", "Metadata_Well": "A01"}
    keys["Metadata_StratoFeatures"] = "net-1-0123"
    frame = pd.DataFrame({**columns, **features}).assign(**keys)
    write_wide_table(path, [pa.Table.from_pandas(frame, preserve_index=False)])
    return path


def test_objects_are_known_by_either_name(tmp_path):
    """`ObjectNumber` of the CellProfiler module, `Metadata_ObjectNumber` of extract."""
    numbers = [1, 2, 1, 2]
    module = write_objects(
        tmp_path / "StratoFeatures_Nuclei.parquet",
        ImageNumber=[1, 1, 2, 2],
        ObjectNumber=numbers,
    )
    extract = write_objects(
        tmp_path / "plate.parquet",
        Metadata_Site=["1", "1", "2", "2"],
        Metadata_ObjectNumber=numbers,
    )
    for path in (module, extract):
        table = read_feature_table(path)
        assert find_object_column(read_features(path)) is not None
        assert find_object_column(table.frame) == OBJECT
        assert table.frame[OBJECT].tolist() == numbers
        keys = [key for key in KEYS if key in table.frame]
        assert not table.frame.duplicated(keys).any()
        assert table.features == NAMES and table.feature_set_id == "net-1-0123"
    assert find_object_column(read_features(module)) == "ObjectNumber"


def test_image_sets_of_the_module_are_no_objects(tmp_path):
    path = write_objects(tmp_path / "Image.parquet", ImageNumber=[1, 2, 3, 4])
    table = read_feature_table(path)
    assert find_object_column(table.frame) is None
    assert list(table.frame)[:3] == [
        "Metadata_Plate",
        "Metadata_Well",
        "Metadata_StratoFeatures",
    ]


def test_frames_carry_nothing_beside_their_columns(screen):
    assert read_features(screen).attrs == {}
    assert read_feature_table(screen).frame.attrs == {}
