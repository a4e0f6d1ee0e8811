"""Compare new weights files with a base on three real data sets.

    python benchmarks/gates.py DATA BASE CANDIDATE... [--output benchmarks/gates.csv]
    [--cache FOLDER]

DATA holds imagenet20, mitocheck and bbbc013. BASE and CANDIDATE are weights with the
taps low, medium and high, by name or path; all images reach them as grey planes, by
`StratoNet.features` and the recipe whole224/mean. Measures:
- probe: 20 classes of ImageNet, logistic regression on the three taps, trained on
  train, top-1 on val;
- probe_low, probe_medium, probe_high: the same on each tap alone;
- mitocheck_choice, mitocheck_heldout: 16 phenotypes, RBF SVM, 5 folds by plate,
  balanced accuracy on each half of the plates. The first may be used to choose a
  candidate, the second to report on the chosen one;
- bbbc013_controls, bbbc013_dose: see scaling.py;
- bbbc013_z: Z'-factor of the controls' scores by the same SVMs (Zhang et al. 1999).

A row of the output is a measure of a weights file: its value, the difference to the
base, and the 95 % interval of that difference over paired bootstrap draws of the
predicted units (val images, plates, wells). Classifiers are not retrained for a draw.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.stats import spearmanr
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.svm import SVC

from stratonet import StratoNet
from stratonet.card import Tap
from stratonet.files.images import read_plane
from stratonet_sklearn.datasets import read_plate
from stratonet_sklearn.evaluation.separation import (
    compute_z_prime,
    fit_probe,
    separate_controls,
)

TAPS = ["low", "medium", "high"]
DRAWS = 2000
COLUMNS = [
    "weights",
    "feature_set_id",
    "measure",
    "value",
    "difference",
    "low",
    "high",
]


@dataclass(frozen=True)
class Planes:
    """The planes of a data set: how to read one, their paths, and their labels."""

    read: Callable[[Path], np.ndarray]
    paths: Sequence[Path]
    labels: pd.DataFrame


@dataclass(frozen=True)
class Outcome:
    """Predictions for held-out samples, and the function that scores them.

    Samples of one group are drawn together in a bootstrap.
    """

    predicted: np.ndarray
    truth: np.ndarray
    groups: np.ndarray
    judge: Callable[[np.ndarray, np.ndarray], float]

    def compute_value(self) -> float:
        return self.judge(self.predicted, self.truth)

    def compute_draw(self, rows: np.ndarray) -> float:
        return self.judge(self.predicted[rows], self.truth[rows])


def compute_accuracy(predicted: np.ndarray, truth: np.ndarray) -> float:
    return np.mean(predicted == truth)


def compute_balanced_accuracy(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Compute the mean recall of the classes present, which are numbers from 0."""
    right = np.bincount(truth, predicted == truth)
    total = np.bincount(truth)
    # A draw can lack a class.
    present = total > 0
    return np.mean(right[present] / total[present])


def compute_dose_correlation(scores: np.ndarray, doses: np.ndarray) -> float:
    return spearmanr(scores, doses).statistic


def compute_z(scores: np.ndarray, positive: np.ndarray) -> float:
    return float(compute_z_prime(scores, ~positive, positive))


