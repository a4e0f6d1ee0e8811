"""The commands that concern CellProfiler: their flags, and what they run."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stratonet.arguments import parse_count
from stratonet.extras import name_missing_extra

if TYPE_CHECKING:
    from cellprofiler_plugin.batches import Batches
    from cellprofiler_plugin.headless import CellProfilerOptions

# The exit status of a run that has finished but lacks measurements.
INCOMPLETE = 3


def add_run_cellprofiler(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command ``run-cellprofiler``."""
    command = commands.add_parser(
        "run-cellprofiler",
        help="run a CellProfiler pipeline on all cores",
        description=(
            "Run a pipeline as cellprofiler -c -r does, but in several processes, and"
            " merge what they write (CSV, SQLite, Parquet) into what a single one would"
            " have written. If interrupted, run the same command again; it resumes."
        ),
        epilog=(
            "Example: stratonet run-cellprofiler -p my.cppipe -o output --data-file"
            " load_data.csv -n 8"
        ),
    )
    command.set_defaults(
        run=_run_cellprofiler,
        modules=("cellprofiler_plugin.batches",),
        when_interrupted=(
            "Finished parts are kept; the same command runs the others. Tables are"
            " merged when all parts have finished."
        ),
    )
    group = command.add_argument_group("as cellprofiler takes them")
    _add_cellprofiler_options(group)
    _add_image_set_options(group)
    _add_process_options(command.add_argument_group("processes"))


def _add_cellprofiler_options(group: argparse._ArgumentGroup) -> None:
    """Add options of ``cellprofiler -c -r``, under the same names."""
    # Parts of the run have folders of their own, so relative paths would not work.
    absolute = os.path.abspath
    group.add_argument(
        "-p",
        "--pipeline",
        required=True,
        type=Path,
        metavar="FILE",
        help=".cppipe, .cpproj or Batch_data.h5",
    )
    group.add_argument(
        "-o",
        "--output-directory",
        required=True,
        type=Path,
        metavar="DIR",
        help="default output folder",
    )
    group.add_argument(
        "-i",
        "--image-directory",
        type=absolute,
        metavar="DIR",
        help="folder of the images",
    )
    group.add_argument(
        "--data-file", type=absolute, metavar="CSV", help="table for LoadData"
    )
    group.add_argument(
        "--file-list",
        type=absolute,
        metavar="FILE",
        help="one file or URL per line, for the module Images",
    )
    group.add_argument(
        "--plugins-directory",
        type=absolute,
        metavar="DIR",
        help="default: that of MeasureStratoFeatures",
    )
    group.add_argument(
        "-t",
        "--temporary-directory",
        type=absolute,
        metavar="DIR",
        help="folder for CellProfiler's temporary files",
    )
    group.add_argument(
        "--conserve-memory", metavar="BOOL", help="release memory after each image set"
    )
    group.add_argument(
        "--always-continue",
        action="store_true",
        help="skip image sets with an error",
    )


def _add_image_set_options(group: argparse._ArgumentGroup) -> None:
    """Add the options of ``cellprofiler -c -r`` that choose image sets."""
    group.add_argument(
        "-f",
        "--first-image-set",
        type=int,
        metavar="N",
        help="first image set to run, counted from 1",
    )
    group.add_argument(
        "-l",
        "--last-image-set",
        type=int,
        metavar="N",
        help="last image set to run",
    )
    group.add_argument(
        "-g",
        "--group",
        metavar="KEY=VALUE,...",
        help="only this group of a grouped pipeline",
    )


def _add_process_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-n",
        "--processes",
        type=parse_count,
        metavar="N",
        help=(
            "run at most N processes at once (default: one per core, fewer if memory is"
            " short)"
        ),
    )
    group.add_argument(
        "--images-per-batch",
        type=parse_count,
        metavar="N",
        help=(
            "run N image sets per process (default: as many as it can run in two"
            " minutes; with --jobs, 96). Groups are not split"
        ),
    )
    group.add_argument(
        "--jobs",
        type=Path,
        metavar="FILE",
        help=(
            "run nothing, but write the commands for a scheduler to FILE, one per line;"
            " when they have run, the same command without --jobs merges their"
            " results. If FILE ends in .json, it becomes the job file of"
            " Distributed-CellProfiler, with one job per group"
        ),
    )
    group.add_argument("--quiet", action="store_true", help="no progress bar")


