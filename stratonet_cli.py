"""The command ``stratonet``.

Gathers the commands of the rooms below and imports each only when it is called.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stratonet import __version__

if TYPE_CHECKING:
    from cellprofiler_plugin.headless import CellProfilerOptions
    from stratonet.extraction import ImageSource
    from stratonet.extraction.engine import Engine
    from stratonet.extraction.recipe import Objects

# Exit status of a run that has finished, but not all images could be measured.
DAMAGED = 3


def _plugins_directory(options: argparse.Namespace) -> None:
    from cellprofiler_plugin.headless import PLUGINS

    print(PLUGINS)


def _demo(options):
    from stratonet_demo import run_demo

    run_demo(options.plate, options.output)


def _extract(options: argparse.Namespace) -> int:
    extract = _needs("extract", "stratonet.extraction.run", "extract")
    from stratonet.extraction import (
        GalleryLayout,
        ImageSource,
        PlateLayout,
        Shard,
    )

    _check_shard(options.shard)
    sources = [
        ImageSource(
            location,
            pattern=options.pattern,
            base=options.images,
            replace=options.replace,
            endpoint=options.endpoint,
            region=options.region,
            anonymous=options.anonymous,
        )
        for location in options.sources
    ]
    summary = extract(
        sources,
        options.output,
        channels=options.channels,
        taps=options.taps,
        weights=options.weights,
        provider=options.provider,
        objects=_choose_objects(options),
        illumination=options.illumination,
        strict=options.strict,
        layout=GalleryLayout() if options.gallery else PlateLayout(),
        shard=Shard(*options.shard),
        engine=_choose_engine(options),
        quiet=options.quiet,
    )
    print(summary)
    return DAMAGED if summary.incomplete else 0


def _choose_objects(options: argparse.Namespace) -> Objects:
    """What --labels, --centres and --size say is measured."""
    from stratonet.extraction.recipe import (
        SIZE,
        ObjectsFromCenters,
        ObjectsFromLabels,
        WholeImages,
    )

    if options.labels and options.centres:
        raise ValueError("Objects come from --labels or from --centres. Received both.")
    size = SIZE if options.size is None else options.size
    if options.labels:
        return ObjectsFromLabels(options.labels, size)
    if options.centres:
        return ObjectsFromCenters(options.centres, size)
    if options.size is not None:
        raise ValueError("--size only works with --labels or --centres.")
    return WholeImages()


def _choose_engine(options: argparse.Namespace) -> Engine:
    """What --engine and --address say measures."""
    if options.engine == "ray":
        try:
            from stratonet.extraction.ray_engine import RayEngine
        except ImportError as error:
            raise ImportError(
                f"--engine ray needs the package {error.name}: install stratonet[ray]."
            ) from None
        return RayEngine(options.address)
    if options.address:
        raise ValueError("--address only works with --engine ray.")
    from stratonet.extraction import LocalEngine

    return LocalEngine()


def _check_shard(shard: tuple[int, int]) -> None:
    number, count = shard
    if not 1 <= number <= count:
        raise ValueError(f"--shard K/N needs 1 ≤ K ≤ N. Received: {number}/{count}")


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
    from stratonet.extraction import ImageSource

    return ImageSource(
        options.images,
        pattern=options.pattern,
        replace=options.replace,
        endpoint=options.endpoint,
        region=options.region,
        anonymous=options.anonymous,
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
    write_projection = _needs(
        "evaluate", "stratonet_sklearn.projection", "write_projection"
    )
    print(write_projection(options.table, options.output, options.components))


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


def _parse_channels(text: str) -> dict[str, str]:
    """``DNA=OrigDNA,ER`` as a dict of names in the features to names in the source."""
    channels = {}
    for channel in text.split(","):
        new, _, old = channel.partition("=")
        channels[new.strip()] = (old or new).strip()
    return channels


def _count(text):
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"a number from 1 on. Received: {text}")
    return count


def _parse_shard(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal()):
        raise argparse.ArgumentTypeError(
            f"expected K/N, for example 3/20. Received: {text}"
        )
    return int(number), int(count)


def _parse_replacement(text: str) -> tuple[str, str]:
    old, separator, new = text.partition("=")
    if not (old and separator):
        raise argparse.ArgumentTypeError(f"expected OLD=NEW. Received: {text}")
    return old, new


def _name_flags(message: str, flags: Mapping[str, str]) -> str:
    """A message of the library, with flags in place of the parameters it names."""
    for parameter, flag in flags.items():
        message = message.replace(f"`{parameter}`", flag)
    return message


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
    _add_card(commands)

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
            "stratonet: interrupted. Finished work is kept; run the same command again"
            " to resume.",
            file=sys.stderr,
        )
        return 130
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        message = _name_flags(str(error), getattr(options, "flags", {}))
        print(f"stratonet: {message}", file=sys.stderr)
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


# What the library calls a parameter, between backticks, and what the flag is called.
_EXTRACT_FLAGS = {
    "base": "--images",
    "channels": "--channels",
    "illumination": "--illumination",
    "pattern": "--pattern",
    "replace": "--replace-path OLD=NEW",
    "shard": "--shard",
    "size": "--size",
    "sources": "SOURCE",
}


def _add_extract(commands: argparse._SubParsersAction[Any]) -> None:
    command = commands.add_parser(
        "extract",
        help="turn plates of images, here or in S3, into tables of features",
        description=(
            "Measure the image sets of plates and write their features as Parquet, one"
            " table per plate. If interrupted, run the same command again; it resumes."
        ),
        epilog=(
            "Exit status: 0 all image sets measured completely; 3 finished, but some"
            " images could not be measured (see Metadata_Error); 1 stopped by an error;"
            " 2 wrong usage; 130 interrupted. What was measured is kept."
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
    command.set_defaults(run=_extract, flags=_EXTRACT_FLAGS)

    group = command.add_argument_group("image sets")
    group.add_argument(
        "--channels",
        type=_parse_channels,
        metavar="A,B,...",
        help="channels to measure, NEW=OLD to rename one (default: all)",
    )
    group.add_argument(
        "--pattern",
        metavar="NAME|REGEX",
        help=(
            "how files of a folder are named: imagexpress, phenix, cellvoyager, jump,"
            " or a regular expression with the named groups Channel, Well (or Row and"
            " Column), Plate, Site, ... (default: the named one that fits best)"
        ),
    )
    group.add_argument(
        "--images",
        metavar="DIR",
        help="folder where relative paths start (default: the table's folder)",
    )
    group.add_argument(
        "--replace-path",
        dest="replace",
        type=_parse_replacement,
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
        type=_parse_shard,
        default=(1, 1),
        metavar="K/N",
        help="measure only part K of N, for example 3/20",
    )

    group = command.add_argument_group("what is measured")
    group.add_argument(
        "--taps",
        type=_names,
        metavar="A,B,...",
        help="low, medium, high or names of layers (default: those three)",
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

    group = command.add_argument_group("where files are")
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
            "never sign requests (default: signed with the usual AWS credentials if"
            " there are any; anonymous if there are none or a bucket refuses them)"
        ),
    )
    group.add_argument(
        "--gallery",
        action="store_true",
        help=(
            "write the layout of the cellpainting-gallery's workspace_dl:"
            " DEST/embeddings/<network>_<dataset>_<hash>/<batch>/<plate>/"
            "<well>-<site>/embedding.parquet"
        ),
    )

    group = command.add_argument_group("how it runs")
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
        help="of the Ray cluster (default: the one this machine belongs to, else a new"
        " one on this machine)",
    )
    group.add_argument(
        "--quiet",
        action="store_true",
        help="one line per plate instead of a progress bar, for logs",
    )


_EVALUATE_FLAGS = {
    "images": "--images",
    "label": "--label",
    "pattern": "--pattern",
    "replace": "--replace-path OLD=NEW",
    "tables": "TABLE",
}


def _add_evaluate(commands: argparse._SubParsersAction[Any]) -> None:
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
    command.set_defaults(run=_evaluate, flags=_EVALUATE_FLAGS)
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


def _write_card(options: argparse.Namespace) -> None:
    """Write the card into a network and name its feature set id."""
    from stratonet.card import Planes
    from stratonet.card_writer import describe_network, write_card
    from stratonet.network import read_card, read_feature_set_id

    planes = read_card(options.like).planes
    card = describe_network(
        options.network,
        options.like,
        options.name,
        options.version,
        dict(options.taps) if options.taps else None,
        options.sizes,
        Planes(
            options.multiply or planes.multiply, options.subtract or planes.subtract
        ),
        options.licence,
    )
    output = options.output or options.network
    write_card(options.network, card, output)
    print(
        f"{card.to_json()}\n{output} has this card. Its features are"
        f" {read_feature_set_id(output)}.\nCheck the network in Python:"
        f" from stratonet.checks import check_network; check_network({str(output)!r})"
    )


def _parse_tap(text: str) -> tuple[str, str | None]:
    """Return layer and alias of ``LAYER`` or ``LAYER=ALIAS``."""
    layer, _, alias = text.partition("=")
    return layer, alias or None


def _parse_sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split(","))


def _parse_numbers(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))


def _parse_factors(text: str) -> float | tuple[float, ...]:
    """Return one factor for all planes, or one for each."""
    factors = _parse_numbers(text)
    return factors[0] if len(factors) == 1 else factors


def _add_card(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "card",
        help="write into a network of your own what must be known to measure with it",
        description=(
            "Write a card into an .onnx file, so that CellProfiler, scikit-learn and"
            " stratonet extract can measure with it. Number of planes, order of the"
            " axes, side and widths are read from the network; scaling and all else"
            " that it does not say is taken from the card of other weights."
        ),
    )
    command.set_defaults(run=_write_card)
    command.add_argument(
        "network",
        type=Path,
        metavar="FILE",
        help="the network (.onnx), with one row of features per plane as output",
    )
    command.add_argument(
        "--like",
        default="stratonet50",
        metavar="WEIGHTS",
        help="name or path of weights with a card (default: %(default)s)",
    )
    command.add_argument(
        "--name", help="of the network (default: the name of its file)"
    )
    command.add_argument(
        "--version", default="1", help="of the network (default: %(default)s)"
    )
    command.add_argument(
        "--tap",
        dest="taps",
        type=_parse_tap,
        action="append",
        metavar="LAYER[=ALIAS]",
        help=(
            "an output that is features, with a short name for it; can be given more"
            " than once (default: all outputs)"
        ),
    )
    command.add_argument(
        "--input-size",
        dest="sizes",
        type=_parse_sizes,
        default=(),
        metavar="PIXELS,...",
        help=(
            "sides of a plane that the network takes, the usual one first (default:"
            " what the network says)"
        ),
    )
    command.add_argument(
        "--multiply",
        type=_parse_factors,
        metavar="A,...",
        help="factor on grey in [0, 1], one for all planes or one for each",
    )
    command.add_argument(
        "--subtract",
        type=_parse_numbers,
        metavar="A,...",
        help="what is then subtracted from each plane: one number for each",
    )
    command.add_argument(
        "--licence",
        default="not stated",
        help="of the weights (default: %(default)s)",
    )
    command.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="where to write (default: into the network's file)",
    )


if __name__ == "__main__":
    sys.exit(main())
