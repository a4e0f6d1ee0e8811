"""Feature tables of three real data sets: StratoNet, ResNet-50 and CellProfiler, and two floors.

    python benchmarks/features.py DATA OUTPUT

DATA holds bbbc013, mitocheck and bbbc022. OUTPUT gets a folder for each, with a table a
set of features, as ``stratonet evaluate`` takes them:
- stratonet: by ``stratonet extract`` (BBBC022: by MeasureStratoFeatures, in the same
  run as CellProfiler's features);
- resnet50: the published ImageNet ResNet-50 at its last pooling, 2,048 features a
  channel, by ``stratonet extract``;
- cellprofiler: by bbbc013.cppipe and mitocheck.cppipe beside this file, and by the
  pipeline published with BBBC022;
- intensity.parquet: mean, standard deviation and percentiles of each plane, as it lies
  in its file;
- noise.parquet: random numbers, as many as StratoNet has features. BBBC022's images are
  corrected by its illumination functions, as the pipeline does, for all but
  intensity.parquet. What is there is not made again."""

import argparse
import dataclasses
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from cellprofiler_plugin import headless
from cellprofiler_plugin.batch_plan import plan_batches
from cellprofiler_plugin.batches import Batches
from cellprofiler_plugin.headless import CellProfilerOptions
from stratonet.card import Tap
from stratonet.extraction import extract
from stratonet.files.images import read_plane
from stratonet.network import StratoNet

HERE = Path(__file__).parent
PERCENTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)


def bbbc013(data):
    """One plate, 96 wells; the classes are the controls and the doses that work."""
    labels = pd.read_csv(data / "labels.csv")
    works = ((labels.treatment == "wortmannin") & (labels.conc >= 31)) | (
        (labels.treatment == "LY294002") & (labels.conc >= 10)
    )
    rows = pd.DataFrame(
        {
            "Metadata_Plate": labels.plate,
            "Metadata_Well": labels.well,
            "Metadata_Row": labels.well.str[0],
            "Metadata_Role": labels.role,
            "Metadata_Compound": labels.treatment,
            "Metadata_Dose": labels.conc,
            "Metadata_Class": labels.treatment.where(
                works | (labels.role == "negcon"), ""
            ),
        }
    )
    return with_images(
        rows,
        data,
        {channel: labels[f"file_{channel}"] for channel in ("GFP_FKHR", "DNA_DRAQ")},
    )


def mitocheck(data):
    """3,277 single nuclei of 67 plates; a nucleus stands for a site."""
    labels = pd.read_csv(data / "labels.csv", dtype=str)
    rows = pd.DataFrame(
        {
            "Metadata_Plate": labels.plate,
            "Metadata_Well": labels.well_pos,
            "Metadata_Site": np.arange(1, len(labels) + 1).astype(str),
            "Metadata_Phenotype": labels.phenotype,
        }
    )
    return with_images(rows, data, {"H2B": labels.file})


def bbbc022(data):
    """6 wells of 2 sites, each with a compound of its own."""
    labels = pd.read_csv(data / "labels.csv", dtype=str)
    rows = pd.DataFrame(
        {
            "Metadata_Plate": labels.plate,
            "Metadata_Well": labels.well,
            "Metadata_Site": labels.site,
            "Metadata_Compound": labels.compound,
        }
    )
    channels = [
        name.removeprefix("file_") for name in labels if name.startswith("file_")
    ]
    files = {channel: labels[f"file_{channel}"] for channel in channels}
    files.update(
        {
            f"Illum{channel}": labels.plate + f"_Illum{channel}.mat"
            for channel in channels
        }
    )
    return with_images(rows, data, files)


def with_images(rows, folder, files):
    """LoadData's columns."""
    for channel, names in files.items():
        paths = [folder / name for name in names]
        rows[f"FileName_{channel}"] = [path.name for path in paths]
        rows[f"PathName_{channel}"] = [str(path.parent) for path in paths]
    return rows


