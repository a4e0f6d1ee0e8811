"""Objects a second in MeasureStratoFeatures, beside the network alone on crops that are ready, in turns in one run.

    python benchmarks/objects.py DATA/bbbc013

The module's whole road is timed, in CellProfiler's own objects: centres, crops, masks,
scaling, network, and what it writes for the image set, to the Parquet file or to
CellProfiler's tables, all features or 50 components. After each run stands the network
alone, on crops cut before that it has to scale (the share to look at), and on crops
scaled before. Two fields: one of BBBC013 with the nuclei that IdentifyPrimaryObjects
finds, and a generated one of 5,000 discs. Then writing alone, which does not depend on
the network, for 5,000 objects in two channels, until the Parquet file is there. On a
machine that does other things too, processor seconds of all threads tell more than the
clock."""

import argparse
import logging
import resource
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from cellprofiler_core import preferences

preferences.set_headless()
logging.disable(logging.WARNING)
from cellprofiler_core.image import Image, ImageSetList
from cellprofiler_core.measurement import Measurements
from cellprofiler_core.object import Objects, ObjectSet
from cellprofiler_core.pipeline import Pipeline
from cellprofiler_core.utilities.core.modules import fill_modules, instantiate_module
from cellprofiler_core.workspace import Workspace

from cellprofiler_plugin import headless
from stratonet.crops import compute_centers, crop_square
from stratonet.files.images import read_plane
from stratonet.network import StratoNet
from stratonet.preprocessing import to_grey
from stratonet.tables.columns import FEATURE_SET
from stratonet_sklearn import fit_projection

SIZE = 96
# Crops that the network alone gets, spread over the field.
ALONE = 300
PARQUET = "A Parquet file"


def workspace_of(plane):
    images = ImageSetList().get_image_set(0)
    images.add("DNA", Image(plane))
    measurements = Measurements()
    measurements.add_experiment_measurement("Run_Timestamp", "now")
    measurements.add_image_measurement("Metadata_Well", "A01")
    return Workspace(Pipeline(), None, images, ObjectSet(), measurements, None)


def nuclei(path):
    """A field of BBBC013 with its nuclei."""
    workspace = workspace_of(read_plane(path) / np.float32(255))
    find = instantiate_module("IdentifyPrimaryObjects")
    find.x_name.value, find.y_name.value, find.size_range.value = (
        "DNA",
        "Cells",
        (8, 40),
    )
    find.show_window = False
    find.run(workspace)
    return workspace


