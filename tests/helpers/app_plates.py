"""Small plates for the tests of the app, named as an ImageXpress names them."""

import numpy as np
import tifffile

CHANNELS = ("w1", "w2")
# Columns 1 and 2 are controls, the second with an effect.
WELLS = tuple(f"{row}{column:02d}" for column in (1, 2, 3) for row in "ABCD")


def draw_plane(seed, has_effect, side=64):
    """Cells that are round and even, or with an effect striped."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    plane = rng.normal(100, 5, (side, side))
    for _ in range(6):
        row, column = rng.integers(8, side - 8, 2)
        inside = (rows - row) ** 2 + (columns - column) ** 2 < 36
        plane[inside] += 800 * (columns[inside] % 3 == 0 if has_effect else 1)
    return np.clip(plane, 0, 65535).astype(np.uint16)


def write_plate(folder, wells=WELLS, channels=CHANNELS, name="P1"):
    """Write the images of a plate, and return its folder."""
    plate = folder / name
    plate.mkdir(parents=True, exist_ok=True)
    for number, well in enumerate(wells):
        for channel in channels:
            plane = draw_plane([number, int(channel[1:])], well.endswith("02"))
            tifffile.imwrite(plate / f"x_{well}_s1_{channel}.tif", plane)
    return plate
