"""The figure's window is as large as its channels need, and lies on the screen."""

import pytest

from cellprofiler_plugin.window import choose_rectangle

FIRST = (120, 90, 640, 560)


@pytest.mark.parametrize(
    ("columns", "rows", "now", "screen"),
    [
        (5, 4, FIRST, (0, 0, 1920, 1040)),
        (5, 4, FIRST, (0, 0, 1366, 728)),
        (5, 4, (1700, 900, 640, 560), (0, 0, 1920, 1040)),
        (5, 4, (-900, 20, 640, 560), (-1280, 0, 1280, 1024)),
        (1, 1, FIRST, (0, 0, 1920, 1040)),
        (12, 8, FIRST, (0, 0, 1920, 1040)),
        (5, 4, (0, 0, 3000, 2000), (0, 0, 1920, 1040)),
        (2, 2, FIRST, (0, 0, 320, 240)),
    ],
)
def test_a_window_is_enlarged_on_its_screen(columns, rows, now, screen):
    left, top, width, height = choose_rectangle(columns, rows, now, screen)
    assert width <= screen[2] and height <= screen[3]
    assert screen[0] <= left and left + width <= screen[0] + screen[2]
    assert screen[1] <= top and top + height <= screen[1] + screen[3]
    # No smaller than it was, where the screen has room.
    assert width >= min(now[2], screen[2]) and height >= min(now[3], screen[3])
    if columns == 5 and screen[2] > 1200:
        assert (width - 60) / columns >= 200


def test_a_window_with_room_stays_where_it_is():
    assert choose_rectangle(1, 1, FIRST, (0, 0, 1920, 1040)) == FIRST
    left, top, *_ = choose_rectangle(3, 2, FIRST, (0, 0, 1920, 1040))
    assert (left, top) == FIRST[:2]
