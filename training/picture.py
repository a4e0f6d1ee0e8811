"""The curve of a run."""


def draw_curve(history, path, title):
    """Draw loss and accuracy by epoch, for training and validation, as a PNG."""
    from matplotlib.figure import Figure

    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    for axes, names, label in ((losses, ["loss"], "Loss"), (accuracies, ["top1", "top5"], "Accuracy")):
        for name, style in zip(names, ("-", "--")):
            for prefix, colour in (("", "#999999"), ("val_", "#0072b2")):
                values = [row[prefix + name] for row in history]
                axes.plot(epochs, values, style, color=colour, marker="." if len(epochs) < 40 else None)
                what = {"top1": " top-1", "top5": " top-5"}.get(name, "")
                axes.annotate(
                    ("validation" if prefix else "training") + what,
                    (epochs[-1], values[-1]),
                    xytext=(6, 0),
                    textcoords="offset points",
                    color=colour,
                    va="center",
                    fontsize=8,
                    annotation_clip=False,
                )
        axes.set_xlabel("Epoch")
        axes.set_ylabel(label)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.02)
    accuracies.set_ylim(0, 1.02)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)
