"""Which recipe should be the default? Recipes compared on what was left out.

    python benchmarks/recipes.py DATA [--untrained FILE.onnx] [--cache FOLDER]
    [--output benchmarks/recipes.csv]

DATA holds bbbc013, mitocheck, hep2, randtag and bbbc022; `heldout.py` says what is left
out of the first four. FILE is a network with random weights, as a floor:
``python -m training export stratonet50 --output FILE.onnx``.

Measures, with 95 % intervals over draws of groups (rows of the plate, plates, ranges of
IDs, proteins); differences to the recipe of version 1 are paired:

- SVM, RF: balanced accuracy by the linear SVM and the random forest of `evaluate`;
- replicates (bbbc013): mean average precision of the wells of a treatment among
  negative controls, as the report has it;
- sites (bbbc022): mean average precision with which the sites of a well find each other
  among other wells;
- planes: planes per second, on this machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from copairs.map import average_precision
from gates import Planes, embed_planes
from heldout import LISTS, measure_intensity
from profiles import judge_classes, predict_classes, predict_svm
from screens import list_channels, read_bbbc022
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from stratonet import StratoNet
from stratonet.files.images import read_plane
from stratonet_sklearn.evaluation import make_profiles, score_retrieval
from stratonet_sklearn.evaluation.classification import CLASSIFIERS

TODAY = "whole224/mean"
RECIPES = (
    TODAY,
    "whole224/mean+sd",
    "whole448/mean+sd",
    "whole96/mean+sd",
    "tiles224/mean+sd",
    "tiles224-across2/mean",
    "tiles224-across2/mean+sd",
    "tiles224-across3/mean+sd",
    "whole224+tiles224-across2/mean+sd",
)
# The recipes of single cells, whose planes are small: tiles are the whole plane.
SINGLE_CELLS = ("mitocheck", "hep2")
TAPS = {
    "three taps": ("low", "medium", "high"),
    "with conv2": ("conv2_block3_out", "low", "medium", "high"),
}


@dataclass(frozen=True)
class Candidate:
    """A feature table of a data set, by what made it."""

    recipe: str
    taps: str
    values: np.ndarray
    planes_per_second: float


def list_bbbc022(data: Path) -> tuple[pd.DataFrame, list[Planes]]:
    rows = read_bbbc022(data)
    planes = [
        Planes(read_plane, list(data / rows[f"FileName_{channel}"]), rows)
        for channel in list_channels(rows)
    ]
    return rows, planes


def choose_recipes(name: str) -> Sequence[str]:
    if name in SINGLE_CELLS:
        return [recipe for recipe in RECIPES if "across" not in recipe]
    return [recipe for recipe in RECIPES if recipe != "whole96/mean+sd"]


def measure_candidates(
    name: str, channels: Sequence[Planes], untrained: Path | None, cache: Path | None
) -> Iterator[Candidate]:
    for recipe in choose_recipes(name):
        for title, taps in TAPS.items():
            yield measure(name, channels, "stratonet50", title, taps, recipe, cache)
    if untrained:
        taps = TAPS["three taps"]
        yield measure(
            name, channels, untrained, "untrained", taps, "tiles224/mean+sd", cache
        )
    began = time.monotonic()
    values = measure_intensity(channels).to_numpy(np.float32)
    yield Candidate("intensity", "", values, count_planes(channels, began))


def measure(
    name: str,
    channels: Sequence[Planes],
    weights: str | Path,
    title: str,
    taps: Sequence[str],
    recipe: str,
    cache: Path | None,
) -> Candidate:
    net = StratoNet.load(weights, list(taps), recipe=recipe)
    began = time.monotonic()
    values = [
        embed_planes(net, f"{name}-{number}-{title}", planes, cache)
        for number, planes in enumerate(channels)
    ]
    return Candidate(recipe, title, np.hstack(values), count_planes(channels, began))


def count_planes(channels: Sequence[Planes], began: float) -> float:
    n_planes = sum(len(planes.paths) for planes in channels)
    return n_planes / (time.monotonic() - began)


def predict_forest(
    trained: np.ndarray, labels: np.ndarray, tested: np.ndarray
) -> np.ndarray:
    forest = clone(CLASSIFIERS["RF"]).set_params(n_jobs=-1, class_weight="balanced")
    return forest.fit(trained, labels).predict(tested)


JUDGES = {"SVM": predict_svm, "RF": predict_forest}


def find_replicates(rows: pd.DataFrame, values: np.ndarray) -> float:
    features = pd.DataFrame(values).add_prefix("f")
    control = (rows.Metadata_Role == "negcon").to_numpy()
    profiles = make_profiles(rows, features, control)
    scores = score_retrieval(profiles, None, "Metadata_Compound", "Metadata_Dose")
    return float(scores.set_index("measure").value["replicate mAP"])


def find_sites(rows: pd.DataFrame, values: np.ndarray) -> float:
    scaled = StandardScaler().fit_transform(values)
    found = average_precision(
        rows[["Metadata_Well"]],
        scaled,
        ["Metadata_Well"],
        [],
        [],
        ["Metadata_Well"],
        progress_bar=False,
    )
    return float(found.average_precision.mean())


def compare_candidates(
    name: str, data: Path, untrained: Path | None, cache: Path | None
) -> pd.DataFrame:
    list_rows = {**LISTS, "bbbc022": list_bbbc022}[name]
    rows, channels = list_rows(data / name)
    predicted = {}
    others = []
    for candidate in measure_candidates(name, channels, untrained, cache):
        title = candidate.recipe
        if candidate.taps not in ("", "three taps"):
            title = f"{candidate.recipe}, {candidate.taps}"
        measured = {"planes": candidate.planes_per_second}
        if name == "bbbc022":
            measured["sites"] = find_sites(rows, candidate.values)
        else:
            folds = [
                ((rows.Metadata_Fold == fold).to_numpy(), candidate.values)
                for fold in np.unique(rows.Metadata_Fold)
            ]
            predicted[title] = predict_classes(rows, folds, JUDGES)
        if name == "bbbc013":
            measured["replicates"] = find_replicates(rows, candidate.values)
        for measure_name, value in measured.items():
            others.append((title, measure_name, value))
        print(f"  {name}, {title}: {measured}", flush=True)
    table = pd.DataFrame(others, columns=["recipe", "measure", "value"])
    if predicted:
        table = pd.concat([judge_classes(rows, predicted, TODAY), table])
    table.insert(0, "data", name)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--untrained", type=Path, help="a network of random weights")
    parser.add_argument("--cache", type=Path, help="keeps features")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "recipes.csv"
    )
    options = parser.parse_args()
    if options.cache:
        options.cache.mkdir(parents=True, exist_ok=True)
    tables: list[pd.DataFrame] = []
    for name in (*LISTS, "bbbc022"):
        tables.append(
            compare_candidates(name, options.data, options.untrained, options.cache)
        )
        # Written anew after each: what is interrupted has the first ones.
        pd.concat(tables).to_csv(
            options.output, index=False, float_format="%.4f", lineterminator="\n"
        )


if __name__ == "__main__":
    main()
