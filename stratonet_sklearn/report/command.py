"""The command ``stratonet evaluate`` and its flags."""

from __future__ import annotations

import argparse
import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal

from stratonet.arguments import (
    RefusedOption,
    add_file_name_flags,
    add_storage_flags,
    parse_column_value,
    parse_names,
    read_image_flags,
)
from stratonet.extras import name_missing_extra
from stratonet.files.urls import drop_query, redact_url

if TYPE_CHECKING:
    from stratonet.extraction import ImageSource
    from stratonet_sklearn.evaluation.recipe import ProfileRecipe

FLAGS = {
    "anonymous": "--anonymous",
    "compound": "--compound",
    "control": "--negcon",
    "endpoint": "--endpoint",
    "harmonize": "--harmonize",
    "images": "--images",
    "label": "--label",
    "leave_out_trained": "--leave-out-trained",
    "pattern": "--pattern",
    "project": "--project",
    "positive": "--poscon",
    "recipe": "A choice of profiles",
    "region": "--region",
    "replace": "--replace-path OLD=NEW",
    "sphere": "--sphere",
    "tables": "TABLE",
}
# Sentences on what was left out that are also printed; the page has all of them.
MOST_PRINTED = 3
SPHERE: dict[str, Literal["auto"] | bool] = {"auto": "auto", "yes": True, "no": False}


