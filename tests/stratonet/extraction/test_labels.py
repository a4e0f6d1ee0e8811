"""The table of a labelled plate is a source; so are names that a pattern describes."""

import re

import pandas as pd
import pytest
from pages import ROOT
from screen_images import TAP

import stratonet_cli
from stratonet.extraction.checks import check_source
from stratonet.extraction.sources.imagesets import ImageSource
from stratonet.extraction.sources.loaddata import TableSource
from stratonet.extraction.sources.read import read_source
from stratonet.tables import feature_columns, read_features


def read(folder, text, name="labels.csv"):
    (folder / name).write_text(text)
    return read_source(ImageSource(folder / name)).frame


def test_the_plate_of_the_demo_is_extracted_with_its_roles(tmp_path, capsys):
    datasets = pytest.importorskip("stratonet_sklearn.datasets")
    datasets.simulate_plate(tmp_path, rows=1, columns=3, sites=2, size=64)
    source = ImageSource(tmp_path / "labels.csv")
    check_source(TableSource(), source, [ImageSource("jump:source_8/J3/P1")])
    arguments = ["--output", str(tmp_path / "out"), "--taps", TAP, "--quiet"]
    assert stratonet_cli.main(["extract", source.location, *arguments]) == 0
    labels = pd.read_csv(tmp_path / "labels.csv")
    frame = read_features(tmp_path / "out")
    assert frame.Metadata_Plate.unique().tolist() == ["simulated"]
    for name, column in {"well": "Well", "role": "role"}.items():
        assert frame[f"Metadata_{column}"].tolist() == labels[name].tolist()
    assert frame.Metadata_Site.astype(int).tolist() == labels.site.tolist()
    channels = [name[5:] for name in labels if name.startswith("file_")]
    assert {name.split("_", 2)[2] for name in feature_columns(frame)} == set(channels)


def test_without_a_plate_it_is_that_of_the_folder(tmp_path):
    frame = read(tmp_path, "well,file_DNA,dose\nA1,a/1.tif,0.50\nA2,/data/2.tif,\n")
    assert frame.Metadata_Plate.tolist() == [tmp_path.name] * 2
    assert frame.URL_DNA.tolist() == [str(tmp_path / "a" / "1.tif"), "/data/2.tif"]
    # Text stays text, and a gap a gap.
    assert frame.Metadata_dose.tolist() == ["0.50", None]


@pytest.mark.parametrize(
    "text, expected_message",
    [
        ("well,role\nA01,negcon\n", "lacks Metadata_Plate, Metadata_Well"),
        ("well,file_DNA\nA01,1.tif\n,2.tif\n", "row 2 .* has no"),
        ("well,file_DNA\nA01,1.tif\nA1,2.tif\n", "A01"),
        ("well,file_DNA\nA01,1.tif\nA01,1.tif\n", "one image set twice"),
        ("well,file_DNA,file_ER\nA01,1.tif,1.tif\n", "are one plane"),
        ("well,file_DNA\n", "has no rows"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, text, expected_message):
    with pytest.raises(ValueError, match=expected_message):
        read(tmp_path, text)


def test_columns_of_loaddata_come_first(tmp_path):
    text = "Metadata_Plate,Metadata_Well,well,FileName_DNA,file_ER\nP,A01,B02,1.tif,2\n"
    frame = read(tmp_path, text)
    assert frame.Metadata_Well.tolist() == ["A01"]
    assert list(frame)[2:] == ["URL_DNA"]


def test_a_folder_of_unknown_names_is_told_of_its_table(tmp_path):
    (tmp_path / "one.tif").touch()
    with pytest.raises(ValueError, match="no image has a name") as told:
        read_source(ImageSource(tmp_path))
    assert "in place of the folder" not in str(told.value)
    (tmp_path / "labels.csv").write_text("well,file_DNA\nA01,one.tif\n")
    with pytest.raises(ValueError, match="the table labels.csv in place of the folder"):
        read_source(ImageSource(tmp_path))


def find_patterns():
    """Names of files and the patterns beside them, of the page and of the help."""
    page = (ROOT / "docs" / "extraction.md").read_text(encoding="utf-8")
    yield from re.findall(r"^\| `(\S+)` \| `'(\S+)'` \|", page, re.MULTILINE)
    parser = stratonet_cli.build_parser()
    commands = next(action for action in parser._actions if action.choices)
    epilog = commands.choices["extract"].epilog
    yield "A01_1_DNA.tif", re.search(r"--pattern '(\S+)'", epilog)[1]


def test_patterns_that_are_shown_find_the_names_beside_them(tmp_path):
    wells = []
    for number, (name, pattern) in enumerate(find_patterns()):
        path = tmp_path / str(number) / name
        path.parent.mkdir(parents=True)
        path.touch()
        source = ImageSource(tmp_path / str(number), pattern=pattern)
        (row,) = read_source(source).frame.to_dict("records")
        wells.append(row["Metadata_Well"])
        assert str(path) in row.values()
    assert len(wells) >= 4
    assert set(wells) == {"A01"}
