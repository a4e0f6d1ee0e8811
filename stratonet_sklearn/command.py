"""The command ``stratonet project``: its flags, and what they ask for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stratonet.arguments import parse_count
from stratonet.extras import name_missing_extra


def add_project(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "project",
        help="fit principal components to features, for narrow tables in CellProfiler",
        description=(
            "Fit principal components to a table of features, channel by channel."
            " MeasureStratoFeatures takes the file and writes components in place of"
            " features: as many columns as a database holds."
        ),
        epilog="Example: stratonet project features --output components.npz",
    )
    command.add_argument(
        "table",
        metavar="TABLE",
        help="Parquet file or folder, of extract or MeasureStratoFeatures",
    )
    command.add_argument(
        "--components",
        type=parse_count,
        default=50,
        metavar="N",
        help="of each channel (default: %(default)s)",
    )
    command.add_argument(
        "--output",
        required=True,
        type=Path,
        metavar="FILE",
        help="name of the file, ending in .npz",
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
