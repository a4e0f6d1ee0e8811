"""The command ``stratonet project`` and its flags."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stratonet.arguments import parse_count
from stratonet.extras import name_missing_extra


def add_project(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command ``project``."""
    command = commands.add_parser(
        "project",
        help="fit principal components to features, for narrow tables in CellProfiler",
        description=(
            "Fit principal components to a table of features, channel by channel."
            " MeasureStratoFeatures reads the resulting file and writes components"
            " instead of features: few enough columns for a database."
        ),
        epilog="Example: stratonet project features --output components.npz",
    )
    command.add_argument(
        "table",
        metavar="TABLE",
        help="Parquet file or folder that extract or MeasureStratoFeatures wrote",
    )
    command.add_argument(
        "--components",
        type=parse_count,
        default=50,
        metavar="N",
        help="components per channel (default: %(default)s)",
    )
    command.add_argument(
        "--output",
        required=True,
        type=Path,
        metavar="FILE",
        help="file to write, ending in .npz",
    )
    command.set_defaults(
        run=_project,
        modules=("stratonet_sklearn.projection",),
        when_interrupted="No projection was written.",
    )


def _project(options: argparse.Namespace) -> None:
    with name_missing_extra("stratonet project", "evaluate"):
        from stratonet_sklearn.projection import write_projection
    print(write_projection(options.table, options.output, options.components))
