"""Compare rules that scale grey values to [0, 1], on three real data sets.

    python benchmarks/scaling.py DATA [--output benchmarks/scaling.csv]

DATA holds bbbc013, bbbc022 and mitocheck. Columns: the rule; when it is applied; the
filter for resizing; then
- bbbc013: controls, linear SVM, rows of the plate left out in turn, balanced accuracy;
- bbbc013_dose: Spearman correlation of that SVM's score with the dose index, wells
  treated with wortmannin or LY294002, each scored by an SVM that has not seen its row;
- bbbc022_sites: of the 12 sites in each of the 5 channels, the share whose nearest
  neighbour (cosine) in that channel is the other site of its well (by chance 0.09);
- bbbc022_dim: mean change of a plane's features, |a - b| / |a|, when the plane fills
  only 5 % of its range (rounded to integers again); the best is 0;
- bbbc022_hot: the same when three pixels are stuck at full scale, as in worn cameras;
- mitocheck: 16 phenotypes, RBF SVM (C=10, balanced), 5 folds by plate, balanced
  accuracy.

The SVMs take the features as they are, as ``Pipeline([StratoFeatureTransformer(),
SVC()])`` does.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
from stratonet_sklearn.datasets import read_plate
from stratonet_sklearn.evaluation.separation import separate_controls

FULL_SCALE = 65535


@dataclass(frozen=True)
class Rule:
    """A rule by which grey values are scaled to [0, 1]."""

    name: str
    percentiles: tuple[float, float] | None  # None: by the range of the pixel type
    when: str = "after"  # or before the resize
    resize: str = "BILINEAR"


@dataclass(frozen=True)
class Plate:
    """Planes by channel, each in the order of the labels."""

    channels: Sequence[Sequence[np.ndarray]]
    labels: pd.DataFrame


@dataclass(frozen=True)
class Nuclei:
    planes: Sequence[np.ndarray]
    labels: pd.DataFrame


LIKELY = Rule("percentiles 0.1, 99.9", (0.1, 99.9))
RULES = [
    Rule("dtype range", None),
    Rule("min-max", (0, 100)),
    LIKELY,
    Rule("percentiles 0.5, 99.5", (0.5, 99.5)),
    Rule("percentiles 1, 99", (1, 99)),
    # Variants of the likely rule.
    Rule(LIKELY.name, LIKELY.percentiles, when="before"),
    Rule(LIKELY.name, LIKELY.percentiles, resize="BOX"),
    Rule(LIKELY.name, LIKELY.percentiles, resize="BICUBIC"),
    Rule(LIKELY.name, LIKELY.percentiles, resize="LANCZOS"),
]


def resize_plane(plane: np.ndarray, resize: str, size: int = 224) -> np.ndarray:
    pixels = Image.fromarray(plane.astype(np.float32))
    return np.asarray(pixels.resize((size, size), Image.Resampling[resize]))


def scale_plane(
    plane: np.ndarray, dtype: np.dtype, percentiles: tuple[float, float] | None
) -> np.ndarray:
    if percentiles is None:
        return plane / np.float32(np.iinfo(dtype).max)
    low, high = np.percentile(plane, percentiles)
    if high <= low:
        return np.zeros_like(plane)
    return np.clip((plane - low) / (high - low), 0, 1).astype(np.float32)


def make_grey(plane: np.ndarray, rule: Rule) -> np.ndarray:
    if rule.when == "before":
        scaled = scale_plane(plane.astype(np.float32), plane.dtype, rule.percentiles)
        # Filters with negative lobes overshoot.
        return np.clip(resize_plane(scaled, rule.resize), 0, 1)
    return scale_plane(resize_plane(plane, rule.resize), plane.dtype, rule.percentiles)


def embed_planes(
    net: StratoNet, planes: Sequence[np.ndarray], rule: Rule
) -> np.ndarray:
    """Compute features with the library's steps, but the rule instead of the card's."""

    def embed_plane(plane: np.ndarray) -> np.ndarray:
        inputs = preprocessing.to_planes(make_grey(plane, rule), net.card)
        return net._session.run(inputs)[0]

    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(embed_plane, planes)))


def dim_plane(plane: np.ndarray) -> np.ndarray:
    return np.round(plane * (0.05 * FULL_SCALE / plane.max())).astype(np.uint16)


def add_stuck_pixels(plane: np.ndarray) -> np.ndarray:
    plane = plane.copy()
    plane[[100, 250, 400], [500, 50, 300]] = FULL_SCALE
    return plane


def measure_bbbc013(net: StratoNet, plate: Plate, rule: Rule) -> dict[str, float]:
    features = [embed_planes(net, planes, rule) for planes in plate.channels]
    svm = SVC(kernel="linear", class_weight="balanced")
    scores, accuracy = separate_controls(svm, np.hstack(features), plate.labels)
    treated = (plate.labels.role == "trt").to_numpy()
    doses = plate.labels.dose_index[treated]
    correlation = spearmanr(scores[treated], doses).statistic
    return {"bbbc013": accuracy, "bbbc013_dose": correlation}


def measure_bbbc022(net: StratoNet, plate: Plate, rule: Rule) -> dict[str, float]:
    features = [embed_planes(net, planes, rule) for planes in plate.channels]
    wells = plate.labels.well.to_numpy()
    hits = []
    for values in features:
        distances = pairwise_distances(values, metric="cosine")
        np.fill_diagonal(distances, np.inf)
        hits.append(wells[distances.argmin(1)] == wells)

    def measure_move(spoil: Callable[[np.ndarray], np.ndarray]) -> float:
        moves = []
        for planes, original in zip(plate.channels, features):
            spoilt = embed_planes(net, [spoil(plane) for plane in planes], rule)
            distances = np.linalg.norm(spoilt - original, axis=1)
            moves.append(distances / np.linalg.norm(original, axis=1))
        return float(np.mean(moves))

    return {
        "bbbc022_sites": float(np.mean(hits)),
        "bbbc022_dim": measure_move(dim_plane),
        "bbbc022_hot": measure_move(add_stuck_pixels),
    }


def measure_mitocheck(net: StratoNet, nuclei: Nuclei, rule: Rule) -> dict[str, float]:
    features = embed_planes(net, nuclei.planes, rule)
    phenotypes = nuclei.labels.phenotype.to_numpy()
    predicted = cross_val_predict(
        SVC(C=10, class_weight="balanced"),
        features,
        phenotypes,
        groups=nuclei.labels.plate.to_numpy(),
        cv=GroupKFold(5),
    )
    return {"mitocheck": balanced_accuracy_score(phenotypes, predicted)}


def read_screen(folder: Path) -> Plate:
    images, labels = read_plate(folder)
    channels = [list(map(read_plane, images[channel])) for channel in images]
    return Plate(channels, labels)


def read_nuclei(folder: Path) -> Nuclei:
    labels = pd.read_csv(folder / "labels.csv")
    return Nuclei([read_plane(folder / name) for name in labels.file], labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "scaling.csv"
    )
    options = parser.parse_args()

    bbbc013 = read_screen(options.data / "bbbc013")
    bbbc022 = read_screen(options.data / "bbbc022")
    nuclei = read_nuclei(options.data / "mitocheck")
    net = StratoNet.load("stratonet50", recipe="whole224/mean")
    with open(options.output, "w", newline="") as file:
        writer = None
        for rule in RULES:
            values = {
                **measure_bbbc013(net, bbbc013, rule),
                **measure_bbbc022(net, bbbc022, rule),
                **measure_mitocheck(net, nuclei, rule),
            }
            row = {
                "rule": rule.name,
                "applied": f"{rule.when} resizing",
                "resize": rule.resize,
                **{name: f"{value:.3f}" for name, value in values.items()},
            }
            print(row, flush=True)
            if writer is None:
                writer = csv.DictWriter(file, list(row), lineterminator="\n")
                writer.writeheader()
            writer.writerow(row)


if __name__ == "__main__":
    main()
