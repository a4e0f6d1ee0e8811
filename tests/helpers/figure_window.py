"""CellProfiler's figure window, without a window."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class Window:
    """What CellProfiler's figure window offers, at its first size, without a window."""

    def __init__(self):
        self.figure = Figure(figsize=(6.4, 4.8), constrained_layout=True)
        self.figure.set_constrained_layout_pads(
            w_pad=0.1, h_pad=0.05, wspace=0, hspace=0
        )
        FigureCanvasAgg(self.figure)

    def set_subplots(self, shape):
        self.figure.clf()
        self.grid, self.made = self.figure.add_gridspec(shape[1], shape[0]), {}

    def subplot(self, column, row):
        if (column, row) not in self.made:
            self.made[column, row] = self.figure.add_subplot(self.grid[row, column])
        return self.made[column, row]
