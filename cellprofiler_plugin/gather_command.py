"""The command that makes Parquet files from runs that ended early."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stratonet.extras import name_missing_extra


def add_gather(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command ``gather``."""
    command = commands.add_parser(
        "gather",
        help="make Parquet files from CellProfiler runs that ended early",
        description=(
            "MeasureStratoFeatures saves each image set as it is measured, and makes a"
            " Parquet file of them all at the end of the run. After Stop Analysis, an"
            " error or a crash, this command makes the file from the image sets saved"
            " so far. Do not use it while the run is still going."
        ),
        epilog="Example: stratonet gather output",
    )
    command.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="folder of the Parquet files, usually CellProfiler's output folder",
    )
    command.set_defaults(run=_gather, modules=("cellprofiler_plugin.parquet",))


def _gather(options: argparse.Namespace) -> None:
    with name_missing_extra("stratonet gather", "cellprofiler"):
        from cellprofiler_plugin.parquet import gather_folder

    rows = gather_folder(options.folder)
    if not rows:
        raise ValueError(
            f"{options.folder} holds no image sets of a run that ended early: no"
            " folder in it ends in .unfinished."
        )
    for path, count in rows.items():
        print(f"{count:,} rows   {path}")