def _run_cellprofiler(options: argparse.Namespace) -> int:
    with name_missing_extra("stratonet run-cellprofiler", "cellprofiler"):
        from cellprofiler_plugin.batch_plan import plan_batches
        from cellprofiler_plugin.batches import Batches

    plan = plan_batches(
        options.pipeline,
        options.output_directory,
        _read_cellprofiler_options(options),
        options.processes,
        options.images_per_batch,
    )
    batches = Batches(plan)
    if options.jobs:
        _write_jobs(batches, options.jobs)
        return 0
    division = batches.describe_division()
    if division:
        print(division)
    try:
        print(batches.run(progress=not options.quiet))
    except RuntimeError as error:
        words = str(error).replace("always_continue", "--always-continue")
        raise RuntimeError(words) from error
    return INCOMPLETE if batches.lacking else 0


def _write_jobs(batches: Batches, path: Path) -> None:
    if path.suffix == ".json":
        jobs = batches.make_distributed_jobs()
        path.write_text(json.dumps(jobs, indent=1) + "\n")
        return
    lines = [f"{command}\n" for command in batches.list_jobs()]
    path.write_text("".join(lines))


def _read_cellprofiler_options(options: argparse.Namespace) -> CellProfilerOptions:
    from cellprofiler_plugin.headless import CellProfilerOptions

    # Options of a part, such as done_file, are not flags of the command.
    names = [field.name for field in fields(CellProfilerOptions)]
    values = {name: getattr(options, name) for name in names if name in options}
    return CellProfilerOptions(**values)


def _print_plugins_directory(options: argparse.Namespace) -> None:
    from cellprofiler_plugin.headless import PLUGINS

    print(PLUGINS)


def add_plugins_directory(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command ``plugins-directory``."""
    command = commands.add_parser(
        "plugins-directory",
        help="print the folder to give to CellProfiler as its plugins directory",
        description=(
            "Print the folder with MeasureStratoFeatures, for CellProfiler's"
            " preferences or for cellprofiler --plugins-directory. A pipeline to begin"
            " with, wholeimages.cppipe, and images for it, example_images, are there."
        ),
        epilog=(
            "Example: cellprofiler -c -r -p my.cppipe --plugins-directory"
            ' "$(stratonet plugins-directory)"'
        ),
    )
    command.set_defaults(run=_print_plugins_directory)


def _write_plugin(options: argparse.Namespace) -> None:
    from cellprofiler_plugin.bundle import write_bundle

    print(f"Fetching the packages of CellProfiler's Python for {options.system}.")
    size = write_bundle(options.system, options.output)
    print(
        f"Written: {options.output} ({size / 2**20:.0f} MB)."
        " Its README.txt describes the next steps."
    )


def add_plugin(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command ``plugin``."""
    command = commands.add_parser(
        "plugin",
        help="write the module as a ZIP file for the downloaded CellProfiler",
        description=(
            "Write a ZIP file with MeasureStratoFeatures and all that it needs, for a"
            " CellProfiler 4.2 that was downloaded from cellprofiler.org, into which no"
            " packages can be installed. Unpack it on the computer with CellProfiler,"
            " and choose the folder in CellProfiler's preferences."
        ),
        epilog="Example: stratonet plugin --for windows --output stratonet-windows.zip",
    )
    command.set_defaults(run=_write_plugin, when_interrupted="Nothing was written.")
    command.add_argument(
        "--for",
        dest="system",
        required=True,
        choices=("windows", "macos", "linux"),
        help="the system on which CellProfiler runs",
    )
    command.add_argument(
        "--output",
        required=True,
        type=Path,
        metavar="FILE.zip",
        help="the ZIP file to write",
    )
