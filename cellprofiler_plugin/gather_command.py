"""The command that makes Parquet files of runs that have ended early."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stratonet.extras import name_missing_extra


def add_gather(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "gather",
        help="make Parquet files of CellProfiler runs that have ended early",
        description=(
            "MeasureStratoFeatures keeps each image set that it has measured, and makes"
            " a Parquet file of them at the end of the run. After Stop Analysis, an"
            " error or a crash this command makes it of those that are kept. Do not use"
            " it while the run is going on."
        ),
        epilog="Example: stratonet gather output",
    )
    command.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="folder of the Parquet files: CellProfiler's output folder, as a rule",
    )
    command.set_defaults(run=_gather, modules=("cellprofiler_plugin.parquet",))


def _gather(options: argparse.Namespace) -> None:
    with name_missing_extra("stratonet gather", "cellprofiler"):
        from cellprofiler_plugin.parquet import gather_folder

    rows = gather_folder(options.folder)
    if not rows:
        raise ValueError(
            f"{options.folder} has no image sets of a run that has ended early: no"
            " folder in it ends in .unfinished."
        )
    for path, count in rows.items():
        print(f"{count:,} rows   {path}")
