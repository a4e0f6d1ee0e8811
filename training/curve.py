"""Plot the loss and accuracy of a run by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from training.runs import Row


def draw_curve(history: Sequence[Row], path: Path, title: str) -> None:
    """Draw loss and accuracy by epoch, for training and validation, as a PNG.

    Parameters
    ----------
    history : sequence of Row
        A row per epoch.
    path : pathlib.Path
        The file to write.
    title : str
        Title above both panels.
    """
    # A bare Figure: pyplot would keep it in memory, and needs a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    _draw_panel(loss_axes, history, "Loss", {"loss": ("-", "")})
    accuracies = {"top1": ("-", ", top-1"), "top5": ("--", ", top-5")}
    _draw_panel(accuracy_axes, history, "Accuracy", accuracies)
    accuracy_axes.set_ylim(0, 1.02)
    figure.suptitle(title)
    figure.savefig(path, format="png", dpi=120)


def _draw_panel(
    axes: Axes, history: Sequence[Row], label: str, lines: dict[str, tuple[str, str]]
) -> None:
    epochs = [row["epoch"] for row in history]
    marker = "." if len(epochs) < 40 else None
    splits = (("val_", "validation", "#0072b2"), ("", "training", "#999999"))
    for name, (style, suffix) in lines.items():
        for prefix, split, color in splits:
            axes.plot(
                epochs,
                [row[prefix + name] for row in history],
                style,
                color=color,
                marker=marker,
                label=split + suffix,
            )
    axes.set_xlabel("Epoch")
    axes.set_ylabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
