"""The command ``stratonet``.

Gathers the commands of the rooms below and imports each only when it is called.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from stratonet import __version__

if TYPE_CHECKING:
    from cellprofiler_plugin.headless import CellProfilerOptions

# Exit status of a run that has finished, but not all images could be measured.
DAMAGED = 3


def _plugins_directory(options: argparse.Namespace) -> None:
    from cellprofiler_plugin.headless import PLUGINS

    print(PLUGINS)


def _demo(options):
    from stratonet_demo import demo

    demo(options.plate, options.output)


def _extract(options):
    extract = _needs("extract", "stratonet.extraction", "extract")
    given = vars(options)
    del given["run"]
    done = extract(given.pop("sources"), given.pop("output"), **given)
    print(done)
    return DAMAGED if done.failed else 0


def _evaluate(options):
    report = _needs("evaluate", "stratonet_sklearn.report.report", "report")
    given = vars(options)
    del given["run"]
    named = [_named(text) for text in given.pop("tables")]
    if len(dict(named)) < len(named):
        raise ValueError("Two tables have the same name. Give them names: NAME=TABLE.")
    print(
        report(
            dict(named), given.pop("output"), progress=not given.pop("quiet"), **given
        )
    )


def _run_cellprofiler(options: argparse.Namespace) -> None:
    make_batches = _needs("cellprofiler", "cellprofiler_plugin.batches", "Batches")
    from cellprofiler_plugin.batch_plan import plan_batches

    plan = plan_batches(
        options.pipeline,
        options.output_directory,
        _read_cellprofiler_options(options),
        options.processes,
        options.images_per_batch,
    )
    batches = make_batches(plan)
    if not options.jobs:
        try:
            print(batches.run(progress=not options.quiet))
        except RuntimeError as error:
            words = str(error).replace("always_continue", "--always-continue")
            raise RuntimeError(words) from error
    elif options.jobs.suffix == ".json":
        jobs = batches.make_distributed_jobs()
        options.jobs.write_text(json.dumps(jobs, indent=1) + "\n")
    else:
        lines = [f"{command}\n" for command in batches.list_jobs()]
        options.jobs.write_text("".join(lines))


def _read_cellprofiler_options(options: argparse.Namespace) -> CellProfilerOptions:
    from cellprofiler_plugin.headless import CellProfilerOptions

    # Those of a part, such as done_file, are no flags of the command.
    names = [field.name for field in fields(CellProfilerOptions)]
    values = {name: getattr(options, name) for name in names if name in options}
    return CellProfilerOptions(**values)


def _project(options):
    project = _needs("evaluate", "stratonet_sklearn.projection", "project")
    print(project(options.table, options.output, options.components))


def _needs(extra, module, name):
    """A function of a module that needs the packages of an extra."""
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        raise ImportError(
            f"{extra} needs the package {error.name}: install stratonet[{extra}]."
        ) from None


def _named(text):
    """The name and the place of a table: ``NAME=TABLE``, or the place alone."""
    name, equals, place = text.partition("=")
    if equals and not Path(text).exists():
        return name, place
    return Path(text).stem, text


def _channels(text):
    """``DNA=OrigDNA,ER`` as a dict of names in the features to names in the source."""
    pairs = [part.partition("=") for part in text.split(",")]
    return {name.strip(): (other or name).strip() for name, _, other in pairs}


def _count(text):
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"a number from 1 on. Received: {text}")
    return count


def _shard(text):
    part, _, parts = text.partition("/")
    return int(part), int(parts)


def _equals(text):
    old, separator, new = text.partition("=")
    if not (old and separator):
        raise argparse.ArgumentTypeError(
            f"this takes two sides of an equals sign. Received: {text}"
        )
    return old, new


def _names(text):
    return tuple(text.split(","))


def main(arguments=None):
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="stratonet", description="Deep features for high-content screening."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser(
        "plugins-directory",
        help="print the folder to give to CellProfiler as its plugins directory",
        description=(
            "Print the folder with MeasureStratoFeatures, for CellProfiler's"
            " preferences or for cellprofiler --plugins-directory."
        ),
    )
    command.set_defaults(run=_plugins_directory)

    command = commands.add_parser(
        "demo",
        help=(
            "turn a plate into features through CellProfiler and through scikit-learn,"
            " and compare"
        ),
        description=(
            "Measure a plate in headless CellProfiler and in a scikit-learn Pipeline,"
            " check that both give the same features, and tell positive from negative"
            " control wells. Needs CellProfiler in the same Python, which make demo"
            " sets up."
        ),
    )
    command.add_argument(
        "--plate",
        type=Path,
        metavar="DIR",
        help=(
            "folder with labels.csv: a column well, file_<channel> for each channel,"
            " and role with negcon and poscon (default: a simulated plate)"
        ),
    )
    command.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        default=Path("stratonet-demo"),
        help="default: %(default)s",
    )
    command.set_defaults(run=_demo)

    _add_run_cellprofiler(commands)
    _add_extract(commands)
    _add_evaluate(commands)

    command = commands.add_parser(
        "project",
        help="fit principal components to features, for narrow tables in CellProfiler",
        description=(
            "Fit principal components to a table of features, channel by channel."
            " MeasureStratoFeatures takes the file and writes components in place of"
            " features: as many columns as a database holds."
        ),
    )
    command.add_argument(
        "table",
        metavar="TABLE",
        help="Parquet file or folder, of extract or MeasureStratoFeatures",
    )
    command.add_argument(
        "--components",
        type=_count,
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
    command.set_defaults(run=_project)

    given = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args(given)
    if options.run is _evaluate:
        options.command = shlex.join(["stratonet", *map(str, given)])
    try:
        return options.run(options) or 0
    except KeyboardInterrupt:
        print(
            "stratonet: stopped. What is finished is kept; give the same command"
            " again.",
            file=sys.stderr,
        )
        return 130
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        print(f"stratonet: {error}", file=sys.stderr)
        return 1


def _add_run_cellprofiler(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "run-cellprofiler",
        help="run a CellProfiler pipeline on all cores",
        description=(
            "Run a pipeline as cellprofiler -c -r does, but in several processes, and"
            " merge what they write (CSV, SQLite, Parquet) into what a single one would"
            " have written. If interrupted, run the same command again; it resumes."
        ),
    )
    command.set_defaults(run=_run_cellprofiler)
    _add_cellprofiler_options(command.add_argument_group("as cellprofiler takes them"))
    _add_process_options(command.add_argument_group("processes"))


def _add_cellprofiler_options(group: argparse._ArgumentGroup) -> None:
    """Options of ``cellprofiler -c -r``, under the same names."""
    # Parts of the run work in folders of their own: paths must not be relative.
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


def _add_process_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-n",
        "--processes",
        type=_count,
        metavar="N",
        help=(
            "run at most N processes at once (default: one per core, fewer where memory"
            " does not suffice)"
        ),
    )
    group.add_argument(
        "--images-per-batch",
        type=_count,
        default=96,
        metavar="N",
        help=(
            "image sets that a process runs before it ends (default: %(default)s; a"
            " group stays together)"
        ),
    )
    group.add_argument(
        "--jobs",
        type=Path,
        metavar="FILE",
        help=(
            "run nothing, but write the commands for a scheduler, one per line;"
            " afterwards the same command without --jobs merges. A name that ends in"
            " .json gets the job file of Distributed-CellProfiler, with one job per"
            " group"
        ),
    )
    group.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_extract(commands):
    command = commands.add_parser(
        "extract",
        help="turn plates of images, here or in S3, into tables of features",
        description=(
            "Measure the image sets of plates and write their features as Parquet, a"
            " table a plate. The same command again measures only what is missing."
        ),
        epilog=(
            "Exit status: 0 all image sets measured whole; 3 finished, but some images"
            " could not be measured (Metadata_Error says why); 1 stopped by an error; 2"
            " wrong use; 130 interrupted. What was measured is kept."
        ),
    )
    command.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help=(
            "a CellProfiler LoadData table (CSV or Parquet), the BBBC021 image table, a"
            " folder of images, or jump:SOURCE/BATCH/PLATE for a plate of the"
            " cellpainting-gallery; each local, s3:// or https:// (folders: local or"
            " s3://)"
        ),
    )
    command.add_argument(
        "--output",
        required=True,
        metavar="DEST",
        help="folder or s3:// prefix of the features",
    )
    command.set_defaults(run=_extract)

    group = command.add_argument_group("image sets")
    group.add_argument(
        "--channels",
        type=_channels,
        metavar="A,B,...",
        help="channels to measure, NEW=OLD to rename one (default: all)",
    )
    group.add_argument(
        "--pattern",
        metavar="NAME|REGEX",
        help=(
            "how files of a folder are named: imagexpress, phenix, cellvoyager, jump,"
            " or a regular expression with the named groups Channel, Well (or Row and"
            " Column), Plate, Site, ... (default: the ready one that fits)"
        ),
    )
    group.add_argument(
        "--images",
        metavar="DIR",
        help="where relative paths start (default: the table's folder)",
    )
    group.add_argument(
        "--replace-path",
        dest="replace",
        type=_equals,
        action="append",
        default=[],
        metavar="OLD=NEW",
        help=(
            "replace the beginning of the paths in a table; can be given more than once"
        ),
    )
    group.add_argument(
        "--illumination",
        choices=["divide", "subtract"],
        help=(
            "correct images by the table's illumination functions (Illum...), as"
            " CorrectIlluminationApply does"
        ),
    )
    group.add_argument(
        "--shard",
        type=_shard,
        default=(1, 1),
        metavar="K/N",
        help="measure only part K of N",
    )

    group = command.add_argument_group("what is measured")
    group.add_argument(
        "--taps",
        type=_names,
        metavar="A,B,...",
        help="low, medium, high or layers (default: those three)",
    )
    group.add_argument(
        "--weights",
        default="stratonet50",
        help="name or path of a weights file (default: %(default)s)",
    )
    group.add_argument(
        "--provider",
        default="CPUExecutionProvider",
        help="ONNX Runtime's execution provider (default: %(default)s)",
    )
    group.add_argument(
        "--labels",
        metavar="NAME",
        help="measure the objects of this label image of the table",
    )
    group.add_argument(
        "--centres",
        metavar="TABLE",
        help=(
            "measure the objects of this table: Metadata_..., ObjectNumber,"
            " Location_Center_X, Location_Center_Y"
        ),
    )
    group.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="side of the square around each object (default: 96)",
    )

    group = command.add_argument_group("where")
    group.add_argument(
        "--endpoint",
        metavar="URL",
        help="of an S3 service (default: AWS_ENDPOINT_URL, else AWS)",
    )
    group.add_argument(
        "--region", help="of the buckets (default: AWS_REGION or AWS_DEFAULT_REGION)"
    )
    group.add_argument(
        "--anonymous",
        action="store_true",
        help=(
            "never sign (default: signed with the usual AWS credentials where there are"
            " any, and anonymously where there are none or a bucket refuses them)"
        ),
    )
    group.add_argument(
        "--gallery",
        action="store_true",
        help=(
            "write"
            " DEST/embeddings/<network>_<dataset>_<hash>/<batch>/<plate>/<well>-<site>/embedding.parquet,"
            " the layout of the cellpainting-gallery's workspace_dl"
        ),
    )

    group = command.add_argument_group("how")
    group.add_argument(
        "--strict",
        action="store_true",
        help="stop at the first image that cannot be measured",
    )
    group.add_argument(
        "--engine",
        choices=["local", "ray"],
        default="local",
        help="default: %(default)s",
    )
    group.add_argument(
        "--address",
        help="of the Ray cluster (default: this machine's, else a new one on it)",
    )
    group.add_argument(
        "--quiet",
        action="store_true",
        help="a line a plate in place of a progress bar, for logs",
    )


def _add_evaluate(commands):
    command = commands.add_parser(
        "evaluate",
        help=(
            "tell how well features separate treatments, and compare sets of features,"
            " in a report"
        ),
        description=(
            "Classify wells by their features, on splits that do not leak, score"
            " retrieval, and write one page (report.html) with every figure as PNG and"
            " every number as CSV beside it."
        ),
    )
    command.add_argument(
        "tables",
        nargs="+",
        metavar="[NAME=]TABLE",
        help=(
            "what extract or the plug-in wrote, any Parquet or CSV with Metadata_Well"
            " and features, a folder of CellProfiler's CSV files, or its SQLite"
            " database; the first is compared with the others"
        ),
    )
    command.add_argument(
        "--output", required=True, type=Path, metavar="DIR", help="folder of the report"
    )
    command.set_defaults(run=_evaluate)

    group = command.add_argument_group(
        "columns (Metadata_..., with or without that beginning)"
    )
    group.add_argument(
        "--label",
        metavar="COLUMN",
        help="the class; rows where it is empty are not classified",
    )
    group.add_argument(
        "--group",
        default="well",
        metavar="COLUMN",
        help=(
            "what is never divided between training and test: well, plate, batch,"
            " compound, ... (default: %(default)s)"
        ),
    )
    group.add_argument(
        "--compound", metavar="COLUMN", help="the compound, for retrieval"
    )
    group.add_argument(
        "--dose", metavar="COLUMN", help="its dose: another dose is another treatment"
    )
    group.add_argument(
        "--negcon",
        dest="control",
        type=_equals,
        metavar="COLUMN=VALUE",
        help="what the negative controls have",
    )
    group.add_argument(
        "--metadata",
        type=Path,
        metavar="TABLE",
        help="CSV or Parquet with more columns for each Plate and Well",
    )

    group = command.add_argument_group("how")
    group.add_argument(
        "--leave-out",
        type=_names,
        default=(),
        metavar="A,B,...",
        help="classes to leave out of the classification",
    )
    group.add_argument(
        "--folds",
        dest="n_folds",
        type=int,
        default=10,
        metavar="N",
        help="default: %(default)s",
    )
    group.add_argument(
        "--seed", type=int, default=0, metavar="N", help="default: %(default)s"
    )
    group.add_argument(
        "--images",
        metavar="SOURCE",
        help=(
            "images to show, as extract takes them: the most typical and most mistaken"
            " wells"
        ),
    )
    group.add_argument("--quiet", action="store_true", help="no progress bar")


if __name__ == "__main__":
    sys.exit(main())
