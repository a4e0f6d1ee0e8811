import sqlite3

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("cellprofiler", reason="CellProfiler is not installed")

from cellprofiler_runs import load_modules, module, run, words_of_recipe

from stratonet import StratoNet
from stratonet.tables.reading import (
    FeatureTable,
    read_feature_table,
    read_metadata,
)
from stratonet_sklearn.datasets import read_plate, simulate_plate
from stratonet_sklearn.evaluation.columns import (
    find_column,
    get_column,
    name_feature_groups,
    name_rows,
    name_wells,
)
from stratonet_sklearn.evaluation.comparison import align_tables, join_metadata

pytestmark = pytest.mark.slow
# Of few columns, which CellProfiler writes for a long time.
RECIPE, TAP = "whole224/mean+sd", "conv2_block1_out"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A plate of 2 x 3 wells and 2 sites, measured by CellProfiler and our module."""
    folder = tmp_path_factory.mktemp("plate")
    simulate_plate(folder / "images", rows=2, columns=3, size=160)
    images, labels = read_plate(folder / "images")
    rows = [
        {
            "Metadata_Plate": 7,
            "Metadata_Well": label.well,
            "Metadata_Site": label.site,
            "Metadata_Treatment": label.treatment,
            "FileName_DNA": path.rpartition("/")[2],
            "PathName_DNA": path.rpartition("/")[0],
        }
        for label, path in zip(labels.itertuples(), images.DNA)
    ]
    load_modules()
    nuclei = module("IdentifyPrimaryObjects", x_name="DNA", y_name="Nuclei")
    nuclei.size_range.value = (8, 60)
    intensity = module("MeasureObjectIntensity")
    intensity.images_list.value, intensity.objects_list.value = "DNA", "Nuclei"
    texture = module("MeasureImageIntensity")
    texture.images_list.value = "DNA"
    out = run(
        folder,
        rows,
        nuclei,
        intensity,
        texture,
        words_of_recipe(
            module("MeasureStratoFeatures", images="DNA", taps=TAP, output="Both"),
            RECIPE,
        ),
        module("ExportToSpreadsheet", wants_prefix=False),
        module(
            "ExportToDatabase",
            db_type="SQLite",
            wants_agg_mean=False,
            wants_properties_image_url_prepend=False,
        ),
        expected=[
            "Image.csv",
            "Nuclei.csv",
            "StratoFeatures_Image.parquet",
            "DefaultDB.db",
        ],
    )
    sheets = out.parent / "sheets"
    sheets.mkdir()
    for path in out.glob("*.csv"):
        path.rename(sheets / path.name)
    return out


@pytest.fixture
def sheets(measured):
    return read_feature_table(measured.parent / "sheets", "CellProfiler")


@pytest.mark.slow
def test_cellprofilers_sheets_by_well(measured, sheets):
    assert sheets.name == "CellProfiler"
    assert sheets.feature_set_id == ""
    assert name_wells(sheets.frame).tolist() == [
        f"7 {row}{column:02d}" for row in "AB" for column in (1, 2, 3)
    ]
    image, nuclei = (
        pd.read_csv(measured.parent / "sheets" / f"{name}.csv")
        for name in ("Image", "Nuclei")
    )
    in_well = nuclei.merge(
        image[["ImageNumber", "Metadata_Well"]], on="ImageNumber"
    ).groupby("Metadata_Well")
    expected = in_well["Intensity_MeanIntensity_DNA"].median()
    np.testing.assert_allclose(
        sheets.frame["Nuclei_Intensity_MeanIntensity_DNA"], expected
    )
    expected = image.groupby("Metadata_Well")["Intensity_TotalIntensity_DNA"].mean()
    np.testing.assert_allclose(
        sheets.frame["Image_Intensity_TotalIntensity_DNA"], expected
    )
    assert (
        sheets.frame.Metadata_Treatment.tolist()
        == image.groupby("Metadata_Well").Metadata_Treatment.first().tolist()
    )
    told = [note for note in sheets.notes if "bookkeeping" not in note]
    assert len(sheets.notes) == len(told) + 2
    assert told == [
        "1 table was not used: Experiment.csv (no ImageNumber).",
        f"{len(nuclei):,} Nuclei: their median by well.",
        (
            "512 features of StratoNet were not used: give their Parquet file as"
            " another table."
        ),
    ]


def test_bookkeeping_is_no_feature(sheets):
    for word in (
        "ExecutionTime",
        "ImageNumber",
        "ObjectNumber",
        "PathName",
        "FileName",
        "Center_X",
        "Width",
        "Metadata",
    ):
        assert not [name for name in sheets.features if word in name], word
    assert any("Count_Nuclei" in name for name in sheets.features)
    assert any(
        "AreaShape" not in name and "IntegratedIntensity" in name
        for name in sheets.features
    )


def test_cellprofilers_database_says_the_same(measured, sheets):
    database = read_feature_table(measured / "DefaultDB.db")
    assert set(database.features) == set(sheets.features)
    np.testing.assert_allclose(
        database.frame[sheets.features], sheets.frame[sheets.features], rtol=1e-6
    )


def test_the_plug_ins_table(measured):
    table = read_feature_table(measured / "StratoFeatures_Image.parquet", "StratoNet")
    assert table.feature_set_id == StratoNet.load(recipe=RECIPE).feature_set_id
    assert (len(table.frame), len(table.features)) == (12, 512)
    groups = name_feature_groups(table.features).unique().tolist()
    assert groups == ["DNA conv2 block1", "DNA conv2 block1 sd"]
    assert table.notes == []


def test_tables_are_brought_to_the_rows_they_share(measured, sheets):
    ours = read_feature_table(measured / "StratoFeatures_Image.parquet", "StratoNet")
    before = ours.frame.groupby("Metadata_Well")[ours.features].mean()
    sheets.frame = sheets.frame.iloc[::-1].iloc[:5]
    (aligned, theirs), rows = align_tables([ours, sheets])
    assert rows.Metadata_Well.tolist() == ["A02", "A03", "B01", "B02", "B03"]
    np.testing.assert_allclose(
        aligned.frame[ours.features], before.loc[rows.Metadata_Well], rtol=1e-6
    )
    assert theirs.frame.Metadata_Well.tolist() == rows.Metadata_Well.tolist()
    assert aligned.notes == ["12 rows were averaged to 6, by plate, well."]
    assert aligned.losses == [
        "1 of 6 rows are not in all tables, such as 7 A01, and are left out."
    ]
    assert "Metadata_Treatment" in rows
    # What was given is as it was.
    assert (len(ours.frame), ours.notes) == (12, [])
    assert sheets.frame.index.tolist() == [5, 4, 3, 2, 1]


def test_metadata_are_joined_by_well(tmp_path, sheets):
    more = pd.DataFrame({"Plate": 7, "Well": ["A01", "A02"], "Dose": [0.5, 2]})
    more.to_csv(tmp_path / "more.csv", index=False)
    _, rows = align_tables([sheets])
    rows, *_ = join_metadata(rows, read_metadata(tmp_path / "more.csv"), "more.csv")
    assert find_column(rows, "dose") == "Metadata_Dose"
    assert get_column(rows, "metadata_DOSE").tolist() == ["0.5", "2.0", "", "", "", ""]
    with pytest.raises(
        ValueError, match="no column MoA in the metadata. Received: .*dose"
    ):
        get_column(rows, "MoA")
    twice = pd.concat([more, more])
    twice.to_csv(tmp_path / "more.csv", index=False)
    told = "more.csv must have one row for each .*, and has 2 for Metadata_Plate 7"
    with pytest.raises(ValueError, match=told):
        join_metadata(rows, read_metadata(tmp_path / "more.csv"), "more.csv")


@pytest.fixture
def profiles(tmp_path):
    """A table of profiles, as pycytominer writes it."""

    def write(**columns):
        frame = pd.DataFrame(
            {
                "Metadata_Well": [f"A{n:02d}" for n in range(40)],
                "Cells_Area": np.arange(40.0),
            }
            | columns
        )
        frame.to_csv(tmp_path / "profiles.csv", index=False)
        return tmp_path / "profiles.csv"

    return write


def test_other_tables(profiles):
    table = read_feature_table(
        profiles(Cells_Texture=np.arange(40) ** 2, Cells_Number_Object_Number=1)
    )
    assert table.features == ["Cells_Area", "Cells_Texture"]
    assert table.frame.Metadata_Plate.unique().tolist() == ["plate"]
    assert table.notes == [
        (
            "1 column of bookkeeping (files, times, positions) is not used, such as"
            " Cells_Number_Object_Number."
        ),
        "There is no Metadata_Plate: all wells are assumed to be on one plate.",
    ]


def test_names_stay_as_they_are_written(tmp_path):
    text = "Metadata_Plate,Metadata_Well,Cells_Area\n0012,00149,1.5\n0012,00150,2.5\n"
    (tmp_path / "profiles.csv").write_text(text)
    (tmp_path / "more.csv").write_text(
        "Plate,Well,Batch\n0012,00149,007\n0012,00150,008\n"
    )
    table = read_feature_table(tmp_path / "profiles.csv")
    _, rows = align_tables([table])
    rows, *_ = join_metadata(rows, read_metadata(tmp_path / "more.csv"), "more.csv")
    assert name_wells(rows).tolist() == ["0012 00149", "0012 00150"]
    assert get_column(rows, "batch").tolist() == ["007", "008"]


def test_missing_values_are_left_out_and_counted(profiles):
    one, many = np.arange(40.0), np.arange(40.0)
    one[3], many[:20] = np.nan, np.inf
    table = read_feature_table(
        profiles(Metadata_Plate="x", Cells_One=one, Cells_Many=many)
    )
    assert table.features == ["Cells_Area", "Cells_One"]
    assert "A03" not in table.frame.Metadata_Well.tolist() and len(table.frame) == 39
    assert table.notes == [
        (
            "1 of 3 features are missing in many rows and are left out, such as"
            " Cells_Many."
        ),
        (
            "1 of 40 rows have features that are missing, and are left out, such as"
            " x A03."
        ),
    ]


def test_objects_are_the_same_whoever_numbers_them(tmp_path):
    """The module of CellProfiler writes ObjectNumber, extraction with Metadata_."""
    ours = pd.DataFrame(
        {
            "Metadata_StratoFeatures": "net-1",
            "Metadata_Plate": "p1",
            "Metadata_Well": ["A01", "A01", "A02"],
            "Metadata_Site": "1",
            "ImageNumber": [1, 1, 2],
            "ObjectNumber": [1, 2, 1],
            "StratoFeatures_Low0000_DNA": np.array([0.5, 1.5, 2.5], np.float32),
        }
    )
    extracted = ours.drop(columns="ImageNumber").iloc[::-1]
    extracted = extracted.rename(columns={"ObjectNumber": "Metadata_ObjectNumber"})
    ours.to_parquet(tmp_path / "module.parquet")
    extracted.to_parquet(tmp_path / "extract.parquet")
    tables = [
        read_feature_table(tmp_path / f"{name}.parquet")
        for name in ("module", "extract")
    ]
    aligned, rows = align_tables(tables)
    assert name_rows(rows) == "objects"
    assert rows.Metadata_ObjectNumber.tolist() == [1, 2, 1]
    for table in aligned:
        assert table.frame.StratoFeatures_Low0000_DNA.tolist() == [0.5, 1.5, 2.5]
        assert table.notes == []


def test_what_cannot_be_read(tmp_path, measured):
    def refused(content, name, message):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_feature_table(tmp_path / name)

    refused(b"", "empty.csv", "empty.csv cannot be read as a table")
    refused(
        b"not parquet",
        "broken.parquet",
        "broken.parquet cannot be read as a table .* damaged",
    )
    refused(
        b"not a database, nor anything else",
        "broken.db",
        "broken.db is not an SQLite database",
    )
    refused(
        b"Cells_Area\n1\n", "nowhere.csv", "no Metadata_Well. Received: no Metadata_"
    )
    refused(b"Metadata_Well,Cells_Area\n", "rowless.csv", "rowless.csv has no rows")
    refused(b"Metadata_Well\nA01\n", "bare.csv", "has no features")
    refused(
        b"Metadata_Well,Cells_Area\nA01,\n",
        "missing.csv",
        "features are missing in every row",
    )
    refused(b"\x89PNG", "picture.png", "tables are Parquet, CSV and SQLite files")
    with pytest.raises(FileNotFoundError, match="gone.csv is not there"):
        read_feature_table(tmp_path / "gone.csv")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="neither feature tables .* nor an Image.csv"):
        read_feature_table(tmp_path / "folder")
    sqlite3.connect(tmp_path / "other.db").execute(
        "create table x (y)"
    ).connection.commit()
    with pytest.raises(ValueError, match="no table Per_Image. Received: x"):
        read_feature_table(tmp_path / "other.db")


def test_tables_that_share_nothing(profiles, sheets):
    other = read_feature_table(profiles())
    with pytest.raises(
        ValueError,
        match=r"share no row. By plate, well, CellProfiler begins with \('7', 'A01'\)",
    ):
        align_tables([sheets, other])


def test_objects_of_two_tables_of_a_store_are_joined_by_their_label_image():
    """Object 1 of one label image is another than object 1 of the next."""

    def make_table(name, regions, numbers):
        frame = pd.DataFrame(
            {
                "Metadata_Plate": "P1",
                "Metadata_Well": "A01",
                "Metadata_Region": regions,
                "Metadata_ObjectNumber": numbers,
                name: [f"{region}{number}" for region, number in zip(regions, numbers)],
            }
        )
        return FeatureTable(name, name, frame, [name])

    ours = make_table("ours", ["s1", "s1", "s2", "s2"], [1, 2, 1, 2])
    theirs = make_table("theirs", ["s2", "s1", "s1"], [1, 2, 1])
    aligned, rows = align_tables([ours, theirs])
    assert rows["Metadata_Region"].tolist() == ["s1", "s1", "s2"]
    one, other = (table.frame[table.name].tolist() for table in aligned)
    assert one == other == ["s11", "s12", "s21"]
