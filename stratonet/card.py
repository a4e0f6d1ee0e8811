"""The card: what a weights file says about itself.

Without its card a network is useless (thesis, section 7): nobody could tell which
grey values it was trained on, nor which of its outputs are features.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

from stratonet.recipe import Recipe
from stratonet.tap import INTENSITY_TAP, Tap

# Order of the axes of a network's input: n planes in a batch, channels, height, width.
LAYOUTS = ("NHWC", "NCHW")
# Pillow's filters for resizing (``Image.Resampling``).
FILTERS = ("NEAREST", "BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS")


@dataclass(frozen=True)
class Scaling:
    """How grey values become [0, 1].

    Attributes
    ----------
    low, high : float
        The percentiles of grey values that become 0 and 1; values beyond are clipped.
    """

    low: float
    high: float


@dataclass(frozen=True)
class Planes:
    """How grey in [0, 1] becomes the planes that the network takes.

    Plane i is ``grey * multiply[i] - subtract[i]``.

    Attributes
    ----------
    multiply : float or tuple of float
        One factor for all planes, or one for each.
    subtract : tuple of float
        One number for each plane: as many as the network takes.

    Examples
    --------
    Mean and standard deviation of ImageNet, as vision transformers are trained with:

    >>> means, deviations = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    >>> planes = Planes(
    ...     multiply=tuple(1 / deviation for deviation in deviations),
    ...     subtract=tuple(m / d for m, d in zip(means, deviations)),
    ... )
    >>> planes.count
    3
    """

    multiply: float | tuple[float, ...]
    subtract: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check that there is one factor for all planes, or one for each."""
        if not self.subtract:
            raise ValueError("planes: subtract has one number for each plane.")
        if isinstance(self.multiply, tuple) and len(self.multiply) != self.count:
            raise ValueError(
                "planes: multiply is one number, or one for each plane. Received:"
                f" {len(self.multiply)} for {self.count} planes."
            )

    @property
    def count(self) -> int:
        """Number of planes that the network takes."""
        return len(self.subtract)


