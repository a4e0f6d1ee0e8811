"""Measure what Ray costs on one machine, compared with the local engine.

    .venv/bin/python benchmarks/engines.py DATA/bbbc022

Each engine takes turns at a short and a long run: the difference between the two is the
time of the image sets, and the remaining time is the start (Ray itself, processes that
import the libraries and open the network, the first images). The recipe is
``whole224/mean``, the least work for the network, so that all other work weighs most.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import pandas as pd
import psutil
import ray

from stratonet.extraction import LocalEngine, RayEngine, extract
from stratonet.extraction.engine import Engine

RECIPE = "whole224/mean"
# Wells of twelve sites: the twelve image sets of BBBC022, repeated.
SHORT, LONG = 4, 20
ROUNDS = 2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DATA/bbbc022")
    folder = parser.parse_args().folder
    engines = {"local": LocalEngine(), "ray": RayEngine("local")}
    began = time.perf_counter()
    with engines["ray"]:
        print(f"Ray itself starts in {time.perf_counter() - began:.1f} s")
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    with tempfile.TemporaryDirectory() as scratch:
        tables = {n: write_table(folder, n, Path(scratch)) for n in (SHORT, LONG)}
        for number in range(ROUNDS):
            for name, engine in engines.items():
                output = Path(scratch, f"{name}{number}")
                seconds[name].append(time_engine(engine, tables, output))
    print_seconds(seconds)
    ray.shutdown()


def write_table(folder: Path, n_wells: int, scratch: Path) -> Path:
    """Write a LoadData table whose wells are the image sets of a folder, repeated."""
    labels = pd.read_csv(folder / "labels.csv", dtype=str)
    wells = []
    for number in range(n_wells):
        # Under another name, since repeated image sets are refused.
        copy = scratch / f"copy{n_wells}-{number}"
        copy.symlink_to(folder.resolve())
        well = pd.DataFrame({"Metadata_Site": range(len(labels))})
        well["Metadata_Plate"] = "P"
        well["Metadata_Well"] = f"A{number + 1:02d}"
        for column in labels.filter(regex="^file_"):
            channel = column.removeprefix("file_")
            well[f"FileName_{channel}"] = labels[column]
            well[f"PathName_{channel}"] = str(copy)
        wells.append(well)
    path = scratch / f"{n_wells}.csv"
    pd.concat(wells).to_csv(path, index=False)
    return path


def time_engine(
    engine: Engine, tables: dict[int, Path], output: Path
) -> tuple[float, float]:
    """Return the seconds of the short and of the long run."""
    seconds = []
    for n_wells, table in tables.items():
        began = time.perf_counter()
        destination = output / str(n_wells)
        summary = extract(
            table, destination, recipe=RECIPE, engine=engine, progress=False
        )
        seconds.append(time.perf_counter() - began)
        assert summary.complete_plates and not summary.incomplete
    return seconds[0], seconds[1]


def print_seconds(seconds: dict[str, list[tuple[float, float]]]) -> None:
    beyond = {}
    for name, runs in seconds.items():
        beyond[name] = [long - short for short, long in runs]
        starts = [
            short - (long - short) * SHORT / (LONG - SHORT) for short, long in runs
        ]
        print(
            f"{name}: starts in {statistics.median(starts):.1f} s, then takes"
            f" {statistics.median(beyond[name]):.1f} s for {LONG - SHORT} wells"
        )
    ratios = [
        ray_seconds / local
        for ray_seconds, local in zip(beyond["ray"], beyond["local"])
    ]
    print(
        f"Beyond its start Ray takes {statistics.median(ratios):.3f} of the time of the"
        f" local engine ({min(ratios):.3f} to {max(ratios):.3f}, {ROUNDS} rounds,"
        f" {psutil.cpu_count()} cores)"
    )


if __name__ == "__main__":
    main()
