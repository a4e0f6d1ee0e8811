"""Are new weights as good as the base? Weights files held against one another on three real data sets.

    python benchmarks/gates.py DATA BASE CANDIDATE... [--output benchmarks/gates.csv]
    [--cache FOLDER]

DATA holds imagenet20, mitocheck and bbbc013. BASE and CANDIDATE are weights with the
taps low, medium and high, by name or path; all images reach them as grey planes, by
`StratoNet.features`. Measures:
- probe: 20 classes of ImageNet, logistic regression on the three taps, trained on
  train, top-1 on val;
- probe_low, probe_medium, probe_high: the same on each tap alone;
- mitocheck_choice, mitocheck_heldout: 16 phenotypes, RBF SVM, 5 folds by plate,
  balanced accuracy on
  each half of the plates. Candidates may be chosen by the first; the second is for
  reporting the one that was chosen;
- bbbc013_controls, bbbc013_dose: as in scaling.py, see there;
- bbbc013_z: Z'-factor of the controls' scores by the same SVMs (Zhang et al. 1999).

A row of the output is a measure of a weights file: its value, the difference to the
base, and the 95 % interval of that difference over paired bootstrap draws of what is
predicted (val images, plates, wells). The classifiers are not trained anew for a draw.
"""

import argparse
import time
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from stratonet import StratoNet
from stratonet.files.images import read_plane
from stratonet_demo import tell_controls_apart
from stratonet_sklearn.datasets import read_plate

TAPS = ["low", "medium", "high"]
DRAWS = 2000


class Outcome(NamedTuple):
    """Predictions for samples that were held out.

    Samples of one unit are drawn together in a bootstrap.
    """

    predicted: np.ndarray
    truth: np.ndarray
    units: np.ndarray
    judge: Callable

    def value(self, rows=slice(None)):
        return self.judge(self.predicted[rows], self.truth[rows])


def top1(predicted, truth):
    return np.mean(predicted == truth)


def balanced_accuracy(predicted, truth):
    """Mean recall of the classes present, which are numbers from 0."""
    right, all_ = np.bincount(truth, predicted == truth), np.bincount(truth)
    return np.mean(right[all_ > 0] / all_[all_ > 0])


def dose_correlation(score, dose):
    return spearmanr(score, dose).statistic


def z_factor(score, positive):
    """1 - 3 (sd + sd) / |mean - mean|.

    1 at best, below 0 where the controls overlap.
    """
    groups = score[positive], score[~positive]
    spread = sum(group.std(ddof=1) if len(group) > 1 else np.nan for group in groups)
    return 1 - 3 * spread / abs(groups[0].mean() - groups[1].mean())


def read_grey(path):
    return np.asarray(Image.open(path).convert("L"))


def read_data(data):
    """``{data set: (reader of a plane, paths, labels)}``."""
    photos = sorted((data / "imagenet20").glob("*/*/*.JPEG"))
    parts = pd.DataFrame(
        {
            "part": [path.parts[-3] for path in photos],
            "wnid": [path.parts[-2] for path in photos],
        }
    )
    nuclei = pd.read_csv(data / "mitocheck" / "labels.csv")
    channels, wells = read_plate(data / "bbbc013")
    return {
        "imagenet20": (read_grey, photos, parts),
        "mitocheck": (
            read_plane,
            [data / "mitocheck" / name for name in nuclei.file],
            nuclei,
        ),
        "bbbc013": (read_plane, channels.to_numpy().T.ravel(), wells),
    }


def embed(net, name, read, paths, cache):
    """Features of all planes of a data set, (n, width), float32.

    From the cache where they are there.
    """
    file = cache / f"{net.feature_set_id}-{name}.npy" if cache else None
    if file and file.exists():
        return np.load(file)
    features = net.features(read(path) for path in paths)
    if file:
        partial = file.with_suffix(".partial.npy")
        np.save(partial, features)
        partial.replace(file)
    return features


def probe(features, labels, taps):
    train, classes = (labels.part == "train").to_numpy(), labels.wnid.to_numpy()
    ends = np.cumsum([tap.width for tap in taps])
    columns = {"probe": slice(None)}
    columns |= {
        f"probe_{tap.alias}": slice(end - tap.width, end)
        for tap, end in zip(taps, ends)
    }
    for measure, chosen in columns.items():
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)
        )
        model.fit(features[train, chosen], classes[train])
        yield (
            measure,
            Outcome(
                model.predict(features[~train, chosen]),
                classes[~train],
                np.flatnonzero(~train),
                top1,
            ),
        )


