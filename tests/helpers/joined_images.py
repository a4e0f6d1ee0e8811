"""Image sets whose tables are joined, and whether a joined row is the right one.

Nuclei, and cells that have other numbers than their nuclei. Without CellProfiler, which
measures them in `joined_run`.
"""

import numpy as np
import tifffile

from stratonet import StratoNet
from stratonet.crops import crop_square
from stratonet.tables import feature_columns

SIZE, RECIPE = 32, "tiles224/mean+sd"
# Five nuclei here, four there: numbers alone would not tell image sets apart.
CENTERS = [(20, 24), (20, 72), (60, 24), (60, 72), (60, 110)]
N_OBJECTS = {"A01": 5, "A02": 4}


def draw_squares(centers, reach, numbers):
    labels = np.zeros((96, 128), np.uint8)
    for (row, column), number in zip(centers, numbers):
        rows = slice(row - reach, row + reach + 1)
        labels[rows, column - reach : column + reach + 1] = number
    return labels


def draw_planes():
    """The plane of each well, the same each time."""
    rng = np.random.default_rng(5)
    shape = (96, 128)
    return {well: rng.integers(100, 4000, shape, np.uint16) for well in N_OBJECTS}


def write_images(folder):
    """Write the images, and return LoadData's columns of them."""
    rows = []
    for well, plane in draw_planes().items():
        centers = CENTERS[: N_OBJECTS[well]]
        numbers = range(1, len(centers) + 1)
        # Cells have the numbers of their nuclei the other way round.
        nuclei = draw_squares(centers, 6, numbers)
        cells = draw_squares(centers, 11, reversed(numbers))
        target = folder / well
        target.mkdir()
        row = {"Metadata_Plate": "P1", "Metadata_Well": well}
        for kind, name, pixels in (
            ("", "DNA", plane),
            ("Objects", "Nuclei", nuclei),
            ("Objects", "Cells", cells),
        ):
            tifffile.imwrite(target / f"{name}.tif", pixels)
            row[f"{kind}FileName_{name}"] = f"{name}.tif"
            row[f"{kind}PathName_{name}"] = str(target)
        rows.append(row)
    return rows


def check_rows(table, image, x, y):
    """The features of each row are those of the square around its centre.

    ``image``, ``x`` and ``y`` are columns of the other table: the number of the image
    set, and the centre of the nucleus.
    """
    assert len(table) == sum(N_OBJECTS.values())
    net = StratoNet.load(taps="low", recipe=RECIPE, crop=SIZE)
    planes = dict(enumerate(draw_planes().values(), start=1))
    squares = []
    for number, column, row in table[[image, x, y]].itertuples(index=False):
        squares.append(crop_square(planes[number], (row, column), SIZE))
    expected = net.features(squares)
    assert len(np.unique(expected[:, 0])) == len(table)
    measured = table[feature_columns(table)].to_numpy()
    np.testing.assert_allclose(measured, expected, rtol=1e-5, atol=1e-6)
