"""Crops beside features: small pictures of objects or sites, in the rows of a table.

A crop is stored as OME-Arrow lays out an image, one struct per plane, and CytoDataFrame
(0.4) shows it in place of the number. Its grey values are those that the network sees:
between the same limits, in 256 steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from stratonet.preprocessing import to_grey

if TYPE_CHECKING:
    from stratonet.card import Card

# In pixels. Larger crops are resized: they are for viewing, not copies of the image.
LONGEST_SIDE = 256
# A column of crops is called Crop_<channel>.
PREFIX = "Crop_"
# Version of the layout: the version of ome-arrow with which the fields were compared.
LAYOUT_VERSION = "0.1.0"
_PIXELS = pa.list_(pa.uint16())
_PLANE = pa.struct(
    [("z", pa.int32()), ("t", pa.int32()), ("c", pa.int16()), ("pixels", _PIXELS)]
)
_CHANNEL = pa.struct([("id", pa.string()), ("name", pa.string())])
_PIXELS_META = pa.struct(
    [
        ("dimension_order", pa.string()),
        ("type", pa.string()),
        ("size_x", pa.int32()),
        ("size_y", pa.int32()),
        ("size_z", pa.int32()),
        ("size_c", pa.int16()),
        ("size_t", pa.int32()),
        ("channels", pa.list_(_CHANNEL)),
    ]
)
CROP_TYPE = pa.struct(
    [
        ("type", pa.string()),
        ("version", pa.string()),
        ("id", pa.string()),
        ("name", pa.string()),
        ("image_type", pa.string()),
        ("pixels_meta", _PIXELS_META),
        ("planes", pa.list_(_PLANE)),
    ]
)


def make_crop(
    plane: np.ndarray, card: Card, limits: tuple[float, float] | None = None
) -> np.ndarray:
    """Make the crop of an object or a site.

    Parameters
    ----------
    plane : numpy.ndarray (height, width)
        The square around the object, or the whole plane.
    card : Card
        Says how planes are resized and scaled.
    limits : (float, float), optional
        The grey values that become black and white. Default: the percentiles of the
        plane itself.

    Returns
    -------
    numpy.ndarray (height, width), uint8
        Its longer side has at most `LONGEST_SIDE` pixels.

    Examples
    --------
    >>> from stratonet.weights_file import read_card
    >>> plane = np.arange(512 * 300).reshape(512, 300)
    >>> make_crop(plane, read_card("stratonet50")).shape
    (256, 150)
    """
    height, width = plane.shape
    factor = min(1.0, LONGEST_SIDE / max(height, width))
    shape = (max(1, round(height * factor)), max(1, round(width * factor)))
    return np.rint(to_grey(plane, card, shape, limits) * 255).astype(np.uint8)


def list_columns(channels: Iterable[str]) -> list[str]:
    """List the names of the columns of crops.

    Examples
    --------
    >>> list_columns(["DNA", "ER"])
    ['Crop_DNA', 'Crop_ER']
    """
    return [f"{PREFIX}{channel}" for channel in channels]


def list_pixel_paths(channels: Iterable[str]) -> list[str]:
    """List the paths by which Parquet names the pixels in the columns of crops.

    Examples
    --------
    >>> list_pixel_paths(["DNA"])
    ['Crop_DNA.planes.list.element.pixels.list.element']
    """
    inner = "planes.list.element.pixels.list.element"
    return [f"{name}.{inner}" for name in list_columns(channels)]


def make_crop_column(crops: Sequence[np.ndarray | None], channel: str) -> pa.Array:
    """Make the column of a channel.

    Parameters
    ----------
    crops : sequence of n numpy.ndarray (height, width), uint8, or None
        None where nothing could be read.
    channel : str
        Name of the channel, which is stored with each crop.

    Returns
    -------
    pyarrow.StructArray (n,)
        Of type `CROP_TYPE`; null where there is no crop.
    """
    structs = [
        None if crop is None else _describe_crop(crop, channel) for crop in crops
    ]
    without_pixels = pa.array(structs, CROP_TYPE)
    has_crop = np.array([crop is not None for crop in crops], bool)
    if not has_crop.any():
        return without_pixels
    # Building the pixels from Python lists would take a hundred times as long.
    planes = _make_planes([crop for crop in crops if crop is not None])
    positions = pa.array(np.cumsum(has_crop) - 1, mask=~has_crop)
    fields = [
        without_pixels.field(number) for number in range(CROP_TYPE.num_fields - 1)
    ]
    return pa.StructArray.from_arrays(
        [*fields, planes.take(positions)],
        fields=list(CROP_TYPE),
        mask=pa.array(~has_crop),
    )


def _describe_crop(crop: np.ndarray, channel: str) -> dict[str, object]:
    """Return all fields of the struct of a crop except its pixels."""
    height, width = crop.shape
    return {
        "type": "ome.arrow",
        "version": LAYOUT_VERSION,
        "name": channel,
        "image_type": "image",
        "pixels_meta": {
            "dimension_order": "XYZCT",
            "type": "uint8",
            "size_x": width,
            "size_y": height,
            "size_z": 1,
            "size_c": 1,
            "size_t": 1,
            "channels": [{"id": "0", "name": channel}],
        },
    }


def _make_planes(crops: Sequence[np.ndarray]) -> pa.Array:
    """Return one plane per crop, as lists of lists of numbers."""
    lengths = [crop.size for crop in crops]
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    values = np.concatenate([crop.ravel() for crop in crops]).astype(np.uint16)
    pixels = pa.ListArray.from_arrays(offsets, pa.array(values))
    zeros = pa.array(np.zeros(len(crops), np.int32))
    plane_fields = [zeros, zeros, zeros.cast(pa.int16()), pixels]
    planes = pa.StructArray.from_arrays(plane_fields, fields=list(_PLANE))
    plane_offsets = pa.array(np.arange(len(crops) + 1), pa.int32())
    return pa.ListArray.from_arrays(plane_offsets, planes)
