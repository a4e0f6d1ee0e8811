"""Small labelled images and a small network, for the tests of fine-tuning."""

import numpy as np
import pandas as pd
from PIL import Image

SIDE = 24


def draw_cell(period, rng):
    """A plane of stripes of some period, at any angle, with noise."""
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[:SIDE, :SIDE]
    phase = 2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period
    plane = 120 + 40 * np.sin(phase + rng.uniform(0, 6)) + rng.normal(0, 25, x.shape)
    return plane.clip(0, 255).astype(np.uint8)


def write_assay(folder, periods, plates=6, each=3, name="stripes", channels=("",)):
    """Write images and their table: ``each`` of each class on each plate."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for plate in range(plates):
        for label, period in periods.items():
            for number in range(each):
                row = {"plate": f"P{plate}", "well": f"{label}{number:02d}"}
                for channel in channels:
                    file = f"images/{name}{channel}{plate}{label}{number}.png"
                    Image.fromarray(draw_cell(period, rng)).save(folder / file)
                    row[f"file{channel}"] = file
                rows.append({**row, "kind": label})
    pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    return folder / f"{name}.csv"
