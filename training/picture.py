"""The curve of a run."""


def draw_curve(history, path, title):
    """Draw loss and accuracy by epoch, for training and validation, as a PNG."""
    from matplotlib.figure import Figure

    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, label, names in zip(
        figure.subplots(1, 2), ("Loss", "Accuracy"), (["loss"], ["top1", "top5"])
    ):
        for name, style in zip(names, ("-", "--")):
            for prefix, what, colour in (
                ("val_", "validation", "#0072b2"),
                ("", "training", "#999999"),
            ):
                what += {"top1": ", top-1", "top5": ", top-5"}.get(name, "")
                values = [row[prefix + name] for row in history]
                axes.plot(
                    epochs,
                    values,
                    style,
                    color=colour,
                    marker="." if len(epochs) < 40 else None,
                    label=what,
                )
        axes.set_xlabel("Epoch")
        axes.set_ylabel(label)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
    axes.set_ylim(0, 1.02)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
