"""The size of the figure's window: large enough that each channel can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cellprofiler.gui.figure import Figure

    from cellprofiler_plugin.pictures import Pictures

# In pixels: the size of a plane, or of the chart of a channel; the space for the scale
# beside the first column; and that for the window's title, menus and bottom line.
COLUMN_WIDTH, ROW_HEIGHT = 225, 165
SCALE_WIDTH, FRAME_HEIGHT = 60, 150
# Left, top, width and height.
Rectangle = tuple[int, int, int, int]


def choose_rectangle(
    columns: int, rows: int, window: Rectangle, screen: Rectangle
) -> Rectangle:
    """Choose the position and size of a window.

    Parameters
    ----------
    columns, rows : int
        Number of columns and rows of the figure.
    window : (int, int, int, int)
        Left, top, width and height of the window. It does not become smaller.
    screen : (int, int, int, int)
        The area that windows may cover. The window is moved and cut down to fit in it.

    Returns
    -------
    (int, int, int, int)
        Left, top, width and height.

    Examples
    --------
    >>> choose_rectangle(5, 4, (300, 200, 640, 560), (0, 0, 1920, 1040))
    (300, 200, 1185, 810)
    >>> choose_rectangle(5, 4, (300, 200, 640, 560), (0, 0, 1280, 800))
    (95, 0, 1185, 800)
    """
    width = min(max(window[2], SCALE_WIDTH + COLUMN_WIDTH * columns), screen[2])
    height = min(max(window[3], FRAME_HEIGHT + ROW_HEIGHT * rows), screen[3])
    left = max(screen[0], min(window[0], screen[0] + screen[2] - width))
    top = max(screen[1], min(window[1], screen[1] + screen[3] - height))
    return left, top, width, height


def enlarge_window(window: Figure, pictures: Pictures) -> None:
    """Enlarge the window until its channels can be read, once for each layout.

    Parameters
    ----------
    window : cellprofiler.gui.figure.Figure
        The window. If the user resizes it afterwards, it keeps that size.
    pictures : dict
        From `pictures.make_pictures`.
    """
    import wx

    columns = len(pictures["planes"])
    rows = 1 + (pictures["features"] is not None) + 2 * len(pictures["objects"])
    if getattr(window, "strato_shape", None) == (columns, rows):
        return
    window.strato_shape = columns, rows
    display = wx.Display(max(0, wx.Display.GetFromWindow(window)))
    current, screen = window.GetRect().Get(), display.GetClientArea().Get()
    window.SetSize(*choose_rectangle(columns, rows, current, screen))
