"""Pipelines built and run by CellProfiler itself, headless."""

import csv

import tifffile
from cellprofiler_core import preferences

preferences.set_headless()
from cellprofiler_core.pipeline import Pipeline
from cellprofiler_core.utilities.core.modules import fill_modules, instantiate_module

from cellprofiler_plugin import headless


def load_modules():
    preferences.set_plugin_directory(str(headless.PLUGINS), globally=False)
    fill_modules()


def module(name, **settings):
    made = instantiate_module(name)
    made.show_window = False
    for setting, value in settings.items():
        getattr(made, setting).value = value
    return made


def pipeline_of(*made):
    pipeline = Pipeline()
    for number, one in enumerate(made, start=1):
        one.set_module_num(number)
        pipeline.add_module(one)
    return pipeline


def save(path, *made):
    """Save a pipeline of these modules."""
    with open(path, "w") as file:
        pipeline_of(*made).dump(file)


def write(folder, rows, *made):
    """Write run.cppipe and load_data.csv for image sets given as ``[{"FileName_DNA".

    ..., "Metadata_Well": ...}]``.
    """
    with open(folder / "load_data.csv", "w", newline="") as file:
        writer = csv.DictWriter(
            file, [f"Image_{name}" if "Name" in name else name for name in rows[0]]
        )
        writer.writeheader()
        writer.writerows(
            {f"Image_{k}" if "Name" in k else k: v for k, v in row.items()}
            for row in rows
        )
    save(folder / "run.cppipe", module("LoadData", wants_images=True), *made)


def run(folder, rows, *made, expected):
    """Run CellProfiler on image sets, see `write`."""
    write(folder, rows, *made)
    data = f"--data-file={folder / 'load_data.csv'}"
    headless.run_pipeline(folder / "run.cppipe", folder / "out", expected, data)
    return folder / "out"


def rows_of(folder, **arrays):
    """Write images and give LoadData's columns for them."""
    row = {}
    for name, pixels in arrays.items():
        tifffile.imwrite(folder / f"{name}.tif", pixels)
        kind, _, channel = name.partition("_")
        prefix = "ObjectsFileName" if kind == "objects" else "FileName"
        row[f"{prefix}_{channel}"] = f"{name}.tif"
        row[f"{prefix.replace('File', 'Path')}_{channel}"] = str(folder)
    return row
