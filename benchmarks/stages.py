"""Measure the time of each stage from a file to features, relative to the network.

    .venv/bin/python benchmarks/stages.py DATA/bbbc022
    .venv/bin/python benchmarks/stages.py DATA/bbbc022 --weights stratonet50-int8

Prints milliseconds of a core per plane, while all cores do the same, and percent of the
time of the network: for Cell Painting images (BBBC022, 520 x 696 pixels, 16 bit,
deflated) and generated ones of 1,024 x 1,024 and 2,160 x 2,160 pixels, by recipes for
whole images; and per object, for squares of 96 x 96 pixels around 50 objects in each of
five channels. Files are in the system's memory. Stages are timed one after the other;
benchmarks/extraction.py times all of them together.

To see the effect of a change, run it again with ``PYTHONPATH`` set to a checkout
without the change.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile

from stratonet.crops import crop_square
from stratonet.extraction.destination import Destination
from stratonet.extraction.illumination import correct_plane
from stratonet.extraction.job import Job, ObjectsFromLabels, WholeImages
from stratonet.extraction.measure import MeasuredImageSet
from stratonet.extraction.units import split_units
from stratonet.files.images import decode_plane
from stratonet.files.storage import Storage
from stratonet.network import StratoNet
from stratonet.parallel import count_cores
from stratonet.preprocessing import _to_image, prepare_plane
from stratonet.views import resize_image
from stratonet.weights_file import read_card

WHOLE = ("whole224/mean", "tiles224-across2/mean+sd")
OF_OBJECTS, SIDE, N_OBJECTS = "tiles224/mean+sd", 96, 50
SIZES = (1024, 2160)
CHANNELS = ("DNA", "ER", "RNA", "AGP", "Mito")
# Sites per well as in JUMP; the wells of half a 96-well plate.
SITES, WELLS = 9, 48
TURNS, SECONDS = 3, 0.2
# Only applied if requested, so not part of the sum.
ILLUMINATION = "illumination, if asked for"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DATA/bbbc022")
    parser.add_argument("--weights", default="stratonet50")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        images = {"BBBC022": sorted(options.folder.glob("IXM*.tif"))[:10]}
        for size in SIZES:
            images[f"{size} x {size}"] = generate_images(Path(scratch), size)
        for recipe in WHOLE:
            job = Job(Storage(), CHANNELS, choose_recipe(recipe), options.weights)
            writing = time_writing(job, 1, Path(scratch, "whole", recipe))
            stages = {
                name: {**time_planes(job, paths), "writing": writing}
                for name, paths in images.items()
            }
            print_stages(f"{recipe}, ms per plane", stages)
        job = Job(Storage(), CHANNELS, choose_recipe(OF_OBJECTS, SIDE), options.weights)
        job = replace(job, objects=ObjectsFromLabels("Nuclei", SIDE))
        writing = time_writing(job, N_OBJECTS, Path(scratch, "objects"))
        paths = images["BBBC022"]
        stages = {"BBBC022": {**time_crops(job, paths), "writing": writing}}
        print_stages(f"{OF_OBJECTS}, {SIDE} x {SIDE}, ms per object", stages)


def choose_recipe(text: str, crop: int | None = None) -> Any:
    return read_card().choose_recipe(text, crop)


def generate_images(folder: Path, size: int) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = []
    for number in range(4):
        paths.append(folder / f"{size}-{number}.tif")
        pixels = rng.gamma(2, 300, (size, size)).astype(np.uint16)
        tifffile.imwrite(paths[-1], pixels)
    return paths


def time_planes(job: Job, paths: list[Path]) -> dict[str, float]:
    """Return the milliseconds of each stage for a plane that is measured whole."""
    net, storage = job.network, job.storage
    contents = [storage.read(str(path)) for path in paths]
    planes = [decode_plane(content, "a.tif") for content in contents]
    function = np.full(planes[0].shape, 1.5, np.float32)
    (view,) = job.recipe.views
    shape = view.choose_shape(planes[0].shape)
    prepared = [job.prepare(plane, None) for plane in planes]

    def resize(plane: np.ndarray) -> np.ndarray:
        image, _ = _to_image(plane)
        return np.asarray(resize_image(image, shape, job.card.resize))

    milliseconds = {
        "reading": measure(storage.read, map(str, paths)),
        "decoding": measure(lambda content: decode_plane(content, "a.tif"), contents),
        ILLUMINATION: measure(
            lambda plane: correct_plane(plane, function, "divide"), planes
        ),
        "resizing": measure(resize, planes),
    }
    preparing = measure(lambda plane: job.prepare(plane, None), planes)
    milliseconds["grey range"] = preparing - milliseconds["resizing"]
    return {**milliseconds, **time_network(net, prepared)}


def time_crops(job: Job, paths: list[Path]) -> dict[str, float]:
    """Return the milliseconds of each stage for an object of an image set."""
    net, storage = job.network, job.storage
    contents = [storage.read(str(path)) for path in paths]
    planes = [decode_plane(content, "a.tif") for content in contents]
    rng = np.random.default_rng(0)
    shape = planes[0].shape
    centers = cycle(rng.uniform(0, shape, (N_OBJECTS, 2)))
    mask = np.ones(shape, bool)

    def cut(plane: np.ndarray) -> np.ndarray | None:
        return crop_square(plane, next(centers), SIDE, mask)

    crops = [cut(plane) for plane in planes for _ in range(4)]
    prepared = [prepare_plane(crop, net.card, net.recipe) for crop in crops]
    return {
        "reading": measure(storage.read, map(str, paths)) / N_OBJECTS,
        "decoding": measure(lambda content: decode_plane(content, "a.tif"), contents)
        / N_OBJECTS,
        "cutting": measure(cut, planes),
        "resizing and grey range": measure(
            lambda crop: prepare_plane(crop, net.card, net.recipe), crops
        ),
        **time_network(net, prepared),
    }


def time_network(net: StratoNet, prepared: list[Any]) -> dict[str, float]:
    """Return the network's milliseconds per plane, with cutting and averaging tiles."""
    turns = []
    for turn in range(TURNS + 1):
        began = time.process_time()
        for _ in net.stream(prepared):
            pass
        if turn:  # the first turn warms up
            turns.append(1000 * (time.process_time() - began) / len(prepared))
    return {"network": statistics.median(turns)}


