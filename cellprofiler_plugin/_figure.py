"""The figure of MeasureStratoFeatures: what the network has seen, and what it made of it."""

import numpy as np

from stratonet.preprocessing import to_grey

CROPS = 36


def pictures(net, kind, names, count, cut, features):
    """What `draw` needs, small enough to be sent from a worker to the window.

    Parameters
    ----------
    net : stratonet.StratoNet
    kind : str
        ``Image`` or the name of the objects.
    names : list of str
        Of the images.
    count : int
        Rows of ``features``.
    cut : callable
        Makes the crop from an image's name and a row.
    features : numpy.ndarray (count, images x features)

    Returns
    -------
    list of tuple
        One an image: kind, name, the first crops as the network sees them, all features.
    """
    result = []
    for name, values in zip(names, np.split(features, len(names), axis=1)):
        crops = [cut(name, row) for row in range(min(count, CROPS))]
        result.append((kind, name, [to_grey(pixels, net.card) for pixels in crops if pixels is not None], values))
    return result


def draw(figure, shown, taps):
    """Draw into a CellProfiler figure: above what the network has seen, below the features, a column an image."""
    figure.set_subplots((len(shown), 2))
    for column, (kind, name, greys, values) in enumerate(shown):
        picture, chart = figure.subplot(column, 0), figure.subplot(column, 1)
        picture.set_axis_off()
        if greys:
            picture.imshow(_tiled(greys), "gray", vmin=0, vmax=1)
        if kind == "Image":
            picture.set_title(f"{name}\nas the network sees it", fontsize=8)
            chart.set_title(f"{values.shape[1]:,} features", fontsize=8)
            _profile(chart, values[0], taps)
        else:
            picture.set_title(f"{name}\n{len(greys)} of {len(values)} {kind}", fontsize=8)
            chart.set_title("red: above the mean\nblue: below", fontsize=8)
            _differences(chart, values, taps)
        edges = _edges(taps)
        chart.set_xticks((edges[:-1] + edges[1:]) / 2)
        chart.set_xticklabels([tap.label for tap in taps])
        chart.tick_params(labelsize=7)


def _tiled(greys):
    side = int(np.ceil(np.sqrt(len(greys))))
    tiles = greys + [np.ones_like(greys[0])] * (-len(greys) % side)
    return np.vstack([np.hstack(tiles[start : start + side]) for start in range(0, len(tiles), side)])


def _edges(taps):
    return np.cumsum([0] + [tap.width for tap in taps])


def _profile(chart, values, taps):
    edges = _edges(taps)
    for start, stop in zip(edges, edges[1:]):
        chart.plot(np.arange(start, stop), values[start:stop], linewidth=0.5)
    chart.set_xlim(0, edges[-1])
    chart.set_ylabel("mean activation", fontsize=8)


def _differences(chart, values, taps):
    if not len(values):
        return
    spread = np.nanstd(values, axis=0)
    scores = (values - np.nanmean(values, axis=0)) / np.where(spread > 0, spread, 1)
    extent = (0, values.shape[1], len(values) + 0.5, 0.5)
    chart.imshow(scores, "RdBu_r", vmin=-3, vmax=3, aspect="auto", interpolation="nearest", extent=extent)
    for edge in _edges(taps)[1:-1]:
        chart.axvline(edge, color="black", linewidth=1)
    chart.yaxis.get_major_locator().set_params(integer=True)
    chart.set_ylabel("object number", fontsize=8)
