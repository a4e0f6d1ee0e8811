"""The command ``python -m training finetune`` and its flags."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from stratonet.arguments import (
    add_file_name_flags,
    add_storage_flags,
    parse_count,
    parse_names,
    read_image_flags,
)
from stratonet.extraction.command import parse_channels

if TYPE_CHECKING:
    from stratonet.extraction.job import Objects
    from training.finetune_table import Assay

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_finetune(commands: Commands) -> None:
    """Add the command ``finetune``."""
    command = commands.add_parser(
        "finetune",
        help="let a network learn an assay of your own",
        description=(
            "Fine-tune a network on labelled images or objects. Some plates (or wells)"
            " are held out, to decide when to stop training and to measure what was"
            " gained over the original network given the same labels. If nothing was"
            " gained, the output is the original network, unchanged. If interrupted,"
            " run the same command again; it resumes."
        ),
    )
    command.add_argument(
        "tables",
        nargs="+",
        metavar="LABELS",
        help=(
            "table (CSV or Parquet) with plate, well, a class, and a column `file` (or"
            " file_<channel> for each channel); also Location_Center_X and"
            " Location_Center_Y for a row per object; or a CellProfiler LoadData table."
            " Several tables are several assays, learnt together"
        ),
    )
    command.add_argument(
        "--label",
        required=True,
        action="append",
        dest="label_columns",
        metavar="COLUMN",
        help="column of the classes; once for all tables, or once per table, in order",
    )
    command.add_argument(
        "--from",
        dest="weights",
        default="stratonet50",
        metavar="WEIGHTS",
        help="name or path of the weights to start from (default: %(default)s)",
    )
    command.add_argument(
        "--output", type=Path, required=True, help="the .onnx file to write"
    )
    command.add_argument(
        "--name", help="name in the card (default: that of the file, without .onnx)"
    )
    command.add_argument(
        "--licence",
        help="licence in the card (default: that of the weights to start from)",
    )
    _add_images(command.add_argument_group("images (as stratonet extract takes them)"))
    _add_training(command.add_argument_group("training"))
    command.set_defaults(run=_run_finetune)


def _add_images(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--channels",
        type=parse_channels,
        metavar="A,B,...",
        help="channels to learn from, NEW=OLD to rename one (default: all)",
    )
    group.add_argument(
        "--labels",
        metavar="NAME",
        help="learn from the objects of this label image of the table",
    )
    group.add_argument(
        "--centres", metavar="TABLE", help="learn from the objects of this table"
    )
    group.add_argument(
        "--size",
        type=parse_count,
        default=96,
        metavar="PIXELS",
        help="side of the square around each object (default: %(default)s)",
    )
    group.add_argument(
        "--images",
        metavar="DIR",
        help="folder where relative paths start (default: the table's folder)",
    )
    add_file_name_flags(group)
    add_storage_flags(group)


def _add_training(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--group",
        choices=["plate", "well"],
        help=(
            "hold out whole plates or whole wells (default: plates, or wells where"
            " classes are on fewer than three plates)"
        ),
    )
    group.add_argument(
        "--test",
        dest="tested",
        type=parse_names,
        default=(),
        metavar="A,B,...",
        help=(
            "plates to test on, or wells such as 'P1 A01' (default: a random fifth of"
            " them)"
        ),
    )
    group.add_argument(
        "--input-size",
        type=parse_count,
        default=96,
        metavar="PIXELS",
        help=(
            "side of the planes that the network takes: 96 for single cells (default),"
            " 224 for whole images"
        ),
    )
    group.add_argument(
        "--steps",
        type=parse_count,
        default=660,
        help=(
            "largest number of steps, of 32 views each (default: %(default)s,"
            " 8 minutes of one core)"
        ),
    )
    group.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of the hold-out and of the training (default: %(default)s)",
    )


def _run_finetune(options: argparse.Namespace) -> None:
    # Read the tables first: the imports that follow load TensorFlow, which takes long.
    assays = _read_assays(options)

    from training.finetune import Tuning, finetune
    from training.finetune_loop import Schedule

    tuning = Tuning(
        weights=options.weights,
        input_size=options.input_size,
        group=options.group,
        tested=options.tested,
        schedule=Schedule(steps=options.steps, seed=options.seed),
    )
    finetune(assays, options.output, tuning, options.name, options.licence)


def _read_assays(options: argparse.Namespace) -> list[Assay]:
    from stratonet.extraction.sources.imagesets import ImageSource
    from training.finetune_table import read_assay

    labels = options.label_columns
    if len(labels) == 1:
        labels = labels * len(options.tables)
    if len(labels) != len(options.tables):
        raise ValueError(
            f"Give --label once, or once for each of the {len(options.tables)} tables."
            f" Received: {', '.join(labels)}"
        )
    assays = []
    for table, label in zip(options.tables, labels):
        source = ImageSource(table, base=options.images, **read_image_flags(options))
        objects = _choose_objects(options)
        assay = read_assay(source, label, options.channels, objects, options.size)
        assays.append(assay)
    return assays


def _choose_objects(options: argparse.Namespace) -> Objects:
    from stratonet.extraction.job import (
        ObjectsFromCenters,
        ObjectsFromLabels,
        WholeImages,
    )

    if options.labels and options.centres:
        raise ValueError("Objects come from --labels or from --centres. Received both.")
    if options.labels:
        return ObjectsFromLabels(options.labels, options.size)
    if options.centres:
        return ObjectsFromCenters(options.centres, options.size)
    return WholeImages()
