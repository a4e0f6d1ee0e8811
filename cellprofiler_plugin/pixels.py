"""Turn the images and objects of an image set into features: planes, crops, network.

A CellProfiler workspace comes in; arrays of features go out. An image that is missing,
damaged or of the wrong type has no pixel to measure: its features are NaN, the reason
is in the log, and other images and image sets are measured all the same.
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

# It warns of images whose features are NaN. Such warnings make a run incomplete.
LOGGER = logging.getLogger(__name__)
NO_STACKS = (
    'Set "Process as 3D?" in NamesAndTypes to No. MakeProjection can turn a stack into'
    " one plane."
)
# CellProfiler divides integers of 8, 16 and 32 bits by these, to scale them to 0 to 1.
LARGEST_VALUES = (255, 65535, 2**32)
# In label images of neighbours: the pixel belongs to another object, in any layer.
NEIGHBOR = -1


class MaskedPlane(NamedTuple):
    """A plane, and which of its pixels are to be measured.

    Attributes
    ----------
    pixels : numpy.ndarray (height, width)
        Grey values in the units of the file.
    mask : numpy.ndarray (height, width), bool
        True for pixels to measure.
    fault : str
        Why no pixel can be measured; empty if they can.
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
        Takes the name of an image and the number of a region, from 0; returns its
        pixels, or None if it has none to measure.
    faults : mapping of str to str
        Why no region of an image can be measured, by the image's name.
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
        The workspace of the image set.
    names : sequence of str
        Names of the images.

    Returns
    -------
    dict of str to MaskedPlane
        If an image cannot be measured (missing, damaged, in color, or with pixels that
        are not numbers), its plane is fully masked, with a warning in the log.

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
            _report_fault(workspace, faults[name])
    # A blank plane has the shape of the others, because the figure draws objects on it.
    shape = next((plane.pixels.shape for plane in planes.values()), (1, 1))
    for name, fault in faults.items():
        blank = np.zeros(shape, np.float32)
        planes[name] = MaskedPlane(blank, np.zeros(shape, bool), fault)
    return {name: planes[name] for name in names}


def _report_fault(workspace: Workspace, fault: str) -> None:
    """Warn of an image; in test mode, where users choose settings, stop."""
    if workspace.pipeline.test_mode:
        raise RuntimeError(fault)
    LOGGER.warning("%s Its features are nan.", fault)


def get_plane(workspace: Workspace, name: str) -> MaskedPlane:
    """Get the pixels and the mask of an image of the image set.

    Parameters
    ----------
    workspace : cellprofiler_core.workspace.Workspace
        The workspace of the image set.
    name : str
        Name of the image.

    Raises
    ------
    RuntimeError
        The image is a stack, because of a setting of the pipeline.
    ValueError
        The image is missing, damaged or in color, or some of its pixels are not
        numbers; the message names its file and says what to do.
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
        # Checked here rather than in the network, because the file name is known here.
        pixels = check_plane(image.pixel_data)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{title}: {error}.") from error
    factor = _find_scale(workspace, image)
    if factor != 1:
        pixels = pixels * np.float32(factor)
    return MaskedPlane(pixels, image.mask)


def _find_scale(workspace: Workspace, image: Image) -> float:
    """Find the number by which CellProfiler has divided the grey values of the file.

    An image made by a module has the scale of the image it was made from. One without a
    scale is in CellProfiler's own units.
    """
    if image.scale is None:
        return 1.0
    for provider in workspace.image_set.providers:
        is_source = isinstance(provider, FileImage) and (
            provider.get_filename() == image.file_name
        )
        # A number that the user has set.
        if is_source and isinstance(provider.rescale, float):
            return provider.rescale
        # Depends on the data type, whatever the file says of its largest value.
        if is_source and not provider.rescale:
            return _find_largest_value(image.scale)
    return float(image.scale)


def _find_largest_value(scale: float) -> float:
    # Files with floating-point numbers have scale 1, and stay as they are.
    if scale <= 1:
        return float(scale)
    return float(min(value for value in LARGEST_VALUES if value >= scale))


def _describe_image(workspace: Workspace, name: str) -> str:
    """Describe an image for an error message: its name, image set and file."""
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
    """Make the regions of an image set, each of which gets a row of features.

    Parameters
    ----------
    workspace : cellprofiler_core.workspace.Workspace
        The workspace of the image set.
    name : str
        ``Image`` or the name of the objects.
    planes : mapping of str to MaskedPlane
        The planes, by name of the image.
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
        The objects do not exist; or, in test mode, they come from an image of another
        shape.
    """
    faults = {image: plane.fault for image, plane in planes.items() if plane.fault}
    if name == IMAGE:
        return _make_whole_image(planes, faults)
    objects = _get_objects(workspace, name)
    for image, plane in planes.items():
        # In an image of another size, the squares would miss the objects.
        if image not in faults and objects.shape != plane.pixels.shape:
            faults[image] = _describe_shapes(objects, name, image, plane)
            _report_fault(workspace, faults[image])
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
    """Find, for each label, a label image in which other objects have other labels.

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
        # If layers overlap, this layer's own labels count.
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
        The network, cut after the taps to measure.
    names : sequence of str
        Names of the images.
    regions : Regions
        The whole image, or the squares around objects.
    limits : mapping of str to (float, float)
        Limits of grey values for each image; empty if each region is scaled by itself.
    pixel_size : float, optional
        Size of a pixel, in micrometres; None if the recipe does not need it.

    Returns
    -------
    numpy.ndarray (n regions, images x width of the network), float32
        NaN for regions with nothing to measure, with a warning in the log.
    """
    features = np.full((len(regions), len(names), net.width), np.nan, dtype=np.float32)
    # The region and image of each output of the network: outputs come in the order in
    # which the crops were taken.
    measured: list[tuple[int, int]] = []

    # The network takes crops as it needs them, because those of 5,000 objects would not
    # all fit into memory.
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
