"""Positions of SpatialData's images in coordinate systems.

Images and label images name a transformation to each coordinate system that they are
in. Two of the same size show the same pixels if a transformation is the same for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stratonet.files.refusal import Refused

# For each coordinate system, the matrix (3 x 3, as tuples) that is applied to (row,
# column, 1).
Placement = tuple[tuple[str, tuple[tuple[float, ...], ...]], ...]
_PLANE = ("y", "x")
_IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def read_placement(multiscale: Mapping[str, Any]) -> Placement:
    """Read the placement of an image, as SpatialData writes it.

    Parameters
    ----------
    multiscale : mapping
        The entry ``multiscales`` in the metadata of OME-Zarr.

    Returns
    -------
    tuple of (str, matrix)
        The name and matrix of each coordinate system. Empty if none is named, as in
        OME-Zarr of other programs, whose transformations only relate the image's sizes.

    Examples
    --------
    >>> axes = [{"name": "y"}, {"name": "x"}]
    >>> of_one = {"type": "scale", "scale": [2.0, 2.0]}
    >>> of_one |= {"input": {"axes": axes}, "output": {"axes": axes, "name": "global"}}
    >>> read_placement({"coordinateTransformations": [of_one]})
    (('global', ((2.0, 0.0, 0.0), (0.0, 2.0, 0.0), (0.0, 0.0, 1.0))),)
    """
    placement = []
    for transformation in multiscale.get("coordinateTransformations", ()):
        output = transformation.get("output")
        if isinstance(output, Mapping) and "name" in output:
            matrix = _make_matrix(transformation).tolist()
            placement.append((str(output["name"]), tuple(map(tuple, matrix))))
    return tuple(placement)


def have_same_placement(first: Placement, second: Placement) -> bool:
    """Whether two images have the same placement in some coordinate system.

    Parameters
    ----------
    first, second : Placement
        Placements of images of the same size. An image without coordinate systems
        matches any other.

    Examples
    --------
    >>> have_same_placement((("global", _IDENTITY),), (("other", _IDENTITY),))
    False
    """
    if not first or not second:
        return True
    second_matrices = dict(second)
    return any(
        name in second_matrices and np.allclose(matrix, second_matrices[name])
        for name, matrix in first
    )


def describe_placement(placement: Placement) -> str:
    """Describe a placement in words, for messages.

    Parameters
    ----------
    placement : Placement
        Placement of an image or a label image.

    Examples
    --------
    >>> describe_placement((("global", _IDENTITY),))
    'global: identity'
    """
    words = []
    for name, matrix in placement:
        rows = [[round(number, 6) for number in row] for row in matrix[:2]]
        is_identity = np.allclose(matrix, _IDENTITY)
        words.append(f"{name}: {'identity' if is_identity else rows}")
    return ", ".join(words) or "no coordinate system"


def _make_matrix(transformation: Mapping[str, Any]) -> np.ndarray:
    """Return the matrix (3, 3) of a transformation, applied to (row, column, 1)."""
    transformation_type = transformation["type"]
    matrix = np.eye(3)
    if transformation_type == "sequence":
        for step in transformation["transformations"]:
            matrix = _make_matrix(step) @ matrix
        return matrix
    inputs = _find_plane_axes(transformation, "input")
    if transformation_type == "scale":
        matrix[[0, 1], [0, 1]] = [transformation["scale"][axis] for axis in inputs]
    elif transformation_type == "translation":
        matrix[:2, 2] = [transformation["translation"][axis] for axis in inputs]
    elif transformation_type == "affine":
        outputs = _find_plane_axes(transformation, "output")
        affine = np.array(transformation["affine"], float)
        matrix[:2] = affine[np.ix_(outputs, [*inputs, -1])]
    elif transformation_type == "mapAxis":
        sources = [transformation["mapAxis"][axis] for axis in _PLANE]
        matrix[:2, :2] = [[source == axis for axis in _PLANE] for source in sources]
    elif transformation_type != "identity":
        raise Refused(
            f"a transformation of type {transformation_type!r} was received. Supported"
            " are identity, scale, translation, affine, mapAxis and sequence."
        )
    return matrix


def _find_plane_axes(transformation: Mapping[str, Any], end: str) -> Sequence[int]:
    """Return the indices of y and x among the input or output axes."""
    names = [axis["name"] for axis in transformation[end]["axes"]]
    return [names.index(axis) for axis in _PLANE]
