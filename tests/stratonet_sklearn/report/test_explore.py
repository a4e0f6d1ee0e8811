"""What the page's scripts are given: valid, small, and nothing that ends a script."""

import base64
import gzip
import json

import numpy as np
import pandas as pd
import pytest
from browser_pages import draw_figure

from stratonet_sklearn.report.checks import check_section
from stratonet_sklearn.report.explore import list_figures, pack_library, write_data
from stratonet_sklearn.report.section import Content, Plot, Wells

WELLS = pd.DataFrame(
    {
        "plate": ["P", "P"],
        "well": ["A01", "H12"],
        "treatment": ["", "</script><script>alert(1)</script>"],
        "negative": [True, False],
    }
)
PLACED = WELLS[["plate", "well"]].assign(axis=[np.nan, 1 / 3])


def make_plot(wells, shown=True):
    return Plot("plot", draw_figure("A title."), "A caption.", shown, wells)


@pytest.mark.parametrize(
    ("wells", "shown", "is_explored"),
    [
        (PLACED, True, True),
        (PLACED, False, False),  # in the folder only
        (None, True, False),
        (PLACED[:1], True, False),  # one dot
        (PLACED[:0], True, False),
        (PLACED.assign(well=["A01", "well 7"]), True, False),  # no place on a plate
        (PLACED.assign(well="well 7", x=0.0, y=[1, 2]), True, True),
    ],
)
def test_figures_with_places_can_be_explored(wells, shown, is_explored):
    plot = make_plot(wells, shown)
    assert list_figures([plot]) == ([plot] if is_explored else [])


def test_what_is_written_can_be_read():
    other = pd.DataFrame({"plate": ["Q"], "well": ["B02"], "axis": [123456.0]})
    plot = make_plot(pd.concat([PLACED, other]))
    text = write_data([plot], Wells(WELLS, {}, "DNA is green."))
    assert "<" not in text
    read = json.loads(text)
    assert read["wells"] == WELLS.to_dict("list") and read["key"] == "DNA is green."
    assert read["figures"]["plot"] == {
        # A well that the page does not list has its name in place of a number.
        "well": [0, 1, ["Q", "B02"]],
        "colors": {"axis": [None, 0.3333, 123500.0]},
        "x": [0, 11, 1],
        "y": [0, 7, 1],
        "shape": [8, 12],
    }


def test_texts_and_missing_ones_are_texts():
    wells = PLACED.assign(axis=["yes", None], x=[0, np.inf], y=[1, 2], panel=[1, 2])
    text = write_data([make_plot(wells)], Wells(WELLS, {}, ""))
    figure = json.loads(text)["figures"]["plot"]
    assert figure["colors"] == {"axis": ["yes", ""]} and figure["panel"] == ["1", "2"]
    assert figure["x"] == [0, None] and "shape" not in figure


def test_axes_and_colors_mean_what_the_picture_says():
    plot = Plot(
        "plot",
        draw_figure("A title."),
        "A caption.",
        wells=PLACED.assign(x=[1, 2], y=[3, 4]),
        labels=("distance", "mAP"),
        scale=(-0.5, 1.5),
    )
    text = write_data([plot], Wells(WELLS, {}, ""))
    figure = json.loads(text)["figures"]["plot"]
    assert figure["labels"] == ["distance", "mAP"] and figure["scale"] == [-0.5, 1.5]


@pytest.mark.slow
def test_the_library_is_that_of_plotly():
    from plotly.offline import get_plotlyjs

    packed = pack_library()
    assert gzip.decompress(base64.b64decode(packed)).decode() == get_plotlyjs()
    assert len(packed) < 2_500_000 and packed == pack_library()


@pytest.mark.parametrize(
    ("wells", "message"),
    [
        (PLACED.drop(columns="well"), "no plate or name"),
        (PLACED.assign(x=1.0), "x and y go together"),
    ],
)
@pytest.mark.slow
def test_wells_of_figures_keep_the_contract(wells, message):
    with pytest.raises(AssertionError, match=message):
        check_section(lambda data: Content("Title", [make_plot(wells)]))