def time_writing(job: Job, n_objects: int, folder: Path) -> float:
    """Return milliseconds per plane, or object and channel, to write half a plate."""
    n_wells = WELLS if job.objects.size is None else 6
    rows = [
        {"Metadata_Plate": "P", "Metadata_Well": f"W{well}", "Metadata_Site": site}
        for well, site in np.ndindex(n_wells, SITES)
    ]
    frame = pd.DataFrame(rows)
    destination = Destination(str(folder), job)
    rng = np.random.default_rng(0)
    shape = (n_objects, len(job.channels), job.network.width)
    features = rng.random(shape, np.float32)
    is_whole = isinstance(job.objects, WholeImages)
    numbers = None if is_whole else np.arange(n_objects)
    measured = MeasuredImageSet(numbers, features, [[] for _ in range(n_objects)])
    began = time.process_time()
    units = split_units(frame)
    for unit in units:
        destination.write_unit(unit, [measured] * SITES)
    assert destination.gather_plate("P", [unit.name for unit in units])
    n_planes = len(frame) * n_objects * len(job.channels)
    return 1000 * (time.process_time() - began) / n_planes


def measure(call: Callable[[Any], object], arguments: Any) -> float:
    """Return milliseconds of a core per call: the median of turns on all cores."""
    arguments = list(arguments)
    call(arguments[0])

    def take_turn(_: int) -> float:
        began, ends = time.thread_time(), time.perf_counter() + SECONDS
        count = 0
        while time.perf_counter() < ends or count < len(arguments):
            call(arguments[count % len(arguments)])
            count += 1
        return 1000 * (time.thread_time() - began) / count

    cores = count_cores()
    with ThreadPoolExecutor(cores) as pool:
        return statistics.median(pool.map(take_turn, range(cores * TURNS)))


def print_stages(title: str, stages: dict[str, dict[str, float]]) -> None:
    print(f"\n{title:<34}" + "".join(f"{name:>22}" for name in stages))
    for stage in next(iter(stages.values())):
        line = f"  {stage:<32}"
        for milliseconds in stages.values():
            share = 100 * milliseconds[stage] / milliseconds["network"]
            line += f"{milliseconds[stage]:13.2f} {share:6.1f} %"
        print(line)
    line = f"  {'network of the sum':<32}"
    for milliseconds in stages.values():
        total = sum(milliseconds.values()) - milliseconds.get(ILLUMINATION, 0)
        line += f"{'':13} {100 * milliseconds['network'] / total:6.1f} %"
    print(line, flush=True)


if __name__ == "__main__":
    main()
