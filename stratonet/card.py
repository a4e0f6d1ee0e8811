"""The card.

What a weights file says about itself. Without it a network is useless (thesis, section
7).
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import Mapping, Optional, Tuple


@dataclass(frozen=True)
class Tap:
    """A place in the network whose output is pooled into ``width`` features.

    ``reduction`` is how many input pixels, along one side, a pixel of the layer stands
    for.
    """

    layer: str
    width: int
    alias: Optional[str] = None
    reduction: Optional[int] = None

    @property
    def label(self):
        """The tap's part of a feature name.

        ``High`` for an alias, ``Conv2Block3`` for a layer without one.
        """
        if self.alias:
            return self.alias.title()
        return "".join(part.title() for part in self.layer.split("_") if part != "out")


@dataclass(frozen=True)
class Scaling:
    """Grey values to [0, 1].

    The plane's own percentiles ``low`` and ``high`` become 0 and 1, the rest is
    clipped.
    """

    low: float
    high: float


@dataclass(frozen=True)
class Planes:
    """How grey in [0, 1] becomes the network's three planes.

    Plane i is ``grey * multiply - subtract[i]``.
    """

    multiply: float
    subtract: Tuple[float, float, float]


@dataclass(frozen=True)
class Card:
    """Everything that must be known to use a weights file and to say where it came from.

    Attributes
    ----------
    name, version, architecture : str
    taps : tuple of Tap
        In the order of the network. Those with an alias are taken when nothing is
        chosen.
    input_size : int
        Height and width that the network takes, in pixels.
    resize : str
        Name of the Pillow filter (``Image.Resampling``) with which a plane is brought
        to ``input_size``.
    scaling : Scaling
        Done after resizing.
    planes : Planes
    trained_on, trained_from, licence, citation : str
    metrics : mapping of str to float
    """

    name: str
    version: str
    architecture: str
    taps: Tuple[Tap, ...]
    input_size: int
    resize: str
    scaling: Scaling
    planes: Planes
    trained_on: str
    trained_from: str
    metrics: Mapping[str, float]
    licence: str
    citation: str

    def to_json(self):
        """The card as a JSON text."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text):
        """Read a card; a ValueError names the fields that are missing or unknown."""
        values = json.loads(text)
        expected = {field.name for field in fields(cls)}
        if set(values) != expected:
            raise ValueError(
                f"A card has the fields {sorted(expected)}. Missing:"
                f" {sorted(expected - set(values))}. Unknown:"
                f" {sorted(set(values) - expected)}."
            )
        try:
            values["taps"] = tuple(Tap(**tap) for tap in values["taps"])
            values["scaling"] = Scaling(**values["scaling"])
            values["planes"] = Planes(
                **{**values["planes"], "subtract": tuple(values["planes"]["subtract"])}
            )
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"A card's taps, scaling or planes are not as they should be: {error}"
            ) from None
        return cls(**values)

    def choose_taps(self, taps=None):
        """The taps named in ``taps`` by alias or layer, in the order of the network.

        Parameters
        ----------
        taps : str or sequence of str, optional
            None takes every tap with an alias (all taps, where none has one).

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
        known = {name for tap in self.taps for name in (tap.alias, tap.layer) if name}
        unknown = [name for name in wanted if name not in known]
        if unknown or not wanted:
            there = ", ".join(
                f"{tap.alias} ({tap.layer})" if tap.alias else tap.layer
                for tap in self.taps
            )
            raise ValueError(f"{self.name} has the taps {there}. Received: {taps!r}")
        return tuple(
            tap for tap in self.taps if tap.alias in wanted or tap.layer in wanted
        )
