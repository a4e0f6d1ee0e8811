"""Measure what fine-tuning gains on three real data sets.

    python benchmarks/finetune.py DATA OUTPUT [--set mitocheck] [--seeds 2]

DATA holds mitocheck, hep2 and bbbc013. For each set and seed, the functions of
``python -m training finetune`` are run; tested examples are never trained on:
- mitocheck: 3,277 nuclei, 16 phenotypes. Half of the 67 plates are used for training
  (and for deciding when to stop), the other half for testing;
- hep2: 9,062 cells, six patterns. Neighbouring IDs come from one specimen: the IDs of
  each pattern are cut into 13 consecutive ranges, the first 8 are for training, the
  ninth is left out as a gap (about a specimen), and the last 4 are for testing;
- hep2first: the same in reverse, the first 4 ranges are tested;
- bbbc013: whole images of two channels, three treatments, rows of the plate held out.

OUTPUT gets a run per set and seed; finished runs are not repeated. All are gathered in
benchmarks/finetune.csv. A run takes 10 to 15 minutes of one core.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
from screens import read_bbbc013, read_mitocheck

HERE = Path(__file__).parent
# The package is not installed, but in the checkout.
sys.path.insert(0, str(HERE.parent))

from stratonet.extraction.sources.imagesets import ImageSource  # noqa: E402
from stratonet_sklearn.evaluation.splits import split  # noqa: E402
from training.finetune import REPORT, Schedule, Tuning, finetune  # noqa: E402
from training.finetune_table import read_assay  # noqa: E402

# Number of ID ranges of a pattern, and the range that is left out.
RANGES, GAP = 13, 8


def prepare_mitocheck(data: Path, folder: Path) -> Tuning:
    rows = read_mitocheck(data)
    folds = split(rows["Metadata_Phenotype"], rows["Metadata_Plate"], n_folds=2)
    rename_label(rows, "Metadata_Phenotype").to_csv(folder / "mitocheck.csv")
    return Tuning(tested=tuple(sorted(set(rows["Metadata_Plate"][folds == 1]))))


def prepare_hep2(data: Path, folder: Path, reverse: bool = False) -> Tuning:
    if not (folder / "cells").exists():
        with zipfile.ZipFile(data / "cells.zip") as archive:
            archive.extractall(folder / "cells")
    labels = pd.read_csv(data / "labels.csv", dtype=str)
    order = labels.groupby("pattern").cumcount(ascending=not reverse)
    count = labels.groupby("pattern")["id"].transform("count")
    ranges = order * RANGES // count
    rows = pd.DataFrame(
        {
            "file": "cells/" + labels["file"],
            "plate": ranges.map("range{:02d}".format),
            # Stands for a specimen, the unit that is resampled for the interval.
            "well": labels["pattern"] + ranges.map("{:02d}".format),
            "label": labels["pattern"],
        }
    )
    rows[ranges != GAP].to_csv(folder / f"{folder.name}.csv", index=False)
    tested = [f"range{number:02d}" for number in range(GAP + 1, RANGES)]
    return Tuning(tested=tuple(tested))


def prepare_bbbc013(data: Path, folder: Path) -> Tuning:
    rows = read_bbbc013(data)
    # Rows of the plate are held out, as in docs/results.md.
    rows["Metadata_Plate"] = "row" + rows["Metadata_Row"]
    rename_label(rows, "Metadata_Class").to_csv(folder / "bbbc013.csv")
    # Whole images, not cells.
    return Tuning(input_size=128, schedule=Schedule(steps=240, every=40, patience=2))


def rename_label(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    return rows.rename(columns={column: "Metadata_label"}).set_index("Metadata_Plate")


SETS: dict[str, Callable[[Path, Path], Tuning]] = {
    "mitocheck": prepare_mitocheck,
    "hep2": prepare_hep2,
    "hep2first": partial(prepare_hep2, reverse=True),
    "bbbc013": prepare_bbbc013,
}


def run_set(name: str, data: Path, output: Path, seed: int) -> None:
    """Run one set with one seed, unless this has been done."""
    folder = output / name
    folder.mkdir(parents=True, exist_ok=True)
    tuning = SETS[name](data / name.removesuffix("first"), folder)
    tuning = replace(tuning, schedule=replace(tuning.schedule, seed=seed))
    weights = folder / f"{name}{seed}.onnx"
    if not weights.exists():
        source = ImageSource(str(folder / f"{name}.csv"))
        finetune([read_assay(source, "label")], weights, tuning)


def gather_reports(output: Path) -> pd.DataFrame:
    """Gather the finished runs: one row per set and seed."""
    reports = []
    for name in SETS:
        for weights in sorted((output / name).glob(f"{name}?.onnx")):
            report = pd.read_csv(weights.with_suffix(".run") / REPORT)
            report.insert(1, "seed", weights.stem[-1])
            reports.append(report)
    return pd.concat(reports)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--set", choices=SETS, action="append", dest="sets")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    output = options.output.resolve()
    for seed in range(options.seeds):
        for name in options.sets or SETS:
            run_set(name, options.data.resolve(), output, seed)
    table = gather_reports(output)
    table.to_csv(HERE / "finetune.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
