"""Measure what fine-tuning has gained, on plates or wells that it has not seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from stratonet import StratoNet
from stratonet.files.atomic import write_atomically
from stratonet.preprocessing import PreparedPlane
from stratonet_sklearn.evaluation.classification import CLASSIFIERS, build_model
from stratonet_sklearn.evaluation.scores import Evaluation
from training.finetune_loop import Task
from training.finetune_planes import LabelledPlanes
from training.finetune_split import STOP, TEST, TRAIN

# The classifier that the summary of `stratonet evaluate` is based on.
CLASSIFIER = "SVM"
UNTUNED, TUNED = "untuned", "tuned"
# With fewer plates, wells are resampled instead of plates.
FEWEST_TO_DRAW = 10


@dataclass(frozen=True)
class Comparison:
    """Comparison of untuned and tuned features of one assay, with the same labels.

    Attributes
    ----------
    assay : str
        Name of the assay.
    classes, trained, stopped, tested : int
        Number of classes, and of examples used for training, for deciding when to
        stop, and for testing.
    groups : str
        Whether plates or wells were held out: ``"plate"`` or ``"well"``.
    untuned, tuned : float
        Balanced accuracy of a linear support vector machine on the tested examples.
    gain, low, high : float
        Tuned minus untuned, and its 95 % interval over paired draws of the plates or
        wells held out.
    """

    assay: str
    classes: int
    trained: int
    stopped: int
    tested: int
    groups: str
    untuned: float
    tuned: float
    gain: float
    low: float
    high: float


def compare(
    task: Task, groups: str, untuned: Path, tuned: Path, seed: int = 0
) -> Comparison:
    """Measure what was gained on the tested examples of an assay.

    The classifier of `stratonet_sklearn.evaluation` is fitted to all examples that are
    not tested, so that untuned and tuned features get the same labels.

    Parameters
    ----------
    task : Task
        Task of the assay.
    groups : {"plate", "well"}
        Whether plates or wells were held out.
    untuned, tuned : pathlib.Path
        Weights files.
    seed : int
        Seed of the classifier's balanced training set and of the draws.

    Returns
    -------
    Comparison
    """
    rows = task.examples.rows
    learnt, tested = task.select(TRAIN, STOP), task.select(TEST)
    labels = rows["label"].to_numpy(str)
    predicted = {}
    # Tuned first: differences are the first minus the second.
    for name, weights in ((TUNED, tuned), (UNTUNED, untuned)):
        features = _measure(task.examples, weights, name)
        model = build_model(labels[learnt], CLASSIFIERS[CLASSIFIER], seed)
        model.fit(features[learnt], labels[learnt])
        predicted[name, CLASSIFIER] = model.predict(features[tested])
    evaluation = Evaluation(
        classes=task.classes,
        labels=labels[tested],
        groups=_name_resampled(rows.iloc[tested]),
        rows=tested,
        folds=np.zeros(len(tested), int),
        predicted=predicted,
        probabilities={},
        importance={},
    )
    return Comparison(
        assay=task.examples.name,
        classes=len(task.classes),
        trained=len(task.select(TRAIN)),
        stopped=len(task.select(STOP)),
        tested=len(tested),
        groups=groups,
        **_score(evaluation, seed),
    )


def _measure(examples: LabelledPlanes, weights: Path, name: str) -> np.ndarray:
    """Measure all channels, concatenated: (n, n channels * width), float32."""
    network = StratoNet.load(weights)
    n_channels = len(examples.channels)
    total = len(examples.rows) * n_channels
    features = np.empty((total, network.width), np.float32)
    rows = network.stream(_list_planes(examples))
    bar = tqdm(rows, total=total, desc=f"{examples.name}, {name}", unit=" planes")
    for number, values in enumerate(bar):
        features[number] = values
    return features.reshape(len(examples.rows), n_channels * network.width)


def _list_planes(examples: LabelledPlanes) -> Iterator[PreparedPlane]:
    for planes in examples.planes:
        for plane in planes.astype(np.float32):
            yield PreparedPlane((plane,))


def _name_resampled(rows: pd.DataFrame) -> np.ndarray:
    """Name the unit that each example is resampled by: plates, or wells if few."""
    if rows["plate"].nunique() >= FEWEST_TO_DRAW:
        return rows["plate"].to_numpy(str)
    return (rows["plate"] + " " + rows["well"]).to_numpy(str)


def _score(evaluation: Evaluation, seed: int) -> dict[str, float]:
    scores = evaluation.scores(seed)
    accuracy = (scores["metric"] == "accuracy") & (scores["test"] == "balanced")
    values = scores[accuracy].set_index("features")["value"]
    difference = evaluation.differences("accuracy", "", "balanced", seed).iloc[0]
    return {
        "untuned": float(values[UNTUNED]),
        "tuned": float(values[TUNED]),
        "gain": float(difference["value"]),
        "low": float(difference["low"]),
        "high": float(difference["high"]),
    }


def is_gain(comparisons: Sequence[Comparison]) -> bool:
    """Tell whether the tuned network is better.

    Parameters
    ----------
    comparisons : sequence of Comparison
        One per assay.

    Returns
    -------
    bool
        Whether it is better on at least one assay and worse on none, judged by the
        intervals.

    Examples
    --------
    >>> gained = Comparison("a", 2, 9, 3, 4, "well", 0.5, 0.75, 0.25, 0.125, 0.375)
    >>> is_gain([gained]), is_gain([dataclasses.replace(gained, low=-0.125)])
    (True, False)
    """
    better = any(each.low > 0 for each in comparisons)
    return better and not any(each.high < 0 for each in comparisons)


def write_comparisons(comparisons: Sequence[Comparison], path: Path) -> None:
    """Write one row per assay as CSV."""
    table = pd.DataFrame([dataclasses.asdict(each) for each in comparisons])
    with write_atomically(path) as unfinished:
        table.round(4).to_csv(unfinished, index=False)


def describe_comparisons(comparisons: Sequence[Comparison]) -> str:
    """Return the table to print, with one row per assay.

    Parameters
    ----------
    comparisons : sequence of Comparison
        One per assay.

    Returns
    -------
    str
        Several lines.

    Examples
    --------
    >>> gain = Comparison("mitosis", 2, 90, 20, 40, "plate", 0.5, 0.75, 0.25, 0.1, 0.4)
    >>> describe_comparisons([gain]).splitlines()[-1].split()[-5:]
    ['0.500', '0.750', '+0.250', '[+0.100,', '+0.400]']
    """
    rows = [
        {
            "assay": each.assay,
            "classes": each.classes,
            "trained": each.trained,
            "stopping": each.stopped,
            "tested": each.tested,
            "held out": f"{each.groups}s",
            "untuned": f"{each.untuned:.3f}",
            "tuned": f"{each.tuned:.3f}",
            "gain": f"{each.gain:+.3f} [{each.low:+.3f}, {each.high:+.3f}]",
        }
        for each in comparisons
    ]
    title = (
        "Balanced accuracy on held-out examples (linear SVM, the same labels for both)"
    )
    return f"{title}\n{pd.DataFrame(rows).to_string(index=False)}"
