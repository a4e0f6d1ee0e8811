"""What was left out or passed over stands on the page, and what a join lost first."""

import numpy as np
import pandas as pd
import pytest

import stratonet_cli
from stratonet.tables.reading import FeatureTable
from stratonet_sklearn.evaluation.splits import measure_confounding
from stratonet_sklearn.report.confounding import list_layout, word_confounding
from stratonet_sklearn.report.data import Split, Treatments, read_data
from stratonet_sklearn.report.planes import read_planes
from stratonet_sklearn.report.provenance import (
    build_left_out,
    build_provenance,
    list_left_out,
)
from stratonet_sklearn.report.section import Caution
from stratonet_sklearn.report.trained import drop_trained_rows

pytestmark = pytest.mark.slow


@pytest.fixture
def data(tmp_path):
    wells = [f"A{number:02d}" for number in range(1, 9)]
    profiles = pd.DataFrame({"Metadata_Plate": "P", "Metadata_Well": wells})
    profiles["Cells_Area"] = np.arange(8.0)
    profiles["Drug"] = "DMSO"
    profiles.to_csv(tmp_path / "profiles.csv", index=False)
    labels = pd.DataFrame({"well": ["A1", "A2", "A3", "A4"], "moa": list("xyx") + [""]})
    labels.to_csv(tmp_path / "map.csv", index=False)
    tables = {"Profiles": tmp_path / "profiles.csv"}
    treatments = Treatments(label="moa")
    return read_data(tables, tmp_path / "map.csv", treatments, Split(), None)


def test_losses_are_cautions_and_all_is_listed(data):
    cautions = [
        block.text
        for block in build_provenance(data).blocks
        if isinstance(block, Caution)
    ]
    assert len(cautions) == 1
    assert cautions[0].startswith("4 of 8 rows have no partner in")
    assert "such as P A05." in cautions[0]
    listed = list_left_out(data)
    assert [block.text for block in build_left_out(data).blocks] == listed
    assert listed[0] == cautions[0]
    assert listed[1].startswith("Profiles: 1 column of text is not used, such as Drug")
    assert listed[-1].startswith("5 of 8 wells have no Metadata_moa, such as P A04")


@pytest.mark.parametrize(
    "form", ["A{:02d}", "A{}", "a{:02d}", "A-{:02d}", "r01c{:02d}"]
)
def test_layout_is_known_however_wells_are_written(form):
    rows = pd.DataFrame(
        {
            "Metadata_Plate": np.repeat(["P1", "P2"], 12),
            "Metadata_Well": [form.format(number) for number in range(1, 13)] * 2,
        }
    )
    labels = np.array(["DMSO", "drug"] * 12)
    cautions = word_confounding(measure_confounding(*list_layout(rows, labels)))
    assert any("column of the plate" in text for text in cautions)


def test_wells_trained_on_are_known_by_any_name():
    rows = pd.DataFrame(
        {"Metadata_Plate": ["149", "149"], "Metadata_Well": ["A1", "A2"]}
    )
    frame = rows.assign(x=[1.0, 2.0])
    table = FeatureTable("mine", "", frame, ["x"], trained_wells={"00149": {"A01"}})
    _, kept = drop_trained_rows([table], rows, leave_out=True)
    assert kept["Metadata_Well"].tolist() == ["A2"]


def test_images_of_wells_are_found_by_any_name(tmp_path):
    import tifffile

    from stratonet.files.storage import Storage

    tifffile.imwrite(tmp_path / "a.tif", np.full((4, 4), 7, np.uint8))
    image_sets = pd.DataFrame(
        {
            "Metadata_Plate": ["149", "2"],
            "Metadata_Well": ["A01", "A01"],
            "URL_DNA": [str(tmp_path / "a.tif"), "elsewhere.tif"],
        }
    )
    rows = pd.DataFrame({"Metadata_Plate": ["00149"], "Metadata_Well": ["a1"]})
    planes = read_planes(image_sets, Storage(), pd.concat([rows, rows]).reset_index())
    assert planes[1][0].max() == 7


@pytest.mark.slow
def test_the_last_line_on_the_screen_says_what_was_left_out(tmp_path, capsys):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(12, 2)), columns=["Area", "Mean"])
    frame.insert(0, "Metadata_Well", [f"A{number:02d}" for number in range(1, 13)])
    frame.loc[2, "Area"] = np.nan
    frame["Note"] = "x"
    frame.to_csv(tmp_path / "profiles.csv", index=False)
    output = tmp_path / "report"
    given = [str(tmp_path / "profiles.csv"), "--output", str(output), "--quiet"]
    assert stratonet_cli.main(["evaluate", *given]) == 0
    page, last = capsys.readouterr().out.splitlines()
    assert page == str(output / "report.html")
    assert last.startswith("Left out: profiles: 1 column of text is not used")
    assert last.count("profiles: ") == 3
