"""What the figure of MeasureStratoFeatures shows of an image set.

The unlikeness of an image set or object is 1 - the Pearson correlation of its features
at one tap with the median over all image sets or objects. If the tap gives several
blocks of features (views, mean and standard deviation), it is the average over them.
`make_pictures` runs where images are measured, in a worker; `figure.draw_pictures` runs
in the process of the window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from cellprofiler_core.constants.measurement import IMAGE

from stratonet.crops import blank_outside
from stratonet.tiling import list_tiles
from stratonet.views import Tiles, resize_image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cellprofiler_plugin.pixels import MaskedPlane, Regions
    from stratonet import StratoNet
    from stratonet.recipe import Limits, Recipe
    from stratonet.tap import Tap

# For each tap, by its label: the positions of its blocks in a row of features.
Strips = Mapping[str, Sequence[slice]]

# Sides of the images sent to the window, in pixels.
PLANE_SIDE, CROP_SIDE = 224, 96
# Number of typical objects, and of odd ones, that are shown as crops.
EXAMPLES = 3


class PlanePicture(TypedDict):
    """A plane as the network sees it; ``grey`` is None if it has no pixel to measure.

    ``tiles`` are the tiles it is cut into: left, top, width and height, in pixels.
    """

    name: str
    shape: Sequence[int]
    grey: np.ndarray | None
    tiles: Sequence[Sequence[float]]


class ObjectPictures(TypedDict):
    """Objects of one name: ``crops`` by image, of the typical, then of the odd ones."""

    name: str
    unlikeness: np.ndarray
    centers: np.ndarray
    typical: Sequence[int]
    odd: Sequence[int]
    crops: Sequence[Sequence[np.ndarray | None]]


class Pictures(TypedDict):
    """What the window needs of an image set.

    CellProfiler sends it from a worker to the window as JSON and arrays, so it is a
    dictionary of plain types rather than a dataclass.
    """

    planes: Sequence[PlanePicture]
    size: int
    features: np.ndarray | None
    objects: Sequence[ObjectPictures]


def list_strips(recipe: Recipe, taps: Iterable[Tap]) -> dict[str, list[slice]]:
    """List the positions of each tap's features in a row.

    Parameters
    ----------
    recipe : stratonet.recipe.Recipe
        How a plane becomes features.
    taps : iterable of stratonet.tap.Tap
        The taps that are measured.

    Returns
    -------
    dict of str to list of slice
        By label of the tap: one slice for each view and statistic.

    Examples
    --------
    >>> from stratonet import Recipe, Tap
    >>> taps = [Tap("conv3", 2, "low"), Tap("conv4", 3, "high")]
    >>> list_strips(Recipe.parse("whole224/mean+sd"), taps)["High"]
    [slice(4, 7, None), slice(7, 10, None)]
    """
    taps, slices, start = list(taps), {}, 0
    for block in recipe.list_blocks(taps):
        slices[block.label] = slice(start, start + block.width)
        start += block.width
    return {
        tap.label: [slices[block.label] for block in recipe.list_blocks([tap])]
        for tap in taps
    }


def compute_unlikeness(features: np.ndarray, strips: Strips) -> np.ndarray:
    """Compute how unlike the median each row is, tap by tap.

    Parameters
    ----------
    features : numpy.ndarray (n, width)
        A row per image set or object.
    strips : mapping of str to sequence of slice
        From `list_strips`.

    Returns
    -------
    numpy.ndarray (n, taps), float
        0 where the features rise and fall with the median; NaN for rows of NaN.

    Examples
    --------
    >>> rows = np.array([[0, 1, 2], [0, 1, 2], [0, 10, 20], [2, 1, 0]])
    >>> compute_unlikeness(rows, {"Low": [slice(0, 3)]}).ravel().round(6).tolist()
    [0.0, 0.0, 0.0, 2.0]
    """
    unlikeness = np.full((len(features), len(strips)), np.nan)
    # Rows without a pixel to measure are all NaN, and would make the median NaN.
    measured = np.isfinite(features).all(axis=1)
    if not measured.any():
        return unlikeness
    rows = features[measured].astype(float)
    for column, blocks in enumerate(strips.values()):
        block_unlikeness = [
            1 - _correlate_rows(rows[:, block], np.median(rows[:, block], axis=0))
            for block in blocks
        ]
        unlikeness[measured, column] = np.mean(block_unlikeness, axis=0)
    return unlikeness


def _correlate_rows(rows: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Compute the Pearson correlation of each row with another one, (n,)."""
    values = np.vstack([other, rows])
    values -= values.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    # A constant row has no correlation: it gets 0 instead of a division by 0.
    values /= np.maximum(lengths, np.finfo(float).tiny)
    return values[1:] @ values[0]