def resnet50(path):
    """Weights file of the published ResNet-50, whole, with our card's preprocessing."""
    if path.exists():
        return path
    from training import architecture, transfer
    from training.export import export
    from training.start import CACHE

    layer = architecture.block_names(50)[-1]
    model = architecture.build(50, attention=None, taps=[layer])
    transfer.transfer(model, transfer.read_published(transfer.fetch(CACHE)))
    card = dataclasses.replace(
        StratoNet.load().card,
        name="resnet50",
        version="1",
        architecture="ResNet-50",
        taps=(Tap(layer, 2048, "final", 32),),
        metrics={},
        trained_on="ImageNet-1k (ILSVRC 2012)",
        citation=(
            "He et al. (2016). Deep residual learning for image recognition. CVPR."
        ),
    )
    export(model, card, path)
    return path


def intensity(rows, path):
    channels = channels_of(rows)

    def measure(row):
        values = []
        for channel in channels:
            plane = read_plane(
                os.path.join(row[f"PathName_{channel}"], row[f"FileName_{channel}"])
            )
            values += [plane.mean(), plane.std(), *np.percentile(plane, PERCENTILES)]
        return values

    with ThreadPoolExecutor() as pool:
        values = list(pool.map(measure, rows.to_dict("records")))
    names = [
        f"{what}_{channel}"
        for channel in channels
        for what in ("mean", "sd", *(f"p{one}" for one in PERCENTILES))
    ]
    write(rows, pd.DataFrame(values, columns=names, dtype=np.float32), path)


def noise(rows, path):
    width = len(StratoNet.load().feature_names(channels_of(rows)))
    values = np.random.default_rng(0).normal(size=(len(rows), width)).astype(np.float32)
    write(rows, pd.DataFrame(values).add_prefix("noise_"), path)


def write(rows, features, path):
    metadata = rows[[name for name in rows if name.startswith("Metadata_")]]
    pd.concat([metadata, features], axis=1).to_parquet(path)


def cellprofiler(pipeline, images, output):
    """CellProfiler on all cores.

    ``images``: LoadData's table, or the folder for pipelines that begin with Images.
    """
    if images.suffix == ".csv":
        options = CellProfilerOptions(data_file=images)
    else:
        options = CellProfilerOptions(image_directory=images)
    partial = output.with_name(f"{output.name}.partial")
    plan = plan_batches(pipeline, partial, options)
    print(Batches(plan).run(progress=False))
    partial.rename(output)


def with_stratonet(published, channels, path):
    """A pipeline with MeasureStratoFeatures in place of its exports, and ExportToSpreadsheet."""
    from cellprofiler_core import preferences

    preferences.set_headless()
    logging.disable(logging.WARNING)  # that each module is loaded twice
    from cellprofiler_core.pipeline import Pipeline
    from cellprofiler_core.utilities.core.modules import (
        fill_modules,
        instantiate_module,
    )

    preferences.set_plugin_directory(str(headless.PLUGINS), globally=False)
    fill_modules()
    pipeline = Pipeline()
    pipeline.load(str(published))
    for module in [
        module
        for module in pipeline.modules()
        if module.module_name.startswith("Export")
    ]:
        pipeline.remove_module(module.module_num)
    ours, export = (
        instantiate_module(name)
        for name in ("MeasureStratoFeatures", "ExportToSpreadsheet")
    )
    ours.images.value, ours.output.value = ", ".join(channels), "A Parquet file"
    export.wants_prefix.value = False
    for module in (ours, export):
        module.set_module_num(len(pipeline.modules()) + 1)
        pipeline.add_module(module)
    with open(path, "w") as file:
        pipeline.dump(file)


def both_in_one_run(data, rows, output):
    """BBBC022.

    The published pipeline with our module, and the seconds of the processor for each
    site.
    """
    pipeline = output.with_name("with_stratonet.cppipe")
    with_stratonet(data / "BBBC022_Analysis_Final.cppipe", channels_of(rows), pipeline)
    cellprofiler(pipeline, folder_of_plate(data, output.parent), output)
    (output / "StratoFeatures_Image.parquet").rename(
        output.with_name("stratonet.parquet")
    )
    seconds_of(output).to_csv(output.with_name("seconds.csv"), index=False)


