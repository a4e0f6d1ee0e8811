"""Limits of grey values: which become black and which white, by plate and channel.

Planes that are scaled by themselves are all equally bright. Scaled between the limits
of its plate, a dim plane stays dim and an empty one dark, so that planes of one plate
can be compared. Pixels that are brighter than the upper limit are white.

Limits are stored in a small JSON file that ``stratonet extract`` writes, and that
CellProfiler and scikit-learn read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Union

import numpy as np

from stratonet.messages import redact_url, shorten_list, suggest_name
from stratonet.recipe import OF_PLANE, OF_PLATE, Limits, Recipe


@dataclass(frozen=True)
class PlateLimits:
    """Limits of grey values that were measured on plates.

    Attributes
    ----------
    plates : mapping of str to (mapping of str to (float, float))
        By plate, then by channel: the grey values that become black and white, in the
        units of the files.

    Examples
    --------
    >>> limits = PlateLimits({"P1": {"DNA": (100.0, 4000.0)}})
    >>> PlateLimits.from_json(limits.to_json()) == limits
    True
    >>> limits.choose()["DNA"]
    (100.0, 4000.0)
    """

    plates: Mapping[str, Limits]

    def to_json(self) -> str:
        """Return the content of the file."""
        plates = {
            plate: {channel: list(pair) for channel, pair in channels.items()}
            for plate, channels in self.plates.items()
        }
        return json.dumps({"grey_limits": plates}, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> PlateLimits:
        """Read the content of a file.

        Raises
        ------
        ValueError
            It is the content of another file, or a pair is invalid.
        """
        try:
            plates = {}
            for plate, channels in json.loads(text)["grey_limits"].items():
                plates[plate] = {
                    channel: check_limits(channel, pair)
                    for channel, pair in channels.items()
                }
        except (json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
            raise ValueError(
                "These are not limits of grey values, as stratonet extract writes them:"
                f" {error}"
            ) from None
        return cls(plates)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> PlateLimits:
        """Read a file.

        Raises
        ------
        FileNotFoundError, ValueError
            There is no such file, or it is another one; the message names it.
        """
        try:
            return cls.from_json(Path(path).read_text())
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not a text file with limits.") from None
        except OSError as error:
            name = redact_url(path)
            raise type(error)(f"{name} cannot be read: {error.strerror}.") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def choose(self, plate: str | None = None) -> Limits:
        """Return the limits of a plate.

        Parameters
        ----------
        plate : str, optional
            Default: the only one.

        Raises
        ------
        ValueError
            There is no such plate, or there are several plates and none is named.
        """
        if plate is None and len(self.plates) == 1:
            return next(iter(self.plates.values()))
        if plate is None or plate not in self.plates:
            raise ValueError(
                f"There are limits of the plates {', '.join(sorted(self.plates))}."
                f" Received: {plate or 'none'}"
            )
        return self.plates[plate]


# The range of grey values, as users choose it.
GreyRange = Union[str, Limits, PlateLimits]


def read_grey_range(grey_range: GreyRange | os.PathLike[str]) -> GreyRange:
    """Return a grey range, which is read from a file if a path is given.

    Parameters
    ----------
    grey_range : {"plane", "plate"}, mapping, PlateLimits, or path of a file of limits
        As users give it.

    Raises
    ------
    FileNotFoundError, ValueError
        As `PlateLimits.read`.
    """
    if isinstance(grey_range, (Mapping, PlateLimits)):
        return grey_range
    if grey_range in (OF_PLANE, OF_PLATE):
        return str(grey_range)
    return PlateLimits.read(grey_range)


def apply_grey_range(
    recipe: Recipe, grey_range: GreyRange, channels: Sequence[str]
) -> Recipe:
    """Return a recipe with the grey range that a user has chosen.

    Parameters
    ----------
    recipe : Recipe
        How planes become features.
    grey_range : {"plane", "plate"}, mapping or PlateLimits
        Limits that are given for each channel become part of the recipe. Those in
        `PlateLimits` are the plate's, as if they had been measured now.
    channels : sequence of str
        Those that are measured.

    Returns
    -------
    Recipe

    Raises
    ------
    ValueError
        It is not a grey range, the recipe has another one, or channels and limits do
        not match; the message says what was received.

    Examples
    --------
    >>> recipe = Recipe.parse("tiles224/mean")
    >>> apply_grey_range(recipe, "plate", ["DNA"]).id
    'tiles224-mean-grey-plate'
    >>> apply_grey_range(recipe, {"DNA": (100, 4000)}, ["DNA"]).id
    'tiles224-mean-grey-given-aa922bc3'
    """
    if isinstance(grey_range, PlateLimits):
        chosen = replace(recipe, grey_range=OF_PLATE)
    elif isinstance(grey_range, Mapping):
        unknown = [name for name in grey_range if name not in channels]
        if unknown:
            raise ValueError(
                f"The channels are {shorten_list(channels)}. Received in `grey_range`:"
                f" {shorten_list(unknown)}.{suggest_name(unknown[0], channels)}"
            )
        chosen = recipe.with_limits(take_channels(grey_range, channels))
    elif grey_range in (OF_PLANE, OF_PLATE):
        chosen = replace(recipe, grey_range=grey_range)
    else:
        raise ValueError(
            f"`grey_range` is {OF_PLANE}, {OF_PLATE}, or limits for each channel."
            f" Received: {grey_range!r}"
        )
    if recipe.grey_range not in (OF_PLANE, chosen.grey_range):
        raise ValueError(
            f"The recipe has the grey range {recipe.grey_range}. Received as"
            f" `grey_range`: {chosen.grey_range}"
        )
    return chosen


def take_channels(
    limits: Limits, channels: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Return the limits of the channels that are measured.

    Parameters
    ----------
    limits : mapping of str to (float, float)
        By channel; other channels may be among them.
    channels : sequence of str
        Those that are measured.

    Raises
    ------
    ValueError
        A channel has no limits, or a pair is invalid; the message names the channel.
    """
    missing = [name for name in channels if name not in limits]
    if missing:
        raise ValueError(
            f"There is no grey range for {shorten_list(missing)}. There are ranges for:"
            f" {shorten_list(list(limits)) or 'none'}."
            f"{suggest_name(missing[0], limits)}"
        )
    return {name: check_limits(name, limits[name]) for name in channels}


def check_limits(channel: str, pair: Iterable[float]) -> tuple[float, float]:
    """Return limits as two numbers, the smaller first.

    Raises
    ------
    ValueError
        They are not two numbers in this order; the message names the channel.
    """
    values = [float(value) for value in pair]
    if len(values) != 2 or not np.all(np.isfinite(values)) or values[0] > values[1]:
        raise ValueError(
            f"Limits of grey values are two numbers, the smaller first. Received for"
            f" {channel}: {values}"
        )
    return values[0], values[1]
