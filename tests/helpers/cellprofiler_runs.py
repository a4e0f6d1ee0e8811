"""Pipelines built and run by CellProfiler itself, headless."""

import csv
import re

import tifffile
from cellprofiler_core import preferences

# Before the rest of CellProfiler is imported, or it looks for a window.
# ruff: noqa: E402
preferences.set_headless()
from cellprofiler_core.pipeline import Pipeline
from cellprofiler_core.utilities.core.modules import fill_modules, instantiate_module
from cellprofiler_server import quick_starts

from cellprofiler_plugin import headless


def load_modules():
    preferences.set_plugin_directory(str(headless.PLUGINS), globally=False)
    fill_modules()


def module(name, **settings):
    step = instantiate_module(name)
    step.show_window = False
    for setting, value in settings.items():
        set_value(step, setting, value)
    return step


def set_value(step, setting, value):
    """Set a setting; taps in the list, which a user sees after *Custom...*."""
    if setting == "taps":
        step.tap_words.value = "Custom..."
    getattr(step, setting).value = value


def pipeline_of(*modules):
    pipeline = Pipeline()
    for number, step in enumerate(modules, start=1):
        step.set_module_num(number)
        pipeline.add_module(step)
    return pipeline


def save(path, *modules):
    """Save a pipeline of these modules."""
    with open(path, "w") as file:
        pipeline_of(*modules).dump(file)


def words_of_recipe(step, recipe, **settings):
    """Set the recipe in the words of MeasureStratoFeatures, then other settings."""
    from cellprofiler_plugin import recipes

    views, statistics = recipe.split("/")
    card = step.get_card()
    for setting, table, part in (
        (step.view, recipes.VIEWS, views),
        (step.square_view, recipes.SQUARE_VIEWS, views),
        (step.statistics, recipes.STATISTICS, statistics),
    ):
        words = recipes.find_words(table, part, card)
        # Not every view of images is one of squares.
        setting.value = words if words in table else next(iter(table))
    width = re.search(r"-([\d.]+)um", views)
    if width:
        step.view.value = recipes.IN_MICROMETRES
        step.tile_width.value = float(width[1])
    for setting, value in settings.items():
        set_value(step, setting, value)
    return step


def write(folder, rows, *modules, **loading):
    """Write run.cppipe and load_data.csv.

    ``rows`` are image sets: ``[{"FileName_DNA": ..., "Metadata_Well": ...}]``;
    ``loading`` are settings of LoadData.
    """

    def name_column(name):
        return f"Image_{name}" if "Name" in name else name

    with open(folder / "load_data.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, [name_column(name) for name in rows[0]])
        writer.writeheader()
        for row in rows:
            writer.writerow({name_column(name): row[name] for name in row})
    load = module("LoadData", wants_images=True, **loading)
    save(folder / "run.cppipe", load, *modules)


def run(folder, rows, *modules, expected, **loading):
    """Run CellProfiler on image sets, see `write`."""
    write(folder, rows, *modules, **loading)
    data = f"--data-file={folder / 'load_data.csv'}"
    with quick_starts():
        headless.run_pipeline(folder / "run.cppipe", folder / "out", expected, data)
    return folder / "out"


def rows_of(folder, **arrays):
    """Write images, and return LoadData's columns for them."""
    row = {}
    for name, pixels in arrays.items():
        tifffile.imwrite(folder / f"{name}.tif", pixels)
        kind, _, channel = name.partition("_")
        prefix = "ObjectsFileName" if kind == "objects" else "FileName"
        row[f"{prefix}_{channel}"] = f"{name}.tif"
        row[f"{prefix.replace('File', 'Path')}_{channel}"] = str(folder)
    return row
