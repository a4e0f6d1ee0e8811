"""Make feature tables and four reports, and update the numbers in the docs.

    python benchmarks/results.py DATA OUTPUT      (make results DATA=...)

DATA holds bbbc013, mitocheck, hep2 and bbbc022. OUTPUT gets features/ (see features.py;
once, an hour on 2 cores) and reports/<data>/report.html. The numbers that
docs/results.md discusses are copied to docs/results/<data>/, and its tables are
rewritten from them, and from recipes.csv and finetune.csv, which recipes.py and
finetune.py make.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pandas as pd
from page_tables import format_estimate, format_table, write_tables

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
DOCS = ROOT / "docs" / "results"
# Name of each set of features in the reports, and its table in a data set's folder.
FEATURE_TABLES = {
    "StratoNet": "stratonet",
    "Version 1": "whole224",
    "CellProfiler": "cellprofiler",
    "ResNet-50": "resnet50",
    "Intensity": "intensity.parquet",
    "Untrained": "untrained",
    "Random": "noise.parquet",
}
# Tables with other names: see features.py.
EXCEPTIONS = {
    ("mitocheck", "CellProfiler"): "cellprofiler.parquet",
    ("bbbc022", "StratoNet"): "stratonet.parquet",
}
REPORTS = {
    "bbbc013": (
        "--label class --group row --compound compound --dose dose --negcon role=negcon"
        " --images features/bbbc013/images.csv"
    ),
    "mitocheck": (
        "--label phenotype --group plate --images features/mitocheck/images.csv"
    ),
    "hep2": "--label pattern --group range --images features/hep2/images.csv",
    "bbbc022": "--compound compound",
}
CLASSIFIERS = ("SVM", "RF", "MLP")
# Rows of recipes.csv that serve as a floor.
FLOORS = ("untrained", "intensity")
# The data sets and measures of recipes.csv that the page shows.
FIELD_MEASURES = {
    ("bbbc013", "SVM"): "BBBC013, SVM",
    ("bbbc013", "RF"): "random forest",
    ("bbbc013", "replicates"): "replicates, mAP",
    ("bbbc022", "sites"): "BBBC022, sites, mAP",
    ("bbbc013", "planes"): "planes/s",
}
CELL_MEASURES = {
    ("mitocheck", "SVM"): "MitoCheck, SVM",
    ("mitocheck", "RF"): "random forest",
    ("hep2", "SVM"): "HEp-2, SVM",
    ("hep2", "RF"): "random forest",
    ("mitocheck", "planes"): "planes/s",
}
# Tables of a report that are copied to the docs, if they exist.
COPIED_TABLES = (
    "scores",
    "differences",
    "confusion",
    "confounding",
    "retrieval",
    "importance_by_part",
    "variance",
    "correlation",
)


def make_features(data: Path, output: Path) -> None:
    program = BENCHMARKS / "features.py"
    subprocess.run([sys.executable, program, data, output], check=True)


def make_report(name: str, flags: str, output: Path) -> None:
    """Run ``stratonet evaluate`` as a user would, in OUTPUT."""
    tables = []
    for title, file in FEATURE_TABLES.items():
        file = EXCEPTIONS.get((name, title), file)
        if not (output / "features" / name / file).exists():
            continue
        tables.append(f"{title}=features/{name}/{file}")
    command = ["stratonet", "evaluate", *tables, *shlex.split(flags)]
    command += ["--output", f"reports/{name}"]
    print(shlex.join(command), flush=True)
    # The command of this Python, whether or not its environment is active.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}
    subprocess.run(command, cwd=output, check=True, env=environment)


def copy_numbers(name: str, output: Path) -> None:
    folder = DOCS / name
    folder.mkdir(parents=True, exist_ok=True)
    for table in COPIED_TABLES:
        numbers = output / "reports" / name / "numbers" / f"{table}.csv"
        if numbers.exists():
            shutil.copy(numbers, folder)


def tabulate_scores(name: str) -> str:
    """Tabulate the balanced accuracy of each set of features by each classifier."""
    scores = pd.read_csv(DOCS / name / "scores.csv")
    scores = scores[(scores.metric == "accuracy") & (scores.test == "balanced")]
    by_features = scores.set_index(["features", "classifier"])
    rows = []
    for features in scores.features.unique():
        cells = [format_estimate(by_features.loc[features, key]) for key in CLASSIFIERS]
        rows.append([features, *cells])
    return format_table(["Features", "SVM", "Random forest", "Perceptron"], rows)


def tabulate_differences(name: str) -> str:
    """Tabulate the differences of StratoNet to the other sets of features."""
    table = pd.read_csv(DOCS / name / "differences.csv")
    table = table[table["first"] == "StratoNet"]
    by_features = table.set_index(["second", "classifier"])
    rows = []
    for features in table.second.unique():
        cells = [format_estimate(by_features.loc[features, key]) for key in CLASSIFIERS]
        rows.append([f"StratoNet - {features}", *cells])
    return format_table(["Difference", "SVM", "Random forest", "Perceptron"], rows)


def tabulate_recipes(measures: Mapping[tuple[str, str], str]) -> str:
    """Tabulate the measures of each recipe, with planes per second."""
    table = pd.read_csv(BENCHMARKS / "recipes.csv")
    columns = {}
    for data, measure in measures:
        chosen = table[(table.data == data) & (table.measure == measure)]
        columns[data, measure] = chosen.set_index("recipe")
    *_, timed = columns.values()
    rows = []
    for recipe in next(iter(columns.values())).index:
        # Other taps and filters are only in the file.
        if recipe not in timed.index and not recipe.startswith(FLOORS):
            continue
        cells = []
        for (_, measure), column in columns.items():
            digits = 1 if measure == "planes" else 3
            is_measured = recipe in column.index
            cells.append(
                format_estimate(column.loc[recipe], digits=digits)
                if is_measured
                else ""
            )
        rows.append([recipe, *cells])
    return format_table(["Recipe", *measures.values()], rows)


def tabulate_unseen() -> str:
    """Tabulate the chosen recipe and that of version 1 on unseen rows."""
    table = pd.read_csv(BENCHMARKS / "unseen.csv")
    table = table[table.measure.isin(["SVM", "RF"])]
    rows = [
        [
            row.data.removesuffix(", unseen"),
            row.recipe,
            row.measure,
            format_estimate(row),
            format_estimate(row, "difference_"),
        ]
        for _, row in table.rename(
            columns={"difference": "difference_value"}
        ).iterrows()
    ]
    head = ["Unseen half", "Recipe", "Classifier", "Accuracy", "Difference"]
    return format_table(head, rows)


def tabulate_tuned() -> str:
    """Tabulate what fine-tuning gains, by data set and seed."""
    table = pd.read_csv(BENCHMARKS / "finetune.csv")
    rows = []
    for _, row in table.iterrows():
        gain = f"{row.gain:+.3f} ({row.low:+.3f} to {row.high:+.3f})"
        numbers = [f"{row.untuned:.3f}", f"{row.tuned:.3f}", gain]
        rows.append([row.assay, str(row.seed), str(row.tested), *numbers])
    head = ["Assay", "Seed", "Tested", "Untuned", "Tuned", "Gain"]
    return format_table(head, rows)


def tabulate_seconds() -> str:
    """Tabulate processor seconds per site, averaged over all sites."""
    seconds = pd.read_csv(DOCS / "bbbc022" / "seconds.csv").mean()
    rows = [[name, f"{value:.2f}"] for name, value in seconds.items()]
    return format_table(["What", "Seconds per site"], rows)


def write_page() -> None:
    tables: dict[str, Callable[[], str]] = {
        "recipes of fields": partial(tabulate_recipes, FIELD_MEASURES),
        "recipes of cells": partial(tabulate_recipes, CELL_MEASURES),
        "unseen": tabulate_unseen,
        "tuned": tabulate_tuned,
        "seconds": tabulate_seconds,
    }
    for name in ("bbbc013", "mitocheck", "hep2"):
        tables[f"scores {name}"] = partial(tabulate_scores, name)
        tables[f"differences {name}"] = partial(tabulate_differences, name)
    write_tables(DOCS.with_suffix(".md"), tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    output, data = options.output.resolve(), options.data.resolve()
    make_features(data, output / "features")
    for name, flags in REPORTS.items():
        make_report(name, flags, output)
        copy_numbers(name, output)
    shutil.copy(output / "features" / "bbbc022" / "seconds.csv", DOCS / "bbbc022")
    write_page()


if __name__ == "__main__":
    main()
