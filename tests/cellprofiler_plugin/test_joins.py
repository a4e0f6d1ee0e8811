"""Rows of StratoNet find their own in CellProfiler's tables and pycytominer's.

That a row is the right one is told by its features: they are measured once more around
the centre that the other table has.
"""

import sqlite3
from contextlib import closing

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("cellprofiler", reason="CellProfiler is not installed")

from cellprofiler_runs import load_modules  # before the others: no window
from joined_images import SIZE, check_rows
from joined_run import run_cellprofiler
from kept_tables import (
    DATABASE,
    KEPT,
    read_csv_tables,
    read_database_tables,
    restore_database,
)

from stratonet.extraction import ObjectsFromCenters, extract
from stratonet.tables import feature_columns, read_features, to_spatialdata_table

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    """Folder of the tables of a run, and its features of nuclei."""
    load_modules()
    output = run_cellprofiler(tmp_path_factory.mktemp("joined"))
    return output, pd.read_parquet(output / "StratoFeatures_Nuclei.parquet")


def test_the_tables_that_are_kept_for_cytotable_are_those_of_this_run(joined, tmp_path):
    output, _ = joined
    restore_database(tmp_path / DATABASE)
    pairs = [
        *zip(read_csv_tables(KEPT), read_csv_tables(output)),
        *zip(
            read_database_tables(tmp_path / DATABASE),
            read_database_tables(output / DATABASE),
        ),
    ]
    for kept, written in pairs:
        pd.testing.assert_frame_equal(kept, written, rtol=1e-5, atol=1e-6)


def test_with_the_csv_tables_of_cellprofiler(joined):
    output, features = joined
    nuclei = pd.read_csv(output / "Nuclei.csv")
    keys = ["ImageNumber", "ObjectNumber"]
    table = nuclei.merge(features, on=keys, validate="one_to_one")
    check_rows(table, "ImageNumber", "Location_Center_X", "Location_Center_Y")
    images = pd.read_parquet(output / "StratoFeatures_Image.parquet")
    wells = pd.read_csv(output / "Image.csv").merge(images, on="ImageNumber")
    assert wells.Metadata_Well_x.tolist() == wells.Metadata_Well_y.tolist()


def test_with_the_database_of_cellprofiler(joined):
    output, features = joined
    with closing(sqlite3.connect(output / DATABASE)) as database:
        nuclei = pd.read_sql("SELECT * FROM Per_Nuclei", database)
    table = nuclei.merge(
        features,
        left_on=["ImageNumber", "Nuclei_Number_Object_Number"],
        right_on=["ImageNumber", "ObjectNumber"],
        validate="one_to_one",
    )
    center = "Nuclei_Location_Center"
    check_rows(table, "ImageNumber", f"{center}_X", f"{center}_Y")


def test_objects_of_extract_have_the_numbers_of_cellprofiler(joined, tmp_path):
    output, features = joined
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
    assert len(table) == len(features)
    names = feature_columns(features)
    ours, theirs = (table[[f"{name}_{side}" for name in names]] for side in "xy")
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


METADATA = ["Metadata_Plate", "Metadata_Well"]


def test_joined_rows_become_profiles_of_pycytominer(joined):
    pycytominer = pytest.importorskip("pycytominer")
    output, features = joined
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
    _, features = joined
    table = to_spatialdata_table(features, "image{ImageNumber:02d}_nuclei")
    keys = table.uns["spatialdata_attrs"]
    assert keys["region"] == ["image01_nuclei", "image02_nuclei"]
    found = table.obs[[keys["region_key"], keys["instance_key"]]].to_numpy().tolist()
    numbers = features[["ImageNumber", "ObjectNumber"]].to_numpy()
    assert found == [[f"image0{image}_nuclei", number] for image, number in numbers]
