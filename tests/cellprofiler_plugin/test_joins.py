"""Rows of StratoNet find their own in CellProfiler's tables, CytoTable's and others.

That a row is the right one is told by its features: they are measured once more around
the centre that the other table has.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("cellprofiler", reason="CellProfiler is not installed")

from cellprofiler_runs import load_modules  # before the others: no window
from joined_run import RECIPE, SIZE, run_cellprofiler

from stratonet import StratoNet
from stratonet.crops import crop_square
from stratonet.extraction import ObjectsFromCenters, extract
from stratonet.files.images import read_plane
from stratonet.tables import feature_columns, read_features, to_spatialdata_table

pytestmark = pytest.mark.slow
# What CytoTable 1.2.6 (DuckDB 1.4.4, Python 3.12) made of this run, by its preset;
# without shapes. It fetches extensions of DuckDB when it runs.
CYTOTABLE = Path(__file__).parents[1] / "helpers" / "cytotable_tables"
N_OBJECTS = 9


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    """Folder of a run, its planes by image number, and its features of nuclei."""
    load_modules()
    folder = tmp_path_factory.mktemp("joined")
    output, rows = run_cellprofiler(folder)
    files = [Path(row["PathName_DNA"], row["FileName_DNA"]) for row in rows]
    planes = dict(enumerate(map(read_plane, files), start=1))
    return output, planes, pd.read_parquet(output / "StratoFeatures_Nuclei.parquet")


def check_rows(table, planes, image, x, y):
    """The features of each row are those of the square around its centre."""
    assert len(table) == N_OBJECTS
    net = StratoNet.load(taps="low", recipe=RECIPE, crop=SIZE)
    squares = []
    for number, column, row in table[[image, x, y]].itertuples(index=False):
        squares.append(crop_square(planes[number], (row, column), SIZE))
    expected = net.features(squares)
    assert len(np.unique(expected[:, 0])) == N_OBJECTS
    measured = table[feature_columns(table)].to_numpy()
    np.testing.assert_allclose(measured, expected, rtol=1e-5, atol=1e-6)


def test_with_the_csv_tables_of_cellprofiler(joined):
    output, planes, features = joined
    nuclei = pd.read_csv(output / "Nuclei.csv")
    keys = ["ImageNumber", "ObjectNumber"]
    table = nuclei.merge(features, on=keys, validate="one_to_one")
    check_rows(table, planes, "ImageNumber", "Location_Center_X", "Location_Center_Y")
    images = pd.read_parquet(output / "StratoFeatures_Image.parquet")
    wells = pd.read_csv(output / "Image.csv").merge(images, on="ImageNumber")
    assert wells.Metadata_Well_x.tolist() == wells.Metadata_Well_y.tolist()


def test_with_the_database_of_cellprofiler(joined):
    output, planes, features = joined
    with closing(sqlite3.connect(output / "DefaultDB.db")) as database:
        nuclei = pd.read_sql("SELECT * FROM Per_Nuclei", database)
    table = nuclei.merge(
        features,
        left_on=["ImageNumber", "Nuclei_Number_Object_Number"],
        right_on=["ImageNumber", "ObjectNumber"],
        validate="one_to_one",
    )
    center = "Nuclei_Location_Center"
    check_rows(table, planes, "ImageNumber", f"{center}_X", f"{center}_Y")


@pytest.mark.parametrize("preset", ["cellprofiler_csv", "cellprofiler_sqlite"])
def test_with_what_cytotable_makes_of_them(joined, preset):
    _, planes, features = joined
    cytotable = pd.read_csv(CYTOTABLE / f"{preset}.csv")
    table = cytotable.merge(
        features,
        left_on=["Metadata_ImageNumber", "Nuclei_Number_Object_Number"],
        right_on=["ImageNumber", "ObjectNumber"],
        validate="one_to_one",
    )
    center = "Nuclei_Location_Center"
    check_rows(table, planes, "ImageNumber", f"{center}_X", f"{center}_Y")
    # Its own number of a row is that of the cytoplasm.
    numbers = cytotable["Cytoplasm_Number_Object_Number"]
    assert (numbers != cytotable["Nuclei_Number_Object_Number"]).any()


def test_objects_of_extract_have_the_numbers_of_cellprofiler(joined, tmp_path):
    output, _, features = joined
    keys = ["ImageNumber", "ObjectNumber"]
    nuclei = pd.read_csv(output / "Nuclei.csv").merge(features[[*keys, *METADATA]])
    # In another order: rows are told apart by their keys alone.
    nuclei.sample(frac=1, random_state=0).to_csv(tmp_path / "nuclei.csv", index=False)
    objects = ObjectsFromCenters(str(tmp_path / "nuclei.csv"), size=SIZE)
    source = output.parent / "load_data.csv"
    out = tmp_path / "out"
    extract(source, out, taps="low", objects=objects, progress=False)
    extracted = read_features(out)
    table = features.merge(
        extracted,
        left_on=[*METADATA, "ObjectNumber"],
        right_on=[*METADATA, "Metadata_ObjectNumber"],
        validate="one_to_one",
    )
    assert len(table) == N_OBJECTS
    names = feature_columns(features)
    ours, theirs = (table[[f"{name}_{side}" for name in names]] for side in "xy")
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


METADATA = ["Metadata_Plate", "Metadata_Well"]


def test_joined_rows_become_profiles_of_pycytominer(joined):
    pycytominer = pytest.importorskip("pycytominer")
    output, _, features = joined
    nuclei = pd.read_csv(output / "Nuclei.csv")
    table = nuclei.merge(features, on=["ImageNumber", "ObjectNumber"])
    shapes = [name for name in nuclei if name.startswith("AreaShape_")]
    names = [*shapes, *feature_columns(features)]
    wells = pycytominer.aggregate(table, strata=METADATA, features=names)
    assert wells.Metadata_Well.tolist() == ["A01", "A02"]
    expected = table.groupby(METADATA)[names].median()
    np.testing.assert_allclose(wells[names], expected, rtol=1e-6)
    normalized = pycytominer.normalize(wells, features=names, meta_features=METADATA)
    assert list(normalized) == [*METADATA, *names]


def test_as_a_table_of_spatialdata(joined):
    _, _, features = joined
    table = to_spatialdata_table(features, "image{ImageNumber:02d}_nuclei")
    keys = table.uns["spatialdata_attrs"]
    assert keys["region"] == ["image01_nuclei", "image02_nuclei"]
    found = table.obs[[keys["region_key"], keys["instance_key"]]].to_numpy().tolist()
    numbers = features[["ImageNumber", "ObjectNumber"]].to_numpy()
    assert found == [[f"image0{image}_nuclei", number] for image, number in numbers]
