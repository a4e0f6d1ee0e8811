"""Project the planes of a stack to a single plane."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from stratonet.files.refusal import Refused

# The values that `project` may have; `project_planes` describes them.
PROJECTIONS = ("max", "mean", "middle")


def check_projection(projection: str | None) -> str | None:
    """Return the name of a projection after checking that it exists.

    Parameters
    ----------
    projection : str, optional
        None for no projection.

    Raises
    ------
    ValueError
        There is no such projection.

    Examples
    --------
    >>> check_projection("max")
    'max'
    """
    if projection is not None and projection not in PROJECTIONS:
        raise ValueError(
            f"`project` is one of {', '.join(PROJECTIONS)}. Received: {projection!r}"
        )
    return projection


def project_planes(
    projection: str, read: Callable[[int], np.ndarray], numbers: Sequence[int]
) -> np.ndarray:
    """Project the planes of a stack to one, with two planes in memory at a time.

    Parameters
    ----------
    projection : {"max", "mean", "middle"}
        The maximum of each pixel, its mean, or the middle plane: the upper of the two
        if their number is even.
    read : callable
        Reads a plane (height, width), given its number.
    numbers : sequence of int
        Numbers of the planes, from one end of the stack to the other.

    Returns
    -------
    numpy.ndarray (height, width)
        In the dtype of the planes; a mean is float32.

    Examples
    --------
    >>> stack = np.array([[[1, 8]], [[3, 4]], [[5, 3]]], np.uint8)
    >>> project_planes("max", stack.__getitem__, range(3))
    array([[5, 8]], dtype=uint8)
    >>> project_planes("mean", stack.__getitem__, range(3))
    array([[3., 5.]], dtype=float32)
    """
    check_projection(projection)
    if projection == "middle":
        return read(numbers[len(numbers) // 2])
    first = read(numbers[0])
    result = first.astype(np.float64) if projection == "mean" else first.copy()
    for number in numbers[1:]:
        plane = read(number)
        if plane.shape != first.shape or plane.dtype != first.dtype:
            raise Refused(
                f"a stack of different planes was received ({_describe(first)}, and"
                f" {_describe(plane)}). Give one plane."
            )
        if projection == "mean":
            result += plane
        else:
            np.maximum(result, plane, out=result)
    if projection == "mean":
        return (result / len(numbers)).astype(np.float32)
    return result


def _describe(plane: np.ndarray) -> str:
    return f"{plane.dtype} of shape {plane.shape}"
