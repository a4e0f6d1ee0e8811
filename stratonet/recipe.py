"""Recipes: how a plane becomes features.

A recipe says how a plane is shown to the network, which numbers are kept of the
network's maps, and where the range of grey values comes from. Features of two recipes
cannot be compared, so the recipe is part of the feature set id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from stratonet.tap import INTENSITY, Tap
from stratonet.views import View, check_pixel_size, parse_view

# What is kept of the map of a tap, and the suffix of the tap's label in feature names.
STATISTICS = {"mean": "", "sd": "SD"}
# Where the limits of grey values come from.
OF_PLANE, OF_PLATE, OF_LIMITS = "plane", "plate", "given"

# Limits of grey values by channel.
Limits = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class FeatureBlock:
    """The features of one tap, view and statistic.

    Attributes
    ----------
    label : str
        Part of their names, such as ``Low`` or ``TilesLowSD``.
    width : int
        How many there are.
    output : str, optional
        The network's output with these features; None for brightness.
    """

    label: str
    width: int
    output: str | None = None


@dataclass(frozen=True)
class Recipe:
    """How a plane becomes features.

    Attributes
    ----------
    views : tuple of WholePlane or Tiles
        How the plane is shown; each view gives features of its own.
    pooling : tuple of str
        What is kept of the map of each tap: ``"mean"``, ``"sd"`` or both.
    grey_range : str
        Which grey values become black and white: ``"plane"``, the plane's own
        percentiles; ``"plate"``, those of its channel on the plate; or given limits,
        see `with_limits`.
    crop : int, optional
        Side in pixels of the squares that are cut out around objects. None: planes are
        whole images.

    Raises
    ------
    ValueError
        There is no view or statistic, one is given twice, or one is unknown; or squares
        around objects, whose side is in pixels, are to be shown in micrometres.

    Examples
    --------
    >>> recipe = Recipe.parse("tiles224/mean+sd")
    >>> [view.side for view in recipe.views], recipe.pooling
    ([224], ('mean', 'sd'))
    >>> recipe.id
    'tiles224-mean-sd'
    """

    views: tuple[View, ...]
    pooling: tuple[str, ...] = ("mean",)
    grey_range: str = OF_PLANE
    crop: int | None = None

    def __post_init__(self) -> None:
        """Refuse recipes that cannot be measured, or not be told apart."""
        labels = [view.label for view in self.views]
        if not labels or len(set(labels)) < len(labels):
            raise ValueError(
                "A recipe has one view, or a whole plane and tiles. Received:"
                f" {'+'.join(view.text for view in self.views) or 'none'}"
            )
        statistics = set(self.pooling)
        is_known = statistics <= set(STATISTICS)
        if not is_known or not statistics or len(statistics) < len(self.pooling):
            raise ValueError(
                "A recipe keeps the mean, the sd or both of a map (mean, sd, mean+sd)."
                f" Received: {'+'.join(self.pooling)!r}"
            )
        if self.crop and self.needs_pixel_size:
            # With one id, squares of 96 pixels would show larger or smaller parts of
            # cells.
            raise ValueError(
                "Tiles in micrometres are for whole images: the squares around objects"
                f" are in pixels. Received: {self.text} for squares of {self.crop}"
                " pixels"
            )

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """Read a recipe as users and cards write it.

        Parameters
        ----------
        text : str
            Views and statistics, each joined by ``+``, with a slash between them:
            ``whole224/mean``, ``tiles224/mean+sd``, ``whole224+tiles224/mean``.

        Raises
        ------
        ValueError
            The text is not a recipe.
        """
        views, slash, pooling = text.partition("/")
        if not slash:
            raise ValueError(
                "A recipe is views and statistics, such as tiles224/mean+sd."
                f" Received: {text!r}"
            )
        parsed = tuple(parse_view(view) for view in views.split("+"))
        return cls(parsed, tuple(pooling.split("+")))

    @property
    def text(self) -> str:
        """The recipe as users and cards write it."""
        views = "+".join(view.text for view in self.views)
        return f"{views}/{'+'.join(self.pooling)}"

    @property
    def id(self) -> str:
        """The recipe in the feature set id: everything that changes features."""
        words = [view.text for view in self.views]
        words += self.pooling
        if self.grey_range != OF_PLANE:
            words.append(f"grey-{self.grey_range}")
        if self.crop:
            words.append(f"crop{self.crop}")
        return "-".join(words)

    @property
    def needs_pixel_size(self) -> bool:
        """Whether a view is in micrometres."""
        return any(view.micrometres is not None for view in self.views)

    def check_pixel_size(self, pixel_size: float | None) -> None:
        """Refuse a pixel size that is missing, impossible, or not used.

        Parameters
        ----------
        pixel_size : float, optional
            Micrometres along the side of a pixel, as a user has given it.

        Raises
        ------
        ValueError
            The message says what to do.
        """
        if self.needs_pixel_size:
            check_pixel_size(pixel_size, self.text)
        elif pixel_size is not None:
            raise ValueError(
                "`pixel_size` is used by recipes in micrometres, such as"
                f" tiles224-75um/mean+sd. Received: {pixel_size!r}, for {self.text}"
            )

    def with_crop(self, side: int | None) -> Recipe:
        """Return the recipe for squares around objects (None: for whole images)."""
        return replace(self, crop=side)

    def with_limits(self, limits: Limits) -> Recipe:
        """Return the recipe for grey values between given limits.

        Parameters
        ----------
        limits : mapping of str to (float, float)
            By channel: the grey values that become black and white.
        """
        # By value: 10 and 10.0 are the same limits.
        values = {}
        for channel, (low, high) in limits.items():
            values[channel] = [float(low), float(high)]
        content = json.dumps(values, sort_keys=True).encode()
        digest = hashlib.sha256(content).hexdigest()[:8]
        return replace(self, grey_range=f"{OF_LIMITS}-{digest}")

    def list_blocks(self, taps: Iterable[Tap]) -> tuple[FeatureBlock, ...]:
        """List the blocks that the features of a plane consist of, in order.

        Parameters
        ----------
        taps : iterable of Tap
            Those that are measured, in the order of the network.

        Returns
        -------
        tuple of FeatureBlock
            View by view, tap by tap, statistic by statistic; last the intensity.

        Examples
        --------
        >>> taps = [Tap("conv3_block4_out", 512, "low")]
        >>> blocks = Recipe.parse("whole224+tiles224/mean+sd").list_blocks(taps)
        >>> [block.label for block in blocks]
        ['WholeLow', 'WholeLowSD', 'TilesLow', 'TilesLowSD']
        """
        taps = list(taps)
        has_several_views = len(self.views) > 1
        blocks = []
        for view in self.views:
            prefix = view.label if has_several_views else ""
            for tap in taps:
                if tap.alias == INTENSITY:
                    continue
                for statistic in self.pooling:
                    label = f"{prefix}{tap.label}{STATISTICS[statistic]}"
                    output = tap.outputs[statistic]
                    blocks.append(FeatureBlock(label, tap.width, output))
        # Brightness is measured on the plane itself, however it is shown.
        blocks += [
            FeatureBlock(tap.label, tap.width) for tap in taps if tap.alias == INTENSITY
        ]
        return tuple(blocks)
