"""The command ``stratonet``.

Gathers the commands of the rooms below and imports each only when it is called.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from stratonet import __version__

if TYPE_CHECKING:
    from stratonet.extraction.sources.imagesets import ImageSource

# Exit status of a run that has finished, but not all images could be measured.
DAMAGED = 3


def _plugins_directory(options):
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


def _evaluate(options: argparse.Namespace) -> None:
    write_report = _needs("evaluate", "stratonet_sklearn.report.report", "write_report")
    from stratonet_sklearn.report.data import Split, Treatments

    named = [_named(text) for text in options.tables]
    if len(dict(named)) < len(named):
        raise ValueError("Two tables have the same name. Give them names: NAME=TABLE.")
    page = write_report(
        dict(named),
        options.output,
        treatments=Treatments(
            label=options.label,
            compound=options.compound,
            dose=options.dose,
            control=options.control,
        ),
        split=Split(
            group=options.group,
            n_folds=options.n_folds,
            seed=options.seed,
            leave_out=options.leave_out,
        ),
        metadata=options.metadata,
        images=_choose_images(options),
        command=options.command,
        progress=not options.quiet,
    )
    print(page)


def _choose_images(options: argparse.Namespace) -> ImageSource | None:
    """Return the source of the wells to show, if one was asked for."""
    locating = {
        "--pattern": options.pattern,
        "--replace-path": options.replace,
        "--endpoint": options.endpoint,
        "--region": options.region,
        "--anonymous": options.anonymous,
    }
    if options.images is None:
        for flag, value in locating.items():
            if value:
                raise ValueError(f"{flag} only works with --images.")
        return None
    if options.label is None:
        raise ValueError("--images only works with --label: wells are shown by class.")
    from stratonet.extraction.sources.imagesets import ImageSource

    return ImageSource(
        options.images,
        pattern=options.pattern,
        replace=options.replace,
        endpoint=options.endpoint,
        region=options.region,
        anonymous=options.anonymous,
    )


def _run_cellprofiler(options):
    made = _needs("cellprofiler", "cellprofiler_plugin.batches", "Batches")
    names = (
        "image_directory",
        "data_file",
        "file_list",
        "group",
        "first_image_set",
        "last_image_set",
    )
    names += ("plugins_directory", "temporary_directory", "conserve_memory")
    given = {name.replace("_", "-"): getattr(options, name) for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    if options.always_continue:
        given["always-continue"] = None
    batches = made(
        options.pipeline,
        options.output_directory,
        given,
        options.processes,
        options.images_per_batch,
    )
    if not options.jobs:
        print(batches.run(options.quiet))
    elif options.jobs.suffix == ".json":
        options.jobs.write_text(json.dumps(batches.distributed(), indent=1) + "\n")
    else:
        options.jobs.write_text("".join(f"{line}\n" for line in batches.jobs()))


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


def _add_run_cellprofiler(commands):
    command = commands.add_parser(
        "run-cellprofiler",
        help="run a CellProfiler pipeline on all cores",
        description=(
            "Run a pipeline as cellprofiler -c -r does, in several processes, and merge"
            " what they write (CSV, SQLite, Parquet) into what a single one would have"
            " written. The same command again goes on where it was stopped."
        ),
    )
    command.set_defaults(run=_run_cellprofiler)
    here = os.path.abspath
    group = command.add_argument_group("as cellprofiler takes them")
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
        "-i", "--image-directory", type=here, metavar="DIR", help="folder of the images"
    )
    group.add_argument(
        "--data-file", type=here, metavar="CSV", help="table for LoadData"
    )
    group.add_argument(
        "--file-list",
        type=here,
        metavar="FILE",
        help="a file or URL a line, for the module Images",
    )
    group.add_argument(
        "-f", "--first-image-set", type=int, metavar="N", help="counted from 1"
    )
    group.add_argument("-l", "--last-image-set", type=int, metavar="N")
    group.add_argument(
        "-g",
        "--group",
        metavar="KEY=VALUE,...",
        help="only this group of a grouped pipeline",
    )
    group.add_argument(
        "--plugins-directory",
        type=here,
        metavar="DIR",
        help="default: that of MeasureStratoFeatures",
    )
    group.add_argument("-t", "--temporary-directory", type=here, metavar="DIR")
    group.add_argument(
        "--conserve-memory", metavar="BOOL", help="release memory after each image set"
    )
    group.add_argument(
        "--always-continue",
        action="store_true",
        help="go on after an image set with an error",
    )
    group = command.add_argument_group("processes")
    group.add_argument(
        "-n",
        "--processes",
        type=_count,
        metavar="N",
        help="at most so many (default: one a core, as far as memory goes)",
    )
    group.add_argument(
        "--images-per-batch",
        type=_count,
        default=96,
        metavar="N",
        help=(
            "image sets a process runs before it ends (default: %(default)s; a group"
            " stays together)"
        ),
    )
    group.add_argument(
        "--jobs",
        type=Path,
        metavar="FILE",
        help=(
            "run nothing, and write the commands for a scheduler, one a line; the same"
            " command without --jobs then merges. A name that ends in .json gets the"
            " job file of Distributed-CellProfiler, a job a group"
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


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "evaluate",
        help="measure how well features separate treatments; compare feature tables",
        description=(
            "Classify wells by their features, on splits that do not leak, score"
            " retrieval, and write one page (report.html), with every figure as PNG and"
            " every number as CSV beside it."
        ),
    )
    command.add_argument(
        "tables",
        nargs="+",
        metavar="[NAME=]TABLE",
        help=(
            "what extract or the plug-in wrote, any Parquet or CSV file with"
            " Metadata_Well and features, a folder of CellProfiler's CSV files, or its"
            " SQLite database; the first is compared with the others"
        ),
    )
    command.add_argument(
        "--output", required=True, type=Path, metavar="DIR", help="folder of the report"
    )
    command.set_defaults(run=_evaluate)
    _add_treatments(command)
    _add_split(command)
    _add_images(command)
    command.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_treatments(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group(
        "treatments (columns Metadata_..., with or without that beginning)"
    )
    group.add_argument(
        "--label",
        metavar="COLUMN",
        help="the class; rows where it is empty are not classified",
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
        help="column and value of the negative controls",
    )
    group.add_argument(
        "--metadata",
        type=Path,
        metavar="TABLE",
        help="CSV or Parquet file with more columns for each plate and well",
    )


def _add_split(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("training and test")
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


def _add_images(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group(
        "images of typical and misclassified wells (as extract takes them)"
    )
    group.add_argument(
        "--images",
        metavar="SOURCE",
        help="a LoadData table, a folder, or jump:SOURCE/BATCH/PLATE",
    )
    group.add_argument(
        "--pattern",
        metavar="NAME|REGEX",
        help="how files of a folder are named (default: the known pattern that fits)",
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
        "--endpoint",
        metavar="URL",
        help="of an S3 service (default: AWS_ENDPOINT_URL, else AWS)",
    )
    group.add_argument(
        "--region", help="of the buckets (default: AWS_REGION or AWS_DEFAULT_REGION)"
    )
    group.add_argument(
        "--anonymous", action="store_true", help="never sign requests to S3"
    )


if __name__ == "__main__":
    sys.exit(main())
