"""Taps: where features are taken from a network."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tap:
    """A layer of the network whose output is averaged to features.

    Attributes
    ----------
    layer : str
        Name of the network's output with the means of the layer's maps, of shape (n,
        ``width``).
    width : int
        Number of features.
    alias : str, optional
        Short name for users. Taps with an alias are measured when nothing is chosen.
    reduction : int, optional
        How many input pixels, along one side, a pixel of the layer stands for.
    sd : str, optional
        Name of the network's output with the standard deviations of the maps, where it
        has one, of the same shape.

    Examples
    --------
    >>> Tap("conv4_block6_out", 1024, alias="high").label
    'High'
    """

    layer: str
    width: int
    alias: str | None = None
    reduction: int | None = None
    sd: str | None = None

    @property
    def outputs(self) -> dict[str, str | None]:
        """The network's output for each statistic of the maps."""
        return {"mean": self.layer, "sd": self.sd}

    @property
    def label(self) -> str:
        """Part of a feature name: ``High`` of an alias, else ``Conv2Block3``."""
        if self.alias:
            return self.alias.title()
        words = self.layer.split("_")
        return "".join(word.title() for word in words if word != "out")


# Alias of the tap that is not part of the network.
INTENSITY = "intensity"
# Brightness in the units of the file, which every network has beside its own taps
# (`stratonet.intensity`).
INTENSITY_TAP = Tap(INTENSITY, 10, INTENSITY)