def folder_of_plate(data, output):
    """A folder with BBBC022's images that has the name of the plate.

    The pipeline takes it from there.
    """
    folder = output / "20585"
    folder.mkdir(exist_ok=True)
    for path in [*data.glob("*.tif"), *data.glob("*.mat")]:
        if not (folder / path.name).exists():
            (folder / path.name).symlink_to(path)
    return folder


def seconds_of(output):
    """Seconds of the processor for each site, by what they were spent on."""
    images = pd.read_csv(output / "Image.csv")
    times = images.filter(regex="^ExecutionTime_").rename(
        columns=lambda name: name[len("ExecutionTime_00") :]
    )
    times = times.T.groupby(level=0, sort=False).sum().T
    ours = times.pop("MeasureStratoFeatures")
    measures = times[[name for name in times if name.startswith("Measure")]].sum(axis=1)
    segments = times.sum(axis=1) - measures
    return pd.DataFrame(
        {
            "StratoNet": ours,
            "CellProfiler: measurements": measures,
            "CellProfiler: reading, segmentation": segments,
        }
    )


def central_nuclei(folder, rows, path):
    """MitoCheck.

    The measurements of the nucleus nearest to the centre of each image; NaN where none
    was found.
    """
    images, nuclei = (
        pd.read_csv(folder / f"{name}.csv") for name in ("Image", "Nuclei")
    )
    away = np.hypot(nuclei.AreaShape_Center_X - 31.5, nuclei.AreaShape_Center_Y - 31.5)
    nuclei = nuclei.loc[away.groupby(nuclei.ImageNumber).idxmin()].set_index(
        "ImageNumber"
    )
    kinds = ("AreaShape", "Intensity", "Texture", "Granularity", "RadialDistribution")
    nuclei = nuclei[[name for name in nuclei if name.startswith(kinds)]].add_prefix(
        "Nuclei_"
    )
    images = images.set_index("ImageNumber")
    images = images[[name for name in images if name.startswith(kinds)]].add_prefix(
        "Image_"
    )
    features = images.join(nuclei).sort_index().reset_index(drop=True)
    write(
        rows,
        features.drop(
            columns=features.filter(regex="_Center_|_BoundingBox").columns
        ).astype(np.float32),
        path,
    )


def channels_of(rows):
    names = [
        name.removeprefix("FileName_") for name in rows if name.startswith("FileName_")
    ]
    return [name for name in names if not name.startswith("Illum")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    network = resnet50(output / "resnet50.onnx")
    for read in (bbbc013, mitocheck, bbbc022):
        name, folder = read.__name__, output / read.__name__
        folder.mkdir(exist_ok=True)
        data, loaded = options.data.resolve() / name, folder / "images.csv"
        rows = read(data)
        rows.rename(
            columns=lambda name: (
                name if name.startswith("Metadata_") else f"Image_{name}"
            )
        ).to_csv(loaded, index=False)
        correct = "divide" if read is bbbc022 else None
        steps = {
            "intensity.parquet": lambda path: intensity(rows, path),
            "noise.parquet": lambda path: noise(rows, path),
            "resnet50": lambda path: extract(
                str(loaded),
                str(path),
                weights=str(network),
                illumination=correct,
                quiet=True,
            ),
        }
        if read is bbbc022:
            steps["cellprofiler"] = lambda path: both_in_one_run(data, rows, path)
        else:
            steps["stratonet"] = lambda path: extract(
                str(loaded), str(path), quiet=True
            )
            steps["cellprofiler"] = lambda path: cellprofiler(
                HERE / f"{name}.cppipe", loaded, path
            )
        if read is mitocheck:
            steps["cellprofiler.parquet"] = lambda path: central_nuclei(
                folder / "cellprofiler", rows, path
            )
        for step, make in steps.items():
            # What extract has begun, it finishes by itself.
            if (folder / step).exists() and step not in ("stratonet", "resnet50"):
                continue
            began = time.monotonic()
            make(folder / step)
            print(
                f"{name} {step}: {len(rows):,} image sets,"
                f" {time.monotonic() - began:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
