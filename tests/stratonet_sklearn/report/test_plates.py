"""Figures of plates and wells: every well in its place, and all of it can be read."""

import numpy as np
import pandas as pd
import pytest
from drawings import assert_readable, tick_labels
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex

from stratonet_sklearn.report.plates import maps, plate_maps, thumbnails

LONG = [
    f"StratoNet50 of low and high taps, version {number} of 2024" for number in range(6)
]


def scattered(n, n_classes, n_plates, n_sets):
    rng = np.random.default_rng(0)
    places = {name: rng.normal(size=(n, 2)) for name in LONG[:n_sets]}
    labels = [
        f"inhibitor of the polymerization of {number:02d}"
        for number in rng.integers(n_classes, size=n)
    ]
    plates = [f"BR{number:08d}" for number in rng.integers(n_plates, size=n)]
    wells = [
        f"{row}{column:02d}"
        for row, column in zip(rng.choice([*"ABCDEFGH"], n), rng.integers(1, 13, n))
    ]
    return places, labels, plates, wells


@pytest.mark.parametrize(
    ("n", "n_classes", "n_plates", "n_sets"), [(40, 2, 1, 1), (1500, 20, 400, 6)]
)
def test_maps_colour_each_row_by_what_it_is(n, n_classes, n_plates, n_sets):
    places, labels, plates, wells = scattered(n, n_classes, n_plates, n_sets)
    figure = maps(places, labels, plates, wells)
    assert_readable(figure)
    panels = np.array(figure.axes[: 3 * (n_sets + 1)]).reshape(n_sets + 1, 3)
    for row, xy in zip(panels, places.values()):
        drawn = [axes.findobj(PathCollection)[0] for axes in row]
        # Rows are drawn in an order of their own: found again by their place.
        number = {tuple(one): index for index, one in enumerate(xy)}
        for points, values, distinct in zip(
            drawn, (labels, plates, wells), (n_classes, n_plates, None)
        ):
            order = [number[tuple(one)] for one in points.get_offsets()]
            assert sorted(order) == list(range(n))
            looks = {}
            for index, colour, path in zip(
                order, points.get_facecolors(), np.resize(points.get_paths(), n)
            ):
                looks.setdefault(values[index], set()).add(
                    (to_hex(colour), len(path.vertices))
                )
            assert all(len(one) == 1 for one in looks.values())
            if distinct and distinct <= 20:
                assert (
                    len({next(iter(one)) for one in looks.values()}) > len(looks) // 2
                )
    legend = panels[-1, 0].get_legend().get_texts()
    assert [text.get_text()[-2:] for text in legend] == sorted(
        {label[-2:] for label in labels}
    )
    key = panels[-1, 2].images[0].get_array()
    assert (
        key.shape == (8, 12, 3)
        and len({to_hex(colour) for row in key for colour in row}) == 96
    )
    index = [number[tuple(one)] for one in drawn[2].get_offsets()].index(0)
    well = wells[0]
    expected = key["ABCDEFGH".index(well[0]), int(well[1:]) - 1]
    assert drawn[2].get_facecolors()[index][:3] == pytest.approx(expected)


def test_maps_leave_out_what_is_not_known():
    places, labels, plates, wells = scattered(30, 2, 2, 1)
    figure = maps(places, [""] * 30, plates, ["well 1", *wells[1:]])
    assert_readable(figure)
    assert [axes.get_title() for axes in figure.axes[:1]] == ["by plate"] and len(
        figure.axes
    ) == 2
    assert "position is not shown" in figure._suptitle.get_text()
    some = (
        maps(places, ["", *labels[1:]], plates, wells).axes[3].get_legend().get_texts()
    )
    assert some[0].get_text() == "no class" and len(some) == 3


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
    figure = plate_maps(frame)
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


def test_rows_after_z():
    figure = plate_maps(
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
        assert_readable(plate_maps(frame))
    else:
        with pytest.raises(ValueError, match=message):
            plate_maps(frame)


def test_too_many_plates():
    with pytest.raises(ValueError, match="1 to 12 panels.*Received: 13"):
        plate_maps(votes([f"P{number}" for number in range(13)], ["a"], (8, 12)))


def picture(number):
    return np.full((30, 40, 3), number, np.uint8)


@pytest.mark.parametrize("n_classes", [2, 20])
def test_thumbnails(n_classes):
    name = "inhibitor of the polymerization of tubulin {}"
    rows = [
        {
            "title": name.format(one),
            "typical": [
                (picture(10 * one + n), f"BR00117035 A0{n} site 1") for n in range(3)
            ],
            "mistaken": [
                (
                    picture(10 * one + 5 + n),
                    f"BR00117035 B0{n} site 1: {name.format(0)}",
                )
                for n in range(one % 4)
            ],
        }
        for one in range(n_classes)
    ]
    figure = thumbnails(rows)
    assert_readable(figure)
    grid = np.array(figure.axes).reshape(n_classes, -1)
    assert grid.shape[1] == 6
    for one, (panels, row) in enumerate(zip(grid, rows)):
        pictures = [
            axes.images[0].get_array()[0, 0, 0] if axes.images else None
            for axes in panels
        ]
        mistaken = [10 * one + 5 + n for n in range(one % 4)]
        assert pictures == [
            *(10 * one + n for n in range(3)),
            *mistaken,
            *[None] * (3 - len(mistaken)),
        ]
        said = [text.get_text() for text in panels[3].texts]
        assert said == ([] if mistaken else ["none"])
        assert panels[1].get_xlabel() == "BR00117035 A01 site 1"
        if mistaken:
            assert (
                panels[3].get_xlabel().startswith("BR00117035 B00 site 1\ninhibitor of")
            )
    heights = {round(axes.bbox.height / axes.bbox.width, 2) for axes in grid.ravel()}
    assert heights == {0.75}
