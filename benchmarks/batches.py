"""A pipeline with MeasureStratoFeatures in one CellProfiler process and in several: the same tables, and the time.

    python benchmarks/batches.py DATA/bbbc022 [OUTPUT]

The pipeline published with BBBC022, with our module in place of its exports. One
process is ``cellprofiler -c -r``, two are ``stratonet run-cellprofiler -n 2``. Every
table is compared cell for cell, times and time stamps left out."""

import csv
import re
import sys
import time
from pathlib import Path

from features import read_seconds, write_pipeline
from pyarrow import parquet
from screens import link_bbbc022_plate, list_channels, read_bbbc022

from cellprofiler_plugin import headless
from cellprofiler_plugin.batches import Batches

TIMES = re.compile("ExecutionTime|Timestamp")


def cells(path):
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    keep = [column for column, name in enumerate(rows[0]) if not TIMES.search(name)]
    return [
        [row[column] for column in keep] for row in rows if not TIMES.search(row[0])
    ]


def same(first, second):
    if first.suffix == ".parquet":
        return parquet.read_table(first).equals(parquet.read_table(second))
    return cells(first) == cells(second)


def main(data, output):
    output.mkdir(parents=True, exist_ok=True)
    pipeline = output / "with_stratonet.cppipe"
    rows = read_bbbc022(data)
    published = data / "BBBC022_Analysis_Final.cppipe"
    write_pipeline(published, list_channels(rows), pipeline)
    images = link_bbbc022_plate(data, output)
    one, two = output / "one", output / "two"
    seconds = []
    for run in (
        lambda: headless.run_pipeline(
            pipeline, one, ["Image.csv"], f"--image-directory={images}"
        ),
        lambda: Batches(pipeline, two, {"image-directory": images}, processes=2).run(
            quiet=True
        ),
    ):
        began = time.monotonic()
        run()
        seconds.append(time.monotonic() - began)
    print(
        f"{len(rows)} image sets: one process {seconds[0]:.0f} s, two {seconds[1]:.0f}"
        f" s ({seconds[0] / seconds[1]:.2f})"
    )
    names = sorted(
        path.name for path in one.iterdir() if path.suffix in (".csv", ".parquet")
    )
    for name in names:
        print(f"{name}: {'the same' if same(one / name, two / name) else 'DIFFERENT'}")
    for name, values in read_seconds(one).items():
        print(f"{name}: {values.mean():.2f} s of the processor a site")


if __name__ == "__main__":
    main(
        Path(sys.argv[1]).resolve(),
        Path(sys.argv[2] if len(sys.argv) > 2 else "batches").resolve(),
    )
