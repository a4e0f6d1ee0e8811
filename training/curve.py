"""The picture of a run: loss and accuracy by epoch."""

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
        To write.
    title : str
        Above both panels.
    """
    # A Figure of its own: pyplot would keep it, and wants a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_panel(left, history, "Loss", {"loss": ("-", "")})
    accuracies = {"top1": ("-", ", top-1"), "top5": ("--", ", top-5")}
    _draw_panel(right, history, "Accuracy", accuracies)
    right.set_ylim(0, 1.02)
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
