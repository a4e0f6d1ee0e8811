"""Make the feature tables of four real data sets that docs/results.md compares.

    python benchmarks/features.py DATA OUTPUT

DATA holds bbbc013, mitocheck, hep2 and bbbc022 (see screens.py). OUTPUT gets a folder
for each, with one table per set of features, as ``stratonet evaluate`` takes them:
- stratonet: by ``stratonet extract`` with its defaults (BBBC022: by
  MeasureStratoFeatures, in the same run as CellProfiler's features);
- whole224: the same by the recipe of version 1, each plane at 224 x 224 pixels;
- untrained: as stratonet, from the same network with random weights;
- resnet50: the published ImageNet ResNet-50 at its last pooling, 2,048 features per
  channel, by ``stratonet extract``;
- cellprofiler: by bbbc013.cppipe and mitocheck.cppipe in this folder, and by the
  pipeline published with BBBC022;
- intensity.parquet: mean, standard deviation and percentiles of each plane, as it is in
  its file;
- noise.parquet: random numbers, as many as StratoNet has features.

BBBC022's images are corrected by its illumination functions, as its pipeline does, for
all tables except intensity.parquet. HEp-2 has crops of cells, which CellProfiler does
not segment. Existing tables are not made again. Takes about an hour on 2 cores.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from screens import (
    SCREENS,
    link_bbbc022_plate,
    list_channels,
    read_hep2,
    write_load_data,
)

from cellprofiler_plugin import headless
from cellprofiler_plugin.batch_plan import plan_batches
from cellprofiler_plugin.batches import Batches
from cellprofiler_plugin.headless import CellProfilerOptions
from cellprofiler_plugin.recipes import SQUARE_VIEWS, STATISTICS, VIEWS
from stratonet.card import Tap
from stratonet.extraction import extract
from stratonet.files.images import read_plane
from stratonet.network import StratoNet

HERE = Path(__file__).parent
PERCENTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)
# Groups of CellProfiler's measurements that say something about a nucleus; positions do
# not.
MEASUREMENTS = (
    "AreaShape",
    "Intensity",
    "Texture",
    "Granularity",
    "RadialDistribution",
)
OLD_RECIPE = "whole224/mean"  # that of version 1
EXTRACTED = ("stratonet", "whole224", "resnet50", "untrained")
MITOCHECK_CENTER = 31.5  # of images of 64 x 64 pixels

Step = Callable[[Path], None]


def write_resnet50(path: Path) -> None:
    """Write the whole published ResNet-50, with the preprocessing of our card."""
    # Not installed, but in the checkout; TensorFlow is imported only if needed.
    sys.path.append(str(HERE.parent))
    from training import architecture, blocks, transfer
    from training.export import export_model
    from training.start import CACHE

    layer = blocks.list_blocks(50)[-1]
    model = architecture.build_network(
        50, attention=None, taps=[layer], input_size=None
    )
    published = transfer.read_published(transfer.fetch_archive(CACHE))
    transfer.transfer_weights(model, published)
    card = dataclasses.replace(
        StratoNet.load().card,
        name="resnet50",
        version="1",
        architecture="ResNet-50",
        taps=(Tap(layer, 2048, "final", 32),),
        metrics={},
        recipes={},
        trained_on="ImageNet-1k (ILSVRC 2012)",
        citation=(
            "He et al. (2016). Deep residual learning for image recognition. CVPR."
        ),
    )
    export_model(model, card, path)


def write_untrained(path: Path) -> None:
    """Write StratoNet with random weights, to show what the architecture alone does."""
    sys.path.append(str(HERE.parent))
    from training.export import export_run

    export_run(HERE.parent / "training" / "configs" / "stratonet50.toml", path)


def write_intensity(rows: pd.DataFrame, path: Path) -> None:
    """Write the distribution of grey values of each plane."""
    channels = list_channels(rows)

    def measure_row(row: dict[str, str]) -> list[float]:
        values: list[float] = []
        for channel in channels:
            folder, name = row[f"PathName_{channel}"], row[f"FileName_{channel}"]
            plane = read_plane(os.path.join(folder, name))
            values += [plane.mean(), plane.std(), *np.percentile(plane, PERCENTILES)]
        return values

    with ThreadPoolExecutor() as pool:
        values = list(pool.map(measure_row, rows.to_dict("records")))
    statistics = ["mean", "sd", *(f"p{percentile}" for percentile in PERCENTILES)]
    columns = [f"{name}_{channel}" for channel in channels for name in statistics]
    write_table(rows, pd.DataFrame(values, columns=columns, dtype=np.float32), path)


def write_noise(rows: pd.DataFrame, path: Path) -> None:
    """Write random numbers: whatever a report says about them is chance."""
    width = len(StratoNet.load().feature_names(list_channels(rows)))
    values = np.random.default_rng(0).normal(size=(len(rows), width))
    table = pd.DataFrame(values.astype(np.float32)).add_prefix("noise_")
    write_table(rows, table, path)


def write_table(rows: pd.DataFrame, features: pd.DataFrame, path: Path) -> None:
    """Write features together with the metadata of their image sets."""
    metadata = rows[[column for column in rows if column.startswith("Metadata_")]]
    pd.concat([metadata, features], axis=1).to_parquet(path)


def run_extract(
    table: Path,
    output: Path,
    weights: str | Path = "stratonet50",
    recipe: str | None = None,
    illumination: str = "",
) -> None:
    """Run ``stratonet extract`` on a table; it resumes by itself."""
    extract(
        str(table),
        str(output),
        weights=str(weights),
        recipe=recipe,
        illumination=illumination or None,
        progress=False,
    )


def run_cellprofiler(pipeline: Path, images: Path, output: Path) -> None:
    """Run CellProfiler on all cores.

    ``images`` is LoadData's table, or the folder for pipelines that begin with Images.
    """
    if images.suffix == ".csv":
        options = CellProfilerOptions(data_file=images)
    else:
        options = CellProfilerOptions(image_directory=images)
    partial_output = output.with_name(f"{output.name}.partial")
    plan = plan_batches(pipeline, partial_output, options)
    print(Batches(plan).run(progress=False))
    partial_output.rename(output)


def write_pipeline(
    published: Path, channels: Sequence[str], path: Path, fast: bool = False
) -> list[str]:
    """Write a pipeline with MeasureStratoFeatures in place of its exports.

    Images and nuclei are measured by the default recipe, by that of version 1 and, if
    ``fast``, by the fast network. ExportToSpreadsheet comes last and exports the
    measurements of all other modules.

    Returns
    -------
    list of str
        What each MeasureStratoFeatures module measures, and by which recipe.
    """
    from cellprofiler_core import preferences

    preferences.set_headless()
    logging.disable(logging.WARNING)  # it warns that each module is loaded twice
    from cellprofiler_core.pipeline import Pipeline
    from cellprofiler_core.utilities.core.modules import (
        fill_modules,
        instantiate_module,
    )

    from cellprofiler_plugin.settings import FAST

    preferences.set_plugin_directory(str(headless.PLUGINS), globally=False)
    fill_modules()
    pipeline = Pipeline()
    pipeline.load(str(published))
    for module in list(pipeline.modules()):
        if module.module_name.startswith("Export"):
            pipeline.remove_module(module.module_num)
    modules = []
    titles = []
    variants = ("", "Version1", "Fast")[: 2 + fast]
    for target, variant in product(("Whole images", "Objects"), variants):
        stratonet = instantiate_module("MeasureStratoFeatures")
        stratonet.images.value = ", ".join(channels)
        stratonet.output.value = "A Parquet file"
        stratonet.region_choice.value = target
        stratonet.objects.value = "Nuclei"
        if variant:
            stratonet.prefix.value = variant
        if variant == "Fast":
            stratonet.network.value = FAST
        if variant == "Version1":
            stratonet.view.value = next(iter(VIEWS))
            stratonet.square_view.value = list(SQUARE_VIEWS)[-1]
            stratonet.statistics.value = next(iter(STATISTICS))
        (measured,) = stratonet.get_object_names()
        modules.append(stratonet)
        title = f"{measured}, {stratonet.get_recipe(measured).text}"
        titles.append(f"{title}, 8 bits" if variant == "Fast" else title)
    export = instantiate_module("ExportToSpreadsheet")
    export.wants_prefix.value = False
    for module in (*modules, export):
        module.set_module_num(len(pipeline.modules()) + 1)
        pipeline.add_module(module)
    with open(path, "w") as file:
        pipeline.dump(file)
    return titles


def run_bbbc022(data: Path, rows: pd.DataFrame, output: Path) -> None:
    """Run the published pipeline with MeasureStratoFeatures; record both times."""
    pipeline = output.with_name("with_stratonet.cppipe")
    published = data / "BBBC022_Analysis_Final.cppipe"
    titles = write_pipeline(published, list_channels(rows), pipeline, fast=True)
    run_cellprofiler(pipeline, link_bbbc022_plate(data, output.parent), output)
    features = output / "StratoFeatures_Image.parquet"
    features.rename(output.with_name("stratonet.parquet"))
    seconds = read_seconds(output, titles)
    seconds.to_csv(output.with_name("seconds.csv"), index=False)


def read_seconds(output: Path, titles: Sequence[str]) -> pd.DataFrame:
    """Read the processor seconds of each site, by what they were spent on.

    ``titles`` are those of the MeasureStratoFeatures modules, in order.
    """
    images = pd.read_csv(output / "Image.csv")
    times = images.filter(regex="^ExecutionTime_")
    # Names are such as ExecutionTime_07MeasureTexture.
    stratonet_columns = sorted(
        column for column in times if column.endswith("StratoFeatures")
    )
    measures = times.filter(regex=r"_\d\dMeasure").drop(columns=stratonet_columns)
    others = times.drop(columns=[*stratonet_columns, *measures])
    table = times[stratonet_columns].set_axis(
        [f"StratoNet: {title}" for title in titles], axis=1
    )
    return table.assign(
        **{
            "CellProfiler: measurements": measures.sum(axis=1),
            "CellProfiler: reading, segmentation": others.sum(axis=1),
            "Nuclei": images.Count_Nuclei,
        }
    )


def write_central_nuclei(folder: Path, rows: pd.DataFrame, path: Path) -> None:
    """Write the measurements of the nucleus nearest to the centre of each image.

    Values are NaN where CellProfiler found no nucleus.
    """
    nuclei = pd.read_csv(folder / "Nuclei.csv")
    distances = np.hypot(
        nuclei.AreaShape_Center_X - MITOCHECK_CENTER,
        nuclei.AreaShape_Center_Y - MITOCHECK_CENTER,
    )
    nearest = distances.groupby(nuclei.ImageNumber).idxmin()
    nuclei = choose_measurements(nuclei.loc[nearest]).add_prefix("Nuclei_")
    images = choose_measurements(pd.read_csv(folder / "Image.csv")).add_prefix("Image_")
    features = images.join(nuclei).sort_index().reset_index(drop=True)
    # The position of a nucleus in its image says nothing about its phenotype.
    positions = features.filter(regex="_Center_|_BoundingBox").columns
    write_table(rows, features.drop(columns=positions).astype(np.float32), path)


def choose_measurements(table: pd.DataFrame) -> pd.DataFrame:
    """Choose CellProfiler's measurements, by image number."""
    table = table.set_index("ImageNumber")
    return table[[column for column in table if column.startswith(MEASUREMENTS)]]


