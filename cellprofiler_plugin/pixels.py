"""From what CellProfiler has of an image set to features.

Planes, crops of objects, the network.
"""

import functools
import itertools
import logging
import os

import numpy
from cellprofiler_core.constants.measurement import IMAGE

from stratonet.crops import compute_centers, crop_square
from stratonet.preprocessing import check_plane

NO_STACKS = (
    'Set "Process as 3D?" in NamesAndTypes to No; MakeProjection can then project the'
    " planes of a stack."
)


def plane(workspace, name):
    """The pixels and the mask of an image, or a RuntimeError that says where it comes from and what to do."""
    measurements = workspace.measurements
    place = f"Image {name} of image set {measurements.image_set_number}"
    path = [
        f"{part}_{name}"
        for part in ("PathName", "FileName")
        if measurements.has_feature(IMAGE, f"{part}_{name}")
    ]
    if len(path) == 2:
        place += (
            " ("
            + os.path.join(
                *(measurements.get_current_image_measurement(part) for part in path)
            )
            + ")"
        )
    try:
        image = workspace.image_set.get_image(name)
    except Exception as error:
        raise RuntimeError(
            f"{place} is missing or cannot be read: {error}. Complete the image set, or"
            " leave it out."
        ) from error
    if image.volumetric:
        raise RuntimeError(
            f"{place} is a 3D stack of shape {image.pixel_data.shape}. {NO_STACKS}"
        )
    if image.multichannel:
        raise RuntimeError(
            f"{place} is a color image of shape {image.pixel_data.shape}. Use"
            " ColorToGray first."
        )
    try:
        return check_plane(image.pixel_data), image.mask
    except (TypeError, ValueError) as error:
        raise RuntimeError(f"{place}: {error}") from error


def object_crops(workspace, kind, planes, size, hide_neighbors):
    """The centre of each object, and a function of the image's name and the row that makes the crop."""
    if kind not in workspace.object_set.object_names:
        raise RuntimeError(
            f'There are no objects {kind} in this image set. Choose others in "Select'
            ' objects to measure".'
        )
    objects = workspace.object_set.get_objects(kind)
    for name, (pixels, _) in planes.items():
        if objects.shape != pixels.shape:
            raise RuntimeError(
                f"The objects {kind} have shape {objects.shape}, the image {name}"
                f" {pixels.shape}. Identify them in an image of the same size, or use"
                " Crop or Resize on both."
            )
    count = objects.count
    middle = compute_centers(objects.ijv, count)
    layer_of = {}
    if hide_neighbors and count:
        layers = objects.get_labels()
        occupied = functools.reduce(
            numpy.logical_or, (labels > 0 for labels, _ in layers)
        )
        for labels, indices in layers:
            others = numpy.where(occupied & (labels == 0), -1, labels)
            layer_of.update(dict.fromkeys(indices, others))

    def cut(name, row):
        pixels, mask = planes[name]
        label = row + 1
        return crop_square(pixels, middle[row], size, mask, layer_of.get(label), label)

    return middle, cut


def embed(net, names, kind, count, cut):
    """Features of ``count`` rows, (count, images x width).

    Nan and a warning where there is nothing to measure.
    """
    features = numpy.full((count, len(names), net.width), numpy.nan, numpy.float32)
    measured = []

    def crops():
        for row, (index, name) in itertools.product(range(count), enumerate(names)):
            pixels = cut(name, row)
            if pixels is None:
                logging.warning(
                    "%s %d has no pixel to measure in %s: its features are nan.",
                    kind,
                    row + 1,
                    name,
                )
            else:
                measured.append((row, index))
                yield pixels

    for number, values in enumerate(net.stream(crops())):
        features[measured[number]] = values
    return features.reshape(count, len(names) * net.width)
