"""Run a pipeline in one CellProfiler process and in two: compare tables and times.

    python benchmarks/batches.py DATA/bbbc022 [OUTPUT]

The pipeline is the one published with BBBC022, with MeasureStratoFeatures in place of
its exports. One process is ``cellprofiler -c -r``, two are ``stratonet
run-cellprofiler -n 2``. Every table is compared cell by cell, except for times and time
stamps.

    python benchmarks/batches.py starts [OUTPUT] [IMAGE_SETS]

Measures what starting CellProfiler costs in a run divided into parts of two minutes,
with the pipeline of ``stratonet demo``, ``load_data.cppipe``, on two processes: seconds
from the start of each process to its first image set, compared with the processor
seconds of all processes. Each of the IMAGE_SETS (default: 500) holds two generated
images of 520 x 696 pixels.
"""

import csv
import os
import re
import sys
import time
from pathlib import Path

import numpy as np
import tifffile
from features import read_seconds, write_pipeline
from pyarrow import parquet
from screens import link_bbbc022_plate, list_channels, read_bbbc022

from cellprofiler_plugin import headless
from cellprofiler_plugin.batch_plan import plan_batches
from cellprofiler_plugin.batches import Batches
from cellprofiler_plugin.headless import CellProfilerOptions

TIMES = re.compile("ExecutionTime|Timestamp")


def read_cells(path):
    """Read the cells of a CSV table without times, which are columns or rows."""
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    kept_columns = [
        column for column, name in enumerate(header) if not TIMES.search(name)
    ]
    rows = [header, *(row for row in rows if not TIMES.search(row[0]))]
    return [[row[column] for column in kept_columns] for row in rows]


def are_equal(first, second):
    if first.suffix == ".parquet":
        return parquet.read_table(first).equals(parquet.read_table(second))
    return read_cells(first) == read_cells(second)


def time_one_process(pipeline, images, output):
    began = time.monotonic()
    headless.run_pipeline(
        pipeline, output, ["Image.csv"], f"--image-directory={images}"
    )
    return time.monotonic() - began


def time_two_processes(pipeline, images, output):
    began = time.monotonic()
    options = CellProfilerOptions(image_directory=images)
    plan = plan_batches(pipeline, output, options, processes=2)
    Batches(plan).run(progress=False)
    return time.monotonic() - began


def write_generated_plate(folder, count):
    """Write a table for LoadData, whose image sets all have the same two images."""
    rng = np.random.default_rng(0)
    files = {}
    for channel in ("DNA", "GFP"):
        pixels = rng.integers(100, 4000, (520, 696), dtype=np.uint16)
        tifffile.imwrite(folder / f"{channel}.tif", pixels)
        files |= {
            f"Image_FileName_{channel}": f"{channel}.tif",
            f"Image_PathName_{channel}": str(folder),
        }
    with open(folder / "load_data.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["Metadata_Site", *files])
        writer.writeheader()
        writer.writerows({"Metadata_Site": site, **files} for site in range(count))
    return folder / "load_data.csv"


def measure_starts(output, count):
    output.mkdir(parents=True, exist_ok=True)
    options = CellProfilerOptions(data_file=write_generated_plate(output, count))
    pipeline = headless.LOAD_DATA_PIPELINE
    runner = Batches(plan_batches(pipeline, output / "out", options, processes=2))
    began = os.times()
    runner.run(progress=False)
    ended = os.times()
    seconds = ended.children_user + ended.children_system
    seconds -= began.children_user + began.children_system
    starting = [part.report.starting for part in runner.parts]
    print(
        f"{count} image sets in {len(starting)} parts,"
        f" {ended.elapsed - began.elapsed:.0f} s: starting took {sum(starting):.1f} s"
        f" of {seconds:.0f} s of the processor ({sum(starting) / seconds:.1%})"
    )


def main(data, output):
    output.mkdir(parents=True, exist_ok=True)
    pipeline = output / "with_stratonet.cppipe"
    rows = read_bbbc022(data)
    published = data / "BBBC022_Analysis_Final.cppipe"
    titles = write_pipeline(published, list_channels(rows), pipeline)
    images = link_bbbc022_plate(data, output)
    one_process, two_processes = output / "one", output / "two"
    alone_seconds = time_one_process(pipeline, images, one_process)
    together_seconds = time_two_processes(pipeline, images, two_processes)
    print(
        f"{len(rows)} image sets: one process {alone_seconds:.0f} s, two"
        f" {together_seconds:.0f} s ({alone_seconds / together_seconds:.2f})"
    )
    tables = [
        path for path in one_process.iterdir() if path.suffix in (".csv", ".parquet")
    ]
    for path in sorted(tables):
        verdict = (
            "the same" if are_equal(path, two_processes / path.name) else "DIFFERENT"
        )
        print(f"{path.name}: {verdict}")
    for name, values in read_seconds(one_process, titles).items():
        unit = "per site" if name == "Nuclei" else "s of the processor per site"
        print(f"{name}: {values.mean():.2f} {unit}")


if __name__ == "__main__":
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else "batches").resolve()
    if sys.argv[1] == "starts":
        measure_starts(folder, int(sys.argv[3]) if len(sys.argv) > 3 else 500)
    else:
        main(Path(sys.argv[1]).resolve(), folder)
