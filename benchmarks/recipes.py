"""Compare recipes on held-out rows, to choose the default.

    python benchmarks/recipes.py DATA [--untrained FILE.onnx] [--cache FOLDER]
    [--unseen RECIPE...] [--times] [--output benchmarks/recipes.csv]

DATA holds bbbc013, mitocheck, hep2, randtag and bbbc022; `heldout.py` says what is left
out of the first four. Half of MitoCheck's plates and a third of HEp-2's ranges stay
unseen until the choice is made: they are tested only for the recipes after --unseen, by
classifiers that learn from the others. FILE is a network with random weights, as a
floor: ``python -m training export training/configs/stratonet50.toml --output FILE``.

Measures, with 95 % intervals over draws of groups (rows of the plate, plates, ranges of
IDs, proteins); differences to the recipe of version 1 are paired:

- SVM, RF: balanced accuracy by the linear SVM and the random forest of `evaluate`;
- replicates (bbbc013): mean average precision of the wells of a treatment among
  negative controls, as in the report;
- dose, Z (bbbc013): rank correlation of the doses with the scores of classifiers of the
  controls, and the Z'-factor of the controls, both on left-out rows of the plate;
- sites (bbbc022): mean average precision with which the sites of a well find each other
  among other wells;
- planes: planes per second on this machine, without reading; --times measures only
  these again, on an otherwise idle machine, and leaves all other measures unchanged;
- columns: number of features of a plane.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from copairs.map import average_precision
from gates import (
    Planes,
    compute_difference,
    embed_planes,
    is_in_first_half,
    judge_bbbc013,
)
from heldout import LISTS, measure_intensity
from profiles import judge_classes, predict_classes, predict_svm
from screens import list_channels, read_bbbc022
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from stratonet import Recipe, StratoNet
from stratonet.card_writer import write_card
from stratonet.files.images import read_plane
from stratonet.weights_file import WEIGHTS, read_card
from stratonet_sklearn.datasets import read_plate
from stratonet_sklearn.evaluation import make_profiles, score_retrieval
from stratonet_sklearn.evaluation.classification import CLASSIFIERS

TODAY = "whole224/mean"
# Recipes for fields of many cells.
FIELDS = (
    TODAY,
    "whole224/mean+sd",
    "whole448/mean+sd",
    "tiles224/mean",
    "tiles224/mean+sd",
    "tiles224-across2/mean",
    "tiles224-across2/mean+sd",
    "tiles224-across3/mean+sd",
    "whole224+tiles224/mean",
    "whole224+tiles224/mean+sd",
    "whole224+tiles224-across2/mean",
    "whole224+tiles224-across2/mean+sd",
)
# Recipes for single cells, whose small planes fit into one tile.
CELLS = (
    TODAY,
    "whole224/mean+sd",
    "tiles224/mean",
    "tiles224/mean+sd",
    "tiles224-smallest64/mean+sd",
    "tiles224-smallest128/mean+sd",
    "whole224+tiles224/mean+sd",
)
SINGLE_CELLS = ("mitocheck", "hep2")
# Every third of HEp-2's ranges.
UNSEEN_RANGES = (2, 5)
TAPS = {
    "": ("low", "medium", "high"),
    ", with conv2": ("conv2_block3_out", "low", "medium", "high"),
    ", conv2 and low": ("conv2_block3_out", "low"),
}
ALL_TAPS = list(TAPS[", with conv2"])
UNTRAINED_RECIPE = "tiles224/mean+sd"
# Other filters for resizing, tried on the recipe of version 1 and on enlarged crops.
FILTERS = ("BOX", "HAMMING", "BICUBIC", "LANCZOS")
N_TIMED = 32  # planes


@dataclass(frozen=True)
class Candidate:
    """A feature table of a data set, with the title of what made it."""

    title: str
    values: np.ndarray


def list_bbbc022(data: Path) -> tuple[pd.DataFrame, list[Planes]]:
    rows = read_bbbc022(data)
    planes = [
        Planes(read_plane, list(data / rows[f"FileName_{channel}"]), rows)
        for channel in list_channels(rows)
    ]
    return rows, planes


def choose_recipes(name: str) -> Sequence[str]:
    return CELLS if name in SINGLE_CELLS else FIELDS


def measure_view(
    name: str,
    channels: Sequence[Planes],
    weights: str | Path,
    view: str,
    cache: Path | None,
) -> list[np.ndarray]:
    """Measure everything a view gives for each channel: all taps, mean and sd."""
    net = StratoNet.load(weights, ALL_TAPS, recipe=f"{view}/mean+sd")
    return [
        embed_planes(net, f"{name}-{number}", planes, cache)
        for number, planes in enumerate(channels)
    ]


def time_recipes(name: str, channels: Sequence[Planes]) -> pd.DataFrame:
    """Measure planes per second of each recipe, with planes in memory."""
    first = channels[0]
    planes = [first.read(path) for path in first.paths[:N_TIMED]]
    rows = []
    for text in choose_recipes(name):
        net = StratoNet.load(recipe=text)
        net.features(planes[:4])
        began = time.monotonic()
        net.features(planes)
        rows.append((name, text, "planes", N_TIMED / (time.monotonic() - began)))
        print(f"  {name}, {text}: {rows[-1][-1]:.1f} planes/s", flush=True)
    return pd.DataFrame(rows, columns=["data", "recipe", "measure", "value"])


def choose_columns(recipe: Recipe, taps: Sequence[str]) -> np.ndarray:
    """Choose the columns of a view for the statistics of a recipe, and for taps."""
    net = StratoNet.load(taps=ALL_TAPS, recipe=TODAY)
    chosen = StratoNet.load(taps=list(taps), recipe=TODAY).taps
    is_chosen = [
        np.full(tap.width, tap in chosen and statistic in recipe.pooling)
        for tap in net.taps
        for statistic in ("mean", "sd")
    ]
    return np.concatenate(is_chosen)


def combine_views(
    shown: Mapping[str, list[np.ndarray]], text: str, taps: Sequence[str]
) -> np.ndarray:
    """Return the features of a recipe, channel by channel, view by view."""
    recipe = Recipe.parse(text)
    columns = choose_columns(recipe, taps)
    views = [shown[view.text] for view in recipe.views]
    return np.hstack(
        [
            view_features[:, columns]
            for channel in zip(*views)
            for view_features in channel
        ]
    )


def measure_candidates(
    name: str,
    channels: Sequence[Planes],
    recipes: Sequence[str],
    untrained: Path | None,
    cache: Path | None,
    unseen: bool,
) -> Iterator[Candidate]:
    shown = {}
    texts = {view.text for text in recipes for view in Recipe.parse(text).views}
    for view in sorted(texts):
        shown[view] = measure_view(name, channels, "stratonet50", view, cache)
    if unseen:
        for text in recipes:
            yield Candidate(text, combine_views(shown, text, TAPS[""]))
        return
    for text in recipes:
        for suffix, taps in TAPS.items():
            yield Candidate(text + suffix, combine_views(shown, text, taps))
    for title, weights, text in list_other_weights(name, untrained):
        view, _ = text.split("/")
        other = measure_view(name, channels, weights, view, cache)
        yield Candidate(title, combine_views({view: other}, text, TAPS[""]))
    yield Candidate("intensity", measure_intensity(channels).to_numpy(np.float32))


def list_other_weights(
    name: str, untrained: Path | None
) -> Iterator[tuple[str, Path, str]]:
    """Yield other weights files: title, path, and the recipe to try them with."""
    if untrained:
        yield f"untrained, {UNTRAINED_RECIPE}", untrained, UNTRAINED_RECIPE
    text = UNTRAINED_RECIPE if name in SINGLE_CELLS else TODAY
    with tempfile.TemporaryDirectory() as folder:
        for resample in FILTERS:
            card = dataclasses.replace(read_card(), resize=resample)
            path = Path(folder) / f"{resample}.onnx"
            write_card(WEIGHTS / "stratonet50.onnx", card, path)
            yield f"{text}, {resample.title()}", path, text


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


def judge_controls(data: Path, candidates: Sequence[Candidate]) -> pd.DataFrame:
    """Compute order of doses and Z'-factor, with paired intervals over wells."""
    _, wells = read_plate(data)
    outcomes = {}
    for candidate in candidates:
        # The planes of one channel follow those of the other.
        stacked = np.vstack(np.hsplit(candidate.values, 2))
        judged = dict(judge_bbbc013(stacked, wells))
        outcomes[candidate.title] = {
            "dose": judged["bbbc013_dose"],
            "Z": judged["bbbc013_z"],
        }
    rows = []
    for title, measures in outcomes.items():
        for measure, outcome in measures.items():
            difference = compute_difference(outcome, outcomes[TODAY][measure])
            rows.append((title, measure, outcome.compute_value(), *difference))
    differences = ["difference", "difference_low", "difference_high"]
    table = pd.DataFrame(rows, columns=["recipe", "measure", "value", *differences])
    return table.assign(data="bbbc013")


