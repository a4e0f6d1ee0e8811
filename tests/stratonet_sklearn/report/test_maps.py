"""Maps: every row looks like what it is, and all of it can be read."""

import numpy as np
import pytest
from drawings import LONG_NAMES, assert_readable
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex

from stratonet_sklearn.report.maps import draw_maps


def scattered(n, n_classes, n_plates, n_sets):
    rng = np.random.default_rng(0)
    places = {name: rng.normal(size=(n, 2)) for name in LONG_NAMES[:n_sets]}
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "n_classes", "n_plates", "n_sets"), [(40, 2, 1, 1), (1500, 20, 400, 6)]
)
def test_maps_colour_each_row_by_what_it_is(n, n_classes, n_plates, n_sets):
    places, labels, plates, wells = scattered(n, n_classes, n_plates, n_sets)
    figure = draw_maps(places, labels, plates, wells)
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
    figure = draw_maps(places, [""] * 30, plates, ["well 1", *wells[1:]])
    assert_readable(figure)
    assert [axes.get_title() for axes in figure.axes[:1]] == ["by plate"] and len(
        figure.axes
    ) == 2
    assert "Positions are not shown" in figure._suptitle.get_text()
    some = (
        draw_maps(places, ["", *labels[1:]], plates, wells)
        .axes[3]
        .get_legend()
        .get_texts()
    )
    assert some[0].get_text() == "no class" and len(some) == 3
