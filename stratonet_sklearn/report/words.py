"""What the report says of its numbers, in words."""

import numpy as np

# The classifier that the answer speaks of is chosen here, before anything is seen.
HEADLINE = "SVM"


def answer(found, scores, differences, unit):
    """The answer in three sentences.

    Parameters
    ----------
    found : Evaluation
    scores, differences : pandas.DataFrame
        Its `scores`, and its `differences` of balanced accuracy.
    unit : str
        What a row is: wells, image sets or objects.

    Returns
    -------
    list of str
    """
    names = list(dict.fromkeys(scores.features))
    balanced = _accuracy(scores, HEADLINE)
    first = balanced.loc[names[0]]
    sentences = [
        f"By the features {names[0]}, {HEADLINE} finds the class of {first.value:.1%}"
        f" of the {unit} (balanced accuracy over {len(found.classes)} classes; 95 %"
        f" interval {_between(first)}; by chance {1 / len(found.classes):.1%})."
    ]
    if len(names) > 1:
        pairs = differences[
            (differences.classifier == HEADLINE) & (differences["first"] == names[0])
        ]
        sentences.append(
            "Against this, "
            + "; ".join(
                _against(row, balanced.loc[row.second]) for row in pairs.itertuples()
            )
            + "."
        )
    else:
        others = [name for name in dict.fromkeys(scores.classifier) if name != HEADLINE]
        sentences.append(
            "Other classifiers: "
            + ", ".join(
                f"{name} {_accuracy(scores, name).value.iloc[0]:.1%}" for name in others
            )
            + "."
        )
    sentences.append(_mistakes(found.confusion(names[0], HEADLINE), names[0]))
    return sentences


def _accuracy(scores, classifier):
    """The balanced accuracy of each set of features.

    ``value``, ``low``, ``high``, by name.
    """
    wanted = (
        (scores.classifier == classifier)
        & (scores.metric == "accuracy")
        & (scores.test == "balanced")
    )
    return scores[wanted].set_index("features")[["value", "low", "high"]]


def _between(row):
    """An interval of shares: ``70.1 to 78.3 %``."""
    return f"{100 * row.low:.1f} to {100 * row.high:.1f} %"


def verdict(row):
    """What the interval of a difference says.

    Which set is better, if it leaves out zero.
    """
    if row.low > 0:
        return f"{row.first} is better"
    return f"{row.second} is better" if row.high < 0 else "no difference shown"


def confounded(table):
    """What `stratonet_sklearn.evaluation.splits.confounding` found, as warnings.

    Returns
    -------
    list of str
        Two sentences a column that tells of the class by itself.
    """
    return [
        f"Class and {name} go together (Cramér's V {row.cramers_v:.2f}, where 0 is not"
        f" at all and 1 is completely; {row.pure:.0%} of the wells have a {name} with"
        " one class only). So far as they do, what tells the classes apart may be the"
        f" {name} and not the treatment."
        for name, row in table[table.confounded].iterrows()
    ]


def _against(row, other):
    points = f"{100 * abs(row.value):.1f} points"
    if row.low > 0:
        how = (
            f"{points} less, 95 % interval {100 * row.low:.1f} to {100 * row.high:.1f}"
        )
    elif row.high < 0:
        how = (
            f"{points} more, 95 % interval {-100 * row.high:.1f} to"
            f" {-100 * row.low:.1f}"
        )
    else:
        how = (
            f"no difference shown, 95 % interval {-100 * row.high:.1f} to"
            f" {-100 * row.low:.1f} points"
        )
    return f"{row.second} finds {other.value:.1%} ({how})"


def _mistakes(confusion, name):
    shares = confusion.to_numpy() / np.maximum(
        confusion.to_numpy().sum(axis=1, keepdims=True), 1
    )
    np.fill_diagonal(shares, 0)
    if not shares.any():
        return f"{name} mistakes none."
    true, told = np.unravel_index(shares.argmax(), shares.shape)
    return (
        f"The largest confusion of {name}: {shares[true, told]:.0%} of"
        f" {confusion.index[true]} are taken for {confusion.columns[told]}."
    )
