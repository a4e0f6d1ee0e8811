"""Measure objects per second in MeasureStratoFeatures, and of the network alone.

    python benchmarks/objects.py DATA/bbbc013

All of the module's work is timed, on CellProfiler's own objects: centres, crops, masks,
scaling, network, and writing the image set to the Parquet file or to CellProfiler's
tables, all features or 50 components. Each run is followed by the network alone, on
crops cut beforehand that it has to scale (the share that matters), and on crops scaled
beforehand. There are two fields: one of BBBC013 with the nuclei that
IdentifyPrimaryObjects finds, and a generated one of 5,000 discs. Then writing is timed
alone, since it does not depend on the network: 5,000 objects in two channels, until the
Parquet file is complete. On a machine that is busy otherwise, processor seconds of all
threads say more than the clock.
"""

import argparse
import logging
import resource
import tempfile
import time
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from cellprofiler_core import preferences

# Before other parts of CellProfiler are imported, which would look for a window.
# ruff: noqa: E402
preferences.set_headless()
logging.disable(logging.WARNING)
from cellprofiler_core.image import Image, ImageSetList
from cellprofiler_core.measurement import Measurements
from cellprofiler_core.object import Objects, ObjectSet
from cellprofiler_core.pipeline import Pipeline
from cellprofiler_core.utilities.core.modules import fill_modules, instantiate_module
from cellprofiler_core.workspace import Workspace

from cellprofiler_plugin import headless, output, pixels, settings
from cellprofiler_plugin.measurements import SCREEN
from stratonet.crops import compute_centers, crop_square
from stratonet.files.images import read_plane
from stratonet.network import StratoNet
from stratonet.tables.columns import FEATURE_SET
from stratonet_sklearn import fit_projection

SIZE = 96
# Most crops that the network alone gets, spread over the field.
MOST_CROPS = 300


def make_workspace(plane):
    images = ImageSetList().get_image_set(0)
    images.add("DNA", Image(plane))
    measurements = Measurements()
    measurements.add_experiment_measurement("Run_Timestamp", "now")
    # What prepare_run would write.
    _, screen, _ = SCREEN
    measurements.add_experiment_measurement(screen, "benchmark")
    measurements.add_image_measurement("Metadata_Well", "A01")
    return Workspace(Pipeline(), None, images, ObjectSet(), measurements, None)


def find_nuclei(path):
    """Make a workspace with a field of BBBC013 and its nuclei."""
    workspace = make_workspace(read_plane(path) / np.float32(255))
    find = instantiate_module("IdentifyPrimaryObjects")
    find.x_name.value = "DNA"
    find.y_name.value = "Cells"
    find.size_range.value = (8, 40)
    find.show_window = False
    find.run(workspace)
    return workspace


def draw_discs(count=5000, step=30, radius=12):
    """Make a workspace with a field of bright discs in rows."""
    side = int(np.ceil(np.sqrt(count)))
    y, x = np.mgrid[: side * step, : side * step]
    labels = (y // step * side + x // step + 1).astype(np.int32)
    distance = np.hypot(y % step - step / 2, x % step - step / 2)
    labels[distance > radius] = 0
    labels[labels > count] = 0
    rng = np.random.default_rng(0)
    background = rng.random(labels.shape) * 0.2
    plane = background + (labels > 0) * rng.random(labels.shape)
    workspace = make_workspace(plane.astype("f4"))
    objects = Objects()
    objects.segmented = labels
    workspace.object_set.add_objects(objects, "Cells")
    return workspace


def make_module(**options):
    """Make a MeasureStratoFeatures for the objects, with these settings."""
    module = instantiate_module("MeasureStratoFeatures")
    module.images.value = "DNA"
    module.region_choice.value = settings.OBJECTS
    module.objects.value = "Cells"
    module.crop_size.value = SIZE
    module.show_window = False
    module.output.value = settings.TABLES
    for name, value in options.items():
        getattr(module, name).value = value
    return module


def fit_components(net, features, channels, path):
    """Return settings for 50 components, fitted to these features of each channel."""
    names = net.feature_names(channels)
    table = pd.DataFrame(np.hstack([features] * len(channels)), columns=names)
    table.insert(0, FEATURE_SET, net.feature_set_id)
    fit_projection(table).save(path)
    return {"reduce": True, "projection": str(path)}


def measure_seconds(call):
    """Return the seconds by the clock, and of the processors."""
    began = time.perf_counter(), time.process_time()
    call()
    return np.subtract((time.perf_counter(), time.process_time()), began)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DATA/bbbc013")
    folder = parser.parse_args().folder
    preferences.set_plugin_directory(str(headless.PLUGINS), globally=False)
    fill_modules()
    net = StratoNet.load(crop=SIZE)
    with tempfile.TemporaryDirectory() as scratch:
        preferences.set_default_output_directory(scratch)
        scratch = Path(scratch)
        to_parquet = {
            "to Parquet": {"output": settings.PARQUET},
            "to Parquet, neighbors hidden": {
                "output": settings.PARQUET,
                "hide_neighbors": True,
            },
        }
        nuclei = find_nuclei(min(folder.glob("Channel2-*")))
        pilot = net.features(cut_crops(nuclei)[:100])
        reduced = fit_components(net, pilot, ["DNA"], scratch / "one.npz")
        to_tables = {"to tables": {}, "50 components, to tables": reduced}
        time_module("BBBC013", nuclei, net, {**to_parquet, **to_tables}, turns=3)
        time_module("Generated", draw_discs(), net, to_parquet, turns=1)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"Most memory of the process so far: {memory:.0f} MB")
        time_writing(net, scratch)


