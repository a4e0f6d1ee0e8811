"""A run of CellProfiler whose tables are joined with those of StratoNet.

    python tests/helpers/joined_run.py

keeps its tables in ``joined_tables/``, for CytoTable, which asks for libraries with
which CellProfiler does not run. A test holds them against those of a new run.
"""

import tempfile
from pathlib import Path

from cellprofiler_runs import load_modules, module, run
from joined_images import SIZE, write_images
from kept_tables import DATABASE, NAMES, keep_tables

WRITTEN = [
    *(f"{name}.csv" for name in NAMES),
    DATABASE,
    "StratoFeatures_Image.parquet",
    "StratoFeatures_Nuclei.parquet",
]


def run_cellprofiler(folder):
    """Measure the images of `joined_images`, and return the folder of the tables."""
    cytoplasm = module(
        "IdentifyTertiaryObjects",
        secondary_objects_name="Cells",
        primary_objects_name="Nuclei",
        subregion_objects_name="Cytoplasm",
    )
    shape = module(
        "MeasureObjectSizeShape",
        objects_list="Nuclei, Cells, Cytoplasm",
        calculate_zernikes=False,
    )
    measure = module(
        "MeasureStratoFeatures",
        images="DNA",
        taps="low",
        region_choice="Both",
        objects="Nuclei",
        crop_size=SIZE,
        output="A Parquet file",
    )
    tables = module("ExportToSpreadsheet", wants_prefix=False)
    # The names of tables that CytoTable knows: Per_Image, Per_Nuclei, ...
    database = module(
        "ExportToDatabase",
        db_type="SQLite",
        location_object="Nuclei",
        objects_choice="All",
        want_table_prefix=False,
        separate_object_tables="One table per object type",
    )
    steps = (cytoplasm, shape, measure, tables, database)
    return run(folder, write_images(folder), *steps, expected=WRITTEN)


if __name__ == "__main__":
    load_modules()
    with tempfile.TemporaryDirectory() as folder:
        keep_tables(run_cellprofiler(Path(folder)))
