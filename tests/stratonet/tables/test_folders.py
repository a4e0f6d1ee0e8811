"""What a folder is: decided by all that it holds."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("pycytominer", reason="wells are made by pycytominer")

from stratonet.tables.reading import read_feature_table, read_features

IMAGE = "ImageNumber,Metadata_Plate,Metadata_Well,Mean\n1,P1,A01,1\n2,P1,A02,2\n"


def features(**columns):
    return pd.DataFrame(
        {
            "Metadata_Plate": "P1",
            "Metadata_Well": ["A01", "A02"],
            "Metadata_StratoFeatures": "net-1",
            "ImageNumber": [1, 2],
            "StratoFeatures_High0000_DNA": np.array([0.5, 0.25], np.float32),
        }
        | columns
    )


@pytest.mark.parametrize("place", ["StratoFeatures_Image.parquet", "deep/a.parquet"])
def test_two_things_are_refused_and_either_can_be_given(tmp_path, place):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    features().to_parquet(tmp_path / place)
    (tmp_path / "Image.csv").write_text(IMAGE)
    with pytest.raises(ValueError) as raised:
        read_feature_table(tmp_path)
    assert place in str(raised.value) and "Image.csv" in str(raised.value)
    ours = read_feature_table(tmp_path / place)
    assert ours.features == ["StratoFeatures_High0000_DNA"]
    assert read_feature_table(tmp_path / "Image.csv").features == ["Image_Mean"]


def test_parquet_files_of_others_do_not_make_it_ours(tmp_path):
    (tmp_path / "Image.csv").write_text(IMAGE)
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "other.parquet")
    table = read_feature_table(tmp_path)
    assert table.features == ["Image_Mean"]
    assert table.notes[0] == "1 table was not used: other.parquet."


@pytest.mark.parametrize("columns", [None, ["Metadata_Well"]])
def test_files_that_are_no_one_table_are_refused(tmp_path, columns):
    def refuse(told):
        with pytest.raises(ValueError, match=told):
            read_features(tmp_path, columns=columns)

    features().to_parquet(tmp_path / "Image.parquet")
    features(ObjectNumber=1).to_parquet(tmp_path / "Nuclei.parquet")
    refuse("Image.parquet holds image sets, and .*Nuclei.parquet objects")
    # Two kinds of objects, each numbered from 1.
    features(ObjectNumber=1).to_parquet(tmp_path / "Image.parquet")
    refuse("Image.parquet and .*Nuclei.parquet both hold .*Well A01, .*ObjectNumber 1")
    # A copy of an older run.
    (tmp_path / "Nuclei.parquet").unlink()
    features(ObjectNumber=1, ImageNumber=[7, 2]).to_parquet(tmp_path / "copy.parquet")
    refuse("both hold .*Well A02, ImageNumber 2")


def test_files_of_other_rows_are_one_table(tmp_path):
    features().to_parquet(tmp_path / "a.parquet")
    features(Metadata_Plate="P2").to_parquet(tmp_path / "b.parquet")
    features(ImageNumber=[3, 4]).to_parquet(tmp_path / "c.parquet")
    assert len(read_features(tmp_path)) == 6


def test_a_failed_well_is_left_out_whatever_the_number_of_wells(tmp_path):
    """One of 16 is more than the share of missing values that a feature may have."""
    frame = pd.DataFrame(
        {
            "Metadata_Plate": "P1",
            "Metadata_Well": [f"A{number:02d}" for number in range(1, 17)],
            "StratoFeatures_High0000_DNA": np.arange(16.0),
            "StratoFeatures_High0000_ER": np.arange(16.0),
        }
    )
    frame.iloc[3, 2:] = np.nan
    frame.iloc[5, 3:] = np.nan
    frame.to_csv(tmp_path / "normalized.csv", index=False)
    table = read_feature_table(tmp_path / "normalized.csv")
    assert len(table.frame) == 14 and len(table.features) == 2
    assert table.notes == [
        "2 of 16 rows have features that are missing, and are left out, such as P1 A04."
    ]
    others = frame.set_axis([*frame.columns[:2], "Cells_Area", "Cells_Mean"], axis=1)
    others.loc[5, "Cells_Mean"] = 5
    others.to_csv(tmp_path / "others.csv", index=False)
    table = read_feature_table(tmp_path / "others.csv")
    assert (len(table.frame), table.features) == (15, ["Cells_Area", "Cells_Mean"])
