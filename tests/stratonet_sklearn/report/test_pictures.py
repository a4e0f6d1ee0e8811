"""Pictures of typical and misclassified wells."""

import numpy as np
import pytest
from drawings import assert_readable

from stratonet_sklearn.report.pictures import (
    ClassPictures,
    Picture,
    draw_pictures,
)


def fill(number):
    return np.full((30, 40, 3), number, np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("n_classes", [2, 20])
def test_each_class_has_its_row(n_classes):
    name = "inhibitor of the polymerization of tubulin {}"
    rows = [
        ClassPictures(
            name.format(one),
            typical=[
                Picture(fill(10 * one + n), [f"BR00117035 A0{n} site 1"])
                for n in range(3)
            ],
            misclassified=[
                Picture(
                    fill(10 * one + 5 + n),
                    [f"BR00117035 B0{n} site 1", name.format(0)],
                )
                for n in range(one % 4)
            ],
        )
        for one in range(n_classes)
    ]
    figure = draw_pictures(rows)
    assert_readable(figure)
    grid = np.array(figure.axes).reshape(n_classes, -1)
    assert grid.shape[1] == 6
    for one, panels in enumerate(grid):
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
