"""Measure `stratonet extract` on a local disk, as a share of the network's own speed.

    .venv/bin/python benchmarks/extraction.py DATA/bbbc022 [--wells 96]
    [--weights stratonet50-int8]

Image sets per second from table and files to feature tables are compared with the
network alone on the same number of planes prepared in memory, alternating within one
run: for Cell Painting images of 520 x 696 pixels (BBBC022, copied), and for generated
16-bit images of 1,024 x 1,024 pixels. A plate is a quarter of one of JUMP's: 96 wells
of 9 sites, which take a quarter of an hour and 9 GB of disk. With fewer wells, the
beginning and the end weigh more.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from stratonet import StratoNet
from stratonet.extraction import extract
from stratonet.files.images import read_plane

# The least work for the network, so that all other work weighs most.
RECIPE = "whole224/mean"
ROUNDS, SITES = 2, 9
CHANNELS = ("DNA", "ER", "RNA", "AGP", "Mito")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DATA/bbbc022")
    parser.add_argument("--wells", type=int, default=96, help="a multiple of 4")
    parser.add_argument("--weights", default="stratonet50", help="name or path")
    options = parser.parse_args()
    wells, weights = options.wells, options.weights
    with tempfile.TemporaryDirectory() as scratch:
        copied = Path(scratch, "copied")
        table = copy_images(copied, options.folder, wells)
        compare_speeds("520 x 696 (BBBC022)", copied, table, weights)
        generated = Path(scratch, "generated")
        table = generate_images(generated, wells)
        compare_speeds("1024 x 1024 (generated)", generated, table, weights)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"Most memory of the process: {memory:.0f} MB")


def compare_speeds(name: str, screen: Path, table: pd.DataFrame, weights: str) -> None:
    """Print how fast a plate is measured, compared with the network alone."""
    network = StratoNet.load(weights, recipe=RECIPE)
    ratios = []
    for number in range(ROUNDS):
        alone = time_network(network, table)
        began = time.perf_counter()
        output = screen / f"out{number}"
        summary = extract(
            screen / "load_data.csv",
            output,
            weights=weights,
            recipe=RECIPE,
            progress=False,
        )
        ratios.append(alone / (time.perf_counter() - began))
        assert summary.image_sets == len(table) and not summary.incomplete
    print(
        f"{name}: {summary.images} planes; {len(table) / alone:.2f} image sets/s"
        f" by the network alone; end to end {statistics.median(ratios):.3f} of"
        f" that (median of {ROUNDS}, {min(ratios):.3f} to {max(ratios):.3f})"
    )


def time_network(network: StratoNet, table: pd.DataFrame) -> float:
    """Return the network's seconds for all planes of the table, prepared in memory."""
    row = table.iloc[0]
    prefix = "FileName_"
    channels = [name[len(prefix) :] for name in table if name.startswith(prefix)]
    prepared = []
    for channel in channels:
        path = Path(row[f"PathName_{channel}"], row[f"FileName_{channel}"])
        prepared.append(network.prepare(read_plane(path)))
    n_planes = len(table) * len(channels)
    planes = (prepared[number % len(prepared)] for number in range(n_planes))
    began = time.perf_counter()
    for _ in network.stream(planes):
        pass
    return time.perf_counter() - began


def copy_images(screen: Path, folder: Path, wells: int) -> pd.DataFrame:
    """Copy the images of BBBC022 until they fill a plate; return its LoadData table."""
    labels = pd.read_csv(folder / "labels.csv", dtype=str)
    sites_per_well = len(labels) // labels.well.nunique()
    tables = []
    # Together as many image sets as the generated plate has.
    for number in range(wells * SITES // len(labels)):
        target = screen / str(number)
        target.mkdir(parents=True)
        sites = labels.groupby("well").cumcount() + number * sites_per_well
        names = labels.well + "-" + (sites // SITES).astype(str)
        table = pd.DataFrame({"Metadata_Plate": "P", "Metadata_Well": names})
        table["Metadata_Site"] = sites % SITES
        for column in labels.filter(regex="^file_"):
            channel = column.removeprefix("file_")
            for path in labels[column]:
                shutil.copy(folder / path, target)
            table[f"FileName_{channel}"] = labels[column]
            table[f"PathName_{channel}"] = str(target)
        tables.append(table)
    return save_table(screen, pd.concat(tables))


def generate_images(screen: Path, wells: int) -> pd.DataFrame:
    """Write a plate of random images; return its LoadData table."""
    rng = np.random.default_rng(0)
    screen.mkdir()
    rows = []
    for well, site in np.ndindex(wells, SITES):
        row = {"Metadata_Plate": "P", "Metadata_Well": f"A{well + 1:02d}"}
        row["Metadata_Site"] = site
        for channel in CHANNELS:
            name = f"{well}-{site}-{channel}.tif"
            pixels = rng.gamma(2, 300, (1024, 1024)).astype(np.uint16)
            tifffile.imwrite(screen / name, pixels)
            row[f"FileName_{channel}"] = name
            row[f"PathName_{channel}"] = str(screen)
        rows.append(row)
    return save_table(screen, pd.DataFrame(rows))


def save_table(screen: Path, table: pd.DataFrame) -> pd.DataFrame:
    table.to_csv(screen / "load_data.csv", index=False)
    return table


if __name__ == "__main__":
    main()