def read_grey(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L"))


def read_data(data: Path) -> dict[str, Planes]:
    photos = sorted((data / "imagenet20").glob("*/*/*.JPEG"))
    # DATA/imagenet20/<split>/<wnid>/<name>.JPEG
    labels = pd.DataFrame(
        {
            "split": [path.parts[-3] for path in photos],
            "wnid": [path.parts[-2] for path in photos],
        }
    )
    nuclei = pd.read_csv(data / "mitocheck" / "labels.csv")
    files = [data / "mitocheck" / name for name in nuclei.file]
    channels, wells = read_plate(data / "bbbc013")
    # All planes of one channel, then all of the other.
    planes = channels.to_numpy().T.ravel()
    return {
        "imagenet20": Planes(read_grey, photos, labels),
        "mitocheck": Planes(read_plane, files, nuclei),
        "bbbc013": Planes(read_plane, planes, wells),
    }


def embed_planes(
    net: StratoNet, name: str, planes: Planes, cache: Path | None
) -> np.ndarray:
    """Measure all planes of a data set, (n, width), or read them from the cache."""
    if cache is None:
        return net.features(map(planes.read, planes.paths))
    file = cache / f"{net.feature_set_id}-{name}.npy"
    if file.exists():
        return np.load(file)
    features = net.features(map(planes.read, planes.paths))
    partial = file.with_suffix(".partial.npy")
    np.save(partial, features)
    partial.replace(file)
    return features


def judge_imagenet(
    features: np.ndarray, labels: pd.DataFrame, taps: Sequence[Tap]
) -> Iterator[tuple[str, Outcome]]:
    train = (labels.split == "train").to_numpy()
    classes = labels.wnid.to_numpy()
    columns = {"probe": slice(None)}
    begin = 0
    for tap in taps:
        columns[f"probe_{tap.alias}"] = slice(begin, begin + tap.width)
        begin += tap.width
    for measure, chosen in columns.items():
        probe = fit_probe(features[train, chosen], classes[train])
        predicted = probe.predict(features[~train, chosen])
        # Every image is a group of its own.
        images = np.flatnonzero(~train)
        yield measure, Outcome(predicted, classes[~train], images, compute_accuracy)


def is_in_first_half(labels: pd.DataFrame) -> np.ndarray:
    """Tell which nuclei are on plates of the first half.

    Each phenotype is split as evenly as its plates allow.
    """
    counts = pd.crosstab(labels.plate, labels.phenotype)
    shares = counts / counts.sum()
    # Plates rich in a phenotype go first, each to the half that makes both halves more
    # similar.
    order = shares.max(axis=1).sort_values(ascending=False, kind="stable").index
    lead = np.zeros(shares.shape[1])
    sides = {}
    for plate in order:
        sides[plate] = 1 if round(lead @ shares.loc[plate], 9) < 0 else -1
        lead += sides[plate] * shares.loc[plate]
    return (labels.plate.map(sides) == 1).to_numpy()


def judge_mitocheck(
    features: np.ndarray, labels: pd.DataFrame
) -> Iterator[tuple[str, Outcome]]:
    truth, _ = labels.phenotype.factorize(sort=True)
    plates = labels.plate.to_numpy()
    svm = SVC(C=10, class_weight="balanced")
    folds = GroupKFold(5)
    predicted = cross_val_predict(svm, features, truth, groups=plates, cv=folds)
    first = is_in_first_half(labels)
    for measure, half in ("mitocheck_choice", first), ("mitocheck_heldout", ~first):
        yield (
            measure,
            Outcome(
                predicted[half], truth[half], plates[half], compute_balanced_accuracy
            ),
        )


def judge_bbbc013(
    features: np.ndarray, labels: pd.DataFrame
) -> Iterator[tuple[str, Outcome]]:
    # The planes of one channel follow those of the other.
    features = np.hstack(np.split(features, len(features) // len(labels)))
    svm = SVC(kernel="linear", class_weight="balanced")
    scores, _ = separate_controls(svm, features, labels)
    wells = labels.well.to_numpy()
    treated = (labels.role == "trt").to_numpy()
    control = ~treated
    positive = (labels.role == "poscon").to_numpy()[control]
    yield (
        "bbbc013_controls",
        Outcome(
            scores[control] > 0,
            positive.astype(int),
            wells[control],
            compute_balanced_accuracy,
        ),
    )
    doses = labels.dose_index.to_numpy()[treated]
    yield (
        "bbbc013_dose",
        Outcome(scores[treated], doses, wells[treated], compute_dose_correlation),
    )
    yield (
        "bbbc013_z",
        Outcome(scores[control], positive, wells[control], compute_z),
    )


def judge_weights(
    net: StratoNet, data: dict[str, Planes], cache: Path | None
) -> dict[str, Outcome]:
    began = time.time()
    features = {
        name: embed_planes(net, name, planes, cache) for name, planes in data.items()
    }
    embedded = time.time()
    photos, nuclei, wells = (
        data[name].labels for name in ("imagenet20", "mitocheck", "bbbc013")
    )
    outcomes = {
        **dict(judge_imagenet(features["imagenet20"], photos, net.taps)),
        **dict(judge_mitocheck(features["mitocheck"], nuclei)),
        **dict(judge_bbbc013(features["bbbc013"], wells)),
    }
    print(
        f"{net.feature_set_id}: features {embedded - began:.0f} s, classifiers"
        f" {time.time() - embedded:.0f} s",
        flush=True,
    )
    return outcomes


def compute_difference(candidate: Outcome, base: Outcome) -> tuple[float, float, float]:
    """Return the difference candidate - base, and the ends of its interval."""
    members = [np.flatnonzero(base.groups == group) for group in np.unique(base.groups)]
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(DRAWS):
        groups = rng.integers(len(members), size=len(members))
        rows = np.concatenate([members[group] for group in groups])
        # Paired: both are scored on the same draw.
        draws.append(candidate.compute_draw(rows) - base.compute_draw(rows))
    # A draw without a positive control has no Z'-factor.
    low, high = np.nanpercentile(draws, (2.5, 97.5))
    return candidate.compute_value() - base.compute_value(), low, high


def make_rows(
    name: str,
    net: StratoNet,
    outcomes: dict[str, Outcome],
    base: dict[str, Outcome] | None,
) -> pd.DataFrame:
    rows = []
    for measure, outcome in outcomes.items():
        difference = low = high = np.nan
        if base is not None:
            difference, low, high = compute_difference(outcome, base[measure])
        value = outcome.compute_value()
        rows.append((name, net.feature_set_id, measure, value, difference, low, high))
    return pd.DataFrame(rows, columns=COLUMNS)


def format_cell(row: pd.Series) -> str:
    if np.isnan(row.difference):
        return f"{row.value:.3f}"
    mark = "*" if row.low > 0 or row.high < 0 else " "
    return (
        f"{row.value:.3f} {row.difference:+.3f} [{row.low:+.3f} {row.high:+.3f}]{mark}"
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("base", help="name or path of weights")
    parser.add_argument("candidates", nargs="+", metavar="candidate")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "gates.csv"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        help=(
            "stores features by feature set id; empty it when images or the library"
            " change"
        ),
    )
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    if options.cache:
        options.cache.mkdir(parents=True, exist_ok=True)
    # All are opened first, so that a wrong name fails before an hour of work.
    weights = [options.base, *options.candidates]
    nets = [StratoNet.load(name, TAPS, recipe="whole224/mean") for name in weights]
    names = [Path(name).name.removesuffix(".onnx") for name in weights]
    data = read_data(options.data)
    tables: list[pd.DataFrame] = []
    base: dict[str, Outcome] | None = None
    for name, net in zip(names, nets):
        outcomes = judge_weights(net, data, options.cache)
        tables.append(make_rows(name, net, outcomes, base))
        base = base or outcomes
        # Rewritten after each, so that an interrupted run has the first results.
        table = pd.concat(tables)
        table.to_csv(
            options.output, index=False, float_format="%.4f", lineterminator="\n"
        )
    columns = [
        table.set_index("measure").apply(format_cell, axis=1).rename(name)
        for name, table in zip(names, tables)
    ]
    print(pd.concat(columns, axis=1).to_string())
    print(
        "Value, difference to the base [95 % interval]; * if the interval excludes 0."
    )


if __name__ == "__main__":
    main()
