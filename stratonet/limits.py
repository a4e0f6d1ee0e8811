"""Limits of grey values: which become black and which white, by plate and channel.

Scaled by itself, each plane is as bright as any other. Between the limits of its plate
a dim plane stays dim, so that planes of one plate can be compared, and a constant one
is black. A plane that is brighter than the upper limit is white.

Limits are kept in a small JSON file that ``stratonet extract`` writes, and that
CellProfiler and scikit-learn take.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stratonet.recipe import Limits


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
            It is of another file, or a pair is none.
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
                "These are no limits of grey values, as stratonet extract writes them:"
                f" {error}"
            ) from None
        return cls(plates)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> PlateLimits:
        """Read a file.

        Raises
        ------
        FileNotFoundError, ValueError
            There is none, or it is another; the message names it.
        """
        try:
            return cls.from_json(Path(path).read_text())
        except UnicodeDecodeError:
            raise ValueError(f"{path} is no text file with limits.") from None
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
            There is no such plate, or there are several and none is named.
        """
        if plate is None and len(self.plates) == 1:
            return next(iter(self.plates.values()))
        if plate is None or plate not in self.plates:
            raise ValueError(
                f"There are limits of the plates {', '.join(sorted(self.plates))}."
                f" Received: {plate or 'none'}"
            )
        return self.plates[plate]


def check_limits(channel: str, pair: Iterable[float]) -> tuple[float, float]:
    """Return limits as two numbers, the smaller first.

    Raises
    ------
    ValueError
        They are not; the message names the channel.
    """
    values = [float(value) for value in pair]
    if len(values) != 2 or not np.all(np.isfinite(values)) or values[0] > values[1]:
        raise ValueError(
            f"Limits of grey values are two numbers, the smaller first. Received for"
            f" {channel}: {values}"
        )
    return values[0], values[1]
