"""Section: which classes are mistaken for which (thesis, figures 8 and 15)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import PercentFormatter

from stratonet.drawing import (
    WIDTH,
    add_color_scale,
    new_figure,
    shorten_name,
    shorten_names,
    strip_axes,
)
from stratonet_sklearn.evaluation.scores import Evaluation
from stratonet_sklearn.report.data import HEADLINE, ReportData
from stratonet_sklearn.report.section import (
    Answer,
    Block,
    Content,
    Numbers,
    Plot,
)

# Longer names are shortened in the middle.
LONGEST_NAME = 20
# Larger cells, in points, have space for a number that can be read.
SMALLEST_CELL = 10


def build_confusion(data: ReportData) -> Content | None:
    """Show which classes are confused, and write the predictions of all rows.

    Parameters
    ----------
    data : ReportData
        With an evaluation.

    Returns
    -------
    Content or None
        None if nothing was classified.
    """
    evaluation = data.evaluation
    if evaluation is None:
        return None
    name = data.names[0]
    confusion = evaluation.confusion(name, HEADLINE)
    blocks: list[Block] = [Answer(word_confusion(confusion, name))]
    for classifier in dict.fromkeys(key[1] for key in evaluation.predicted):
        blocks.append(
            Plot(
                f"confusion_{classifier}",
                draw_confusions(evaluation, classifier, data.row_noun),
                f"{classifier}: the share of the {data.row_noun} of each true class"
                " (from top to bottom) that was assigned to each class (from left to"
                " right). The matrices of all classifiers are in"
                " figures/confusion_*.png and numbers/confusion.csv.",
                # Nobody would read three nearly equal figures.
                shown=classifier == HEADLINE,
            )
        )
    blocks += [
        Numbers("confusion", list_confusions(evaluation)),
        Numbers("predictions", list_predictions(evaluation, data.tested_rows)),
    ]
    return Content("Which classes are confused", blocks)


def word_confusion(confusion: pd.DataFrame, name: str) -> str:
    """Describe the most frequent confusion.

    Parameters
    ----------
    confusion : pandas.DataFrame
        `Evaluation.confusion`: rows by true (index) and predicted class (columns).
    name : str
        Of the feature table.

    Returns
    -------
    str
        A sentence.

    Examples
    --------
    >>> counts = pd.DataFrame([[8, 2], [0, 5]], ["a", "b"], ["a", "b"])
    >>> word_confusion(counts, "StratoNet")  # doctest: +ELLIPSIS
    'Most frequent confusion by the SVM with StratoNet features: 20% of a are ...'
    """
    shares = _divide_by_class(confusion)
    # Correct predictions are not confusions.
    np.fill_diagonal(shares, 0)
    if not shares.any():
        return f"No misclassifications by the {HEADLINE} with {name} features."
    true, predicted = np.unravel_index(shares.argmax(), shares.shape)
    return (
        f"Most frequent confusion by the {HEADLINE} with {name} features:"
        f" {shares[true, predicted]:.0%} of {confusion.index[true]} are classified as"
        f" {confusion.columns[predicted]}."
    )


def _divide_by_class(confusion: pd.DataFrame) -> np.ndarray:
    """Return shares of each true class, 0 if a class has no rows."""
    counts = confusion.to_numpy()
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def list_confusions(evaluation: Evaluation) -> pd.DataFrame:
    """List the confusions of all feature tables and classifiers.

    Parameters
    ----------
    evaluation : Evaluation
        What was predicted.

    Returns
    -------
    pandas.DataFrame
        One row per pair of classes: ``true``, ``told`` (the predicted class),
        ``rows``, ``features`` and ``classifier``.
    """
    frames = []
    for features, classifier in evaluation.predicted:
        confusion = evaluation.confusion(features, classifier).rename_axis("true")
        # Other programs read these column names, so they stay.
        pairs = confusion.melt(var_name="told", value_name="rows", ignore_index=False)
        frames.append(
            pairs.reset_index().assign(features=features, classifier=classifier)
        )
    return pd.concat(frames)


def list_predictions(evaluation: Evaluation, rows: pd.DataFrame) -> pd.DataFrame:
    """List what was predicted for each row.

    Parameters
    ----------
    evaluation : Evaluation
        What was predicted.
    rows : pandas.DataFrame (n rows)
        ``Metadata_*`` of the rows that were classified.

    Returns
    -------
    pandas.DataFrame (n rows)
        ``Metadata_*``, ``label``, ``group``, ``fold``, the predictions of each feature
        table and classifier, and the random forest's shares of votes.
    """
    truth = {
        "label": evaluation.labels,
        "group": evaluation.groups,
        "fold": evaluation.folds,
    }
    predicted = {
        f"{features} {classifier}": labels
        for (features, classifier), labels in evaluation.predicted.items()
    }
    votes = [
        pd.DataFrame(
            shares,
            columns=[
                f"{features} share of votes {name}" for name in evaluation.classes
            ],
        )
        for features, shares in evaluation.probabilities.items()
    ]
    columns = [rows, pd.DataFrame(truth), pd.DataFrame(predicted), *votes]
    return pd.concat(columns, axis=1)


def draw_confusions(
    evaluation: Evaluation, classifier: str, row_noun: str = "rows"
) -> Figure:
    """Draw the confusion matrices of a classifier, a panel per feature table.

    Parameters
    ----------
    evaluation : Evaluation
        What was predicted.
    classifier : str
        One of those evaluated.
    row_noun : str
        What is classified: wells, image sets or objects.

    Returns
    -------
    matplotlib.figure.Figure
        Rows are true classes, columns predicted ones; each row sums to 100%.
    """
    names = [
        features for features, other in evaluation.predicted if other == classifier
    ]
    confusions = {name: evaluation.confusion(name, classifier) for name in names}
    shares = {name: _divide_by_class(table) for name, table in confusions.items()}
    # All tables have the same rows, so their classes have the same sizes.
    counts = confusions[names[0]].sum(axis=1)
    classes = shorten_names(evaluation.classes, LONGEST_NAME)
    n_classes = len(classes)
    # Names of many classes need the space of the third matrix.
    n_columns = min(len(names), 3 if n_classes <= 8 else 2)
    n_rows = -(-len(names) // n_columns)
    # Inches: the width of the longest name, and the side of a matrix beside it.
    name_width = 0.075 * max(map(len, classes))
    side = min(5.5, (WIDTH - name_width - 2.2) / n_columns - 0.1)
    cell = 72 * side / n_classes
    figure = new_figure(
        _word_first_table(shares, classifier),
        1.1 + name_width + n_rows * (side + 0.32),
    )
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for number, (axes, name) in enumerate(zip(panels, names)):
        image = _draw_matrix(axes, shares[name], cell)
        axes.set_title(shorten_name(name, 36), fontsize=10)
        axes.set_yticks(
            range(n_classes),
            [f"{name} ({count:,})" for name, count in zip(classes, counts)],
        )
        axes.set_xticks(range(n_classes), classes, rotation=90)
        # Names beside every panel would leave no space for the panels.
        axes.tick_params(
            labelleft=number % n_columns == 0,
            labelbottom=number + n_columns >= len(names),
            labelsize=min(8, max(6, 0.7 * cell)),
        )
    for axes in panels[len(names) :]:
        axes.axis("off")
    figure.supylabel(f"true class (number of {row_noun})", fontsize=9)
    figure.supxlabel("predicted class", fontsize=9)
    label = "share of the true class"
    if cell > SMALLEST_CELL:
        label += "; numbers in %"
    add_color_scale(image, panels, label, format=PercentFormatter(1))
    return figure


def _word_first_table(shares: dict[str, np.ndarray], classifier: str) -> str:
    name, table = next(iter(shares.items()))
    return (
        f"With {shorten_name(name)} features, the {classifier} has a balanced accuracy"
        f" of {np.diagonal(table).mean():.1%}, the mean of the diagonal."
    )


def _draw_matrix(axes: Axes, shares: np.ndarray, cell: float) -> AxesImage:
    """Draw one matrix, with numbers if the cells (``cell`` points wide) have space."""
    # cividis looks the same to readers who cannot tell red from green. One scale for
    # all matrices, so that they can be compared.
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    strip_axes(axes)
    if cell <= SMALLEST_CELL:
        return image
    for (true, predicted), share in np.ndenumerate(shares):
        axes.text(
            predicted,
            true,
            f"{100 * share:.0f}",
            ha="center",
            va="center",
            fontsize=min(9, 0.45 * cell),
            # Dark on bright cells, and bright on dark ones.
            color="black" if share > 0.5 else "white",
        )
    return image
