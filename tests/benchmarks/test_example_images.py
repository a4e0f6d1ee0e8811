"""The example images that ship are those that the program draws."""

from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "cellprofiler_plugin" / "plugins" / "example_images"


def test_the_images_are_drawn_by_the_program(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import_module("example_images").write_example_images(tmp_path)
    drawn = {path.name: np.array(Image.open(path)) for path in tmp_path.iterdir()}
    assert set(drawn) == {path.name for path in SHIPPED.iterdir()}
    for name, pixels in drawn.items():
        np.testing.assert_array_equal(pixels, np.array(Image.open(SHIPPED / name)))
