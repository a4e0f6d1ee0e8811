"""A small report to look at in a browser."""

import io
import shutil
from itertools import product

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stratonet.drawing import new_figure
from stratonet_sklearn.report.page import write_page
from stratonet_sklearn.report.section import (
    Answer,
    Content,
    Paragraph,
    Plot,
    Table,
    Wells,
)

TREATMENTS = ("DMSO (negative control)", "taxol 1", "taxol 10", "<b>odd</b> & 2")


def launch(playwright):
    """Chromium as Debian has it; the tests skip where there is none."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("There is no chromium: apt-get install chromium")
    # The tests may be run by root, in a container.
    return playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])


def list_wells(n_rows=8, n_columns=12, plates=("P1",)):
    places = product(plates, range(n_rows), range(n_columns))
    frame = pd.DataFrame(places, columns=["plate", "row", "column"])
    letters = frame["row"].map(lambda row: "ABCDEFGHIJKLMNOP"[row])
    frame["well"] = letters + (frame["column"] + 1).map("{:02d}".format)
    frame["treatment"] = [TREATMENTS[column % 4] for column in frame["column"]]
    frame["negative"] = frame["column"] % 4 == 0
    return frame


def draw_picture(number, side=16):
    pixels = np.full((side, side, 3), (number % 250, 80, 160), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def draw_figure(title):
    figure = new_figure(title, 3)
    figure.subplots().plot([0, 1], [0, 1])
    return figure


def make_contents(frame, pictures):
    keys = frame[["plate", "well"]]
    rng = np.random.default_rng(0)
    votes = keys.assign(
        **{"true class": frame["treatment"], "votes": rng.random(len(frame))}
    )
    points = pd.concat(
        [
            keys.assign(
                panel=panel, x=rng.normal(size=len(keys)), y=rng.random(len(keys))
            )
            for panel in ("Deep", "Measured")
        ],
        ignore_index=True,
    )
    hits = pd.DataFrame(
        {
            "Treatment": ["taxol 10", "taxol 1", "<b>odd</b> & 2"],
            "p": ["0.02", "1e-3", "none"],
            "n": ["1,200", "9", "30"],
        }
    )
    # The last has no picture, and no control.
    pictured = pd.DataFrame(
        {"plate": "P1", "well": ["A03", "A02", "H12"], "control": ["A01", "A01", None]}
    )
    return [
        Content("Answer", [Answer("The assay works.")]),
        Content("Hits", [Table(hits, "Three treatments.", pictured)]),
        Content("Plates", [Plot("plates", draw_figure("Plates."), "A.", wells=votes)]),
        Content("Map", [Plot("map", draw_figure("A map."), "B.", wells=points)]),
        Content(
            "Others", [Plot("other", draw_figure("Another."), "C."), Paragraph("D.")]
        ),
        Content("The wells", [Wells(frame, pictures, "DNA is green.")]),
    ]


def write_small_page(folder):
    frame = list_wells()
    keys = zip(frame["plate"], frame["well"])
    pictures = {key: draw_picture(number) for number, key in enumerate(keys)}
    # Of one well there is no picture.
    del pictures["P1", "H12"]
    return write_page(folder, "A report", make_contents(frame, pictures))
