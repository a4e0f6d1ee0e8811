"""A run of CellProfiler whose tables are joined with those of StratoNet.

Two image sets with nuclei, cells that have other numbers than their nuclei, and the
cytoplasm between them, as CytoTable expects it.
"""

import numpy as np
from cellprofiler_runs import module, rows_of, run

SIZE, RECIPE = 32, "tiles224/mean+sd"
# Five nuclei here, four there: numbers alone would not tell image sets apart.
CENTERS = [(20, 24), (20, 72), (60, 24), (60, 72), (60, 110)]
WRITTEN = [
    "Image.csv",
    "Nuclei.csv",
    "Cells.csv",
    "Cytoplasm.csv",
    "DefaultDB.db",
    "StratoFeatures_Image.parquet",
    "StratoFeatures_Nuclei.parquet",
]


def draw_squares(centers, reach, numbers):
    labels = np.zeros((96, 128), np.uint8)
    for (row, column), number in zip(centers, numbers):
        rows = slice(row - reach, row + reach + 1)
        labels[rows, column - reach : column + reach + 1] = number
    return labels


def make_rows(folder):
    rng = np.random.default_rng(5)
    rows = []
    for well, n_objects in (("A01", 5), ("A02", 4)):
        centers = CENTERS[:n_objects]
        numbers = range(1, n_objects + 1)
        # Cells have the numbers of their nuclei the other way round.
        arrays = {
            f"{well}_DNA": rng.integers(100, 4000, (96, 128), dtype=np.uint16),
            "objects_Nuclei": draw_squares(centers, 6, numbers),
            "objects_Cells": draw_squares(centers, 11, reversed(numbers)),
        }
        target = folder / well
        target.mkdir()
        made = rows_of(target, **arrays)
        made = {name.replace(f"_{well}_DNA", "_DNA"): made[name] for name in made}
        rows.append({"Metadata_Plate": "P1", "Metadata_Well": well, **made})
    return rows


def run_cellprofiler(folder):
    """The folder of the tables, and the rows of LoadData."""
    cytoplasm = module(
        "IdentifyTertiaryObjects",
        secondary_objects_name="Cells",
        primary_objects_name="Nuclei",
        subregion_objects_name="Cytoplasm",
    )
    shape = module("MeasureObjectSizeShape", objects_list="Nuclei, Cells, Cytoplasm")
    measure = module(
        "MeasureStratoFeatures",
        images="DNA",
        taps="low",
        where="Both",
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
    rows = make_rows(folder)
    steps = (cytoplasm, shape, measure, tables, database)
    return run(folder, rows, *steps, expected=WRITTEN), rows