def find_sites(rows: pd.DataFrame, values: np.ndarray) -> float:
    scaled = StandardScaler().fit_transform(values)
    precisions = average_precision(
        rows[["Metadata_Well"]],
        scaled,
        ["Metadata_Well"],
        [],
        [],
        ["Metadata_Well"],
        progress_bar=False,
    )
    return float(precisions.average_precision.mean())


def is_unseen(name: str, rows: pd.DataFrame) -> np.ndarray:
    """Tell which rows stay unseen until the recipe is chosen."""
    if name == "hep2":
        return rows.Metadata_Fold.isin(UNSEEN_RANGES).to_numpy()
    if name == "mitocheck":
        labels = rows[["Metadata_Plate", "Metadata_Class"]]
        return ~is_in_first_half(labels.set_axis(["plate", "phenotype"], axis=1))
    return np.zeros(len(rows), bool)


def compare_candidates(
    name: str, rows: pd.DataFrame, candidates: Iterable[Candidate], unseen: bool
) -> pd.DataFrame:
    """Judge candidates on the rows for choosing them, or on the unseen rows."""
    unseen_rows = is_unseen(name, rows)
    classes = rows.get("Metadata_Class")
    if unseen:
        left_out = [unseen_rows]
    elif classes is not None:
        rows = rows.assign(Metadata_Class=classes.mask(unseen_rows, ""))
        left_out = [
            (rows.Metadata_Fold == fold).to_numpy()
            for fold in np.unique(rows.Metadata_Fold[~unseen_rows])
        ]
    predicted = {}
    others = []
    for candidate in candidates:
        title = candidate.title
        measured = {"columns": candidate.values.shape[1] / rows.attrs["channels"]}
        if name == "bbbc022":
            measured["sites"] = find_sites(rows, candidate.values)
        else:
            folds = [(mask, candidate.values) for mask in left_out]
            predicted[title] = predict_classes(rows, folds, JUDGES)
        if name == "bbbc013":
            measured["replicates"] = find_replicates(rows, candidate.values)
        for measure_name, value in measured.items():
            others.append((title, measure_name, value))
        print(f"  {name}, {title}: {measured}", flush=True)
    table = pd.DataFrame(others, columns=["recipe", "measure", "value"])
    if predicted:
        judged = rows
        if unseen:
            judged = rows.assign(Metadata_Class=classes.where(unseen_rows, ""))
        table = pd.concat([judge_classes(judged, predicted, TODAY), table])
    table.insert(0, "data", f"{name}, unseen" if unseen else name)
    return table


