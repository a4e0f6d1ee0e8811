"""Draw what the network sees: a field and a cell, as several recipes show them.

    python benchmarks/views.py [IMAGE --center ROW,COLUMN] [--output docs/views.png]

Without IMAGE, an image is simulated. Every plane is drawn at the same scale: a pixel of
the figure is a pixel of the network's input. Orange lines are borders of tiles.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from stratonet import StratoNet
from stratonet.crops import crop_square
from stratonet.drawing import get_color
from stratonet.files.images import read_plane
from stratonet.recipe import Recipe
from stratonet.views import Tiles
from stratonet_sklearn.datasets import simulate_plate

FIELD_VIEWS = ("whole224", "tiles224-across2", "tiles224")
CELL_VIEWS = ("tiles224-smallest64", "tiles224", "tiles224-smallest128", "whole224")
SIDE, CROP = 560, 64
GAP, TITLE, DPI = 24, 44, 100  # pixels, pixels, pixels per inch


def simulate_field() -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        simulate_plate(folder, rows=1, columns=1, sites=1, size=SIDE)
        return read_plane(f"{folder}/A01_s1_DNA.tif")


def find_bright_cell(plane: np.ndarray) -> tuple[int, int]:
    """Find the brightest position at least a crop's side from all borders."""
    inner = plane[CROP:-CROP, CROP:-CROP].astype(float)
    # The mean of 16 x 16 pixels: a nucleus, not a hot pixel.
    sums = inner.cumsum(0).cumsum(1)
    boxes = sums[16:, 16:] - sums[:-16, 16:] - sums[16:, :-16] + sums[:-16, :-16]
    row, column = np.unravel_index(boxes.argmax(), boxes.shape)
    return int(row) + CROP + 8, int(column) + CROP + 8


def show_plane(plane: np.ndarray, view: str) -> np.ndarray:
    net = StratoNet.load(recipe=f"{view}/mean")
    (grey,) = net.prepare(plane).greys
    return grey


def describe(view: str, grey: np.ndarray) -> str:
    height, width = grey.shape
    return f"{view}\n{width} x {height} pixels"


def draw_row(
    figure: Figure, top: int, plane: np.ndarray, views: tuple[str, ...]
) -> None:
    """Draw a plane as several views show it, ``top`` pixels below the figure's top."""
    width, height = figure.get_size_inches() * DPI
    left = GAP
    for view in views:
        grey = show_plane(plane, view)
        rows, columns = grey.shape
        box = left, height - top - TITLE - rows, columns, rows
        axes = figure.add_axes(tuple(box / np.tile([width, height], 2)))
        axes.imshow(grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(describe(view, grey), fontsize=9, loc="left")
        axes.axis("off")
        draw_tiles(axes, view, grey)
        # A title needs some room, even if its plane is small.
        left += max(columns, 150) + GAP


def draw_tiles(axes: Axes, view: str, grey: np.ndarray) -> None:
    (parsed,) = Recipe.parse(f"{view}/mean").views
    if not isinstance(parsed, Tiles) or max(grey.shape) <= parsed.side:
        return
    # Tiles of the pixel positions, which give the corner of each tile.
    positions = np.indices(grey.shape)
    for rows, columns in zip(parsed.cut(positions[0]), parsed.cut(positions[1])):
        corner = columns.min() - 0.5, rows.min() - 0.5
        border = Rectangle(corner, *rows.shape, fill=False, color=get_color(1))
        axes.add_patch(border)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("--center", help="ROW,COLUMN of a cell (default: a bright one)")
    parser.add_argument("--output", type=Path, default=Path("docs/views.png"))
    options = parser.parse_args()
    plane = read_plane(options.image) if options.image else simulate_field()
    if options.center:
        center = tuple(int(number) for number in options.center.split(","))
    else:
        center = find_bright_cell(plane)
    cell = crop_square(plane, center, CROP)
    field_views = [show_plane(plane, view) for view in FIELD_VIEWS]
    width = sum(grey.shape[1] + GAP for grey in field_views) + GAP
    tallest = max(grey.shape[0] for grey in field_views)
    height = tallest + 224 + 2 * TITLE + 3 * GAP
    figure = Figure((width / DPI, height / DPI), dpi=DPI)
    draw_row(figure, 0, plane, FIELD_VIEWS)
    draw_row(figure, TITLE + tallest + GAP, cell, CELL_VIEWS)
    figure.savefig(options.output)
    print(f"Written: {options.output}")


if __name__ == "__main__":
    main()
