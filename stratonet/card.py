"""The card: what a weights file says about itself.

Without its card a network is useless (thesis, section 7): nobody could tell which
grey values it was trained on, nor which of its outputs are features.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any

# Order of the axes of a network's input: n planes in a batch, channels, height, width.
LAYOUTS = ("NHWC", "NCHW")
# Pillow's filters for resizing (``Image.Resampling``).
FILTERS = ("NEAREST", "BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS")


@dataclass(frozen=True)
class Tap:
    """A layer of the network whose output is averaged to features.

    Attributes
    ----------
    layer : str
        Name of the network's output, of shape (n, ``width``).
    width : int
        Number of features.
    alias : str, optional
        Short name for users. Taps with an alias are measured when nothing is chosen.
    reduction : int, optional
        How many input pixels, along one side, a pixel of the layer stands for.

    Examples
    --------
    >>> Tap("conv4_block6_out", 1024, alias="high").label
    'High'
    """

    layer: str
    width: int
    alias: str | None = None
    reduction: int | None = None

    @property
    def label(self) -> str:
        """Part of a feature name: ``High`` of an alias, else ``Conv2Block3``."""
        if self.alias:
            return self.alias.title()
        words = self.layer.split("_")
        return "".join(word.title() for word in words if word != "out")


@dataclass(frozen=True)
class Scaling:
    """How grey values become [0, 1].

    Attributes
    ----------
    low, high : float
        The plane's own percentiles that become 0 and 1; what lies beyond is clipped.
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
        """Refuse other numbers of factors than of planes."""
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
        Done after resizing.
    planes : Planes
        Done after scaling.
    trained_on, trained_from, licence, citation : str
    metrics : mapping of str to float
    layout : {"NHWC", "NCHW"}
        Order of the axes of the network's input.
    input_sizes : tuple of int
        All sides that the network takes. Empty: ``input_size`` only.
    trained_wells : mapping of str to tuple of str
        The wells that the network was fine-tuned on, by plate: its features of them
        are no test of it. Not in the JSON where there are none, since the bytes of a
        card are part of the feature set id.

    Raises
    ------
    ValueError
        Sizes, layout or filter are not possible; the message says what was received.
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
    trained_wells: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no network can be run by."""
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

    @property
    def allowed_sizes(self) -> tuple[int, ...]:
        """All sides that the network takes, in pixels."""
        return self.input_sizes or (self.input_size,)

    def to_json(self) -> str:
        """Return the card as a JSON text."""
        values = asdict(self)
        if not self.trained_wells:
            del values["trained_wells"]
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
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"A card's taps, scaling or planes are not as they should be: {error}"
            ) from None
        return cls(**values)

    def choose_size(self, size: int | None = None) -> Card:
        """Return the card for planes of another side.

        Parameters
        ----------
        size : int, optional
            One of ``allowed_sizes``, in pixels. Default: ``input_size``.

        Raises
        ------
        ValueError
            The network does not take this side; the message lists those it takes.
        """
        if size is None or size == self.input_size:
            return self
        if size not in self.allowed_sizes:
            sides = ", ".join(map(str, self.allowed_sizes))
            raise ValueError(
                f"{self.name} takes planes with a side of {sides} pixels. Received:"
                f" size {size}"
            )
        return replace(self, input_size=size)

    def choose_taps(self, taps: str | Sequence[str] | None = None) -> tuple[Tap, ...]:
        """Return the taps that are named, in the order of the network.

        Parameters
        ----------
        taps : str or sequence of str, optional
            Aliases or layers. None takes every tap with an alias (all taps, where none
            has one).

        Returns
        -------
        tuple of Tap

        Raises
        ------
        ValueError
            Nothing is chosen, or a name is unknown: the message lists those there are.
        """
        if taps is None:
            return tuple(tap for tap in self.taps if tap.alias) or self.taps
        wanted = [taps] if isinstance(taps, str) else list(taps)
        known = {tap.layer for tap in self.taps} | {tap.alias for tap in self.taps}
        unknown = [name for name in wanted if name is None or name not in known]
        if unknown or not wanted:
            raise ValueError(
                f"{self.name} has the taps {_list_taps(self.taps)}. Received: {taps!r}"
            )
        return tuple(
            tap for tap in self.taps if tap.alias in wanted or tap.layer in wanted
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
    # JSON has lists, and a frozen card holds tuples.
    as_tuples = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
    }
    return Planes(**as_tuples)


def _list_taps(taps: Iterable[Tap]) -> str:
    names = [f"{tap.alias} ({tap.layer})" if tap.alias else tap.layer for tap in taps]
    return ", ".join(names)
