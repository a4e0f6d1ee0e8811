"""Which rule should bring grey values to [0, 1]? Every candidate on three real data sets, written to scaling.csv.

    python benchmarks/scaling.py DATA [--output benchmarks/scaling.csv]

DATA holds bbbc013, bbbc022 and mitocheck. Columns: the rule; when it is applied; the
filter of the resize; then
- bbbc013: controls, linear SVM, rows of the plate left out in turn, balanced accuracy;
- bbbc013_dose: Spearman correlation of that SVM's score with the dose index, wells
  treated with wortmannin or
  LY294002, each scored by an SVM that has not seen its row;
- bbbc022_sites: of the 12 sites in each of the 5 channels, the share whose nearest
  neighbour (cosine) in that channel
  is the other site of its well (by chance 0.09);
- bbbc022_dim: how far a plane's features move, |a - b| / |a|, when it fills only 5 % of
  its range (rounded to integers
  again), mean; the best is 0;
- bbbc022_hot: the same when three of its pixels are stuck at full scale, as worn
  cameras have them;
- mitocheck: 16 phenotypes, RBF SVM (C=10, balanced), 5 folds by plate, balanced
  accuracy.

The SVMs take the features as they are, as ``Pipeline([StratoFeatureTransformer(),
SVC()])`` does."""

import argparse
import csv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.stats import spearmanr
from sklearn.metrics import balanced_accuracy_score, pairwise_distances
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.svm import SVC

from stratonet import StratoNet, preprocessing
from stratonet.files.images import read_plane
from stratonet_demo import tell_controls_apart
from stratonet_sklearn.datasets import read_plate

RULES = [
    ("dtype range", None),
    ("min-max", (0, 100)),
    ("percentiles 0.1, 99.9", (0.1, 99.9)),
    ("percentiles 0.5, 99.5", (0.5, 99.5)),
    ("percentiles 1, 99", (1, 99)),
]


def resized(plane, resize, size=224):
    pixels = Image.fromarray(plane.astype(np.float32))
    return np.asarray(pixels.resize((size, size), Image.Resampling[resize]))


def scaled(plane, dtype, percentiles):
    if percentiles is None:
        return plane / np.float32(np.iinfo(dtype).max)
    low, high = np.percentile(plane, percentiles)
    return (
        np.clip((plane - low) / (high - low), 0, 1).astype(np.float32)
        if high > low
        else np.zeros_like(plane)
    )


def embed(net, planes, percentiles, when, resize):
    """Features under a rule.

    The library's steps, with the rule in place of the card's.
    """

    def run(plane):
        if when == "before":
            grey = np.clip(
                resized(
                    scaled(plane.astype(np.float32), plane.dtype, percentiles), resize
                ),
                0,
                1,
            )
        else:
            grey = scaled(resized(plane, resize), plane.dtype, percentiles)
        inputs = {net._input: preprocessing.to_planes(grey, net.card)}
        return np.concatenate(net._session.run(net._outputs, inputs), axis=1)[0]

    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(run, planes)))


def dimmed(plane):
    return np.round(plane * (0.05 * 65535 / plane.max())).astype(np.uint16)


def with_stuck_pixels(plane):
    plane = plane.copy()
    plane[[100, 250, 400], [500, 50, 300]] = 65535
    return plane


def evaluate(net, data, rule):
    row = {}
    images, labels = data["bbbc013"]
    features = np.hstack([embed(net, planes, *rule) for planes in images])
    svm = SVC(kernel="linear", class_weight="balanced")
    score, row["bbbc013"] = tell_controls_apart(svm, features, labels)
    treated = (labels.role == "trt").to_numpy()
    row["bbbc013_dose"] = spearmanr(
        score[treated], labels.dose_index[treated]
    ).statistic

    images, labels = data["bbbc022"]
    per_channel = [embed(net, planes, *rule) for planes in images]
    wells, found = labels.well.to_numpy(), []
    for features in per_channel:
        distances = pairwise_distances(features, metric="cosine")
        np.fill_diagonal(distances, np.inf)
        found.append(wells[distances.argmin(1)] == wells)
    row["bbbc022_sites"] = np.mean(found)
    for name, harm in (("dim", dimmed), ("hot", with_stuck_pixels)):
        moved = []
        for planes, whole in zip(images, per_channel):
            harmed = embed(net, [harm(plane) for plane in planes], *rule)
            moved.append(
                np.linalg.norm(harmed - whole, axis=1) / np.linalg.norm(whole, axis=1)
            )
        row[f"bbbc022_{name}"] = np.mean(moved)

    planes, phenotypes, plates = data["mitocheck"]
    svm = SVC(C=10, class_weight="balanced")
    found = cross_val_predict(
        svm, embed(net, planes, *rule), phenotypes, groups=plates, cv=GroupKFold(5)
    )
    row["mitocheck"] = balanced_accuracy_score(phenotypes, found)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "scaling.csv"
    )
    options = parser.parse_args()

    data = {}
    for name in ("bbbc013", "bbbc022"):
        images, labels = read_plate(options.data / name)
        data[name] = (
            [[read_plane(path) for path in images[channel]] for channel in images],
            labels,
        )
    labels = pd.read_csv(options.data / "mitocheck" / "labels.csv")
    planes = [read_plane(options.data / "mitocheck" / name) for name in labels.file]
    data["mitocheck"] = planes, labels.phenotype.to_numpy(), labels.plate.to_numpy()

    net = StratoNet.load("stratonet50")
    candidates = [(name, rule, "after", "BILINEAR") for name, rule in RULES]
    candidates += [(*RULES[2], "before", "BILINEAR")]
    candidates += [
        (*RULES[2], "after", filter) for filter in ("BOX", "BICUBIC", "LANCZOS")
    ]
    with open(options.output, "w", newline="") as file:
        writer = None
        for name, percentiles, when, resize in candidates:
            row = {"rule": name, "applied": f"{when} resizing", "resize": resize}
            row.update(
                {
                    k: f"{v:.3f}"
                    for k, v in evaluate(net, data, (percentiles, when, resize)).items()
                }
            )
            print(row, flush=True)
            if writer is None:
                writer = csv.DictWriter(file, row, lineterminator="\n")
                writer.writeheader()
            writer.writerow(row)


if __name__ == "__main__":
    main()
