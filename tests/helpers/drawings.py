"""What is held against every figure, for the tests of figures."""

import io
from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

# Names of feature tables that do not fit into a figure as they are.
LONG_NAMES = [
    f"StratoNet50 of low and high taps, version {number} of 2024" for number in range(6)
]


def assert_readable(figure):
    """No wider than a report, no text cut off, titles and ticks beside each other."""
    file = io.BytesIO()
    # Drawn once, as the report does it: then all is where it is in the file.
    FigureCanvasAgg(figure).print_png(file)
    with Image.open(file) as image:
        assert image.format == "PNG" and image.width <= 1120
    panels = [axes for one in figure.axes for axes in (one, *one.child_axes)]
    assert all(min(axes.bbox.size) > 5 for axes in panels)
    axes_of = [axis for axes in panels for axis in (axes.xaxis, axes.yaxis)]
    marks = {
        text
        for axis in axes_of
        for tick in axis.majorTicks + axis.minorTicks
        for text in (tick.label1, tick.label2)
    }
    others = [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text() and text not in marks
    ]
    ticks = [_shown(axis) for axis in axes_of if axis.axes.axison]
    boxes = {text: text.get_window_extent() for text in (*others, *sum(ticks, []))}
    for text, box in boxes.items():
        inside = (
            box.x0 > -1
            and box.y0 > -1
            and box.x1 < figure.bbox.x1 + 1
            and box.y1 < figure.bbox.y1 + 1
        )
        assert inside, f"{text.get_text()!r} is cut off: {box} of {figure.bbox}"
    titles = {
        figure._suptitle,
        *(
            one
            for axes in panels
            for one in (axes.title, axes._left_title, axes._right_title)
        ),
    }
    for texts in ([text for text in others if text in titles], *ticks):
        for first, second in combinations(texts, 2):
            # Half a pixel is the rounding of text.
            overlap = boxes[first].padded(-0.5).overlaps(boxes[second].padded(-0.5))
            assert not overlap, f"{first.get_text()!r} lies over {second.get_text()!r}"


def tick_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def _shown(axis):
    low, high = sorted(axis.get_view_interval())
    labels = [
        tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high
    ]
    return [label for label in labels if label.get_visible() and label.get_text()]
