"""The figure of MeasureStratoFeatures: what the network has seen, and which image set or object is unlike the others.

How unlike: 1 - the Pearson correlation of its features at one tap with their median
over all. `pictures` runs where images are measured, in a worker; `draw` runs in the
window.
"""

import textwrap

import numpy as np
from PIL import Image

from stratonet.crops import blank_outside
from stratonet.preprocessing import to_grey

SET_SIDE, CROP_SIDE = 224, 96  # of what is sent to the window, in pixels
EXAMPLES = 3
REMEMBERED = 200
# Okabe and Ito's colours, which colour-blind people tell apart; the marks differ too.
ODD, TYPICAL, OTHERS = "#D55E00", "#0072B2", "#999999"


def unlikeness(features, taps):
    """How unlike the median each row is, tap by tap.

    Parameters
    ----------
    features : numpy.ndarray (n, width of the taps)
    taps : sequence of stratonet.card.Tap

    Returns
    -------
    numpy.ndarray (n, taps), float
        0 where the features go up and down with the median; NaN for rows of NaN.
    """
    edges = np.cumsum([tap.width for tap in taps])[:-1]
    result = np.full((len(features), len(taps)), np.nan)
    measured = np.isfinite(features).all(axis=1)
    if measured.any():
        for tap, values in enumerate(
            np.split(features[measured].astype(float), edges, axis=1)
        ):
            values = np.vstack([np.median(values, axis=0), values])
            values -= values.mean(axis=1, keepdims=True)
            values /= np.maximum(
                np.linalg.norm(values, axis=1, keepdims=True), np.finfo(float).tiny
            )
            result[measured, tap] = 1 - values[1:] @ values[0]
    return result


def _by_image(features, taps):
    """`unlikeness` of features (n, images, width): (n, images, taps)."""
    return np.stack(
        [unlikeness(values, taps) for values in np.moveaxis(features, 1, 0)], axis=1
    )


def pictures(net, planes, size, found):
    """What `draw` needs: arrays, lists and names, as CellProfiler sends them from a worker to the window.

    Parameters
    ----------
    net : stratonet.StratoNet
    planes : dict of str to (numpy.ndarray, numpy.ndarray)
        Pixels and mask of each image.
    size : int
        Side of the crops of objects.
    found : dict of str to (numpy.ndarray, numpy.ndarray, callable)
        By ``Image`` or name of objects: features (n, images x width); row and column of
        each centre (n, 2); what makes the crop from an image's name and a row.

    Returns
    -------
    dict
    """
    shown = {"planes": [], "size": size, "features": None, "objects": []}
    for name, (pixels, mask) in planes.items():
        shown["planes"].append(
            (
                name,
                pixels.shape,
                _small(blank_outside(pixels, mask), SET_SIDE, net.card),
            )
        )
    for kind, (features, middle, cut) in found.items():
        features = features.reshape(len(features), len(planes), net.width)
        if kind == "Image":
            shown["features"] = features[0]
            continue
        unlike = _by_image(features, net.taps)
        score = unlike.mean(axis=(1, 2))
        order = np.argsort(score)[: np.isfinite(score).sum()]
        typical, odd = order[:EXAMPLES], order[EXAMPLES:][: -EXAMPLES - 1 : -1]
        crops = [
            [_small(cut(name, row), CROP_SIDE, net.card) for row in (*typical, *odd)]
            for name in planes
        ]
        shown["objects"].append((kind, unlike, np.asarray(middle), typical, odd, crops))
    return shown


def _small(pixels, side, card):
    if pixels is None:
        return None
    grey = Image.fromarray(np.uint8(np.round(to_grey(pixels, card) * 255)))
    return np.asarray(grey.resize((side, side), Image.BILINEAR))


