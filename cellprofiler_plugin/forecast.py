"""Say what a run of MeasureStratoFeatures will write, and how long it will take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from cellprofiler_core.constants.measurement import IMAGE

from cellprofiler_plugin.illumination import describe_functions
from cellprofiler_plugin.recipes import describe_better_recipe
from cellprofiler_plugin.settings import SHIPPED
from stratonet.card import Card
from stratonet.recipe import Recipe

if TYPE_CHECKING:
    from cellprofiler_plugin.plugins.measurestratofeatures import MeasureStratoFeatures

# Seconds that one core takes for 224 x 224 pixels of one channel, with all taps of the
# network that ships, as printed by benchmarks/speed.py on a quiet machine.
SECONDS_PER_TILE = 0.04
TILE_PIXELS = 224 * 224
# The size of images and the number of objects are not known before the run.
IMAGE_SIDE = 1000
OBJECT_COUNT = 100


def describe_run(module: MeasureStratoFeatures) -> str:
    """Say how many columns a run will write, how long it takes, and what to improve.

    Parameters
    ----------
    module : MeasureStratoFeatures
        The module whose settings are used.

    Returns
    -------
    str
        A text for the user. If the settings cannot be run, it says why.
    """
    try:
        functions = module.images.get_functions()
        sentences = [
            *([describe_functions(functions)] if functions else []),
            _describe_columns(module),
            _describe_destinations(module),
            *_describe_costs(module),
            *describe_recommendations(module),
        ]
    except (OSError, ValueError) as error:
        return str(error)
    return " ".join(sentences)


def _describe_columns(module: MeasureStratoFeatures) -> str:
    content = "features"
    if module.reduce.value:
        content = f"components ({module.load_projection().id})"
    names: dict[int, list[str]] = {}
    for name in module.get_object_names():
        count = len(module.images.value) * len(module.make_measurement_names(name))
        names.setdefault(count, []).append(name)
    parts = [
        f"{count:,} {content} for each of: {', '.join(names[count])}" for count in names
    ]
    return f"{'; '.join(parts) or 'Nothing yet'}."


def _describe_destinations(module: MeasureStratoFeatures) -> str:
    destinations = [", ".join(name_tables(module))] if module.writes_parquet else []
    if module.writes_tables:
        destinations.append("CellProfiler's tables")
    return f"Written to {' and '.join(destinations)}."


def name_tables(module: MeasureStratoFeatures) -> list[str]:
    """Name the Parquet files of a run, as far as they are known before the run.

    Parameters
    ----------
    module : MeasureStratoFeatures
        The module whose settings are used.

    Returns
    -------
    list of str
        The file of images first. Metadata tags in the prefix are not replaced.
    """
    names = module.get_object_names()
    return [f"{module.prefix.value}_{name}.parquet" for name in names]


def describe_next_step(module: MeasureStratoFeatures) -> str:
    """Say what to do with the features after the run.

    Parameters
    ----------
    module : MeasureStratoFeatures
        The module whose settings are used.

    Returns
    -------
    str
        A line with a command.
    """
    table = "FOLDER (of ExportToSpreadsheet's tables)"
    if module.writes_parquet:
        table = next(iter(name_tables(module)), "")
    return f"After the run: stratonet evaluate {table} --output report"


def _describe_costs(module: MeasureStratoFeatures) -> Iterator[str]:
    # The speed of other networks is unknown, and that of the 8-bit one depends on the
    # processor.
    if module.network.value != SHIPPED:
        return
    card, channels = module.get_card(), len(module.images.value)
    for name in module.get_object_names():
        recipe = module.get_recipe(name)
        if recipe.needs_pixel_size and module.find_pixel_size() is None:
            yield f"The time for {name} depends on the size of a pixel."
            continue
        if recipe.crop:
            seconds = OBJECT_COUNT * estimate_seconds(card, recipe, recipe.crop)
            scope = f"{OBJECT_COUNT} {name}"
        else:
            seconds = estimate_seconds(
                card, recipe, IMAGE_SIDE, module.find_pixel_size()
            )
            scope = f"an image set of {IMAGE_SIDE:,} x {IMAGE_SIDE:,} pixels"
        yield f"About {channels * seconds:.2g} s of one core for {scope}."


def estimate_seconds(
    card: Card, recipe: Recipe, side: int, pixel_size: float | None = None
) -> float:
    """Estimate how long one core takes for a square plane.

    Parameters
    ----------
    card : stratonet.card.Card
        The card of the network that ships.
    recipe : stratonet.recipe.Recipe
        How the plane is shown.
    side : int
        Side of the plane, in pixels.
    pixel_size : float, optional
        Size of a pixel, in micrometres, for recipes in micrometres.

    Returns
    -------
    float
        Seconds.

    Examples
    --------
    >>> from stratonet.weights_file import read_card
    >>> card, tiles = read_card(), Recipe.parse("tiles224/mean")
    >>> round(estimate_seconds(card, tiles, 448) / estimate_seconds(card, tiles, 224))
    4
    """
    pixels = 0
    for view in recipe.views:
        shape = view.choose_shape((side, side), not card.any_size, pixel_size)
        # Counting the pixels does not need an array in memory.
        plane = np.broadcast_to(np.float32(0), shape)
        pixels += sum(tile.size for tile in view.cut(plane))
    return SECONDS_PER_TILE * pixels / TILE_PIXELS


def describe_recommendations(module: MeasureStratoFeatures) -> list[str]:
    """Say for what the network recommends a recipe other than the one that is set.

    Parameters
    ----------
    module : MeasureStratoFeatures
        The module whose settings are used.

    Returns
    -------
    list of str
        A sentence for whole images and one for objects, if there is a recommendation.
    """
    card = module.get_card()
    better = {}
    for name in module.get_object_names():
        region_type = "whole images" if name == IMAGE else "objects"
        better[region_type] = describe_better_recipe(card, module.get_recipe(name))
    return [
        f"For {region_type}, {card.name} now recommends: {words}. Its features differ"
        " from those measured so far."
        for region_type, words in better.items()
        if words
    ]
