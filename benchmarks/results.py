"""How good are the features? The tables, three reports, and the numbers of the docs.

    python benchmarks/results.py DATA OUTPUT      (make results DATA=...)

DATA holds bbbc013, mitocheck and bbbc022. OUTPUT gets features/ (see features.py; half
an hour on 2 cores, once) and reports/<data>/report.html. The numbers that
docs/results.md speaks of are copied to docs/results/<data>/.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "results"
# What the reports call each set of features, and its table in the folder of a data set.
FEATURE_TABLES = {
    "StratoNet": "stratonet",
    "CellProfiler": "cellprofiler",
    "ResNet-50": "resnet50",
    "Intensity": "intensity.parquet",
    "Random": "noise.parquet",
}
# Those that are elsewhere: see features.py.
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
    "bbbc022": "--compound compound",
}
# Tables of numbers that the docs keep, where a report has them.
KEPT = (
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
    program = ROOT / "benchmarks" / "features.py"
    subprocess.run([sys.executable, program, data, output], check=True)


def make_report(name: str, flags: str, output: Path) -> None:
    """Run ``stratonet evaluate`` as a user would, in OUTPUT."""
    tables = []
    for title, file in FEATURE_TABLES.items():
        file = EXCEPTIONS.get((name, title), file)
        tables.append(f"{title}=features/{name}/{file}")
    command = ["stratonet", "evaluate", *tables, *shlex.split(flags)]
    command += ["--output", f"reports/{name}"]
    print(shlex.join(command), flush=True)
    # The command of this Python, whether or not its environment is active.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}
    subprocess.run(command, cwd=output, check=True, env=environment)


def keep_numbers(name: str, output: Path) -> None:
    folder = DOCS / name
    folder.mkdir(parents=True, exist_ok=True)
    for table in KEPT:
        numbers = output / "reports" / name / "numbers" / f"{table}.csv"
        if numbers.exists():
            shutil.copy(numbers, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    output, data = options.output.resolve(), options.data.resolve()
    make_features(data, output / "features")
    for name, flags in REPORTS.items():
        make_report(name, flags, output)
        keep_numbers(name, output)
    shutil.copy(output / "features" / "bbbc022" / "seconds.csv", DOCS / "bbbc022")


if __name__ == "__main__":
    main()