def draw(figure, shown, taps, run, number):
    """Draw into a CellProfiler figure: a column an image; planes, then how unlike the others each is, then crops.

    Parameters
    ----------
    figure : cellprofiler.gui.figure.Figure
        Remembers the image sets of this run, for as long as its window is open.
    shown : dict
        From `pictures`.
    taps : sequence of stratonet.card.Tap
    run : object
        What image sets have to share to be compared.
    number : int
        Of the image set.
    """
    numbers, features = _remembered(figure, run, number, shown["features"])
    images = shown["planes"]
    figure.set_subplots(
        (len(images), 1 + (features is not None) + 2 * len(shown["objects"]))
    )
    columns = range(len(images))
    top = [figure.subplot(column, 0) for column in columns]
    for axes, (name, shape, grey) in zip(top, images):
        axes.set_title(textwrap.fill(name, max(12, 80 // len(images))), fontsize=8)
        _picture(axes, grey, shape)
    row = 1
    if features is not None:
        unlike = _by_image(features, taps)
        for column in columns:
            chart = figure.subplot(column, row)
            chart.set_title(f"image set {number}", fontsize=8, color=ODD)
            if len(numbers) == 1:
                chart.set_axis_off()
                if (
                    column == 0
                ):  # over all columns, so the layout is not to make room for it in the first
                    chart.text(
                        0, 0.5, "Go on to the next image set to compare.", fontsize=8
                    ).set_in_layout(False)
            else:
                _strips(
                    chart, unlike, column, numbers, [], [numbers.index(number)], taps
                )
        row += 1
    for kind, unlike, middle, typical, odd, crops in shown["objects"]:
        for column in columns:
            chart, tiles = figure.subplot(column, row), figure.subplot(column, row + 1)
            chart.set_title(f"{len(unlike):,} {kind}", fontsize=8)
            _squares(top[column], middle, typical, odd, shown["size"])
            _strips(
                chart, unlike, column, range(1, len(unlike) + 1), typical, odd, taps
            )
            _tiles(tiles, crops[column], typical, odd, column)
        row += 2


def _remembered(figure, run, number, features):
    """Numbers of the image sets so far, and their features (n, images, width), with this one."""
    if features is None:
        return [], None
    if getattr(figure, "strato_run", None) != run:
        figure.strato_run, figure.strato_features = run, {}
    figure.strato_features.pop(number, None)
    figure.strato_features[number] = features
    for oldest in list(figure.strato_features)[:-REMEMBERED]:
        del figure.strato_features[oldest]
    numbers = sorted(figure.strato_features)
    return numbers, np.stack([figure.strato_features[one] for one in numbers])


def _picture(axes, grey, shape):
    axes.set_axis_off()
    if grey is None:
        axes.text(0.5, 0.5, "no pixel to measure", ha="center", va="center", fontsize=8)
    else:
        axes.imshow(
            grey,
            "gray",
            vmin=0,
            vmax=255,
            extent=(-0.5, shape[1] - 0.5, shape[0] - 0.5, -0.5),
        )


def _squares(axes, middle, typical, odd, size):
    axes.plot(middle[:, 1], middle[:, 0], ".", color="#F0E442", markersize=1)
    for rows, color in ((typical, TYPICAL), (odd, ODD)):
        for row in rows:
            top, left = np.round(middle[row]) - size // 2 - 0.5
            _frame(axes, left, top, size, color)
    axes.autoscale(False)


def _frame(axes, left, top, side, color):
    across, down = side * np.array([[0, 1, 1, 0, 0], [0, 0, 1, 1, 0]])
    axes.plot(left + across, top + down, color=color, linewidth=1.2)


def _strips(chart, unlike, column, numbers, typical, odd, taps):
    """A strip of dots for each tap, in the order of the numbers.

    All columns have the same scale.
    """
    values = unlike[:, column]
    offsets = (
        np.linspace(-0.38, 0.38, len(values))
        if len(values) > 1
        else np.zeros(len(values))
    )
    for tap in range(len(taps)):
        chart.plot(
            tap + offsets,
            values[:, tap],
            "o",
            color=OTHERS,
            markersize=3,
            markeredgewidth=0,
        )
        for rows, color, mark in ((typical, TYPICAL, "s"), (odd, ODD, "D")):
            rows = list(rows)
            chart.plot(
                tap + offsets[rows],
                values[rows, tap],
                mark,
                color=color,
                markersize=4,
                markeredgecolor="k",
            )
        if np.isfinite(values[:, tap]).any():
            most = np.nanargmax(values[:, tap])
            place = tap + offsets[most], values[most, tap]
            chart.annotate(
                numbers[most],
                place,
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=7,
            )
    chart.set_xlim(-0.5, len(taps) - 0.5)
    chart.set_ylim(0, 1.25 * max(0.1, np.nanmax(unlike, initial=0)))
    chart.set_xticks(range(len(taps)))
    crowded = len(taps) * unlike.shape[1] > 9
    chart.set_xticklabels(
        [tap.label for tap in taps],
        **(dict(rotation=30, ha="right") if crowded else {}),
    )
    chart.tick_params(labelsize=7, labelleft=column == 0, pad=1)
    if column == 0:
        chart.set_ylabel("unlike the median", fontsize=8)


def _tiles(axes, crops, typical, odd, column):
    """Typical objects above odd ones, each with its number."""
    axes.set_axis_off()
    for down, (what, rows, color) in enumerate(
        (("typical", typical, TYPICAL), ("odd", odd, ODD))
    ):
        if column == 0 and len(rows):
            axes.text(
                -0.1,
                down + 0.5,
                what,
                rotation=90,
                ha="right",
                va="center",
                fontsize=8,
                color=color,
            )
        for across, row in enumerate(rows):
            grey = crops[down * len(typical) + across]
            if grey is not None:
                axes.imshow(
                    grey,
                    "gray",
                    vmin=0,
                    vmax=255,
                    extent=(across, across + 0.95, down + 0.95, down),
                )
            _frame(axes, across, down, 0.95, color)
            box = dict(facecolor=color, pad=0.5, linewidth=0)
            axes.text(
                across + 0.03,
                down + 0.03,
                row + 1,
                va="top",
                fontsize=6,
                color="w",
                bbox=box,
            )
    axes.set_xlim(0, EXAMPLES)
    axes.set_ylim(2, 0)