def cut_crops(workspace):
    objects = workspace.object_set.get_objects("Cells")
    plane = workspace.image_set.get_image("DNA").pixel_data
    centers = compute_centers(objects.ijv, objects.count)
    return [crop_square(plane, center, SIZE) for center in centers]


def time_module(name, workspace, net, options_by_title, turns):
    """Time the module with each set of options, followed by the network alone."""
    ready = cut_crops(workspace)
    count = len(ready)
    ready = ready[:: max(1, count // MOST_CROPS)]
    scaled = [net.prepare(pixels) for pixels in ready]
    alone = {
        "network alone, crops ready": lambda: list(net.stream(ready)),
        "network alone, crops scaled": lambda: list(net.stream(scaled)),
    }
    seconds = {title: [] for title in options_by_title}
    for _, title in product(range(turns), options_by_title):
        module = make_module(**options_by_title[title])
        module_seconds = measure_seconds(partial(module.run, workspace)) / count
        network_seconds = [
            measure_seconds(call) / len(ready) for call in alone.values()
        ]
        seconds[title].append([*network_seconds, module_seconds])
    print(f"{name}: {count:,} objects of {SIZE} x {SIZE} pixels")
    print_module_times(list(alone), seconds)


def print_module_times(bases, seconds):
    """Print a line per base (the network alone), then one per title, with shares."""
    print(f"  {'':<30}{'objects':>9}{'CPU ms':>9}{'share of ready':>17}", end="")
    print(f"{'of scaled':>17}\n  {'':<30}{'/s':>9}{'/object':>9}", end="")
    print(f"{'clock':>10}{'CPU':>7}{'clock':>10}{'CPU':>7}")
    all_seconds = np.concatenate(list(seconds.values()))
    for base, values in zip(bases, np.moveaxis(all_seconds, 1, 0)):
        clock, processors = np.median(values, axis=0)
        print(f"  {base:<30}{1 / clock:9.1f}{processors * 1000:9.1f}")
    for title, values in seconds.items():
        *network_seconds, module_seconds = np.moveaxis(values, 1, 0)
        clock, processors = np.median(module_seconds, axis=0)
        line = f"  {title:<30}{1 / clock:9.1f}{processors * 1000:9.1f}"
        for base in network_seconds:
            by_clock, by_processors = np.median(base / module_seconds, axis=0)
            line += f"{by_clock:10.2f}{by_processors:7.2f}"
        print(line, flush=True)


def time_writing(net, scratch, count=5000, turns=3):
    """Time writing 5,000 objects in two channels.

    It is compared with the network's time for them, estimated from 100 planes.
    """
    channels = ["DNA", "GFP"]
    rng = np.random.default_rng(0)
    planes = rng.random((100, SIZE, SIZE), np.float32)
    features = rng.random((count, 2 * net.width), np.float32)
    pilot = net.features(planes)
    components = fit_components(net, pilot, channels, scratch / "two.npz")
    options_by_title = {
        "Parquet": {"output": settings.PARQUET},
        "tables": {},
        "50 components, tables": components,
    }
    crops = count * len(channels)
    network, seconds = [], {title: [] for title in options_by_title}
    for _ in range(turns):
        plane_seconds = measure_seconds(partial(net.features, planes))
        network.append(plane_seconds * crops / len(planes))
        for title, options in options_by_title.items():
            module = make_module(images="DNA, GFP", **options)
            workspace = make_workspace(planes[0])
            write = partial(write_features, module, workspace, features)
            seconds[title].append(measure_seconds(write))
    _, network_cpu = np.median(network, axis=0)
    print(f"Writing {count:,} objects with {features.shape[1]:,} features")
    for title, values in seconds.items():
        clock, processors = np.median(values, axis=0)
        print(
            f"  {title:<30}{clock:8.2f} s by the clock, {processors:8.2f} CPU s,"
            f" {processors / network_cpu:.4f} of the network's"
        )


def write_features(module, workspace, features):
    regions = pixels.Regions("Cells", np.zeros((len(features), 2)), crop=None)
    output.record_features(module, workspace, regions, features)
    module.post_run(workspace)


if __name__ == "__main__":
    main()
