"""Planes of image sets as small colour pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from stratonet.drawing import get_grey_range
from stratonet.extraction.sources.imagesets import list_channels, read_image
from stratonet.files.storage import Storage
from stratonet.tables.columns import PLATE, SITE, WELL
from stratonet.tables.keys import normalize_keys

# The longer side of a picture, in pixels.
SIDE = 200
# Colours of one, two and three channels, which can be told apart with red-green colour
# blindness, too.
CHANNEL_COLORS = {
    1: {"grey": (1, 1, 1)},
    2: {"green": (0, 1, 0), "magenta": (1, 0, 1)},
    3: {"cyan": (0, 1, 1), "magenta": (1, 0, 1), "yellow": (1, 1, 0)},
}


def choose_channels(image_sets: pd.DataFrame) -> list[str]:
    """Choose the channels to show: the first three."""
    return list_channels(image_sets)[: max(CHANNEL_COLORS)]


def word_colors(channels: Sequence[str]) -> str:
    """Say which channel has which colour, in a sentence.

    Examples
    --------
    >>> word_colors(["DNA", "ER"])
    'DNA is green, ER magenta.'
    """
    first, *others = zip(channels, CHANNEL_COLORS[len(channels)])
    words = [" is ".join(first)]
    words += [f"{channel} {color}" for channel, color in others]
    return f"{', '.join(words)}."


def read_planes(
    image_sets: pd.DataFrame, storage: Storage, rows: pd.DataFrame
) -> dict[int, list[np.ndarray]]:
    """Read small planes of rows.

    Parameters
    ----------
    image_sets : pandas.DataFrame
        In normal form.
    storage : Storage
        Reads their files.
    rows : pandas.DataFrame
        ``Metadata_*`` of image sets or wells; for a well, the first image set is read.

    Returns
    -------
    dict of int to list of numpy.ndarray (height, width), float32
        One per channel, by the index of the row.

    Raises
    ------
    OSError, ValueError
        A row has no image, or one that cannot be read.
    """
    wanted = find_image_sets(image_sets, rows)
    for row in rows.index:
        if row not in wanted:
            location = ", ".join(
                str(rows[key][row]) for key in (PLATE, WELL, SITE) if key in rows
            )
            raise ValueError(
                f"There is no image of {location}, which is in a feature table."
            )
    channels = choose_channels(image_sets)
    return {
        row: read_small_planes(image_set, channels, storage)
        for row, image_set in wanted.items()
    }


def find_image_sets(
    image_sets: pd.DataFrame, rows: pd.DataFrame
) -> dict[int, dict[str, Any]]:
    """Find the image set of each row; for a well, the first one.

    Parameters
    ----------
    image_sets : pandas.DataFrame
        In normal form.
    rows : pandas.DataFrame
        ``Metadata_*`` of image sets or wells.

    Returns
    -------
    dict of int to dict
        By the index of the row, without rows that have no image set.
    """
    keys = [name for name in (PLATE, WELL, SITE) if name in rows and name in image_sets]
    # A single plate may have no name in one of the tables.
    if image_sets[PLATE].nunique() == 1 and rows[PLATE].nunique() == 1:
        keys.remove(PLATE)
    # A site is the number 1 in some tables and text in others, a well A01 or A1.
    image_set_keys = normalize_keys(image_sets, keys)
    by_key: dict[tuple[str, ...], dict[str, Any]] = {}
    for key, image_set in zip(
        image_set_keys.itertuples(index=False, name=None), image_sets.to_dict("records")
    ):
        by_key.setdefault(key, image_set)
    row_keys = normalize_keys(rows, keys).itertuples(index=False, name=None)
    return {row: by_key[key] for row, key in zip(rows.index, row_keys) if key in by_key}


def read_small_planes(
    image_set: Mapping[str, object],
    channels: Sequence[str],
    storage: Storage,
    side: int = SIDE,
) -> list[np.ndarray]:
    """Read small planes of the channels of an image set.

    Parameters
    ----------
    image_set : mapping of str to object
        A row in normal form.
    channels : sequence of str
        Their names.
    storage : Storage
        Reads their files.
    side : int
        The longer side, in pixels.

    Returns
    -------
    list of numpy.ndarray (height, width), float32
        One per channel.

    Raises
    ------
    OSError, ValueError
        An image cannot be read.
    """
    planes = []
    for channel in channels:
        plane = read_image(image_set, channel, storage)
        small = Image.fromarray(plane.astype(np.float32))
        # A box filter gives means of pixels, which stay within the plane's range.
        small.thumbnail((side, side), Image.Resampling.BOX)
        planes.append(np.asarray(small))
    return planes


def color_planes(planes: Mapping[int, Sequence[np.ndarray]]) -> dict[int, np.ndarray]:
    """Colour image sets, with one brightness range per channel for all of them.

    Parameters
    ----------
    planes : mapping of int to sequence of numpy.ndarray (height, width)
        The planes of one to three channels, by the number of the row.

    Returns
    -------
    dict of int to numpy.ndarray (height, width, 3), uint8

    Examples
    --------
    >>> planes = {0: [np.zeros((1, 2))], 1: [np.ones((1, 2))]}
    >>> color_planes(planes)[1].tolist()
    [[[255, 255, 255], [255, 255, 255]]]
    """
    # There are no planes if no row was classified.
    n_channels = len(next(iter(planes.values()), []))
    # One brightness range per channel, so that pictures can be compared. The network,
    # by contrast, sees every plane scaled by itself.
    limits = []
    for number in range(n_channels):
        values = [stack[number].ravel() for stack in planes.values()]
        limits.append(get_grey_range(np.concatenate(values)))
    colored = {}
    for row, stack in planes.items():
        brightness = [
            # A channel may be dark everywhere.
            np.clip((plane - low) / max(high - low, 1e-6), 0, 1)
            for plane, (low, high) in zip(stack, limits)
        ]
        colors = np.array(list(CHANNEL_COLORS[n_channels].values()), np.float32)
        mixed = np.tensordot(np.stack(brightness, axis=-1), colors, 1)
        colored[row] = (255 * np.clip(mixed, 0, 1)).astype(np.uint8)
    return colored