def discs(count=5000, step=30):
    """A field of bright discs in rows."""
    side = int(np.ceil(np.sqrt(count)))
    y, x = np.mgrid[: side * step, : side * step]
    labels = (y // step * side + x // step + 1).astype(np.int32)
    labels[(y % step - step / 2) ** 2 + (x % step - step / 2) ** 2 > 12**2] = 0
    labels[labels > count] = 0
    rng = np.random.default_rng(0)
    workspace = workspace_of(
        (
            rng.random(labels.shape) * 0.2 + (labels > 0) * rng.random(labels.shape)
        ).astype("f4")
    )
    objects = Objects()
    objects.segmented = labels
    workspace.object_set.add_objects(objects, "Cells")
    return workspace


def module(**settings):
    made = instantiate_module("MeasureStratoFeatures")
    made.images.value, made.where.value, made.objects.value = "DNA", "Objects", "Cells"
    made.crop_size.value, made.show_window = SIZE, False
    for name, value in settings.items():
        getattr(made, name).value = value
    return made


def projection(net, features, channels, path):
    """Settings for fifty components, fitted to these features of each channel."""
    table = pd.DataFrame(
        np.hstack([features] * len(channels)), columns=net.feature_names(channels)
    )
    table.insert(0, FEATURE_SET, net.feature_set_id)
    fit_projection(table).save(path)
    return dict(reduce=True, projection=str(path))


def timed(call):
    """Seconds by the clock, and of the processors."""
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
    net = StratoNet.load()
    with tempfile.TemporaryDirectory() as scratch:
        preferences.set_default_output_directory(scratch)
        scratch = Path(scratch)
        ways = {
            "to Parquet": dict(output=PARQUET),
            "to Parquet, neighbors hidden": dict(output=PARQUET, hide_neighbors=True),
        }
        workspace = nuclei(min(folder.glob("Channel2-*")))
        reduced = projection(
            net, net.features(crops(workspace)[:100]), ["DNA"], scratch / "one.npz"
        )
        of_tables = {"to tables": dict(), "50 components, to tables": reduced}
        time_road("BBBC013", workspace, net, {**ways, **of_tables}, turns=3)
        time_road("Generated", discs(), net, ways, turns=1)
        print(
            "Most memory of the process so far:"
            f" {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB"
        )
        time_record(net, scratch)


def crops(workspace):
    objects = workspace.object_set.get_objects("Cells")
    plane = workspace.image_set.get_image("DNA").pixel_data
    return [
        crop_square(plane, centre, SIZE)
        for centre in compute_centers(objects.ijv, objects.count)
    ]


def time_road(name, workspace, net, ways, turns):
    ready = crops(workspace)
    count = len(ready)
    ready = ready[:: max(1, count // ALONE)]
    scaled = [to_grey(pixels, net.card) for pixels in ready]
    alone = {
        "network alone, crops ready": lambda: sum(1 for _ in net.stream(ready)),
        "network alone, crops scaled": lambda: sum(
            1 for _ in net.stream(scaled, prepared=True)
        ),
    }
    seconds = {way: [] for way in ways}
    for _, (way, settings) in product(range(turns), ways.items()):
        own = timed(lambda: module(**settings).run(workspace)) / count
        seconds[way].append(
            [*(timed(call) / len(ready) for call in alone.values()), own]
        )
    print(f"{name}: {count:,} objects of {SIZE} x {SIZE} pixels")
    print(
        f"  {'':<30}{'objects':>9}{'CPU ms':>9}{'share of ready':>17}{'of scaled':>17}"
    )
    print(
        f"  {'':<30}{'/s':>9}{'/object':>9}{'clock':>10}{'CPU':>7}{'clock':>10}{'CPU':>7}"
    )
    for base, values in zip(
        alone, np.moveaxis(np.concatenate(list(seconds.values())), 1, 0)
    ):
        clock, processors = np.median(values, axis=0)
        print(f"  {base:<30}{1 / clock:9.1f}{processors * 1000:9.1f}")
    for way, values in seconds.items():
        *bases, own = np.moveaxis(values, 1, 0)
        clock, processors = np.median(own, axis=0)
        shares = [np.median(base / own, axis=0) for base in bases]
        text = "".join(
            f"{by_clock:10.2f}{by_processors:7.2f}"
            for by_clock, by_processors in shares
        )
        print(f"  {way:<30}{1 / clock:9.1f}{processors * 1000:9.1f}{text}", flush=True)


def time_record(net, scratch, count=5000, turns=3):
    """What is written for 5,000 objects in two channels, beside the network's time for them (from 100 of them)."""
    channels = ["DNA", "GFP"]
    rng = np.random.default_rng(0)
    planes = rng.random((100, SIZE, SIZE), np.float32)
    features = rng.random((count, 2 * net.width), np.float32)
    ways = {
        "Parquet": dict(output=PARQUET),
        "tables": dict(),
        "50 components, tables": projection(
            net, net.features(planes), channels, scratch / "two.npz"
        ),
    }
    seconds = {way: [] for way in ["network", *ways]}
    for _ in range(turns):
        seconds["network"].append(
            timed(lambda: net.features(planes)) * count * len(channels) / len(planes)
        )
        for way, settings in ways.items():
            workspace, made = (
                workspace_of(planes[0]),
                module(images="DNA, GFP", **settings),
            )
            seconds[way].append(
                timed(
                    lambda: (
                        made.record(workspace, "Cells", features),
                        made.post_run(workspace),
                    )
                )
            )
    network = np.median(seconds["network"], axis=0)
    print(f"Writing {count:,} objects with {features.shape[1]:,} features")
    for way, values in seconds.items():
        clock, processors = np.median(values, axis=0)
        share = processors / network[1]
        print(
            f"  {way:<30}{clock:8.2f} s by the clock, {processors:8.2f} CPU s,"
            f" {share:.4f} of the network's"
        )


if __name__ == "__main__":
    main()
