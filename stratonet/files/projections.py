"""How the planes of a stack become one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from stratonet.files.refusal import Refused

# The names that `project` has, and what each does.
PROJECTIONS = ("max", "mean", "middle")


def check_projection(projection: str | None) -> str | None:
    """Return the name of a projection, if there is such a one.

    Parameters
    ----------
    projection : str, optional
        None for none.

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
    """Make one plane of those of a stack, of which two are in memory at a time.

    Parameters
    ----------
    projection : {"max", "mean", "middle"}
        The largest value of each pixel, its mean, or the plane in the middle: of an
        even number the upper of the two.
    read : callable
        Reads a plane (height, width) by its number.
    numbers : sequence of int
        Of the planes, from one end of the stack to the other.

    Returns
    -------
    numpy.ndarray (height, width)
        The dtype of the planes; of means float32.

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
                f"a stack of unlike planes was received ({_describe(first)}, and"
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