def compute_image_unlikeness(features: np.ndarray, strips: Strips) -> np.ndarray:
    """Compute how unlike the median each row is, by image and tap.

    Parameters
    ----------
    features : numpy.ndarray (n, images, width)
        A row per image set or object.
    strips : mapping of str to sequence of slice
        From `list_strips`.

    Returns
    -------
    numpy.ndarray (n, images, taps), float
    """
    by_image = np.moveaxis(features, 1, 0)
    return np.stack([compute_unlikeness(rows, strips) for rows in by_image], axis=1)


def make_pictures(
    planes: Mapping[str, MaskedPlane],
    size: int,
    measured: Sequence[tuple[StratoNet, Regions, np.ndarray]],
    limits: Limits,
    pixel_size: float | None = None,
) -> Pictures:
    """Make what `draw_pictures` needs.

    Parameters
    ----------
    planes : mapping of str to MaskedPlane
        Pixels and mask of each image.
    size : int
        Side of the crops of objects, in pixels.
    measured : sequence of (StratoNet, Regions, numpy.ndarray)
        For the whole image, objects or both: the network that measured them, the
        regions, and their features (n, images x width).
    limits : mapping of str to (float, float)
        Limits of grey values, by image; see `pixels.measure_regions`.
    pixel_size : float, optional
        Size of a pixel, in micrometres.

    Returns
    -------
    dict
    """
    pictures: Pictures = {"planes": [], "size": size, "features": None, "objects": []}
    # If whole images are measured, they come first.
    net, regions, _ = measured[0]
    pictures["planes"] = [
        _make_plane_picture(net, name, plane, limits, pixel_size, regions.name == IMAGE)
        for name, plane in planes.items()
    ]
    objects = []
    for net, regions, flat_features in measured:
        features = flat_features.reshape(len(flat_features), len(planes), net.width)
        if regions.name == IMAGE:
            pictures["features"] = features[0]
        else:
            strips = list_strips(net.recipe, net.taps)
            unlikeness = compute_image_unlikeness(features, strips)
            objects.append(
                _make_object_pictures(net, list(planes), regions, unlikeness, limits)
            )
    pictures["objects"] = objects
    return pictures


def _make_plane_picture(
    net: StratoNet,
    name: str,
    plane: MaskedPlane,
    limits: Limits,
    pixel_size: float | None,
    in_tiles: bool,
) -> PlanePicture:
    pixels = blank_outside(plane.pixels, plane.mask)
    # If there are two views, the last one shows more: the tiles.
    view = net.recipe.views[-1]
    tiles = []
    if in_tiles and isinstance(view, Tiles):
        shape = view.choose_shape(plane.pixels.shape, not net.card.any_size, pixel_size)
        tiles = list_tiles(view, plane.pixels.shape, shape)
    return {
        "name": name,
        "shape": plane.pixels.shape,
        "grey": _make_thumbnail(net, pixels, PLANE_SIDE, limits.get(name), pixel_size),
        "tiles": tiles,
    }


def _make_object_pictures(
    net: StratoNet,
    names: Sequence[str],
    regions: Regions,
    unlikeness: np.ndarray,
    limits: Limits,
) -> ObjectPictures:
    # One number per object, over all images and taps.
    score = unlikeness.mean(axis=(1, 2))
    # Objects without a pixel to measure have NaN, which is sorted to the end.
    order = np.argsort(score)[: np.isfinite(score).sum()]
    typical, others = order[:EXAMPLES], order[EXAMPLES:]
    odd = others[::-1][:EXAMPLES]
    # Crops of these few only, because a field may have thousands of objects.
    crops = []
    for name in names:
        rows = [regions.crop(name, row) for row in (*typical, *odd)]
        crops.append(
            [_make_thumbnail(net, row, CROP_SIDE, limits.get(name)) for row in rows]
        )
    return {
        "name": regions.name,
        "unlikeness": unlikeness,
        "centers": np.asarray(regions.centers),
        "typical": typical.tolist(),
        "odd": odd.tolist(),
        "crops": crops,
    }


def _make_thumbnail(
    net: StratoNet,
    pixels: np.ndarray | None,
    side: int,
    limits: tuple[float, float] | None,
    pixel_size: float | None = None,
) -> np.ndarray | None:
    """Make what the network sees of pixels, (side, side) or less, uint8."""
    from PIL import Image

    if pixels is None:
        return None
    grey = net.prepare(pixels, limits, pixel_size).greys[-1]
    height, width = (min(length, side) for length in grey.shape)
    small = resize_image(Image.fromarray(grey), (height, width), net.card.resize)
    # One byte per pixel: all of this is sent from a worker to the window.
    return np.round(np.clip(small, 0, 1) * 255).astype(np.uint8)
