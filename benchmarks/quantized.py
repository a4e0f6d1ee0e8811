"""Compare the features of 8-bit integers with those of the original weights.

    python benchmarks/quantized.py DATA [--set NAME...] [--fast WEIGHTS]
    [--cache FOLDER] [--output benchmarks/quantized.csv]

DATA holds bbbc013, mitocheck, hep2, randtag and bbbc022; `heldout.py` says what is left
out of the first four. Both files measure all images of a set by the recipe that ships.
A row of the output is a measure of a set:

- median, low: the median and the 5th percentile of the correlations of each feature of
  each channel, over the images that `stratonet50-int8` was not calibrated on;
- SVM, RF: balanced accuracy of the 8-bit features by the linear SVM and the random
  forest of `evaluate`, its 95 % interval, and its difference to float32 with a paired
  interval (both over draws of groups);
- sites (bbbc022): mean average precision with which the sites of a well find each other
  among other wells.

Data sets chosen by --set replace their rows in the output, others stay.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from gates import Planes
from heldout import LISTS
from profiles import judge_classes, predict_classes
from recipes import (
    JUDGES,
    SINGLE_CELLS,
    TAPS,
    combine_views,
    find_sites,
    list_bbbc022,
    measure_view,
)

FLOAT = "stratonet50"
# The shipped file was calibrated on columns of BBBC013 and wells of BBBC022.
CALIBRATED_COLUMNS, CALIBRATED_WELLS = ("01", "05", "09"), ("A01", "A02", "A03")


def is_new(name: str, rows: pd.DataFrame) -> np.ndarray:
    """Tell which image sets the file was not calibrated on."""
    if name == "bbbc013":
        return ~rows.Metadata_Well.str[1:].isin(CALIBRATED_COLUMNS).to_numpy()
    if name == "bbbc022":
        return ~rows.Metadata_Well.isin(CALIBRATED_WELLS).to_numpy()
    return np.ones(len(rows), bool)


def measure_set(
    name: str,
    rows: pd.DataFrame,
    channels: Sequence[Planes],
    weights: str,
    cache: Path | None,
) -> np.ndarray:
    text = "tiles224/mean+sd" if name in SINGLE_CELLS else "tiles224-across2/mean+sd"
    view, _ = text.split("/")
    shown = {view: measure_view(name, channels, weights, view, cache)}
    return combine_views(shown, text, TAPS[""])


def correlate_features(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlate the two measurements of each column that varies."""
    first, second = first.astype(float), second.astype(float)
    varies = first.std(axis=0) > 1e-6 * np.abs(first).mean(axis=0)
    first, second = (
        values[:, varies] - values[:, varies].mean(axis=0) for values in (first, second)
    )
    lengths = np.linalg.norm(first, axis=0) * np.linalg.norm(second, axis=0)
    return (first * second).sum(axis=0) / np.maximum(lengths, np.finfo(float).tiny)


def compare_set(
    name: str, rows: pd.DataFrame, values: dict[str, np.ndarray], fast: str
) -> pd.DataFrame:
    is_held_out = is_new(name, rows)
    correlations = correlate_features(
        values[FLOAT][is_held_out], values[fast][is_held_out]
    )
    measured = {
        "median": np.median(correlations),
        "low": np.percentile(correlations, 5),
    }
    table = pd.DataFrame(measured.items(), columns=["measure", "value"])
    if name == "bbbc022":
        sites = {title: find_sites(rows, values[title]) for title in (fast, FLOAT)}
        row = {"measure": "sites", "value": sites[fast]}
        row["difference"] = sites[fast] - sites[FLOAT]
        table = pd.concat([table, pd.DataFrame([row])])
    else:
        masks = [
            (rows.Metadata_Fold == fold).to_numpy() for fold in set(rows.Metadata_Fold)
        ]
        predicted = {
            title: predict_classes(rows, [(mask, features) for mask in masks], JUDGES)
            for title, features in values.items()
        }
        judged = judge_classes(rows, predicted, FLOAT)
        table = pd.concat([table, judged[judged.recipe == fast].drop(columns="recipe")])
    table.insert(0, "data", name)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--set", nargs="+", dest="sets", help="only these data sets")
    parser.add_argument("--fast", default="stratonet50-int8", help="name or path")
    parser.add_argument("--cache", type=Path, help="folder that stores features")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "quantized.csv"
    )
    options = parser.parse_args()
    lists = {**LISTS, "bbbc022": list_bbbc022}
    for name in options.sets or lists:
        rows, channels = lists[name](options.data / name)
        values = {
            weights: measure_set(name, rows, channels, weights, options.cache)
            for weights in (FLOAT, options.fast)
        }
        table = compare_set(name, rows, values, options.fast)
        print(table.to_string(index=False), flush=True)
        if options.output.exists():
            existing = pd.read_csv(options.output)
            table = pd.concat([existing[existing.data != name], table])
        table.to_csv(
            options.output, index=False, float_format="%.4f", lineterminator="\n"
        )


if __name__ == "__main__":
    main()
