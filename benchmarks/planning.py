"""Measure the memory of a run that plans many image sets and measures some of them.

    .venv/bin/python benchmarks/planning.py DATA/bbbc022

A table names 100,224 image sets of five channels, in 29 plates of 384 wells with 9
sites, whose files are BBBC022's. All of them are planned, and those of every 2,000th
well are measured: the peak memory of the process is compared with that of a run which
plans only what it measures. Each run is a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

PLATES, ROWS, COLUMNS, SITES = 29, 16, 24, 9
EVERY = 2000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DATA/bbbc022")
    parser.add_argument("--run", nargs=2, metavar=("TABLE", "SHARD"))
    options = parser.parse_args()
    if options.run:
        run(*options.run)
        return
    with tempfile.TemporaryDirectory() as scratch:
        table = make_table(Path(scratch), options.folder)
        wells = list(table.groupby(["Metadata_Plate", "Metadata_Well"], sort=False))
        few = pd.concat([rows for _, rows in wells[::EVERY]])
        for name, rows, shard in (
            ("those that are measured", few, "1/1"),
            ("all", table, f"1/{EVERY}"),
        ):
            path = Path(scratch, f"{len(rows)}.csv")
            rows.to_csv(path, index=False)
            command = [sys.executable, __file__, str(options.folder), "--run"]
            print(f"{len(rows):,} image sets planned ({name}): ", end="", flush=True)
            subprocess.run([*command, str(path), shard], check=True)


def make_table(scratch: Path, folder: Path) -> pd.DataFrame:
    """Make the table, in which each image set has its own link to the images."""
    labels = pd.read_csv(folder / "labels.csv", dtype=str)
    (scratch / "images").mkdir()
    rows = []
    for plate, row, column, site in np.ndindex(PLATES, ROWS, COLUMNS, SITES):
        link = scratch / "images" / str(len(rows))
        link.symlink_to(folder.resolve())
        images = labels.iloc[len(rows) % len(labels)]
        values = {"Metadata_Plate": f"P{plate:02d}"}
        values["Metadata_Well"] = f"{chr(ord('A') + row)}{column + 1:02d}"
        values["Metadata_Site"] = site + 1
        for name, file in images.filter(regex="^file_").items():
            channel = str(name).removeprefix("file_")
            values[f"FileName_{channel}"] = file
            values[f"PathName_{channel}"] = str(link)
        rows.append(values)
    return pd.DataFrame(rows)


def run(table: str, shard: str) -> None:
    """Plan a table and measure a part of it; print the peak memory of this process."""
    from stratonet.extraction import extract
    from stratonet.extraction.engine import Shard

    began = time.perf_counter()
    number, count = map(int, shard.split("/"))
    # Suppress the line that it prints for each plate.
    quiet = contextlib.redirect_stdout(io.StringIO())
    with tempfile.TemporaryDirectory() as output, quiet:
        summary = extract(
            table,
            output,
            recipe="whole224/mean",
            shard=Shard(number, count),
            progress=False,
        )
    seconds = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{summary.image_sets} measured in {seconds:.0f} s, at most {memory:,.0f} MB",
        flush=True,
    )


if __name__ == "__main__":
    main()
