"""Maps of plates: every well is in its place, and all of it can be read."""

import numpy as np
import pandas as pd
import pytest
from drawings import assert_readable, tick_labels

from stratonet_sklearn.report.plates import draw_plates


def votes(plates, names, shape, seed=0):
    """Some wells of each plate have a value; the last always has."""
    rng = np.random.default_rng(seed)
    letters = [*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", *(f"A{one}" for one in "ABCDEF")]
    wells = [
        f"{letters[row]}{column + 1:02d}"
        for row in range(shape[0])
        for column in range(shape[1])
    ]
    frame = pd.DataFrame(
        [(p, w, n) for p in plates for n in names for w in wells],
        columns=["plate", "well", "name"],
    )
    frame["value"] = rng.random(len(frame))
    kept = (rng.random(len(frame)) < 0.8) | (frame.well == wells[-1])
    return frame[kept].reset_index(drop=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plates", "n_names", "shape", "last"),
    [
        (["P1"], 1, (8, 12), "H"),
        (["P1", "P2", "P3"], 4, (16, 24), "P"),
        (["plate " * 8], 12, (32, 48), "AF"),
    ],
)
def test_plates_show_each_well_in_its_place(plates, n_names, shape, last):
    names = [
        f"inhibitor of the polymerization of {number:02d}" for number in range(n_names)
    ]
    frame = votes(plates, names, shape)
    figure = draw_plates(frame)
    assert_readable(figure)
    panels = [axes for axes in figure.axes if axes.images and axes.get_title()]
    assert len(panels) == len(plates) * n_names
    for axes, (plate, name) in zip(panels, [(p, n) for p in plates for n in names]):
        image = axes.images[0].get_array()
        rows = (
            frame[(frame.plate == plate) & (frame.name == name)].set_index("well").value
        )
        assert image.shape == shape and (~np.ma.getmaskarray(image)).sum() == len(rows)
        assert image[shape[0] - 1, shape[1] - 1] == rows[f"{last}{shape[1]}"]
        for well in rows.index[:20]:  # of row A
            if well.startswith("A0"):
                assert image[0, int(well[1:]) - 1] == rows[well]
        assert axes.patch.get_hatch() and axes.get_title().endswith(name[-2:])
        assert tick_labels(axes.yaxis)[0] == "A" and tick_labels(axes.xaxis)[0] == "1"
    limits = {axes.images[0].get_clim() for axes in panels}
    assert limits == {(frame.value.min(), frame.value.max())}


def test_true_classes_are_beside_the_votes():
    frame = votes(["P1", "P2"], ["a", "b"], (8, 12))
    layout = frame.drop_duplicates(["plate", "well"])[["plate", "well"]]
    layout = layout.assign(name=np.where(layout.well < "D", "a", "b"))
    figure = draw_plates(frame, layout)
    assert_readable(figure)
    panels = [axes for axes in figure.axes if axes.images and axes.get_title()]
    titles = [axes.get_title() for axes in panels]
    assert titles == [
        *("P1: true classes", "P1: a", "P1: b"),
        *("P2: true classes", "P2: a", "P2: b"),
    ]
    for axes, plate in zip(panels[::3], ["P1", "P2"]):
        assert axes.images[0].get_array().count() == 0
        drawn = [points.get_offsets().data for points in axes.collections]
        of_plate = layout[layout.plate == plate]
        assert [len(xy) for xy in drawn] == of_plate.name.value_counts(sort=False)[
            ["a", "b"]
        ].tolist()
        assert drawn[0][:, 1].max() == 2 and drawn[1][:, 1].min() == 3  # rows C and D
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_rows_after_z():
    figure = draw_plates(
        pd.DataFrame(
            {"plate": "P", "well": ["Z01", "AA02"], "name": "a", "value": [0.25, 0.5]}
        )
    )
    image = figure.axes[0].images[0].get_array()
    assert (
        image.shape == (32, 48)
        and image[25, 0] == 0.25
        and image[26, 1] == 0.5
        and image.count() == 2
    )
    figure.canvas.draw()
    assert tick_labels(figure.axes[0].yaxis) == [
        "A",
        "E",
        "I",
        "M",
        "Q",
        "U",
        "Y",
        "AC",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"well": "A00"}, "A01 to AF48. Received: 'A00'"),
        ({"well": "AG01"}, "Received: 'AG01'"),
        ({"well": "A49"}, "Received: 'A49'"),
        ({"well": "well 7"}, "Received: 'well 7'"),
        ({"well": "A01"}, "Received twice: A01"),
        ({"name": "b"}, None),
    ],
)
def test_wells_that_have_no_place(change, message):
    frame = pd.DataFrame(
        {"plate": "P", "well": ["A01", "A02"], "name": "a", "value": [0.25, 0.5]}
    )
    for name, value in change.items():
        frame.loc[1, name] = value
    if message is None:
        assert_readable(draw_plates(frame))
    else:
        with pytest.raises(ValueError, match=message):
            draw_plates(frame)


def test_too_many_plates():
    with pytest.raises(ValueError, match="1 to 12 panels.*Received: 13"):
        draw_plates(votes([f"P{number}" for number in range(13)], ["a"], (8, 12)))
