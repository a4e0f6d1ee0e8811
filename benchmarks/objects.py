"""Objects a second in MeasureStratoFeatures, beside the network alone on crops that are ready, in turns in one run.

    python benchmarks/objects.py DATA/bbbc013

The module's whole road is timed, in CellProfiler's own objects: centres, crops, scaling, network, and what it writes for
the image set, to the Parquet file or to CellProfiler's tables, all features or 50 components. The network alone gets the
same crops, cut before. Two fields: one of BBBC013 with the nuclei that IdentifyPrimaryObjects finds, and a generated one
of 5,000 discs.
"""

import argparse
import logging
import statistics
import tempfile
import time
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

from cellprofiler_plugin import _headless
from stratonet.crops import centres, crop
from stratonet.images import read_plane
from stratonet.naming import FEATURE_SET
from stratonet.network import StratoNet
from stratonet_sklearn import fit_projection

SIZE = 96


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
    find.x_name.value, find.y_name.value, find.size_range.value = "DNA", "Cells", (8, 40)
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
    workspace = workspace_of((rng.random(labels.shape) * 0.2 + (labels > 0) * rng.random(labels.shape)).astype("f4"))
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


def projection(net, planes, path):
    """Fifty components of these planes."""
    table = pd.DataFrame(net.features(planes), columns=net.feature_names("DNA"))
    table.insert(0, FEATURE_SET, net.feature_set_id)
    fit_projection(table).save(path)
    return str(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    preferences.set_plugin_directory(str(_headless.PLUGINS), globally=False)
    fill_modules()
    net = StratoNet.load()
    fields = [("BBBC013", nuclei(next(options.data.glob("Channel2-*"))), 7), ("generated", discs(), 1)]
    with tempfile.TemporaryDirectory() as folder:
        preferences.set_default_output_directory(folder)
        for name, workspace, turns in fields:
            time_field(name, workspace, turns, net, Path(folder))


def time_field(name, workspace, turns, net, folder):
    plane = workspace.image_set.get_image("DNA").pixel_data
    objects = workspace.object_set.get_objects("Cells")
    ready = [crop(plane, centre, SIZE) for centre in centres(objects.ijv, objects.count)]
    reduced = dict(reduce=True, projection=projection(net, ready[:100], folder / f"{name}.npz"))
    modules = {
        "to Parquet": module(output="A Parquet file"),
        "to Parquet, neighbors hidden": module(output="A Parquet file", hide_neighbors=True),
        "50 components, to tables": module(**reduced),
        "to tables": module(),
    }
    ways = {"the network alone": lambda: sum(1 for _ in net.stream(ready))}
    ways.update({way: lambda made=made: made.run(workspace) for way, made in modules.items()})
    seconds = {way: [] for way in ways}
    for _ in range(turns):
        for way, call in ways.items():
            began = time.perf_counter()
            call()
            seconds[way].append(time.perf_counter() - began)
    print(f"{name}, {objects.count:,} objects of {SIZE} x {SIZE} pixels")
    for way, values in seconds.items():
        share = statistics.median(alone / own for alone, own in zip(seconds["the network alone"], values))
        print(f"  {way:<30}{objects.count / statistics.median(values):6.1f} objects/s   {share:.2f}", flush=True)


if __name__ == "__main__":
    main()
