"""Rows of StratoNet find their own in what CytoTable makes of CellProfiler's tables.

CytoTable itself, on tables that CellProfiler wrote of the images that are measured.
"""

import shutil

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("cytotable", reason="CytoTable comes with make test-current")
import cytotable
import duckdb
import parsl
import pycytominer
from duckdb_extensions import import_extension
from joined_images import SIZE, check_rows, write_images
from kept_tables import KEPT, NAMES, restore_database
from parsl.config import Config
from parsl.executors import ThreadPoolExecutor

from stratonet.extraction import ObjectsFromCenters, extract
from stratonet.tables import feature_columns, read_features

pytestmark = pytest.mark.slow
METADATA = ["Metadata_Plate", "Metadata_Well"]
# The columns of CytoTable.
NUMBER = "Nuclei_Number_Object_Number"
CENTER = ["Nuclei_Location_Center_X", "Nuclei_Location_Center_Y"]


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """Features of the nuclei, around the centres that CellProfiler has found."""
    folder = tmp_path_factory.mktemp("features")
    table = pd.DataFrame(write_images(folder))
    table.to_csv(folder / "load_data.csv", index=False)
    nuclei = pd.read_csv(KEPT / "Nuclei.csv").merge(read_image_keys())
    nuclei.to_csv(folder / "nuclei.csv", index=False)
    objects = ObjectsFromCenters(folder / "nuclei.csv", size=SIZE)
    out = folder / "out"
    extract(folder / "load_data.csv", out, taps="low", objects=objects, progress=False)
    return read_features(out)


def read_image_keys():
    """Plates and wells by the number of the image set."""
    return pd.read_csv(KEPT / "Image.csv")[["ImageNumber", *METADATA]]


@pytest.fixture(scope="module")
def convert(tmp_path_factory):
    """CytoTable by a preset, which writes nothing but into a folder of the tests."""
    folder = tmp_path_factory.mktemp("cytotable")

    def convert(preset, source, **kinds):
        executors = [ThreadPoolExecutor(max_threads=1)]
        config = Config(executors=executors, run_dir=str(folder / "runinfo"))
        made = cytotable.convert(
            str(source),
            str(folder / f"{preset}.parquet"),
            preset=preset,
            parsl_config=config,
            **kinds,
        )
        parsl.clear()
        return pd.read_parquet(made)

    with pytest.MonkeyPatch.context() as patch:
        # There DuckDB looks for its extensions. CytoTable fetches what is missing.
        patch.setenv("HOME", str(folder))
        for name in ("sqlite_scanner", "httpfs"):
            import_extension(name, con=duckdb.connect())
        yield convert


@pytest.fixture(scope="module")
def of_csv(convert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("csv")
    for name in NAMES:
        shutil.copy(KEPT / f"{name}.csv", folder)
    return convert("cellprofiler_csv", folder, source_datatype="csv")


@pytest.fixture(scope="module")
def of_database(convert, tmp_path_factory):
    path = tmp_path_factory.mktemp("database") / "DefaultDB.sqlite"
    restore_database(path)
    return convert("cellprofiler_sqlite", path)


def test_the_database_has_plates_and_wells(of_database, features):
    wells = [f"Image_{name}" for name in METADATA]
    table = of_database.merge(
        features,
        left_on=[*wells, NUMBER],
        right_on=[*METADATA, "Metadata_ObjectNumber"],
        validate="one_to_one",
    )
    check_rows(table, "Metadata_ImageNumber", *CENTER)


def test_what_comes_of_csv_gets_them_by_the_number_of_the_image(of_csv, features):
    assert not of_csv.columns.str.contains("Plate|Well").any()
    table = join_csv(of_csv, features, NUMBER)
    check_rows(table, "Metadata_ImageNumber", *CENTER)


def join_csv(of_csv, features, number):
    images = read_image_keys().rename(columns={"ImageNumber": "Metadata_ImageNumber"})
    numbered = of_csv.merge(images, validate="many_to_one")
    # The name is taken: by the number of the cytoplasm.
    mine = features.rename(columns={"Metadata_ObjectNumber": "StratoNumber"})
    return numbered.merge(
        mine,
        left_on=[*METADATA, number],
        right_on=[*METADATA, "StratoNumber"],
        validate="one_to_one",
    )


def test_its_own_number_of_a_row_is_that_of_another_object(of_csv, features):
    table = join_csv(of_csv, features, "Metadata_ObjectNumber")
    assert len(table) == len(features)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_rows(table, "Metadata_ImageNumber", *CENTER)


def test_joined_rows_become_profiles_of_pycytominer(of_csv, features):
    table = join_csv(of_csv, features, NUMBER)
    shapes = [name for name in table if "_AreaShape_" in name]
    names = [*shapes, *feature_columns(features)]
    wells = pycytominer.aggregate(table, strata=METADATA, features=names)
    assert wells.Metadata_Well.tolist() == ["A01", "A02"]
    expected = table.groupby(METADATA)[names].median()
    np.testing.assert_allclose(wells[names], expected, rtol=1e-6)
