"""Plot how cost grows with images, channels, tiles, objects and cores.

    .venv/bin/python benchmarks/growth.py DATA/bbbc022 [--output docs/growth.png]

It measures seconds from files to tables, by the clock and of the processor, on
BBBC022's images of 520 x 696 pixels. Each panel changes one number and keeps the
others. Each run is made twice, taking turns with all others, and the faster counts.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stratonet import StratoNet
from stratonet.drawing import get_color, get_marker, new_figure, strip_axes
from stratonet.extraction import ObjectsFromCenters, WholeImages, extract
from stratonet.files.images import read_plane
from stratonet.parallel import count_cores

ROUNDS = 2
SIZE = 96  # of the square around an object
# The unit that grows in a panel, and how many of it each step on the x axis adds.
GROWS = {
    "images of one channel": ("image", 1),
    "channels of 24 image sets": ("plane", 24),
    "tiles of each of 12 planes": ("tile", 12),
    "objects in each of 12 planes": ("object", 12),
}


@dataclass(frozen=True)
class Case:
    """A run: what is measured, and its position in the figure."""

    panel: str
    x: int
    sites: int = 12
    channels: int = 1
    recipe: str = "whole224/mean"
    objects: int = 0
    cores: int = 0


def list_cases(n_tiles: dict[str, int]) -> Iterator[Case]:
    for sites in (12, 24, 48, 96):
        yield Case("images of one channel", sites, sites=sites)
    for channels in range(1, 6):
        yield Case("channels of 24 image sets", channels, 24, channels)
    for recipe, n_planes in n_tiles.items():
        yield Case("tiles of each of 12 planes", n_planes, recipe=recipe)
    for objects in (10, 25, 50, 100):
        yield Case(
            "objects in each of 12 planes",
            objects,
            recipe="tiles224/mean",
            objects=objects,
        )
    for cores in range(1, count_cores() + 1):
        yield Case("cores, for 96 planes", cores, sites=96, cores=cores)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DATA/bbbc022")
    parser.add_argument("--output", type=Path, default=Path("docs/growth.png"))
    options = parser.parse_args()
    cases = list(list_cases(count_tiles(options.folder)))
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for number, case in enumerate(cases * ROUNDS):
            clock, processor = time_case(
                case, options.folder, Path(scratch, f"{number}")
            )
            rows.append([case.panel, case.x, clock, processor])
    table = pd.DataFrame(rows, columns=["panel", "x", "clock", "processor"])
    table = table.groupby(["panel", "x"], sort=False, as_index=False).min().round(2)
    table.to_csv(options.output.with_suffix(".csv"), index=False)
    figure = draw_growth(table)
    figure.savefig(options.output)
    print(table.to_string(index=False))


def count_tiles(folder: Path) -> dict[str, int]:
    """Count the tiles of a plane, by recipe."""
    plane = read_plane(next(folder.glob("*.tif")))
    counts = {}
    for across in (1, 2, 3, 4):
        net = StratoNet.load(recipe=f"tiles224-across{across}/mean")
        (grey,) = net.prepare(plane).greys
        counts[net.recipe.text] = len(net.recipe.views[0].cut(grey))
    return counts


def time_case(case: Case, folder: Path, scratch: Path) -> tuple[float, float]:
    """Return the seconds by the clock, and of the processor."""
    scratch.mkdir()
    table = write_table(case, folder, scratch)
    objects = WholeImages()
    if case.objects:
        objects = ObjectsFromCenters(write_centers(case, scratch), SIZE)
    recipe = case.recipe
    # Opened before timing, since this takes a constant time.
    StratoNet.load(recipe=recipe, crop=objects.size).features(np.eye(96))
    before = os.environ.get("OMP_NUM_THREADS")
    if case.cores:
        os.environ["OMP_NUM_THREADS"] = str(case.cores)
    began, used = time.perf_counter(), time.process_time()
    out = scratch / "out"
    extract(table, out, recipe=recipe, objects=objects, progress=False)
    seconds = time.perf_counter() - began, time.process_time() - used
    os.environ.pop("OMP_NUM_THREADS", None)
    if before:
        os.environ["OMP_NUM_THREADS"] = before
    return seconds


def write_table(case: Case, folder: Path, scratch: Path) -> Path:
    """Write a LoadData table with wells of three sites, whose images repeat."""
    labels = pd.read_csv(folder / "labels.csv", dtype=str)
    channels = [name for name in labels if name.startswith("file_")][: case.channels]
    rows = []
    for site in range(case.sites):
        copy = scratch / f"copy{site // len(labels)}"
        if not copy.exists():
            copy.symlink_to(folder.resolve())
        row = {"Metadata_Plate": "P", "Metadata_Well": f"A{site // 3 + 1:02d}"}
        row["Metadata_Site"] = str(site)
        for channel in channels:
            name = channel.removeprefix("file_")
            row[f"FileName_{name}"] = labels[channel][site % len(labels)]
            row[f"PathName_{name}"] = str(copy)
        rows.append(row)
    path = scratch / "load_data.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def write_centers(case: Case, scratch: Path) -> Path:
    """Write a table of random centres."""
    rng = np.random.default_rng(0)
    tables = []
    for site in range(case.sites):
        centers = pd.DataFrame({"ObjectNumber": np.arange(case.objects) + 1})
        centers["Location_Center_X"] = rng.uniform(SIZE, 696 - SIZE, case.objects)
        centers["Location_Center_Y"] = rng.uniform(SIZE, 520 - SIZE, case.objects)
        centers["Metadata_Plate"] = "P"
        centers["Metadata_Well"] = f"A{site // 3 + 1:02d}"
        centers["Metadata_Site"] = str(site)
        tables.append(centers)
    path = scratch / "centres.csv"
    pd.concat(tables).to_csv(path, index=False)
    return path


def draw_growth(table: pd.DataFrame) -> Figure:
    """Draw a panel for each number that grows."""
    figure = new_figure("From files to tables: seconds grow in proportion", 3.2)
    panels = list(table.panel.unique())
    for axes, panel in zip(figure.subplots(1, len(panels)), panels):
        draw_panel(axes, panel, table[table.panel == panel])
    figure.axes[0].set_ylabel("seconds")
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


def draw_panel(axes: Axes, panel: str, rows: pd.DataFrame) -> None:
    names = {"processor": "of the processor", "clock": "by the clock"}
    for number, (column, label) in enumerate(names.items()):
        style = {"color": get_color(number), "marker": get_marker(number)}
        axes.plot(rows.x, rows[column], label=label, markersize=5, **style)
    if panel in GROWS:
        unit, count = GROWS[panel]
        slope = np.polyfit(rows.x, rows.processor, 1)[0] / count
        axes.set_title(
            f"{1000 * slope:.0f} ms of the processor\nfor each {unit}", fontsize=9
        )
    axes.set_xlabel(panel, fontsize=8)
    axes.set_ylim(0, 1.1 * rows[list(names)].to_numpy().max())
    axes.set_xlim(0, 1.1 * rows.x.max())
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    strip_axes(axes)


if __name__ == "__main__":
    main()
