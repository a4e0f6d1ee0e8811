"""Recipes in the words of MeasureStratoFeatures' settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from stratonet.card import Card
from stratonet.limits import PlateLimits, check_limits, take_channels
from stratonet.recipe import Limits, Recipe
from stratonet.views import check_pixel_size

# Saved pipelines contain these words: if they change, older pipelines need an upgrade.
# The choice of views or taps that the user types, or picks from a list.
CUSTOM = "Custom..."
IN_MICROMETRES = "Tiles of a width in micrometres"
VIEWS = {
    "Whole image": "whole{side}",
    "Tiles, two across": "tiles{side}-across2",
    "Tiles at the cells' scale": "tiles{side}",
    IN_MICROMETRES: "tiles{side}-{micrometres}um",
    "Both": "whole{side}+tiles{side}",
}
SQUARE_VIEWS = {
    "At their own scale": "tiles{side}",
    "Enlarged to the network's size": "whole{side}",
}
STATISTICS = {"Mean": "mean", "Mean and standard deviation": "mean+sd"}
OF_EACH_IMAGE, FROM_EXTRACT = "Of each image", "From a file of stratonet extract"
GIVEN_NUMBERS = "Given numbers"

# DNA: 100-4000
_NUMBER = r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?"
_PAIR = re.compile(
    rf"\s*(?P<name>\w+)\s*:\s*(?P<low>{_NUMBER})\s*-\s*(?P<high>{_NUMBER})\s*"
)


Meaning = TypeVar("Meaning")


def look_up(table: Mapping[str, Meaning], words: str) -> Meaning:
    """Return what the words of a choice mean.

    Raises
    ------
    ValueError
        They are not among the choices, as when a pipeline was edited by hand.
    """
    if words not in table:
        raise ValueError(f"Choose one of: {', '.join(table)}. Received: {words!r}")
    return table[words]


def find_words(table: Mapping[str, str], part: str, card: Card) -> str:
    """Return the words for a part of a recipe, or the part itself if there are none.

    Parameters
    ----------
    table : mapping of str to str
        ``VIEWS``, ``SQUARE_VIEWS`` or ``STATISTICS``.
    part : str
        The views or the statistics of a recipe.
    card : Card
        The card of the network.

    Examples
    --------
    >>> from stratonet.weights_file import read_card
    >>> find_words(STATISTICS, "mean+sd", read_card())
    'Mean and standard deviation'
    >>> find_words(VIEWS, "tiles224", read_card())
    "Tiles at the cells' scale"
    """
    for words, template in table.items():
        # No words stand for a certain number of micrometres.
        if template.format(side=card.input_size, micrometres=None) == part:
            return words
    return part


def write_views(
    table: Mapping[str, str],
    words: str,
    custom: str,
    card: Card,
    micrometres: float | None = None,
) -> str:
    """Return the views of a choice, in the notation of recipes.

    Parameters
    ----------
    table : mapping of str to str
        ``VIEWS`` or ``SQUARE_VIEWS``.
    words : str
        The choice.
    custom : str
        The views that the user has typed, for ``CUSTOM``.
    card : Card
        The card of the network.
    micrometres : float, optional
        Width of a tile, for the views that are in micrometres.

    Raises
    ------
    ValueError
        There is no such choice, or the user has typed more than views.

    Examples
    --------
    >>> from stratonet.weights_file import read_card
    >>> write_views(VIEWS, "Both", "", read_card())
    'whole224+tiles224'
    >>> write_views(VIEWS, CUSTOM, "tiles224-overlap50", read_card())
    'tiles224-overlap50'
    """
    if words != CUSTOM:
        template = look_up(table, words)
        return template.format(side=card.input_size, micrometres=micrometres)
    if "/" in custom:
        raise ValueError(
            "Write the views alone, such as tiles224-overlap50: the statistics have a"
            f" setting of their own. Received: {custom!r}"
        )
    return custom.strip()


def needs_pixel_size(views: str) -> bool:
    """Find out whether views typed by the user are in micrometres.

    Parameters
    ----------
    views : str
        The views in the notation of recipes, possibly unfinished.

    Examples
    --------
    >>> needs_pixel_size("tiles224-75um"), needs_pixel_size("tiles224-75")
    (True, False)
    """
    try:
        return Recipe.parse(f"{views.strip()}/mean").needs_pixel_size
    except ValueError:
        return False


def describe_better_recipe(card: Card, recipe: Recipe) -> str:
    """Say, in the words of the settings, which recipe the card recommends instead.

    Parameters
    ----------
    card : Card
        The card of the network.
    recipe : Recipe
        The recipe that is set.

    Returns
    -------
    str
        Empty if the recipe is the recommended one. The range of grey values does not
        count: it is the user's own choice.

    Examples
    --------
    >>> from stratonet.weights_file import read_card
    >>> card = read_card()
    >>> describe_better_recipe(card, card.choose_recipe())
    ''
    """
    better = card.choose_recipe(crop=recipe.crop)
    if better.text == recipe.text:
        return ""
    table = SQUARE_VIEWS if recipe.crop else VIEWS
    views, statistics = better.text.split("/")
    words = find_words(table, views, card), find_words(STATISTICS, statistics, card)
    return ", ".join(words)


def parse_pixel_size(text: str) -> float:
    """Parse the size of a pixel as typed by users or contained in metadata.

    Parameters
    ----------
    text : str
        Micrometres, such as ``0.65``.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        It is not a number, or not plausible in micrometres.

    Examples
    --------
    >>> parse_pixel_size("0.65")
    0.65
    """
    try:
        size = float(text)
    except ValueError:
        raise ValueError(
            "The size of a pixel is a number of micrometres, such as 0.65, or metadata"
            f" that hold one, such as \\g<PixelSize>. Received: {text or 'none'}"
        ) from None
    return check_pixel_size(size, "The recipe")


def parse_limits(text: str, images: Sequence[str]) -> Limits:
    """Parse limits of grey values as typed by users.

    Parameters
    ----------
    text : str
        Such as ``DNA: 100-4000, ER: 50-900``.
    images : sequence of str
        Names of the images that need limits.

    Returns
    -------
    dict of str to (float, float)

    Raises
    ------
    ValueError
        A part cannot be read, or an image has no limits; the message names it.

    Examples
    --------
    >>> parse_limits("DNA: 100-4000, ER: 0.5-9e2", ["DNA", "ER"])
    {'DNA': (100.0, 4000.0), 'ER': (0.5, 900.0)}
    """
    limits = {}
    for part in filter(str.strip, text.split(",")):
        match = _PAIR.fullmatch(part)
        if not match:
            raise ValueError(
                "Grey ranges are written as DNA: 100-4000, ER: 50-900. Received:"
                f" {part.strip()!r}"
            )
        pair = float(match["low"]), float(match["high"])
        limits[match["name"]] = check_limits(match["name"], pair)
    unknown = [name for name in limits if name not in images]
    if unknown:
        raise ValueError(
            f"There are grey ranges for {', '.join(unknown)}, not among the selected"
            f" images: {', '.join(images)}"
        )
    return take_channels(limits, images)


def read_plate_limits(path: str, plate: str | None, images: Sequence[str]) -> Limits:
    """Read the limits of grey values of a plate.

    Parameters
    ----------
    path : str
        Path of the file.
    plate : str, optional
        Plate of the image set. None if it has no plate; the file then must have only
        one.
    images : sequence of str
        Names of the images that need limits.

    Returns
    -------
    dict of str to (float, float)

    Raises
    ------
    OSError, ValueError
        The file, its plate or an image is missing; the message names it.
    """
    content = _read_file(path)
    try:
        limits = content.choose(plate)
    except ValueError as error:
        raise ValueError(
            f"{path}: {error}. The plate of an image set is its Metadata_Plate"
        ) from None
    try:
        return take_channels(limits, images)
    except ValueError as error:
        raise ValueError(f"{path}, plate {plate or 'without name'}: {error}") from None


def check_limits_file(path: str, images: Sequence[str]) -> None:
    """Refuse a file of limits in which a plate has no limits for an image.

    Parameters
    ----------
    path : str
        Path of the file.
    images : sequence of str
        Names of the images that need limits.

    Raises
    ------
    OSError, ValueError
        See `read_plate_limits`.
    """
    for plate in _read_file(path).plates:
        read_plate_limits(path, plate, images)


def _read_file(path: str) -> PlateLimits:
    if not path.strip():
        raise ValueError("Choose the file of grey ranges that stratonet extract wrote")
    return PlateLimits.read(path)
