"""How an image set is shown to the network: its planes in their tiles.

This runs in a separate process, see `stratonet_app.apart`.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from stratonet.card import Card
from stratonet.extraction.grey_limits import measure_limits
from stratonet.extraction.job import Job
from stratonet.extraction.sources.imagesets import (
    ImageSource,
    list_channels,
    read_image,
)
from stratonet.limits import apply_grey_range
from stratonet.naming import URL, image_column
from stratonet.percentiles import find_percentile
from stratonet.preprocessing import prepare_plane
from stratonet.recipe import OF_PLATE, Limits, Recipe
from stratonet.tables.columns import PLATE, SITE, WELL
from stratonet.tiling import list_tiles
from stratonet.views import resize_image
from stratonet.weights_file import read_card
from stratonet_app.choices import Choices
from stratonet_app.recognition import Refused, explain_error, read_image_sets

WEIGHTS = "stratonet50"
# The longest side of a picture, in pixels: larger planes are drawn smaller.
MOST_PIXELS = 560


@dataclass(frozen=True)
class PlanePicture:
    """A plane as the network sees it.

    Attributes
    ----------
    channel : str
    png : str
        The picture as base64; empty if there is none.
    error : str
        Why there is no picture.
    shape, resized : (int, int)
        Height and width of the plane, before and after it is resized for the tiles.
    tiles : list of (float, float, float, float)
        Left, top, width and height of each, in pixels of the plane.
    low, high : float
        The approximate grey values that become black and white.
    """

    channel: str
    png: str = ""
    error: str = ""
    shape: tuple[int, int] = (0, 0)
    resized: tuple[int, int] = (0, 0)
    tiles: tuple[tuple[float, ...], ...] = ()
    low: float = 0
    high: float = 0


@dataclass(frozen=True)
class Preview:
    """The planes of an image set.

    Attributes
    ----------
    name : str
        Plate, well and site.
    planes : list of PlanePicture
        One for each channel.
    n_tiles : int
        How many tiles the network looks at for this image set.
    """

    name: str
    planes: list[PlanePicture]

    @property
    def n_tiles(self) -> int:
        """The number of tiles of all planes together."""
        return sum(max(1, len(plane.tiles)) for plane in self.planes if plane.png)


def list_recipes() -> dict[str, str]:
    """List the recipes for whole images that are offered, each with its explanation.

    Examples
    --------
    >>> list(list_recipes())[0]
    'tiles224-across2/mean+sd'
    """
    card = read_card(WEIGHTS)
    return {
        card.choose_recipe(None).text: "larger cells, in tiles (recommended)",
        "tiles224/mean+sd": "tiles at the image's own scale: finest, slowest",
        "whole224/mean": "the whole image at once: coarse, fastest",
    }


def draw_preview(choices: Choices, number: int) -> Preview | Refused:
    """Draw the planes of an image set as the network sees them.

    Parameters
    ----------
    choices : Choices
        Where the images are, the recipe and the grey range.
    number : int
        Of the image set, from 1.

    Returns
    -------
    Preview or Refused
    """
    try:
        frame = read_image_sets(choices.image_source).frame
        if not 1 <= number <= len(frame):
            raise ValueError(f"Image sets have the numbers 1 to {len(frame)}.")
        row = frame.iloc[number - 1].to_dict()
        card = read_card(WEIGHTS)
        recipe = card.choose_recipe(choices.recipe or None)
        channels = list_channels(frame)
        recipe = apply_grey_range(recipe, choices.grey_range, channels)
        limits = _find_limits(choices, recipe, row[PLATE])
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        return Refused(explain_error(error))
    words = [str(row[name]) for name in (PLATE, WELL, SITE) if name in row]
    planes = [
        _draw_plane(choices, row, channel, card, recipe, limits) for channel in channels
    ]
    return Preview(" ".join(words), planes)


def _find_limits(choices: Choices, recipe: Recipe, plate: str) -> Limits:
    """Return the limits of the plate; none if each plane is scaled by itself."""
    if recipe.grey_range != OF_PLATE:
        return {}
    return _measure_limits(choices.image_source, recipe, plate)


# Measuring limits reads 64 images of each channel: not for every preview of a plate.
@lru_cache(maxsize=8)
def _measure_limits(source: ImageSource, recipe: Recipe, plate: str) -> Limits:
    frame = read_image_sets(source).frame
    of_plate: pd.DataFrame = frame[frame[PLATE] == plate]
    job = Job(source.storage, tuple(list_channels(frame)), recipe, WEIGHTS)
    return measure_limits(job, plate, of_plate)


def _draw_plane(
    choices: Choices,
    row: Mapping[str, Any],
    channel: str,
    card: Card,
    recipe: Recipe,
    limits: Limits,
) -> PlanePicture:
    try:
        _check_folder(choices, row[image_column(URL, channel)])
        plane = read_image(row, channel, choices.image_source.storage)
        prepared = prepare_plane(plane, card, recipe, limits.get(channel))
    except (OSError, TypeError, ValueError) as error:
        return PlanePicture(channel, error=explain_error(error))
    # If there are two views, the last one shows more: the tiles.
    grey = prepared.greys[-1]
    low, high = limits.get(channel) or _find_ends(plane, card)
    height, width = plane.shape
    tiles = list_tiles(recipe.views[-1], (height, width), grey.shape)
    return PlanePicture(
        channel,
        _write_png(grey, card),
        "",
        (height, width),
        grey.shape,
        tuple(map(tuple, tiles)) if len(tiles) > 1 else (),
        float(low),
        float(high),
    )


def _find_ends(plane: np.ndarray, card: Card) -> tuple[float, float]:
    """Estimate the grey values that a plane is scaled between, without resizing it."""
    # Percentiles of bool are not defined.
    pixels = plane.view(np.uint8) if plane.dtype == bool else plane
    low = find_percentile(pixels, card.scaling.low)
    return low, find_percentile(pixels, card.scaling.high)


def _check_folder(choices: Choices, path: str | None) -> None:
    """Refuse to show images outside the folder that was chosen."""
    if path is None or choices.is_table:
        return
    folder = os.path.realpath(choices.source)
    if not Path(os.path.realpath(path)).is_relative_to(folder):
        raise ValueError(
            f"{path} is a link that leads out of the folder you have chosen. It is"
            " measured, but not shown here."
        )


def _write_png(grey: np.ndarray, card: Card) -> str:
    """Return a plane of grey values in [0, 1] as a PNG file in base64."""
    factor = min(1.0, MOST_PIXELS / max(grey.shape))
    height, width = (max(1, round(factor * side)) for side in grey.shape)
    small = resize_image(Image.fromarray(grey), (height, width), card.resize)
    pixels = np.round(np.clip(small, 0, 1) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