def write_tables(tables: Sequence[pd.DataFrame], path: Path) -> None:
    pd.concat(tables).to_csv(
        path, index=False, float_format="%.4f", lineterminator="\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--untrained", type=Path, help="a network with random weights")
    parser.add_argument("--cache", type=Path, help="folder that stores features")
    parser.add_argument(
        "--unseen", nargs="+", default=(), help="chosen recipes to test on unseen rows"
    )
    parser.add_argument(
        "--times", action="store_true", help="measure only planes per second"
    )
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "recipes.csv"
    )
    options = parser.parse_args()
    if options.cache:
        options.cache.mkdir(parents=True, exist_ok=True)
    tables: list[pd.DataFrame] = []
    if options.times:
        table = pd.read_csv(options.output)
        tables.append(table[table.measure != "planes"])
    lists = {**LISTS, "bbbc022": list_bbbc022}
    for name, list_rows in lists.items():
        if options.unseen and name not in SINGLE_CELLS:
            continue
        rows, channels = list_rows(options.data / name)
        if not options.unseen:
            tables.append(time_recipes(name, channels))
        if options.times:
            continue
        rows.attrs["channels"] = len(channels)
        recipes = (TODAY, *options.unseen) if options.unseen else choose_recipes(name)
        candidates: Iterable[Candidate] = measure_candidates(
            name,
            channels,
            recipes,
            options.untrained,
            options.cache,
            bool(options.unseen),
        )
        if name == "bbbc013":
            # Few enough to fit into memory at once.
            candidates = list(candidates)
            tables.append(judge_controls(options.data / name, candidates))
        tables.append(compare_candidates(name, rows, candidates, bool(options.unseen)))
        # Rewritten after each, so that an interrupted run has the first results.
        write_tables(tables, options.output)
    write_tables(tables, options.output)


if __name__ == "__main__":
    main()
