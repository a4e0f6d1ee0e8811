"""What is measured, and how. This module does not read or measure images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Union

import numpy as np

from stratonet.card import Card
from stratonet.extraction.thumbnails import make_crop
from stratonet.files.storage import Storage
from stratonet.limits import PlateLimits
from stratonet.naming import feature_names
from stratonet.network import StratoNet
from stratonet.preprocessing import PreparedPlane, prepare_plane
from stratonet.recipe import FeatureBlock, Limits, Recipe
from stratonet.tap import INTENSITY_TAP
from stratonet.weights_file import read_card

# The same default and limits as in the CellProfiler module MeasureStratoFeatures.
SIZE = 96
SMALLEST_SIZE, LARGEST_SIZE = 8, 4096


@dataclass(frozen=True)
class WholeImages:
    """Measure whole images: one row per image set.

    Attributes
    ----------
    size, label : None
        There are no objects.

    Examples
    --------
    >>> WholeImages().size
    """

    @property
    def size(self) -> None:
        """None, since no squares are cut out."""
        return None

    @property
    def label(self) -> None:
        """None, since there are no objects."""
        return None


@dataclass(frozen=True)
class ObjectsFromLabels:
    """Measure the objects of a label image: one row per object.

    Attributes
    ----------
    label : str
        Name of the label image in the table of image sets: ``Nuclei`` for
        ``ObjectsFileName_Nuclei``.
    size : int
        Side of the square around each object, in pixels, 8 to 4096.

    Examples
    --------
    >>> ObjectsFromLabels("Nuclei").size
    96
    """

    label: str
    size: int = SIZE

    def __post_init__(self) -> None:
        _check_size(self.size)


@dataclass(frozen=True)
class ObjectsFromCenters:
    """Measure the objects of a table of centres: one row per object.

    Attributes
    ----------
    table : str
        Path or URL, see `stratonet.extraction.units.read_centers`.
    size : int
        Side of the square around each object, in pixels, 8 to 4096.

    Examples
    --------
    >>> ObjectsFromCenters("Nuclei.csv", size=64)
    ObjectsFromCenters(table='Nuclei.csv', size=64)
    """

    table: str
    size: int = SIZE

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", str(self.table))
        _check_size(self.size)

    @property
    def label(self) -> str:
        """Name of these objects in the manifest of a destination."""
        return "centres"


# Outside of annotations, a union with | needs Python 3.10.
Objects = Union[WholeImages, ObjectsFromLabels, ObjectsFromCenters]


def _check_size(size: int) -> None:
    if not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        raise ValueError(
            f"`size` is {SMALLEST_SIZE} to {LARGEST_SIZE} pixels. Received: {size}"
        )


@dataclass(frozen=True)
class Job:
    """What is measured and how.

    It is small and holds no credentials, so that it can be sent to other processes and
    machines, where `stratonet.extraction.measure` carries it out.

    Attributes
    ----------
    storage : Storage
        What reads the images.
    channels : tuple of str
    recipe : Recipe
        How planes become features.
    weights, taps, provider
        See `stratonet.StratoNet.load`.
    objects : WholeImages, ObjectsFromLabels or ObjectsFromCenters
    limits : PlateLimits or mapping of str to (float, float), optional
        Limits of grey values that the user gives: for each plate, or for each channel
        of all plates. Without them, the limits that the recipe asks for are measured.
    illumination : {"divide", "subtract"}, optional
        Correct each image by its illumination function.
    strict : bool
        Raise at the first image that cannot be measured.
    project : str, optional
        How stacks become planes. Each image set also says this; here it is for the
        manifest.
    crops : bool
        Also keep a crop of each object or site.
    """

    storage: Storage
    channels: tuple[str, ...]
    recipe: Recipe
    weights: str = "stratonet50"
    taps: tuple[str, ...] | None = None
    provider: str = "CPUExecutionProvider"
    objects: Objects = WholeImages()
    limits: PlateLimits | Limits | None = None
    illumination: str | None = None
    strict: bool = False
    project: str | None = None
    crops: bool = False

    @property
    def network(self) -> StratoNet:
        """The network, opened once per process."""
        return StratoNet.load(
            self.weights, self.taps, self.provider, self.recipe, self.recipe.crop
        )

    def prepare(
        self,
        plane: np.ndarray,
        limits: tuple[float, float] | None,
        pixel_size: float | None = None,
    ) -> PreparedPlane:
        """Prepare a plane for the network, without opening the network."""
        prepared = prepare_plane(
            plane,
            self.card,
            self.recipe,
            limits,
            self._measures_intensity,
            pixel_size,
        )
        if self.crops:
            return replace(prepared, crop=make_crop(plane, self.card, limits))
        return prepared

    # These are cached because each plane needs them: looking for the weights file every
    # time took longer than scaling a small plane.

    @cached_property
    def card(self) -> Card:
        """The card of the weights, without the network."""
        return read_card(self.weights)

    @cached_property
    def width(self) -> int:
        """Number of features of one plane."""
        blocks = self.recipe.list_blocks(self.card.choose_taps(self.taps))
        return sum(block.width for block in blocks)

    @cached_property
    def _measures_intensity(self) -> bool:
        return INTENSITY_TAP in self.card.choose_taps(self.taps)

    @property
    def feature_names(self) -> list[str]:
        """The names of all columns of features."""
        return _make_feature_names(self.network.blocks, self.channels)

    @property
    def manifest(self) -> dict[str, object]:
        """Everything that determines the features, in a form that JSON can hold.

        A destination stores it and refuses a job with another manifest: its keys and
        their order must not change.
        """
        taps = self.card.choose_taps(self.taps)
        # Destinations of earlier versions lack these entries.
        crops = {"crops": True} if self.crops else {}
        projected = {"project": self.project} if self.project else {}
        return {
            "feature_set": self.network.feature_set_id,
            "taps": [tap.layer for tap in taps],
            "recipe": self.recipe.text,
            "grey_range": self._describe_grey_range(),
            "channels": list(self.channels),
            "illumination": self.illumination,
            "objects": self.objects.label,
            "size": self.objects.size,
            **projected,
            **crops,
        }

    def _describe_grey_range(self) -> str | dict[str, list[float]]:
        if self.limits is None or isinstance(self.limits, PlateLimits):
            return self.recipe.grey_range
        # The feature set id has only their digest.
        return {channel: list(pair) for channel, pair in self.limits.items()}


# Cached: there are thousands of names, and they are needed for each well.
@lru_cache(maxsize=4)
def _make_feature_names(
    blocks: tuple[FeatureBlock, ...], channels: tuple[str, ...]
) -> list[str]:
    return feature_names(blocks, channels)
