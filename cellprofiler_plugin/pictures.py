"""What the figure of MeasureStratoFeatures shows of an image set.

How unlike the others an image set or object is: 1 - the Pearson correlation of its
features at one tap with their median over all. `make_pictures` runs where images are
measured, in a worker; `figure.draw_pictures` runs in the process of the window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from stratonet.crops import blank_outside
from stratonet.preprocessing import to_grey

if TYPE_CHECKING:
    from cellprofiler_plugin.pixels import MaskedPlane, Regions
    from stratonet import StratoNet
    from stratonet.card import Card
    from stratonet.recipe import FeatureBlock

# Sides of what is sent to the window, in pixels.
PLANE_SIDE, CROP_SIDE = 224, 96
# Typical and odd objects that are shown as crops, of each.
EXAMPLES = 3


class PlanePicture(TypedDict):
    """A plane as the network sees it; ``grey`` is None without a pixel to measure."""

    name: str
    shape: Sequence[int]
    grey: np.ndarray | None


class ObjectPictures(TypedDict):
    """Objects of one name: ``crops`` by image, of the typical and then the odd."""

    name: str
    unlikeness: np.ndarray
    centers: np.ndarray
    typical: Sequence[int]
    odd: Sequence[int]
    crops: Sequence[Sequence[np.ndarray | None]]


class Pictures(TypedDict):
    """What the window needs of an image set.

    CellProfiler sends it from a worker to the window as JSON and arrays, which is why
    it is a dictionary of plain types and no dataclass.
    """

    planes: Sequence[PlanePicture]
    size: int
    features: np.ndarray | None
    objects: Sequence[ObjectPictures]


def compute_unlikeness(
    features: np.ndarray, blocks: Sequence[FeatureBlock]
) -> np.ndarray:
    """Compute how unlike the median each row is, tap by tap.

    Parameters
    ----------
    features : numpy.ndarray (n, width of the taps)
        A row per image set or object.
    blocks : sequence of stratonet.recipe.FeatureBlock
        In the order of their features.

    Returns
    -------
    numpy.ndarray (n, blocks), float
        0 where the features go up and down with the median; NaN for rows of NaN.

    Examples
    --------
    >>> from stratonet import Tap
    >>> rows = np.array([[0, 1, 2], [0, 1, 2], [0, 10, 20], [2, 1, 0]])
    >>> compute_unlikeness(rows, [Tap("layer", width=3)]).ravel().round(6).tolist()
    [0.0, 0.0, 0.0, 2.0]
    """
    edges = np.cumsum([block.width for block in blocks])[:-1]
    unlikeness = np.full((len(features), len(blocks)), np.nan)
    # Rows without a pixel to measure are all NaN, and would make the median NaN.
    measured = np.isfinite(features).all(axis=1)
    if not measured.any():
        return unlikeness
    by_tap = np.split(features[measured].astype(float), edges, axis=1)
    for column, values in enumerate(by_tap):
        median = np.median(values, axis=0)
        unlikeness[measured, column] = 1 - _correlate_rows(values, median)
    return unlikeness


def _correlate_rows(rows: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson correlation of each row with another one, (n,)."""
    values = np.vstack([other, rows])
    values -= values.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    # A row of one number has no correlation; it gets 0 in place of a division by 0.
    values /= np.maximum(lengths, np.finfo(float).tiny)
    return values[1:] @ values[0]


def compute_image_unlikeness(
    features: np.ndarray, blocks: Sequence[FeatureBlock]
) -> np.ndarray:
    """Compute how unlike the median each row is, by image and tap.

    Parameters
    ----------
    features : numpy.ndarray (n, images, width of the taps)
        A row per image set or object.
    blocks : sequence of stratonet.recipe.FeatureBlock
        In the order of their features.

    Returns
    -------
    numpy.ndarray (n, images, blocks), float
    """
    by_image = np.moveaxis(features, 1, 0)
    return np.stack([compute_unlikeness(rows, blocks) for rows in by_image], axis=1)


def make_pictures(
    net: StratoNet,
    planes: Mapping[str, MaskedPlane],
    size: int,
    measured: Sequence[tuple[Regions, np.ndarray]],
) -> Pictures:
    """Make what `draw_pictures` needs.

    Parameters
    ----------
    net : stratonet.StratoNet
        Which has measured.
    planes : mapping of str to MaskedPlane
        Pixels and mask of each image.
    size : int
        Side of the crops of objects, in pixels.
    measured : sequence of (Regions, numpy.ndarray)
        The whole image, objects or both, with their features (n, images x width).

    Returns
    -------
    dict
    """
    shown: Pictures = {"planes": [], "size": size, "features": None, "objects": []}
    shown["planes"] = [
        {
            "name": name,
            "shape": pixels.shape,
            "grey": _make_thumbnail(blank_outside(pixels, mask), PLANE_SIDE, net.card),
        }
        for name, (pixels, mask) in planes.items()
    ]
    objects = []
    for regions, flat in measured:
        features = flat.reshape(len(flat), len(planes), net.width)
        if regions.name == "Image":
            shown["features"] = features[0]
        else:
            unlikeness = compute_image_unlikeness(features, net.blocks)
            objects.append(
                _make_object_pictures(net.card, list(planes), regions, unlikeness)
            )
    shown["objects"] = objects
    return shown


def _make_object_pictures(
    card: Card, names: Sequence[str], regions: Regions, unlikeness: np.ndarray
) -> ObjectPictures:
    # One number per object, over all images and taps.
    score = unlikeness.mean(axis=(1, 2))
    # NaN comes last in the order: objects without a pixel to measure.
    order = np.argsort(score)[: np.isfinite(score).sum()]
    typical, others = order[:EXAMPLES], order[EXAMPLES:]
    odd = others[::-1][:EXAMPLES]
    # Only of these few: a field may have thousands of objects.
    crops = []
    for name in names:
        rows = [regions.crop(name, row) for row in (*typical, *odd)]
        crops.append([_make_thumbnail(pixels, CROP_SIDE, card) for pixels in rows])
    return {
        "name": regions.name,
        "unlikeness": unlikeness,
        "centers": np.asarray(regions.centers),
        "typical": typical.tolist(),
        "odd": odd.tolist(),
        "crops": crops,
    }


def _make_thumbnail(
    pixels: np.ndarray | None, side: int, card: Card
) -> np.ndarray | None:
    """What the network sees of pixels, (side, side), uint8."""
    if pixels is None:
        return None
    # One byte per pixel: all of this is sent from a worker to the window.
    return np.round(to_grey(pixels, card, (side, side)) * 255).astype(np.uint8)
