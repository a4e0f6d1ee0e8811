"""How good are the features? The tables, the three reports, and their numbers in docs/results.

    python benchmarks/results.py DATA OUTPUT      (make results DATA=...)

DATA holds bbbc013, mitocheck and bbbc022. OUTPUT gets features/ (see features.py; half
an hour on 2 cores, once) and reports/<data>/report.html. The numbers that
docs/results.md speaks of are copied to docs/results/<data>/."""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETS = {
    "StratoNet": "stratonet",
    "CellProfiler": "cellprofiler",
    "ResNet-50": "resnet50",
    "Intensity": "intensity.parquet",
    "Random": "noise.parquet",
}
# Tables under other names than those of most.
ELSEWHERE = {
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    output, data = options.output.resolve(), options.data.resolve()
    subprocess.run(
        [
            sys.executable,
            ROOT / "benchmarks" / "features.py",
            data,
            output / "features",
        ],
        check=True,
    )
    for name, given in REPORTS.items():
        tables = [
            f"{one}=features/{name}/{ELSEWHERE.get((name, one), place)}"
            for one, place in SETS.items()
        ]
        command = [
            "stratonet",
            "evaluate",
            *tables,
            *shlex.split(given),
            "--output",
            f"reports/{name}",
        ]
        print(shlex.join(command), flush=True)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        subprocess.run(
            command, cwd=output, check=True, env={**os.environ, "PATH": path}
        )
        kept = ROOT / "docs" / "results" / name
        kept.mkdir(parents=True, exist_ok=True)
        for table in KEPT:
            made = output / "reports" / name / "numbers" / f"{table}.csv"
            if made.exists():
                shutil.copy(made, kept)
    shutil.copy(
        output / "features" / "bbbc022" / "seconds.csv",
        ROOT / "docs" / "results" / "bbbc022",
    )


if __name__ == "__main__":
    main()