def in_first_half(labels):
    """Whether each nucleus is on a plate of the first half.

    Each phenotype is split as evenly as its plates allow.
    """
    counts = pd.crosstab(labels.plate, labels.phenotype)
    shares = counts / counts.sum()
    lead, sides = np.zeros(shares.shape[1]), {}
    # Plates with much of a phenotype go first, each to where it brings the halves nearer.
    for plate in shares.max(axis=1).sort_values(ascending=False, kind="stable").index:
        sides[plate] = 1 if round(lead @ shares.loc[plate], 9) < 0 else -1
        lead += sides[plate] * shares.loc[plate]
    return (labels.plate.map(sides) == 1).to_numpy()


def mitocheck(features, labels):
    truth, plates = labels.phenotype.factorize(sort=True)[0], labels.plate.to_numpy()
    svm = SVC(C=10, class_weight="balanced")
    found = cross_val_predict(svm, features, truth, groups=plates, cv=GroupKFold(5))
    first = in_first_half(labels)
    for measure, half in ("mitocheck_choice", first), ("mitocheck_heldout", ~first):
        yield (
            measure,
            Outcome(found[half], truth[half], plates[half], balanced_accuracy),
        )


def bbbc013(features, labels):
    # The planes of one channel stand behind those of the other.
    features = np.hstack(np.split(features, len(features) // len(labels)))
    scores, _ = tell_controls_apart(
        SVC(kernel="linear", class_weight="balanced"), features, labels
    )
    wells, positive = labels.well.to_numpy(), (labels.role == "poscon").to_numpy()
    treated = (labels.role == "trt").to_numpy()
    control, doses = ~treated, labels.dose_index.to_numpy()
    yield (
        "bbbc013_controls",
        Outcome(
            (scores > 0)[control],
            positive[control].astype(int),
            wells[control],
            balanced_accuracy,
        ),
    )
    yield (
        "bbbc013_dose",
        Outcome(scores[treated], doses[treated], wells[treated], dose_correlation),
    )
    yield (
        "bbbc013_z",
        Outcome(scores[control], positive[control], wells[control], z_factor),
    )


def difference(candidate, base):
    """Candidate - base, and the ends of its interval."""
    members = [np.flatnonzero(base.units == unit) for unit in np.unique(base.units)]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
        rows = np.concatenate(
            [members[unit] for unit in rng.integers(len(members), size=len(members))]
        )
        drawn.append(candidate.value(rows) - base.value(rows))
    # A draw without a positive control has no Z'-factor.
    return candidate.value() - base.value(), *np.nanpercentile(drawn, (2.5, 97.5))


def cell(row):
    if np.isnan(row.difference):
        return f"{row.value:.3f}"
    mark = "*" if row.low > 0 or row.high < 0 else " "
    return (
        f"{row.value:.3f} {row.difference:+.3f} [{row.low:+.3f} {row.high:+.3f}]{mark}"
    )


def main():
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
            "keeps features by feature set id; empty it when images or the library"
            " change"
        ),
    )
    options = parser.parse_args()
    if options.cache:
        options.cache.mkdir(parents=True, exist_ok=True)

    names = [options.base, *options.candidates]
    nets = [StratoNet.load(name, TAPS) for name in names]
    data = read_data(options.data)
    rows, shown, base = [], [], None
    for name, net in zip(names, nets):
        began = time.time()
        features = {
            each: embed(net, each, read, paths, options.cache)
            for each, (read, paths, _) in data.items()
        }
        embedded = time.time()
        outcomes = {
            **dict(probe(features["imagenet20"], data["imagenet20"][2], net.taps)),
            **dict(mitocheck(features["mitocheck"], data["mitocheck"][2])),
            **dict(bbbc013(features["bbbc013"], data["bbbc013"][2])),
        }
        seconds = embedded - began, time.time() - embedded
        print(
            "{}: features {:.0f} s, classifiers {:.0f} s".format(
                net.feature_set_id, *seconds
            ),
            flush=True,
        )
        label = Path(name).name.removesuffix(".onnx")
        for measure, outcome in outcomes.items():
            against = difference(outcome, base[measure]) if base else (np.nan,) * 3
            rows.append((label, net.feature_set_id, measure, outcome.value(), *against))
        base = base or outcomes
        table = pd.DataFrame(
            rows,
            columns=[
                "weights",
                "feature_set_id",
                "measure",
                "value",
                "difference",
                "low",
                "high",
            ],
        )
        table.to_csv(
            options.output, index=False, float_format="%.4f", lineterminator="\n"
        )
        shown.append(
            table.tail(len(outcomes))
            .set_index("measure")
            .apply(cell, axis=1)
            .rename(label)
        )
    print(pd.concat(shown, axis=1).to_string())
    print(
        "Value, difference to the base [95 % interval]; * where the interval"
        " excludes 0."
    )


if __name__ == "__main__":
    main()
