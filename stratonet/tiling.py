"""Where the tiles of a view lie in a plane, for drawing them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from stratonet.views import View


def list_tiles(
    view: View, shape: tuple[int, int], resized: tuple[int, int]
) -> list[list[float]]:
    """List the tiles that a plane is cut into.

    Parameters
    ----------
    view : WholePlane or Tiles
        The view that cuts the plane.
    shape : (int, int)
        Height and width of the plane, in pixels.
    resized : (int, int)
        The shape that `View.choose_shape` gives.

    Returns
    -------
    list of [float, float, float, float]
        Left, top, width and height of each, in pixels of the plane.

    Examples
    --------
    >>> from stratonet.views import Tiles
    >>> list_tiles(Tiles(224), (200, 300), (200, 300))
    [[0.0, 0.0, 224.0, 200.0], [76.0, 0.0, 224.0, 200.0]]
    """
    height, width = resized
    rows = np.broadcast_to(np.arange(height)[:, None], (height, width))
    columns = np.broadcast_to(np.arange(width), (height, width))
    down, across = shape[0] / height, shape[1] / width
    return [
        [
            float(across * left[0, 0]),
            float(down * top[0, 0]),
            across * left.shape[1],
            down * left.shape[0],
        ]
        for top, left in zip(view.cut(rows), view.cut(columns))
    ]
