"""Features of a fine-tuned network carry the wells that it was trained on."""

from dataclasses import replace

import pandas as pd
import pytest
from pyarrow import parquet
from screen_images import TAP, screen, write

from stratonet import StratoNet
from stratonet.card_writer import write_card
from stratonet.extraction import GalleryLayout, PlateLayout, extract
from stratonet.tables.parquet import read_trained_wells
from stratonet.tables.reading import read_feature_table
from stratonet.weights_file import WEIGHTS, read_card, read_feature_set_id

WELLS = {"P1": ("A01", "B01"), "P9": ("C03",)}
SHIPPED = WEIGHTS / "stratonet50.onnx"


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plates")
    files, table = screen(sites=1)
    write(folder, files)
    table.to_csv(folder / "load_data.csv", index=False)
    return folder / "load_data.csv"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """Weights that say that they were fine-tuned."""
    path = tmp_path_factory.mktemp("weights") / "mine.onnx"
    write_card(SHIPPED, replace(read_card(), name="mine", trained_wells=WELLS), path)
    return path


def measure(plates, weights, output, layout=None):
    layout = layout or PlateLayout()
    extract(plates, output, weights=weights, taps=TAP, layout=layout, progress=False)
    return output


def test_the_card_keeps_the_wells_and_measures_the_same(tuned):
    assert StratoNet.load(tuned).card.trained_wells == WELLS
    assert read_feature_set_id(tuned).startswith("mine-")


@pytest.mark.parametrize("layout", [PlateLayout(), GalleryLayout()])
def test_every_file_has_the_wells(plates, tuned, tmp_path, layout):
    features = measure(plates, tuned, tmp_path / "features", layout)
    expected = {plate: set(wells) for plate, wells in WELLS.items()}
    files = [path for path in features.rglob("*.parquet") if "_units" not in path.parts]
    assert len(files) == (2 if layout == PlateLayout() else 6)
    for path in files:
        assert read_trained_wells(path) == expected
    assert read_trained_wells(features) == expected


def test_networks_that_were_not_fine_tuned_leave_no_trace(plates, tmp_path):
    features = measure(plates, "stratonet50", tmp_path / "features")
    assert read_trained_wells(features) == {}
    for path in features.glob("*/**/*.parquet"):
        assert not parquet.read_metadata(path).metadata


def test_tables_that_are_read_know_the_wells(plates, tuned, tmp_path):
    features = measure(plates, tuned, tmp_path / "features")
    table = read_feature_table(features)
    assert table.trained_wells["P1"] == {"A01", "B01"}
    # A copy that pandas has made, or a CSV file, can no longer tell.
    pd.read_parquet(next(features.glob("*/*/*/*.parquet"))).to_csv(
        tmp_path / "copy.csv", index=False
    )
    assert read_feature_table(tmp_path / "copy.csv").trained_wells == {}
