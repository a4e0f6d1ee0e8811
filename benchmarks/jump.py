"""Estimate hours, transfer and prices for all of JUMP, from a rate measured here.

    .venv/bin/python benchmarks/jump.py [NETWORK ...]

Each network, given by its name or weights file, measures planes of JUMP's size and
depth from files to tables, on all cores of this machine. Everything else is arithmetic,
and is printed as the tables of ``docs/extraction.md``. ``--provider
CUDAExecutionProvider`` measures on a GPU, if there is one; the hours are then those of
its machine's cores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from stratonet import StratoNet
from stratonet.extraction import extract
from stratonet.parallel import count_cores

RECIPES = ("tiles224-across2/mean+sd", "whole224/mean")
CHANNELS = ("DNA", "ER", "RNA", "AGP", "Mito")
WELLS, SITES, SIDE = 8, 3, 1024
# Plates in JUMP's plate.csv (datasets of jump-cellpainting); a plate has 384 wells of 9
# sites, like those of source_8.
PLATES = {"one plate": 1, "source_8": 216, "all of JUMP": 2525}
IMAGE_SETS = 384 * 9
# JUMP's images are 116 TB.
TB_OF_PLATE = 116 / PLATES["all of JUMP"]
# List prices of us-east-1 in 2025.
PRICE_OF_MACHINE, CORES_OF_MACHINE = 0.714, 16  # c7i.4xlarge, $ per hour; vCPUs
GBIT_OF_MACHINE = 6.25  # per second, its baseline
PRICE_OF_STORAGE, PRICE_OF_PUTS = 23, 0.005  # S3: $ per TB and month; $ per 1,000
# A safety factor, since the cost of reading from the real S3 was not measured.
RESERVE = 2


@dataclass(frozen=True)
class Rate:
    """The speed of a network with a recipe, from files to tables."""

    network: str
    recipe: str
    planes: float  # per second and core
    width: int  # features of a plane


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", default=["stratonet50"])
    parser.add_argument("--provider", default="CPUExecutionProvider")
    options = parser.parse_args()
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        table = write_images(Path(folder))
        for network in options.networks:
            for recipe in RECIPES:
                output = Path(folder, f"out{len(rates)}")
                rate = measure_rate(table, output, network, recipe, options.provider)
                rates.append(rate)
    print_table(rates)


def write_images(folder: Path) -> Path:
    """Write image sets of random planes, and their LoadData table."""
    rng = np.random.default_rng(0)
    rows = []
    for well, site in np.ndindex(WELLS, SITES):
        row = {"Metadata_Plate": "P", "Metadata_Well": f"A{well + 1:02d}"}
        row["Metadata_Site"] = str(site)
        for channel in CHANNELS:
            row[f"FileName_{channel}"] = name = f"{well}-{site}-{channel}.tif"
            pixels = rng.gamma(2, 300, (SIDE, SIDE)).astype(np.uint16)
            tifffile.imwrite(folder / name, pixels)
        rows.append(row)
    path = folder / "load_data.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def measure_rate(
    table: Path, output: Path, network: str, recipe: str, provider: str
) -> Rate:
    net = StratoNet.load(network, provider=provider, recipe=recipe)
    # The first planes of a process take longer.
    net.features(np.eye(SIDE))
    began = time.perf_counter()
    summary = extract(
        table, output, weights=network, recipe=recipe, provider=provider, progress=False
    )
    seconds = time.perf_counter() - began
    assert summary.images == WELLS * SITES * len(CHANNELS) and not summary.incomplete
    return Rate(network, recipe, summary.images / seconds / count_cores(), net.width)


def print_table(rates: list[Rate]) -> None:
    """Print the table as on the page."""
    plates = list(PLATES.values())
    print_row("", PLATES)
    print_row("---", ["---"] * len(plates))
    print_row("Plates", [f"{count:,}" for count in plates])
    print_row("Images", [f"{count_images(count):,}" for count in plates])
    for rate in rates:
        print_rate(rate, plates)
    terabytes = [TB_OF_PLATE * count for count in plates]
    print_row("Transfer", [f"{value:,.2f} TB" for value in terabytes])
    hours = [8000 * value / GBIT_OF_MACHINE / 3600 for value in terabytes]
    print_row("Hours of one machine's network card", [f"{h:,.2f}" for h in hours])
    puts = [384 * count / 1000 * PRICE_OF_PUTS for count in plates]
    print_row("PUTs to S3, one a well", [f"{price:,.2f} $" for price in puts])


def print_rate(rate: Rate, plates: list[int]) -> None:
    """Print the hours and prices of a network with a recipe."""
    name = f"{rate.network}, `{rate.recipe}`"
    hours = [count_images(count) / rate.planes / 3600 for count in plates]
    cells = [f"{value:,.1f}" for value in hours]
    print_row(f"**{name}**: vCPU hours, at {rate.planes:.1f} images/s each", cells)
    price = RESERVE * PRICE_OF_MACHINE / CORES_OF_MACHINE
    cells = [f"{price * value:,.2f} $" for value in hours]
    print_row(f"{RESERVE} times that, in c7i.4xlarge on demand", cells)
    cells = [describe_features(count, rate.width) for count in plates]
    print_row("Its features in S3, and a month of them", cells)


def count_images(plates: int) -> int:
    return plates * IMAGE_SETS * len(CHANNELS)


def describe_features(plates: int, width: int) -> str:
    terabytes = plates * IMAGE_SETS * len(CHANNELS) * width * 4 / 1e12
    price = terabytes * PRICE_OF_STORAGE
    return f"{1000 * terabytes:,.1f} GB, {price:,.2f} $"


def print_row(title: str, cells: Iterable[str]) -> None:
    print(f"| {title} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
