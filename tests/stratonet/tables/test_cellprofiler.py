"""Output of CellProfiler: joined by numbers that are unique, and by nothing else."""

import sqlite3

import pandas as pd
import pytest

pytest.importorskip("pycytominer", reason="wells are made by pycytominer")

from stratonet.tables.reading import read_feature_table

IMAGES = "ImageNumber,Metadata_Plate,Metadata_Well,Intensity_Mean\n"
TWO_WELLS = f"{IMAGES}1,P1,A01,0.5\n2,P1,A02,1.5\n"
NUCLEI = "ImageNumber,ObjectNumber,AreaShape_Area\n1,1,10\n1,2,30\n2,1,40\n"


@pytest.fixture
def read(tmp_path):
    """Write the files of a folder, and read it, or one of them."""

    def read(name="", **files):
        for file, text in files.items():
            (tmp_path / f"{file}.csv").write_text(text)
        return read_feature_table(tmp_path / name)

    return read


def test_objects_are_in_the_wells_of_their_image_sets(read):
    table = read(Image=TWO_WELLS, Nuclei=NUCLEI)
    assert table.frame["Nuclei_AreaShape_Area"].tolist() == [20, 40]
    assert table.frame["Image_Intensity_Mean"].tolist() == [0.5, 1.5]
    assert table.losses == []


def test_numbers_of_two_experiments_are_refused(read):
    both = f"{TWO_WELLS}1,P2,A01,2.5\n"
    told = "Image.csv must have .* ImageNumber, and has 2 for ImageNumber 1.*Nuclei"
    with pytest.raises(ValueError, match=told):
        read(Image=both, Nuclei=NUCLEI)


def test_image_sets_alone_need_no_number(read):
    table = read(Image=f"{TWO_WELLS}1,P2,A01,2.5\n")
    assert table.frame["Image_Intensity_Mean"].tolist() == [0.5, 1.5, 2.5]
    without = TWO_WELLS.replace("ImageNumber", "Text")
    assert read(Image=without).features == ["Image_Text", "Image_Intensity_Mean"]
    with pytest.raises(
        ValueError, match="Image.csv has no ImageNumber, which links Nuc"
    ):
        read(Image=without, Nuclei=NUCLEI)


def test_objects_of_two_experiments_are_refused(read):
    with pytest.raises(ValueError, match="Nuclei .* has 2 for ImageNumber 1, Object"):
        read(Image=TWO_WELLS, Nuclei=f"{NUCLEI}1,1,500\n")


def test_objects_without_a_partner_are_counted(read):
    more = f"{NUCLEI}7,1,500\n,1,900\n"
    table = read(Image=f"{TWO_WELLS}3,P1,nan,0\n,P1,A02,3.5\n", Nuclei=more)
    assert table.frame["Nuclei_AreaShape_Area"].tolist() == [20, 40]
    (loss,) = table.losses
    assert loss.startswith("Nuclei: 2 of 5 rows") and "ImageNumber 7," in loss
    assert table.notes[0].startswith("1 of 4 rows have no Metadata_Well")


def test_two_header_rows_and_any_case(read, tmp_path):
    combined = (
        "Image,Nuclei,Nuclei,Cells\nImageNumber,ObjectNumber,Area,Area\n"
        "1,1,10,11\n2,1,20,21\n"
    )
    (tmp_path / "Objects.CSV").write_text(combined)
    table = read(Image=TWO_WELLS)
    assert table.features == ["Image_Intensity_Mean", "Nuclei_Area", "Cells_Area"]
    with pytest.raises(ValueError, match="has Nuclei_Area, which another"):
        read(Nuclei=NUCLEI.replace("AreaShape_Area", "Area"))


def test_several_experiments_are_told_apart_by_the_file(read):
    files = {"P1_Image": TWO_WELLS, "P2_Image": TWO_WELLS, "P2_Nuclei": NUCLEI}
    with pytest.raises(ValueError, match="P1_Image.csv, P2_Image.csv. Give one"):
        read(**files)
    table = read("P2_Image.csv")
    assert table.features == ["Image_Intensity_Mean", "Nuclei_AreaShape_Area"]
    assert table.notes[0] == "1 table was not used: P1_Image.csv."


def test_what_was_passed_over_is_named(read):
    table = read(
        Image="ImageNumber,Metadata_Well,Drug,FileName_DNA,Mean,Sum,Share\n"
        '1,A01,x,a.tif,1,1,"0,5"\n2,A02,x,b.tif,2,n.d.,"0,7"\n',
        Experiment="Key,Value\na,b\n",
    )
    assert table.features == ["Image_Mean"]
    told = " ".join(table.notes)
    for words in (
        "Experiment.csv (no ImageNumber)",
        "1 column of text is not used, such as Drug ('x')",
        "decimal commas is not used, such as Share ('0,5')",
        "text among them is not used, such as Sum ('n.d.' in 1 of 2 rows)",
        "1 column of bookkeeping (files, times, positions) is not used, such as"
        " FileName_DNA",
    ):
        assert words in told


def write_database(path, **tables):
    with sqlite3.connect(path) as database:
        for name, frame in tables.items():
            frame.to_sql(name, database, index=False)


def test_databases(tmp_path):
    images = pd.DataFrame(
        {
            "ImageNumber": [1, 2, 1],
            "Image_Metadata_Well": ["A01", "A02", "A01"],
            "Image_Mean": [1.0, 2.0, 3.0],
        }
    )
    objects = pd.DataFrame(
        {"ImageNumber": [1, 2], "ObjectNumber": 1, "Nuclei_Area": [5, 6]}
    )
    write_database(tmp_path / "a.db", E_Per_Image=images[:2], E_Per_Object=objects)
    table = read_feature_table(tmp_path / "a.db")
    assert table.frame[["Image_Mean", "Nuclei_Area"]].to_numpy().tolist() == [
        [1, 5],
        [2, 6],
    ]
    write_database(tmp_path / "b.db", E_Per_Image=images, E_Per_Object=objects)
    with pytest.raises(ValueError, match="b.db .E_Per_Image. must .* ImageNumber 1"):
        read_feature_table(tmp_path / "b.db")
    write_database(tmp_path / "c.db", E_Per_Image=images, F_Per_Image=images)
    with pytest.raises(ValueError, match="several experiments.*E_Per_Image, F_Per_Im"):
        read_feature_table(tmp_path / "c.db")