def list_steps(
    name: str, data: Path, rows: pd.DataFrame, folder: Path
) -> dict[str, Step]:
    """List the tables of a data set, each with the function that makes it."""
    networks = folder.parent
    illumination = "divide" if name == "bbbc022" else ""
    measure = partial(run_extract, folder / "images.csv", illumination=illumination)
    steps: dict[str, Step] = {
        "intensity.parquet": partial(write_intensity, rows),
        "noise.parquet": partial(write_noise, rows),
        "resnet50": partial(
            measure, weights=networks / "resnet50.onnx", recipe=OLD_RECIPE
        ),
    }
    if name == "bbbc022":
        steps["cellprofiler"] = partial(run_bbbc022, data, rows)
        return steps
    steps["stratonet"] = measure
    steps["whole224"] = partial(measure, recipe=OLD_RECIPE)
    steps["untrained"] = partial(measure, weights=networks / "untrained.onnx")
    # HEp-2 only has crops of cells, cut out by its authors.
    if name == "hep2":
        return steps
    pipeline = HERE / f"{name}.cppipe"
    table = folder / "images.csv"
    steps["cellprofiler"] = partial(run_cellprofiler, pipeline, table)
    if name == "mitocheck":
        measured = folder / "cellprofiler"
        steps["cellprofiler.parquet"] = partial(write_central_nuclei, measured, rows)
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    for write in (write_resnet50, write_untrained):
        network = output / f"{write.__name__.removeprefix('write_')}.onnx"
        if not network.exists():
            write(network)
    read_cells = partial(read_hep2, cells=output / "hep2" / "cells")
    for name, read_screen in {**SCREENS, "hep2": read_cells}.items():
        data, folder = options.data.resolve() / name, output / name
        folder.mkdir(exist_ok=True)
        rows = read_screen(data)
        write_load_data(rows, folder / "images.csv")
        for step, make in list_steps(name, data, rows, folder).items():
            # Extraction resumes an unfinished table by itself.
            if (folder / step).exists() and step not in EXTRACTED:
                continue
            began = time.monotonic()
            make(folder / step)
            seconds = time.monotonic() - began
            message = f"{name} {step}: {len(rows):,} image sets, {seconds:.0f} s"
            print(message, flush=True)


if __name__ == "__main__":
    main()
