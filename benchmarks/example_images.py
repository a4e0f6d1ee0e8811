"""Make the example images of CellProfiler's example pipeline, ``wholeimages.cppipe``.

    python benchmarks/example_images.py cellprofiler_plugin/plugins/example_images

Four wells of a simulated plate (negative controls in A01 and B03, positive ones in A03
and B02), one site each, with the channels DNA and GFP: squares of 96 pixels, 16 bits,
so that they are small enough to come with the package.
"""

import sys
import tempfile
from pathlib import Path

import tifffile
from PIL import Image

from stratonet_sklearn.datasets import simulate_plate

# With default seed and treatment: the plate that `stratonet demo` draws.
WELLS = ("A01", "A03", "B02", "B03")
CHANNELS = ("DNA", "GFP")
SIDE = 96


def write_example_images(folder):
    """Write the images into a folder, which is made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as plate:
        simulate_plate(plate, rows=2, columns=3, sites=1)
        for well in WELLS:
            for channel in CHANNELS:
                name = f"{well}_s1_{channel}"
                plane = tifffile.imread(Path(plate, f"{name}.tif"))
                # The middle, which has cells on all sides.
                start = (plane.shape[0] - SIDE) // 2
                square = plane[start : start + SIDE, start : start + SIDE]
                Image.fromarray(square.copy()).save(folder / f"{name}.png")


if __name__ == "__main__":
    write_example_images(Path(sys.argv[1]))
