"""Recipes in the words of MeasureStratoFeatures' settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from stratonet.card import Card
from stratonet.limits import PlateLimits, check_limits, take_channels
from stratonet.recipe import Limits, Recipe
from stratonet.views import Tiles, View, WholePlane

# Saved pipelines hold these words: changed ones need an upgrade of older pipelines.
VIEWS: dict[str, tuple[type[View], ...]] = {
    "Whole image": (WholePlane,),
    "Tiles at the cells' scale": (Tiles,),
    "Both": (WholePlane, Tiles),
}
SQUARE_VIEWS: dict[str, tuple[type[View], ...]] = {
    "At their own scale": (Tiles,),
    "Enlarged to the network's size": (WholePlane,),
}
STATISTICS = {
    "Mean": ("mean",),
    "Mean and standard deviation": ("mean", "sd"),
}
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
        They are none of the choices: pipelines are edited by hand, too.
    """
    if words not in table:
        raise ValueError(f"Choose one of: {', '.join(table)}. Received: {words!r}")
    return table[words]


def find_words(table: Mapping[str, Sequence[object]], meaning: Sequence[object]) -> str:
    """Return the words of a choice; the first, where none has the meaning.

    Examples
    --------
    >>> find_words(STATISTICS, ("mean", "sd"))
    'Mean and standard deviation'
    """
    for words, known in table.items():
        if set(known) == set(meaning):
            return words
    return next(iter(table))


def find_view_words(table: Mapping[str, Sequence[object]], recipe: Recipe) -> str:
    """Return the words for the views of a recipe, see `find_words`.

    Examples
    --------
    >>> find_view_words(VIEWS, Recipe.parse("tiles224/mean"))
    "Tiles at the cells' scale"
    """
    return find_words(table, [type(view) for view in recipe.views])


def build_recipe(
    card: Card,
    kinds: Sequence[type[View]],
    pooling: tuple[str, ...],
    crop: int | None = None,
) -> Recipe:
    """Build the recipe that the words of the settings stand for.

    Parameters
    ----------
    card : Card
        Of the network.
    kinds : sequence of type
        Of the views, from ``VIEWS`` or ``SQUARE_VIEWS``.
    pooling : tuple of str
        From ``STATISTICS``.
    crop : int, optional
        Side of the squares around objects, in pixels.

    Raises
    ------
    ValueError
        The network does not have what is asked for.

    Examples
    --------
    >>> from stratonet.weights_file import read_card
    >>> build_recipe(read_card(), (WholePlane, Tiles), ("mean",)).text
    'whole224+tiles224/mean'
    """
    views = tuple(_choose_view(card, kind, crop) for kind in kinds)
    return card.choose_recipe(Recipe(views, pooling), crop)


def _choose_view(card: Card, kind: type[View], crop: int | None) -> View:
    # A whole plane is always shown at the network's size, as it has always been.
    if kind is Tiles:
        # Tiles may have another side or overlap where the card recommends them.
        named = [card.choose_recipe(name) for name in card.recipes]
        for recipe in (card.choose_recipe(crop=crop), *named):
            for view in recipe.views:
                if isinstance(view, Tiles):
                    return view
    return kind(card.input_size)


def describe_better_recipe(card: Card, recipe: Recipe) -> str:
    """Say, in the words of the settings, what the card recommends in place of a recipe.

    Parameters
    ----------
    card : Card
        Of the network.
    recipe : Recipe
        That is measured by.

    Returns
    -------
    str
        Empty where the recipe is the one that is recommended; the range of grey values
        is the user's own choice.

    Examples
    --------
    >>> from stratonet.weights_file import read_card
    >>> card = read_card()
    >>> describe_better_recipe(card, card.choose_recipe())
    ''
    """
    better = card.choose_recipe(crop=recipe.crop)
    if (better.views, better.pooling) == (recipe.views, recipe.pooling):
        return ""
    table = SQUARE_VIEWS if recipe.crop else VIEWS
    views = find_view_words(table, better)
    return f"{views}, {find_words(STATISTICS, better.pooling)}"


def parse_limits(text: str, images: Sequence[str]) -> Limits:
    """Read limits of grey values as users type them.

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
        found = _PAIR.fullmatch(part)
        if not found:
            raise ValueError(
                "Grey ranges are written as DNA: 100-4000, ER: 50-900. Received:"
                f" {part.strip()!r}"
            )
        pair = float(found["low"]), float(found["high"])
        limits[found["name"]] = check_limits(found["name"], pair)
    unknown = [name for name in limits if name not in images]
    if unknown:
        raise ValueError(
            f"There are grey ranges for {', '.join(unknown)}, which is not among the"
            f" images: {', '.join(images)}"
        )
    return take_channels(limits, images)


def read_plate_limits(path: str, plate: str | None, images: Sequence[str]) -> Limits:
    """Read the limits of grey values of a plate.

    Parameters
    ----------
    path : str
        Of the file.
    plate : str, optional
        Of the image set. None where it has no plate; the file then has only one.
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
    """Refuse a file of limits in which a plate lacks an image.

    Parameters
    ----------
    path : str
        Of the file.
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
        raise ValueError("Choose the file of limits that stratonet extract has written")
    return PlateLimits.read(path)