@dataclass(frozen=True)
class Card:
    """What must be known to use a weights file and to say where it came from.

    Attributes
    ----------
    name, version, architecture : str
    taps : tuple of Tap
        In the order of the network. Those with an alias are taken when nothing is
        chosen.
    input_size : int
        Height and width of a plane as the network takes it, in pixels, where no other
        size is chosen.
    resize : str
        Pillow filter with which a plane is brought to ``input_size``.
    scaling : Scaling
        Applied after resizing.
    planes : Planes
        Applied after scaling.
    trained_on, trained_from, licence, citation : str
    metrics : mapping of str to float
    layout : {"NHWC", "NCHW"}
        Order of the axes of the network's input.
    input_sizes : tuple of int
        All sides that the network takes. Empty: ``input_size`` only.
    any_size : bool
        The network takes planes of any height and width.
    recipes : mapping of str to str
        The recipes (`stratonet.recipe.Recipe`) that are recommended, as text: the first
        for whole images, and the one named ``objects`` for squares around objects.
        Others are kept for features that were made earlier.
    trained_wells : mapping of str to tuple of str
        The wells that the network was fine-tuned on, by plate: it must not be tested
        on features of these wells. Left out of the JSON if there are none, since the
        bytes of a card are part of the feature set id.
    fast_on : tuple of str
        Processor instructions, by their Linux names (``avx512_vnni``): the network is
        fast on processors that have one of them. Empty, and left out of the JSON, if it
        is fast on any processor. Networks of 8-bit integers list some.

    Raises
    ------
    ValueError
        Sizes, layout or filter are invalid; the message says what was received.
    """

    name: str
    version: str
    architecture: str
    taps: tuple[Tap, ...]
    input_size: int
    resize: str
    scaling: Scaling
    planes: Planes
    trained_on: str
    trained_from: str
    metrics: Mapping[str, float]
    licence: str
    citation: str
    # The card of stratonet50 lacks these, and can never get them: its bytes are part of
    # the feature set id.
    layout: str = "NHWC"
    input_sizes: tuple[int, ...] = ()
    any_size: bool = False
    recipes: Mapping[str, str] = field(default_factory=dict)
    trained_wells: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fast_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse values with which no network can run."""
        if self.layout not in LAYOUTS:
            raise ValueError(
                f"layout is one of {', '.join(LAYOUTS)}. Received: {self.layout!r}"
            )
        if self.resize not in FILTERS:
            raise ValueError(
                f"resize is one of {', '.join(FILTERS)}. Received: {self.resize!r}"
            )
        if self.input_sizes and self.input_size not in self.input_sizes:
            raise ValueError(
                "input_sizes are all sides that the network takes, input_size among"
                f" them. Received: {self.input_sizes} without {self.input_size}"
            )
        for text in self.recipes.values():
            self.check_recipe(Recipe.parse(text))

    @property
    def allowed_sizes(self) -> tuple[int, ...]:
        """All sides that the network takes, in pixels."""
        return self.input_sizes or (self.input_size,)

    def to_json(self) -> str:
        """Return the card as a JSON text."""
        values = asdict(self)
        for name in ("trained_wells", "fast_on"):
            if not values[name]:
                del values[name]
        return json.dumps(values, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Card:
        """Read a card.

        Parameters
        ----------
        text : str
            JSON, from `to_json`.

        Raises
        ------
        ValueError
            Fields are missing, unknown or wrong; the message names them.
        """
        values = json.loads(text)
        _check_field_names(values)
        try:
            values["taps"] = tuple(Tap(**tap) for tap in values["taps"])
            values["scaling"] = Scaling(**values["scaling"])
            values["planes"] = _read_planes(values["planes"])
            values["input_sizes"] = tuple(values.get("input_sizes", ()))
            wells = values.get("trained_wells", {})
            values["trained_wells"] = {name: tuple(wells[name]) for name in wells}
            values["fast_on"] = tuple(values.get("fast_on", ()))
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"A card's taps, scaling or planes are not as they should be: {error}"
            ) from None
        return cls(**values)

    def choose_recipe(
        self, recipe: str | Recipe | None = None, crop: int | None = None
    ) -> Recipe:
        """Return the recipe that is named, written out, or recommended.

        Parameters
        ----------
        recipe : str or Recipe, optional
            A name among ``recipes``, a text such as ``"tiles224/mean+sd"``, or a
            recipe. Default: what the card recommends; if it recommends nothing, the
            mean of the whole plane at ``input_size``.
        crop : int, optional
            Side in pixels of the squares around objects. Default: that of ``recipe``,
            if it is a `Recipe`; otherwise planes are whole images.

        Returns
        -------
        Recipe

        Raises
        ------
        ValueError
            It is not a recipe, or asks for something that the network lacks.
        """
        if recipe is None:
            recipe = self._recommend_recipe(for_objects=crop is not None)
        if isinstance(recipe, str):
            recipe = self._read_recipe(recipe)
        self.check_recipe(recipe)
        return recipe if crop is None else recipe.with_crop(crop)

    def check_recipe(self, recipe: Recipe) -> None:
        """Refuse a recipe that asks for something that the network lacks.

        Parameters
        ----------
        recipe : Recipe
            The recipe to measure with.

        Raises
        ------
        ValueError
            The message names the sides or statistics that the network offers.
        """
        sides = [view.side for view in recipe.views]
        unsupported = [side for side in sides if side not in self.allowed_sizes]
        if unsupported and not self.any_size:
            allowed = ", ".join(map(str, self.allowed_sizes))
            raise ValueError(
                f"{self.name} takes planes with a side of {allowed} pixels. Received:"
                f" {recipe.text}"
            )
        if "sd" in recipe.pooling and not all(tap.sd for tap in self.taps):
            raise ValueError(
                f"{self.name} gives the mean of its maps only. Received: {recipe.text}"
            )

    def _recommend_recipe(self, for_objects: bool) -> str:
        if not self.recipes:
            return f"whole{self.input_size}/mean"
        first = next(iter(self.recipes.values()))
        return self.recipes.get("objects", first) if for_objects else first

    def _read_recipe(self, text: str) -> Recipe:
        written = self.recipes.get(text, text)
        try:
            return Recipe.parse(written)
        except ValueError as error:
            named = [f"{name} ({self.recipes[name]})" for name in self.recipes]
            raise ValueError(
                f"{error}. Named recipes of {self.name}: {', '.join(named) or 'none'}"
            ) from None

    def choose_taps(self, taps: str | Sequence[str] | None = None) -> tuple[Tap, ...]:
        """Return the taps that are named, in the order of the network.

        Parameters
        ----------
        taps : str or sequence of str, optional
            Aliases or layers, and ``"intensity"`` for the brightness of planes. None
            takes every tap with an alias (all taps, where none has one).

        Returns
        -------
        tuple of Tap

        Raises
        ------
        ValueError
            Nothing is chosen, or a name is unknown; the message lists the taps.
        """
        if taps is None:
            return tuple(tap for tap in self.taps if tap.alias) or self.taps
        wanted = [taps] if isinstance(taps, str) else list(taps)
        # Brightness comes last, whatever the network.
        available = (*self.taps, INTENSITY_TAP)
        known_names = {tap.layer for tap in available} | {
            tap.alias for tap in available
        }
        unknown = [name for name in wanted if name is None or name not in known_names]
        if unknown or not wanted:
            raise ValueError(
                f"{self.name} has the taps {_list_taps(available)}. Received: {taps!r}"
            )
        return tuple(
            tap for tap in available if tap.alias in wanted or tap.layer in wanted
        )


def _check_field_names(values: Mapping[str, Any]) -> None:
    expected = {each.name for each in fields(Card)}
    required = {
        each.name
        for each in fields(Card)
        if each.default is MISSING and each.default_factory is MISSING
    }
    missing = sorted(required - set(values))
    unknown = sorted(set(values) - expected)
    if missing or unknown:
        raise ValueError(
            f"A card has the fields {sorted(expected)}. Missing: {missing}. Unknown:"
            f" {unknown}."
        )


def _read_planes(values: Mapping[str, Any]) -> Planes:
    # JSON has lists, but a frozen card holds tuples.
    as_tuples = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
    }
    return Planes(**as_tuples)


def _list_taps(taps: Iterable[Tap]) -> str:
    names = []
    for tap in taps:
        named_twice = tap.alias and tap.alias != tap.layer
        names.append(f"{tap.alias} ({tap.layer})" if named_twice else tap.layer)
    return ", ".join(names)
