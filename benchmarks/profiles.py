"""Compare recipes for profiles on rows left out of four data sets.

    python benchmarks/profiles.py DATA [--features FOLDER] [--cache FOLDER]
    [--set NAME] [--output benchmarks/profiles.csv]

DATA holds bbbc013, mitocheck, hep2 and randtag. FOLDER is the output of features.py: if
it holds CellProfiler's tables, they are compared too. Harmony needs harmonypy, which
users install themselves; without it the recipes with Harmony are left out. With --set
one data set is measured again, and the others stay in the output unchanged.

- bbbc013: untreated wells and two drugs. Two rows of the plate are left out in turn, so
  that each drug is in one of them; their negative controls are not used to make
  profiles.
- mitocheck: 16 phenotypes of single nuclei, one per row, 5 folds by plate, scaled on
  all rows of the plate. Plates are the batches of Harmony.
- hep2: 6 patterns, every second cell, scaled on all cells. Neighbouring IDs are of one
  specimen, so the IDs of a pattern are divided into 6 ranges with a gap between them,
  each left out in turn. A range stands for the specimens in it.
- randtag: nuclear or cytoplasmic, 8 proteins, each left out in turn as if it were a
  compound, scaled on all rows. JPEG images: only a check, not for results.

Measures:
- svm: the linear SVM of `evaluate`, classes weighted equally, balanced accuracy;
- nearest: the class of the nearest row (cosine) among those not left out, balanced
  accuracy;
- replicates (bbbc013): mean average precision with which the wells of a treatment find
  each other among the left-out negative controls, all standardized on the plate once
  more, as in the report.

A row of the output is a measure of a recipe: its value and the difference to the
default, each with a 95 % interval over draws of groups (rows of the plate, plates,
ranges, proteins; for replicates, treatments). Differences are paired.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from copairs.map import average_precision
from heldout import LISTS, Screen, list_tables
from sklearn.base import clone
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from stratonet.tables.columns import PLATE, WELL
from stratonet_sklearn.evaluation import ProfileRecipe, make_profiles
from stratonet_sklearn.evaluation.classification import CLASSIFIERS
from stratonet_sklearn.evaluation.scores import DRAWS, Estimate, Evaluation

# The rows left out, (n rows,) bool, and the profiles of all rows, (n rows, width).
Fold = tuple[np.ndarray, np.ndarray]
# Predicts the classes of rows from others: values and labels, then values.
Judge = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
DEFAULT = "standardize, select"
HARMONY = "Metadata_Plate"
JUMP = ProfileRecipe("mad_robustize", "rank")
RECIPES = {
    DEFAULT: ProfileRecipe(),
    "standardize": ProfileRecipe(select=False),
    "MAD, select": ProfileRecipe("mad_robustize"),
    "standardize, rank, select": ProfileRecipe(transform="rank"),
    "MAD, rank, select": JUMP,
    "standardize, select, sphere": ProfileRecipe(sphere=True),
    "MAD, rank, select, sphere": replace(JUMP, sphere=True),
    "standardize, select, Harmony": ProfileRecipe(harmonize=HARMONY),
    "MAD, rank, select, Harmony": replace(JUMP, harmonize=HARMONY),
}


def profile_rows(
    screen: Screen, recipe: ProfileRecipe, left_out: np.ndarray
) -> np.ndarray:
    """Make profiles of all rows, with no negative control among those left out."""
    control = screen.control
    if control is not None:
        control = control & ~left_out
    wells = screen.rows[[PLATE, WELL]]
    profiles = make_profiles(wells, screen.features, control, recipe)
    # Brought into the order of the rows, each of which is a well.
    ordered = wells.merge(profiles.frame, on=[PLATE, WELL])
    return ordered[profiles.features].to_numpy()


def make_folds(screen: Screen, recipe: ProfileRecipe) -> list[Fold]:
    folds: list[Fold] = []
    profiles = None
    for fold in np.unique(screen.folds):
        left_out = screen.folds == fold
        # Without controls, profiles use no labels, and are the same for all folds.
        if profiles is None or screen.control is not None:
            profiles = profile_rows(screen, recipe, left_out)
        folds.append((left_out, profiles))
    return folds


def predict_svm(
    trained: np.ndarray, labels: np.ndarray, tested: np.ndarray
) -> np.ndarray:
    scaler = StandardScaler().fit(trained)
    trained, tested = scaler.transform(trained), scaler.transform(tested)
    svm = clone(CLASSIFIERS["SVM"]).set_params(class_weight="balanced")
    return svm.fit(trained, labels).predict(tested)


def predict_nearest(
    trained: np.ndarray, labels: np.ndarray, tested: np.ndarray
) -> np.ndarray:
    nearest = KNeighborsClassifier(1, metric="cosine")
    return nearest.fit(trained, labels).predict(tested)


JUDGES = {"svm": predict_svm, "nearest": predict_nearest}


def predict_classes(
    rows: pd.DataFrame, folds: Sequence[Fold], judges: Mapping[str, Judge]
) -> dict[str, np.ndarray]:
    """Predict the class of each row from the rows of other folds, by measure."""
    labels = rows.Metadata_Class.to_numpy(str)
    predicted = {name: np.full(len(labels), "", object) for name in judges}
    for left_out, profiles in folds:
        train = ~left_out & (labels != "")
        test = left_out & (labels != "")
        for name, judge in judges.items():
            predicted[name][test] = judge(
                profiles[train], labels[train], profiles[test]
            )
    return predicted


def find_replicates(screen: Screen, folds: Sequence[Fold]) -> pd.Series:
    """Compute the average precision of each treatment among left-out controls."""
    rows = screen.rows
    treatments = rows.Metadata_Compound + " " + rows.Metadata_Dose.astype(str)
    # Controls have no replicates.
    treatments = treatments.where(~screen.control, "control " + rows[WELL])
    metadata = pd.DataFrame({"treatment": treatments, "control": screen.control})
    fold_means = []
    for left_out, profiles in folds:
        scaled = StandardScaler().fit_transform(profiles)
        judged = left_out | ~screen.control
        precisions = average_precision(
            metadata[judged].reset_index(drop=True),
            scaled[judged],
            ["treatment"],
            [],
            [],
            ["control"],
            progress_bar=False,
        )
        treated = precisions[~precisions.control]
        fold_means.append(treated.groupby("treatment").average_precision.mean())
    return pd.concat(fold_means, axis=1).mean(axis=1)


def estimate_mean(values: pd.Series) -> Estimate:
    """Estimate the mean over treatments; the same draws for every recipe."""
    draws = np.random.default_rng(0).integers(len(values), size=(DRAWS, len(values)))
    return Estimate(float(values.mean()), values.to_numpy()[draws].mean(axis=1))


def judge_replicates(precisions: dict[str, pd.Series]) -> pd.DataFrame:
    default = estimate_mean(precisions[DEFAULT])
    rows = []
    for recipe, values in precisions.items():
        estimate = estimate_mean(values)
        difference = rename_difference(estimate.subtract(default).describe())
        rows.append(
            {
                "recipe": recipe,
                "measure": "replicates",
                **estimate.describe(),
                **difference,
            }
        )
    return pd.DataFrame(rows)


def rename_difference(described: dict[str, float]) -> dict[str, float]:
    return {
        "difference": described["value"],
        "difference_low": described["low"],
        "difference_high": described["high"],
    }


def judge_classes(
    rows: pd.DataFrame, predicted: dict[str, dict[str, np.ndarray]], default: str
) -> pd.DataFrame:
    """Score recipes on the same rows, with the same draws of groups."""
    labels = rows.Metadata_Class.to_numpy(str)
    numbers = np.flatnonzero(labels != "")
    # The default comes last: differences are those of the others to it.
    in_order = sorted(predicted, key=lambda recipe: recipe == default)
    evaluation = Evaluation(
        classes=sorted(set(labels) - {""}),
        labels=labels[numbers],
        groups=rows.Metadata_Group.to_numpy(str)[numbers],
        rows=numbers,
        folds=rows.Metadata_Fold.to_numpy()[numbers],
        predicted={
            (recipe, measure): values[numbers]
            for recipe in in_order
            for measure, values in predicted[recipe].items()
        },
        probabilities={},
        importance={},
    )
    scores = evaluation.scores()
    wanted = (scores.metric == "accuracy") & (scores.test == "balanced")
    scores = scores[wanted].set_index(["features", "classifier"])
    differences = evaluation.differences("accuracy", "")
    differences = differences[differences.second == default]
    differences = differences.set_index(["first", "classifier"])
    table = []
    for recipe, measure in scores.index:
        # The default's difference to itself is 0.
        difference = {"value": 0.0, "low": 0.0, "high": 0.0}
        if recipe != default:
            difference = differences.loc[(recipe, measure)].to_dict()
        score = scores.loc[(recipe, measure), ["value", "low", "high"]]
        table.append(
            {
                "recipe": recipe,
                "measure": measure,
                **score,
                **rename_difference(difference),
            }
        )
    return pd.DataFrame(table)


def choose_recipes(screen: Screen) -> dict[str, ProfileRecipe]:
    """Choose the recipes that a data set allows."""
    has_batches = screen.rows[PLATE].nunique() > 1 and find_spec("harmonypy")
    return {
        name: recipe
        for name, recipe in RECIPES.items()
        if (recipe.sphere is not True or screen.control is not None)
        and (recipe.harmonize is None or has_batches)
    }


def compare_recipes(screen: Screen) -> pd.DataFrame:
    predicted: dict[str, dict[str, np.ndarray]] = {}
    precisions: dict[str, pd.Series] = {}
    for name, recipe in choose_recipes(screen).items():
        began = time.monotonic()
        folds = make_folds(screen, recipe)
        predicted[name] = predict_classes(screen.rows, folds, JUDGES)
        if screen.control is not None:
            precisions[name] = find_replicates(screen, folds)
        print(f"  {name}: {time.monotonic() - began:.0f} s", flush=True)
    tables = [judge_classes(screen.rows, predicted, DEFAULT)]
    if precisions:
        tables.append(judge_replicates(precisions))
    return pd.concat(tables)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--set", choices=LISTS, dest="name")
    parser.add_argument("--features", type=Path, help="output folder of features.py")
    parser.add_argument(
        "--cache",
        type=Path,
        help="folder that stores StratoNet's features by feature set id",
    )
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "profiles.csv"
    )
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    if options.cache:
        options.cache.mkdir(parents=True, exist_ok=True)
    tables: list[pd.DataFrame] = []
    if options.name:
        table = pd.read_csv(options.output)
        tables.append(table[table.data != options.name])
    for name in [options.name] if options.name else LISTS:
        screens = list_tables(name, options.data, options.features, options.cache)
        for features, screen in screens:
            print(f"{name}, {features}", flush=True)
            table = compare_recipes(screen)
            table.insert(0, "data", name)
            table.insert(1, "features", features)
            tables.append(table)
            # Rewritten after each, so that an interrupted run has the first results.
            pd.concat(tables).to_csv(
                options.output, index=False, float_format="%.4f", lineterminator="\n"
            )
            print(table.to_string(index=False, float_format="%.3f"), flush=True)


if __name__ == "__main__":
    main()