def add_evaluate(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "evaluate",
        help="measure how well features separate treatments; compare feature tables",
        description=(
            "Classify wells by their features, on splits that do not leak, score"
            " retrieval, and write one page (report.html), with every figure as PNG and"
            " every number as CSV beside it."
        ),
        epilog=(
            "Example: stratonet evaluate StratoNet=features CellProfiler=profiles.csv"
            " --label treatment --negcon role=negcon --output report"
        ),
    )
    command.add_argument(
        "tables",
        nargs="+",
        metavar="[NAME=]TABLE",
        help=(
            "the output of extract or of the plug-in, any Parquet, CSV or AnnData file"
            " with Metadata_Well and features, a table of SpatialData"
            " (STORE/tables/NAME), a folder of CellProfiler's CSV files, or its SQLite"
            " database; the first table is compared with the others"
        ),
    )
    command.add_argument(
        "--output", required=True, type=Path, metavar="DIR", help="folder of the report"
    )
    command.set_defaults(
        run=_evaluate,
        flags=FLAGS,
        modules=("stratonet_sklearn.report.report",),
        when_interrupted=(
            "No report was written; the same command starts from the beginning."
        ),
    )
    _add_treatments(command)
    _add_split(command)
    _add_profiles(command)
    _add_images(command)
    command.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_treatments(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group(
        "treatments (names of columns Metadata_..., with or without that prefix)"
    )
    group.add_argument(
        "--label",
        metavar="COLUMN",
        help="the class; rows where it is empty are not classified",
    )
    group.add_argument(
        "--compound",
        metavar="COLUMN",
        help="the compound, for hits, doses and retrieval",
    )
    group.add_argument(
        "--dose",
        metavar="COLUMN",
        help="its dose; a compound at two doses is two treatments",
    )
    for role, flag, dest in (
        ("negative", "--negcon", "control"),
        ("positive", "--poscon", "positive"),
    ):
        either = group.add_mutually_exclusive_group()
        either.add_argument(
            flag,
            dest=dest,
            type=parse_column_value,
            metavar="COLUMN=VALUE",
            help=(
                f"column and value of the {role} controls (default: recognised by the"
                " names that JUMP and CellProfiler use)"
            ),
        )
        either.add_argument(
            f"{flag}-wells",
            dest=dest,
            type=_parse_wells,
            metavar="A01:H01,...",
            help=f"positions of the {role} controls: wells, and rectangles of wells",
        )
    group.add_argument(
        "--metadata",
        metavar="TABLE",
        help=(
            "plate map with more columns for each plate and well: CSV, TSV, XLSX or"
            " Parquet; it replaces columns that the tables already have"
        ),
    )


def _add_split(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("training and test")
    group.add_argument(
        "--group",
        default="well",
        metavar="COLUMN",
        help=(
            "what is never split between training and test: well, row or column of the"
            " plates, plate, batch, compound, ... (default: %(default)s)"
        ),
    )
    group.add_argument(
        "--leave-out",
        type=parse_names,
        default=(),
        metavar="A,B,...",
        help="classes to leave out of the classification",
    )
    group.add_argument(
        "--leave-out-trained",
        action="store_true",
        help=(
            "leave out the wells that a network was fine-tuned on (default: refuse"
            " them)"
        ),
    )
    group.add_argument(
        "--folds",
        dest="n_folds",
        type=_parse_folds,
        default=10,
        metavar="N",
        help="default: %(default)s",
    )
    group.add_argument(
        "--seed", type=int, default=0, metavar="N", help="default: %(default)s"
    )


def _add_profiles(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group(
        "profiles of wells, for retrieval (only with --compound)"
    )
    group.add_argument(
        "--normalize",
        choices=["standardize", "mad_robustize"],
        default="standardize",
        help=(
            "scale features on the negative controls of each plate by mean and standard"
            " deviation, or by median and median absolute deviation (default:"
            " %(default)s)"
        ),
    )
    group.add_argument(
        "--transform",
        choices=["rank"],
        help="rank: replace features by the normal scores of their ranks",
    )
    group.add_argument(
        "--no-select",
        dest="select",
        action="store_false",
        help="keep features that are unreliable or correlated",
    )
    group.add_argument(
        "--sphere",
        choices=list(SPHERE),
        default="auto",
        help=(
            "remove the correlations between features of the negative controls"
            " (default: auto, if there are twice as many controls as features)"
        ),
    )
    group.add_argument(
        "--harmonize",
        metavar="COLUMN",
        help=(
            "align the batches of this column by Harmony; needs harmonypy, which does"
            " not come with StratoNet"
        ),
    )


def _add_images(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group(
        "images of typical and misclassified wells (given as for extract)"
    )
    group.add_argument(
        "--images",
        metavar="SOURCE",
        help="a LoadData table, a folder, or jump:SOURCE/BATCH/PLATE",
    )
    add_file_name_flags(group)
    add_storage_flags(group)


def _evaluate(options: argparse.Namespace) -> None:
    with name_missing_extra("stratonet evaluate", "evaluate"):
        from stratonet_sklearn.report.data import Split, Treatments, read_data
        from stratonet_sklearn.report.provenance import list_left_out
        from stratonet_sklearn.report.report import write_data

    named = [_parse_table(text) for text in options.tables]
    if len(dict(named)) < len(named):
        raise RefusedOption(
            "Two tables have the same name. Give them names: NAME=TABLE."
        )
    data = read_data(
        dict(named),
        metadata=options.metadata,
        treatments=Treatments(
            label=options.label,
            compound=options.compound,
            dose=options.dose,
            control=options.control,
            positive=options.positive,
        ),
        split=Split(
            group=options.group,
            n_folds=options.n_folds,
            seed=options.seed,
            leave_out=options.leave_out,
            leave_out_trained=options.leave_out_trained,
        ),
        images=_choose_images(options),
        recipe=_choose_recipe(options),
    )
    print(write_data(data, options.output, options.command, not options.quiet))
    left_out = list_left_out(data)
    if left_out:
        more = len(left_out) - MOST_PRINTED
        remainder = f" {more} more on the page." if more > 0 else ""
        print(f"Left out: {' '.join(left_out[:MOST_PRINTED])}{remainder}")


def _parse_wells(text: str) -> str:
    """Return wells such as ``A01:H01,A12``, if they are wells."""
    from stratonet_sklearn.evaluation.roles import parse_well_ranges

    try:
        parse_well_ranges(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _parse_folds(text: str) -> int:
    """Return the number of folds: at least one to train on, and one to test."""
    if not (text.isdecimal() and int(text) > 1):
        raise argparse.ArgumentTypeError(
            f"expected a whole number of at least 2. Received: {text}"
        )
    return int(text)


def _choose_recipe(options: argparse.Namespace) -> ProfileRecipe | None:
    """Return the recipe of profiles, None if all choices are the defaults."""
    from stratonet_sklearn.evaluation.recipe import ProfileRecipe

    recipe = ProfileRecipe(
        normalize=options.normalize,
        transform=options.transform,
        select=options.select,
        sphere=SPHERE[options.sphere],
        harmonize=options.harmonize,
    )
    return None if recipe == ProfileRecipe() else recipe


def _choose_images(options: argparse.Namespace) -> ImageSource | None:
    """Return the source of the wells to show, if one was asked for."""
    image_flags = read_image_flags(options)
    if options.images is None:
        for name, value in image_flags.items():
            if value:
                raise RefusedOption(f"`{name}` only works with --images.")
        return None
    from stratonet.extraction import ImageSource

    return ImageSource(options.images, **image_flags)


def _parse_table(text: str) -> tuple[str, str]:
    """Return the name and location of ``NAME=TABLE``, or of a location alone."""
    name, separator, location = text.partition("=")
    # A path or URL may contain = itself, but no name contains a slash.
    if separator and not re.search(r"[/\\]", name) and not Path(text).exists():
        return name, location
    return PurePath(drop_query(redact_url(text))).stem, text
