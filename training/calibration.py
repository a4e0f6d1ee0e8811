"""Draw the images on which a network is calibrated, as the network will see them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stratonet import Card, Recipe
from stratonet.extraction.planes import FILE_ERRORS
from stratonet.files.images import read_plane
from stratonet.files.listing import list_folder
from stratonet.preprocessing import prepare_plane, to_planes
from stratonet.views import LARGEST_CROP

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")
# With more images, the ranges hardly change (docs/performance.md).
MOST_IMAGES = 100
# Side in pixels of the squares that stand for objects.
SQUARE = 96


@dataclass(frozen=True)
class Example:
    """An image, and the recipe by which the network sees it.

    Attributes
    ----------
    path : pathlib.Path
        File with one grey plane.
    recipe : Recipe
        One of the recipes that the card recommends.
    corner : (float, float)
        Position of the square that stands for an object, from 0 (top, left) to 1
        (bottom, right).
    """

    path: Path
    recipe: Recipe
    corner: tuple[float, float]

    def read(self) -> np.ndarray:
        """Read the plane, or the square in it that stands for an object."""
        plane = read_plane(self.path)
        if self.recipe.crop is None or max(plane.shape) <= LARGEST_CROP:
            return plane
        top, left = (
            int(share * max(0, side - SQUARE))
            for share, side in zip(self.corner, plane.shape)
        )
        return plane[top : top + SQUARE, left : left + SQUARE]


def draw_examples(
    folders: Sequence[str | os.PathLike[str]], card: Card, seed: int = 0
) -> list[Example]:
    """Draw readable images, each to be shown by the card's recipes.

    Parameters
    ----------
    folders : sequence of str or path
        See `quantize_weights`.
    card : Card
        Recommends recipes for whole images and for objects.
    seed : int
        Seed of the random draw.

    Returns
    -------
    list of Example
        Two per image: one as a whole image, one as an object.

    Raises
    ------
    FileNotFoundError
        A folder has no image.
    ValueError
        No image of a folder can be read; the message says why.
    """
    recipes = [card.choose_recipe(), card.choose_recipe(crop=SQUARE)]
    random = np.random.default_rng(seed)
    share = -(-MOST_IMAGES // len(folders))
    examples = []
    for folder in folders:
        paths = _list_images(Path(folder))
        drawn = [paths[index] for index in random.permutation(len(paths))]
        for path in _choose_readable(Path(folder), drawn, share):
            corner = tuple(random.random(2))
            examples += [Example(path, recipe, corner) for recipe in recipes]
    return examples


def _list_images(folder: Path) -> list[Path]:
    paths = [Path(name) for name in list_folder(str(folder))]
    images = [path for path in paths if path.suffix.lower() in SUFFIXES]
    if not images:
        raise FileNotFoundError(
            f"{folder} holds no images ({', '.join(SUFFIXES)}) to calibrate on."
        )
    return images


def _choose_readable(folder: Path, paths: Sequence[Path], limit: int) -> list[Path]:
    chosen: list[Path] = []
    reasons: list[str] = []
    for path in paths:
        if len(chosen) == limit:
            break
        try:
            read_plane(path)
            chosen.append(path)
        except FILE_ERRORS as error:
            reasons.append(str(error))
    if reasons:
        tqdm.write(f"{folder}: left out {len(reasons)} images. {reasons[0]}")
    if not chosen:
        raise ValueError(f"{folder}: no image can be read. {reasons[0]}")
    return chosen


def show_examples(examples: Sequence[Example], card: Card) -> Iterator[np.ndarray]:
    """Yield examples as the network takes them: one tile of each.

    Parameters
    ----------
    examples : sequence of Example
        Examples to read.
    card : Card
        Card of the network.

    Yields
    ------
    numpy.ndarray (1, ...), float32
        One tile, as the network takes it.
    """
    random = np.random.default_rng(len(examples))
    for example in tqdm(examples, desc="reading", unit=" planes"):
        view = example.recipe.views[0]
        prepared = prepare_plane(example.read(), card, example.recipe)
        tiles = view.cut(prepared.greys[0])
        yield to_planes(tiles[random.integers(len(tiles))], card)
