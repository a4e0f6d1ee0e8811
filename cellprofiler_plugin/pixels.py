"""From what CellProfiler has of an image set to features: planes, crops, the network.

A CellProfiler workspace comes in; arrays of features go out. An image that is missing,
damaged or of another kind has no pixel to measure: its features are NaN, the reason is
in the log, and other images and image sets are measured all the same.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from cellprofiler_core.constants.measurement import IMAGE
from cellprofiler_core.image import FileImage

from stratonet.crops import blank_outside, compute_centers, crop_square
from stratonet.preprocessing import check_plane

if TYPE_CHECKING:
    from cellprofiler_core.image import Image
    from cellprofiler_core.object import Objects
    from cellprofiler_core.workspace import Workspace

    from stratonet import StratoNet
    from stratonet.recipe import Limits

# What it warns of makes a run incomplete: images whose features are NaN.
LOGGER = logging.getLogger(__name__)
NO_STACKS = (
    'Set "Process as 3D?" in NamesAndTypes to No. MakeProjection can turn a stack into'
    " one plane."
)
# What CellProfiler divides integers of 8, 16 and 32 bits by, so that they are 0 to 1.
LARGEST_VALUES = (255, 65535, 2**32)
# In label images of neighbours: a pixel of another object, in whichever layer.
NEIGHBOR = -1


class MaskedPlane(NamedTuple):
    """A plane, and which of its pixels are to be measured.

    Attributes
    ----------
    pixels : numpy.ndarray (height, width)
        In the units of the file.
    mask : numpy.ndarray (height, width), bool
    fault : str
        Why none of them can be measured; empty where they can.
    """

    pixels: np.ndarray
    mask: np.ndarray
    fault: str = ""


@dataclass(frozen=True)
class Regions:
    """What gets a row of features each: the whole image, or the square of each object.

    Attributes
    ----------
    name : str
        ``Image``, or the name of the objects.
    centers : numpy.ndarray (n, 2)
        Row and column of the centre of each object. Not used for whole images.
    crop : callable
        From the name of an image and the number of a region, from 0, to its pixels;
        None where nothing is left to measure.
    faults : mapping of str to str
        Why no region can be measured in an image, by the image's name.
    """

    name: str
    centers: np.ndarray
    crop: Callable[[str, int], np.ndarray | None]
    faults: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.centers)


def get_planes(workspace: Workspace, names: Sequence[str]) -> dict[str, MaskedPlane]:
    """Get the pixels and the masks of images of the image set.

    Parameters
    ----------
    workspace : cellprofiler_core.workspace.Workspace
        Of the image set.
    names : sequence of str
        Of the images.

    Returns
    -------
    dict of str to MaskedPlane
        Wholly masked, with a warning in the log, where an image cannot be measured: it
        is missing, damaged, in color, or some of its pixels are no numbers.

    Raises
    ------
    RuntimeError
        An image is a stack, or cannot be measured in test mode. The message names its
        file and says what to do.
    """
    planes: dict[str, MaskedPlane] = {}
    faults: dict[str, str] = {}
    for name in names:
        try:
            planes[name] = get_plane(workspace, name)
        except ValueError as error:
            faults[name] = str(error)
            _tell_fault(workspace, faults[name])
    # The figure shows them, and objects may lie in them.
    shape = next((plane.pixels.shape for plane in planes.values()), (1, 1))
    for name, fault in faults.items():
        blank = np.zeros(shape, np.float32)
        planes[name] = MaskedPlane(blank, np.zeros(shape, bool), fault)
    return {name: planes[name] for name in names}


def _tell_fault(workspace: Workspace, fault: str) -> None:
    """Warn of an image; who chooses settings is stopped by it."""
    if workspace.pipeline.test_mode:
        raise RuntimeError(fault)
    LOGGER.warning("%s Its features are nan.", fault)


def get_plane(workspace: Workspace, name: str) -> MaskedPlane:
    """Get the pixels and the mask of an image of the image set.

    Parameters
    ----------
    workspace : cellprofiler_core.workspace.Workspace
        Of the image set.
    name : str
        Of the image.

    Raises
    ------
    RuntimeError
        It is a stack, because of a setting of the pipeline.
    ValueError
        It is missing, damaged or in color, or some of its pixels are no numbers; the
        message names its file and says what to do.
    """
    title = _describe_image(workspace, name)
    try:
        image = workspace.image_set.get_image(name)
    except MemoryError:
        raise
    # The readers behind CellProfiler (Bio-Formats, imageio) raise errors of any type.
    except Exception as error:
        raise ValueError(
            f"{title} is missing or cannot be read: {error}. Complete the image set, or"
            " leave it out."
        ) from error
    shape = image.pixel_data.shape
    if image.volumetric:
        raise RuntimeError(f"{title} is a 3D stack of shape {shape}. {NO_STACKS}")
    if image.multichannel:
        raise ValueError(
            f"{title} is a color image of shape {shape}. Use ColorToGray first."
        )
    try:
        # Here and not in the network, because here the file's name is known.
        pixels = check_plane(image.pixel_data)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{title}: {error}.") from error
    factor = _find_scale(workspace, image)
    if factor != 1:
        pixels = pixels * np.float32(factor)
    return MaskedPlane(pixels, image.mask)


def _find_scale(workspace: Workspace, image: Image) -> float:
    """What CellProfiler has divided the grey values of the file by.

    An image that a module has made has the scale of the one that it was made from. One
    without a scale is in CellProfiler's own units.
    """
    if image.scale is None:
        return 1.0
    for provider in workspace.image_set.providers:
        is_source = isinstance(provider, FileImage) and (
            provider.get_filename() == image.file_name
        )
        # By a number that the user has given.
        if is_source and isinstance(provider.rescale, float):
            return provider.rescale
        # By the data type, whatever the file says of its largest value.
        if is_source and not provider.rescale:
            return _find_largest_value(image.scale)
    return float(image.scale)


def _find_largest_value(scale: float) -> float:
    # Files of floating point numbers have scale 1, and stay as they are.
    if scale <= 1:
        return float(scale)
    return float(min(value for value in LARGEST_VALUES if value >= scale))


def _describe_image(workspace: Workspace, name: str) -> str:
    """Words for an image in an error: its name, image set and file."""
    measurements = workspace.measurements
    title = f"Image {name} of image set {measurements.image_set_number}"
    features = [f"PathName_{name}", f"FileName_{name}"]
    # An image that a module has made, such as a corrected one, has no file.
    if not all(measurements.has_feature(IMAGE, feature) for feature in features):
        return title
    folder, file = map(measurements.get_current_image_measurement, features)
    return f"{title} ({os.path.join(folder, file)})"


def make_regions(
    workspace: Workspace,
    name: str,
    planes: Mapping[str, MaskedPlane],
    size: int,
    hide_neighbors: bool,
) -> Regions:
    """Make the regions of an image set that get a row each.

    Parameters
    ----------
    workspace : cellprofiler_core.workspace.Workspace
        Of the image set.
    name : str
        ``Image`` or the name of the objects.
    planes : mapping of str to MaskedPlane
        By name of the image.
    size : int
        Side of the square around each object, in pixels.
    hide_neighbors : bool
        Set the pixels of other objects to background.

    Returns
    -------
    Regions

    Raises
    ------
    RuntimeError
        There are no such objects; or, in test mode, they come from an image of another
        shape.
    """
    faults = {image: plane.fault for image, plane in planes.items() if plane.fault}
    if name == IMAGE:
        return _make_whole_image(planes, faults)
    objects = _get_objects(workspace, name)
    for image, plane in planes.items():
        # Squares of an image of another size would lie beside the objects.
        if image not in faults and objects.shape != plane.pixels.shape:
            faults[image] = _describe_shapes(objects, name, image, plane)
            _tell_fault(workspace, faults[image])
    return _make_object_squares(objects, name, planes, faults, size, hide_neighbors)


def _describe_shapes(
    objects: Objects, name: str, image: str, plane: MaskedPlane
) -> str:
    return (
        f"The objects {name} have shape {objects.shape}, but the image {image} has"
        f" {plane.pixels.shape}. Identify them in an image of the same size, or use"
        " Crop or Resize on both."
    )


def _make_whole_image(
    planes: Mapping[str, MaskedPlane], faults: Mapping[str, str]
) -> Regions:
    def crop(name: str, _: int) -> np.ndarray | None:
        return blank_outside(planes[name].pixels, planes[name].mask)

    return Regions(IMAGE, np.zeros((1, 2)), crop, faults)


def _make_object_squares(
    objects: Objects,
    name: str,
    planes: Mapping[str, MaskedPlane],
    faults: Mapping[str, str],
    size: int,
    hide_neighbors: bool,
) -> Regions:
    centers = compute_centers(objects.ijv, objects.count)
    neighbors = _find_neighbors(objects) if hide_neighbors else {}

    def crop(image: str, number: int) -> np.ndarray | None:
        if image in faults:
            return None
        pixels, mask, _ = planes[image]
        label = number + 1
        return crop_square(
            pixels, centers[number], size, mask, neighbors.get(label), label
        )

    return Regions(name, centers, crop, faults)


def _get_objects(workspace: Workspace, name: str) -> Objects:
    if name not in workspace.object_set.object_names:
        raise RuntimeError(
            f"There are no objects named {name} in this image set. Choose others in"
            ' "Select objects to measure".'
        )
    return workspace.object_set.get_objects(name)


def _find_neighbors(objects: Objects) -> dict[int, np.ndarray]:
    """For each label, a label image in which all other objects have other labels.

    Objects of CellProfiler may overlap. They are then spread over several label images,
    or layers, and an object keeps the pixels that it shares with others.

    Parameters
    ----------
    objects : cellprofiler_core.object.Objects
        All objects of one name.

    Returns
    -------
    dict of int to numpy.ndarray (height, width), int
        Objects of the same layer share the array.
    """
    if not objects.count:
        return {}
    layers = objects.get_labels()
    occupied = np.any([labels > 0 for labels, _ in layers], axis=0)
    neighbors = {}
    for labels, numbers in layers:
        # Where layers overlap, this layer's own labels count.
        others = np.where(occupied & (labels == 0), NEIGHBOR, labels)
        neighbors.update(dict.fromkeys(numbers, others))
    return neighbors


def measure_regions(
    net: StratoNet,
    names: Sequence[str],
    regions: Regions,
    limits: Limits,
    pixel_size: float | None,
) -> np.ndarray:
    """Measure each region in each image.

    Parameters
    ----------
    net : stratonet.StratoNet
        Cut behind the taps to measure.
    names : sequence of str
        Of the images.
    regions : Regions
        The whole image, or the squares around objects.
    limits : mapping of str to (float, float)
        Of the grey values of each image; none where each region is scaled by itself.
    pixel_size : float, optional
        In micrometres; None where nothing is measured in micrometres.

    Returns
    -------
    numpy.ndarray (n regions, images x width of the network), float32
        NaN where there is nothing to measure, with a warning in the log.
    """
    features = np.full((len(regions), len(names), net.width), np.nan, dtype=np.float32)
    # Which region and image each output of the network belongs to: outputs come in the
    # order in which crops were drawn.
    measured: list[tuple[int, int]] = []

    # The network draws crops as it needs them: those of 5,000 objects would not all
    # fit into memory.
    def crop_regions() -> Iterator[tuple[str, np.ndarray]]:
        for number in range(len(regions)):
            for column, name in enumerate(names):
                if name in regions.faults:
                    continue
                pixels = regions.crop(name, number)
                if pixels is None:
                    _warn_of_nan(regions.name, number, name)
                else:
                    measured.append((number, column))
                    yield name, pixels

    rows = net.stream(
        crop_regions(),
        read=lambda named: named[1],
        choose_limits=lambda named: limits.get(named[0]),
        pixel_size=pixel_size,
    )
    for index, values in enumerate(rows):
        features[measured[index]] = values
    return features.reshape(len(regions), len(names) * net.width)


def _warn_of_nan(region_name: str, number: int, image: str) -> None:
    logging.warning(
        "%s %d has no pixel to measure in %s: its features are nan.",
        region_name,
        number + 1,
        image,
    )
