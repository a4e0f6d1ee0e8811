"""A picture of each well: which, how many, and how large all of them are."""

import io

import numpy as np
import pandas as pd
import pytest
from browser_pages import list_wells as list_all_wells
from browser_pages import make_contents
from PIL import Image

from stratonet.extraction.sources.imagesets import ImageSource
from stratonet_sklearn.report.checks import write_images
from stratonet_sklearn.report.data import ReportData, Treatments
from stratonet_sklearn.report.gallery import (
    MOST_BYTES,
    build_gallery,
    choose_wells,
    list_wells,
    write_pictures,
)
from stratonet_sklearn.report.page import write_page
from stratonet_sklearn.report.section import Omission, Paragraph, Wells


@pytest.fixture
def data(tmp_path):
    rows = pd.DataFrame(
        {
            "Metadata_Plate": "P",
            "Metadata_Well": ["A01", "A02", "A03", "A04"],
            "Metadata_Site": "1",
            "Metadata_Drug": ["DMSO", "taxol", "taxol", ""],
            "Metadata_Dose": ["", "1.5", "10", ""],
        }
    )
    treatments = Treatments(compound="Metadata_Drug", dose="Metadata_Dose")
    images = write_images(tmp_path, rows)
    controls = np.array([True, False, False, False])
    return ReportData([], rows, treatments, controls=controls, images=images)


def select(content, kind):
    return [block for block in content.blocks if isinstance(block, kind)]


def test_wells_are_listed_with_their_treatments(data):
    assert list_wells(data).to_numpy().tolist() == [
        ["P", "A01", "DMSO (negative control)", True],
        ["P", "A02", "taxol 1.5", False],
        ["P", "A03", "taxol 10", False],
        ["P", "A04", "", False],
    ]


def test_wells_that_cannot_be_shown_are_counted(data, tmp_path):
    """One image is gone, one is none, and one well is in no table of images."""
    (tmp_path / "P_A01_1.tif").unlink()
    (tmp_path / "P_A02_1.tif").write_bytes(b"no image")
    table = pd.read_csv(tmp_path / "load_data.csv", dtype=str)
    table[:3].to_csv(tmp_path / "load_data.csv", index=False)
    content = build_gallery(data)
    (wells,) = select(content, Wells)
    assert list(wells.pictures) == [("P", "A03")]
    picture = Image.open(io.BytesIO(wells.pictures["P", "A03"]))
    assert picture.format == "JPEG" and picture.size == (8, 6)
    assert select(content, Paragraph)[0].text.startswith("1 of 4 wells")
    assert "3 wells without an image" in select(content, Omission)[0].text


def test_a_source_that_is_gone_is_said(data):
    data = ReportData([], data.rows, images=ImageSource("gone.csv"))
    content = build_gallery(data)
    assert "gone.csv is not there" in select(content, Omission)[0].text
    assert select(content, Wells)[0].pictures == {}


def test_every_treatment_of_every_plate_is_shown():
    wells = list_all_wells(16, 24, ("P1", "P2", "P3"))
    chosen = choose_wells(wells, 30)
    assert len(chosen) == 30 and chosen.index.is_monotonic_increasing
    counts = chosen.groupby(["plate", "treatment"]).size()
    assert len(counts) == 12 and set(counts) == {2, 3}


def test_wells_that_other_sections_show_come_first():
    wells = list_all_wells(16, 24)
    last = {("P1", "P24"), ("P1", "O23")}
    chosen = choose_wells(wells, 5, last)
    assert last <= {*zip(chosen["plate"], chosen["well"])} and len(chosen) == 5


def test_the_page_of_384_wells_is_small(tmp_path):
    """Pictures of noise are the largest that there are."""
    wells = list_all_wells(16, 24)
    noise = np.random.default_rng(0).integers(0, 256, (384, 128, 128, 3), np.uint8)
    written = write_pictures(list(noise))
    assert sum(map(len, written)) <= MOST_BYTES
    pictures = dict(zip(zip(wells["plate"], wells["well"]), written))
    path = write_page(tmp_path, "A report", make_contents(wells, pictures))
    # What is left is for some twenty figures.
    assert path.stat().st_size <= 12_000_000
