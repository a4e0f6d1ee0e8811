"""The tables of the benchmarks' data sets name images that are there."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "screens.py"


@pytest.fixture(scope="module")
def screens():
    # By its path: benchmarks are programs, not a package that is installed.
    spec = importlib.util.spec_from_file_location("benchmark_screens", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name, rows, channels",
    [
        ("bbbc013", 96, ["GFP_FKHR", "DNA_DRAQ"]),
        ("mitocheck", 3277, ["H2B"]),
        ("bbbc022", 12, ["Hoechst", "ER", "Syto", "Ph_golgi", "Mito"]),
    ],
)
def test_tables_of_the_data_sets(screens, data, tmp_path, name, rows, channels):
    table = screens.SCREENS[name](data / name)
    assert len(table) == rows and table.Metadata_Well.notna().all()
    assert screens.list_channels(table) == channels
    first = table.iloc[0]
    for channel in channels:
        folder, file = first[f"PathName_{channel}"], first[f"FileName_{channel}"]
        assert Path(folder, file).is_file()
    screens.write_load_data(table, tmp_path / "images.csv")
    written = pd.read_csv(tmp_path / "images.csv")
    prefixes = ("Metadata_", "Image_FileName_", "Image_PathName_")
    assert len(written) == rows
    assert all(column.startswith(prefixes) for column in written)


@pytest.mark.slow
def test_ranges_of_hep2(screens, data, tmp_path):
    rows = screens.read_hep2(data / "hep2", tmp_path / "cells")
    again = screens.read_hep2(data / "hep2", tmp_path / "cells")
    pd.testing.assert_frame_equal(rows, again)
    assert Path(rows.PathName_FITC[0], rows.FileName_FITC[0]).is_file()
    ranges = rows.groupby("Metadata_Range")
    assert ranges.ngroups == 36
    assert (ranges.Metadata_Pattern.nunique() == 1).all()
    ids = rows.Metadata_Site.astype(int)
    spans = ids.groupby(rows.Metadata_Range).agg(["min", "max"]).sort_values("min")
    assert (spans["min"].iloc[1:].to_numpy() - spans["max"].iloc[:-1] > 30).all()


def test_classes_of_bbbc013_are_the_untreated_and_the_doses_that_work(screens, data):
    table = screens.read_bbbc013(data / "bbbc013")
    untreated = table[table.Metadata_Role == "negcon"]
    assert (untreated.Metadata_Class == untreated.Metadata_Compound).all()
    weak = table[(table.Metadata_Compound == "LY294002") & (table.Metadata_Dose < 10)]
    assert len(weak) and (weak.Metadata_Class.fillna("") == "").all()
