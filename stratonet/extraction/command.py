"""The command ``stratonet extract`` and its flags."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from stratonet.arguments import (
    add_file_name_flags,
    add_storage_flags,
    parse_names,
    read_image_flags,
    refuse_early,
)
from stratonet.extras import name_missing_extra

if TYPE_CHECKING:
    from stratonet.extraction.engine import Engine
    from stratonet.extraction.job import Objects
    from stratonet.limits import GreyRange

# Exit status of a run that has finished, but has not measured all images.
INCOMPLETE = 3
# The parameters that messages of the library put between backticks, and their flags.
FLAGS = {
    "base": "--images",
    "channels": "--channels",
    "grey_range": "--grey-range",
    "illumination": "--illumination",
    "pattern": "--pattern",
    "pixel_size": "--pixel-size",
    "project": "--project",
    "replace": "--replace-path OLD=NEW",
    "shard": "--shard",
    "size": "--size",
    "sources": "SOURCE",
}


def add_extract(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the other commands."""
    command = commands.add_parser(
        "extract",
        help="turn plates of images, local or in S3, into tables of features",
        description=(
            "Measure the image sets of plates and write their features as Parquet, one"
            " table per plate. If interrupted, run the same command again; it resumes."
        ),
        epilog=(
            "Example: stratonet extract images/ --output features --pattern"
            " '(?P<Well>[A-P]\\d\\d)_(?P<Site>\\d+)_(?P<Channel>\\w+)[.]tif'. This"
            " pattern finds A01_1_DNA.tif. File names of known instruments need no"
            " pattern, or only the name of one, such as --pattern phenix."
            " Exit status: 0 all image sets measured completely; 3 finished, but some"
            " images could not be measured (see Metadata_Error), there was nothing to"
            " measure, or image files were skipped because of their names; 1 stopped by"
            " an error; 2 an option was refused before anything was read; 130"
            " interrupted. Wells measured so far are always kept."
        ),
    )
    command.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help=(
            "a CellProfiler LoadData table (CSV or Parquet), the BBBC021 image table, a"
            " labels.csv (columns well, file_<channel> and any others), a folder of"
            " images, a file that holds several images (.ome.zarr, .ome.tif, .nd2,"
            " .czi, .lif), a SpatialData store (.zarr), or jump:SOURCE/BATCH/PLATE for"
            " a plate of the cellpainting-gallery; each local, s3:// or https://"
            " (folders: local or s3://)"
        ),
    )
    command.add_argument(
        "--output",
        required=True,
        metavar="DEST",
        help="folder or s3:// prefix of the features",
    )
    command.set_defaults(
        run=_extract,
        flags=FLAGS,
        modules=("stratonet.extraction.run", "onnxruntime"),
        when_interrupted=(
            "Wells that were measured before are kept; the same command measures the"
            " rest."
        ),
    )
    _add_image_set_flags(command.add_argument_group("image sets"))
    _add_measure_flags(command.add_argument_group("what is measured"))
    _add_file_flags(command.add_argument_group("where files are"))
    _add_run_flags(command.add_argument_group("how it runs"))


def _add_image_set_flags(group: argparse._ArgumentGroup) -> None:
    add_file_name_flags(group)
    group.add_argument(
        "--channels",
        type=parse_channels,
        metavar="A,B,...",
        help="channels to measure, NEW=OLD to rename one (default: all)",
    )
    group.add_argument(
        "--images",
        metavar="DIR",
        help="folder to which paths are relative (default: the table's folder)",
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
        "--pixel-size",
        type=float,
        metavar="UM",
        help=(
            "micrometres per pixel, for a --recipe in micrometres (default: the table's"
            " column Metadata_PixelSize)"
        ),
    )
    group.add_argument(
        "--shard",
        type=_parse_shard,
        default=(1, 1),
        metavar="K/N",
        help="measure only part K of N, for example 3/20",
    )


def _add_measure_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--taps",
        type=parse_names,
        metavar="A,B,...",
        help=(
            "low, medium, high, names of layers, or intensity for the brightness of"
            " images (default: low, medium, high)"
        ),
    )
    group.add_argument(
        "--recipe",
        metavar="NAME|TEXT",
        help=(
            "how images become features: the name of a recipe in the output of"
            " stratonet card, or a text such as tiles224/mean+sd or"
            " tiles224-75um/mean+sd (default: what the card recommends)"
        ),
    )
    group.add_argument(
        "--grey-range",
        type=_parse_grey_range,
        default="plane",
        metavar="RANGE",
        help=(
            "which grey values become black and white: plane, percentiles of each"
            " image; plate, percentiles of its channel on the whole plate;"
            " A=LOW:HIGH,B=LOW:HIGH, the same limits for all images; or a .json file"
            " with limits of plates, written by this command (default: %(default)s)"
        ),
    )
    group.add_argument(
        "--weights",
        default="stratonet50",
        help=(
            "name (stratonet50, or stratonet50-int8, which is faster) or path of a"
            " weights file (default: %(default)s)"
        ),
    )
    group.add_argument(
        "--provider",
        default="CPUExecutionProvider",
        help=(
            "what runs the network: cpu, cuda, tensorrt, openvino, directml, coreml,"
            " auto, or another execution provider of ONNX Runtime (default: cpu)"
        ),
    )
    group.add_argument(
        "--labels",
        metavar="NAME",
        help="measure the objects of this label image of the table, plate or store",
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


def _add_file_flags(group: argparse._ArgumentGroup) -> None:
    add_storage_flags(group)
    group.add_argument(
        "--crops",
        action="store_true",
        help=(
            "also write a picture of each object or site, under DEST/_crops, which"
            " CytoDataFrame shows"
        ),
    )
    group.add_argument(
        "--gallery",
        action="store_true",
        help=(
            "write in the layout of the cellpainting-gallery's workspace_dl:"
            " DEST/embeddings/<network>_<dataset>_<hash>/<batch>/<plate>/"
            "<well>-<site>/embedding.parquet"
        ),
    )


def _add_run_flags(group: argparse._ArgumentGroup) -> None:
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
        help="address of the Ray cluster (default: the cluster that this machine"
        " belongs to, else a new one on this machine)",
    )
    group.add_argument(
        "--quiet",
        action="store_true",
        help="print one line per plate instead of a progress bar, for logs",
    )


def _extract(options: argparse.Namespace) -> int:
    with name_missing_extra("stratonet extract", "extract"):
        from stratonet.extraction import (
            GalleryLayout,
            ImageSource,
            PlateLayout,
            Shard,
            extract,
        )

    sources = [
        ImageSource(
            location,
            base=options.images,
            pixel_size=options.pixel_size,
            **read_image_flags(options),
        )
        for location in options.sources
    ]
    with refuse_early():
        _check_shard(options.shard)
        objects = _choose_objects(options)
        engine = _choose_engine(options)
        grey_range = _check_measurement(options, objects.size)
    summary = extract(
        sources,
        options.output,
        channels=options.channels,
        taps=options.taps,
        weights=options.weights,
        provider=options.provider,
        objects=objects,
        recipe=options.recipe,
        grey_range=grey_range,
        illumination=options.illumination,
        strict=options.strict,
        crops=options.crops,
        layout=GalleryLayout() if options.gallery else PlateLayout(),
        shard=Shard(*options.shard),
        engine=engine,
        progress=not options.quiet,
    )
    print(summary)
    measured_nothing = not summary.image_sets and not summary.wells_before
    is_incomplete = summary.incomplete or summary.skipped_files or measured_nothing
    return INCOMPLETE if is_incomplete else 0


def _check_measurement(options: argparse.Namespace, size: int | None) -> GreyRange:
    """Refuse options that do not suit the weights; return the grey range."""
    from stratonet.limits import read_grey_range
    from stratonet.network import StratoNet

    # Only the network itself knows its layers; the card does not list them.
    net = StratoNet.load(
        options.weights, options.taps, options.provider, options.recipe, size
    )
    # Without the flag, a column of the table may give the pixel size.
    if options.pixel_size is not None:
        net.recipe.check_pixel_size(options.pixel_size)
    return read_grey_range(options.grey_range)


def _choose_objects(options: argparse.Namespace) -> Objects:
    """Return the objects that --labels, --centres and --size choose."""
    from stratonet.extraction.job import (
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
    """Return the engine that --engine and --address choose."""
    if options.engine == "ray":
        with name_missing_extra("--engine ray", "ray"):
            from stratonet.extraction.ray_engine import RayEngine
        return RayEngine(options.address)
    if options.address:
        raise ValueError("--address only works with --engine ray.")
    from stratonet.extraction import LocalEngine

    return LocalEngine()


def _check_shard(shard: tuple[int, int]) -> None:
    number, count = shard
    if not 1 <= number <= count:
        raise ValueError(f"--shard K/N needs 1 ≤ K ≤ N. Received: {number}/{count}")


def parse_channels(text: str) -> dict[str, str]:
    """Parse ``DNA=OrigDNA,ER``: names in the features to names in the source."""
    channels = {}
    for channel in text.split(","):
        new, _, old = channel.partition("=")
        channels[new.strip()] = (old or new).strip()
    return channels


def _parse_grey_range(text: str) -> str | dict[str, tuple[float, float]]:
    """Parse ``DNA=100:4000,ER=50:900``; return ``plane``, ``plate`` or a file as is."""
    if text in ("plane", "plate") or text.endswith(".json"):
        return text
    limits = {}
    for part in text.split(","):
        channel, _, pair = part.partition("=")
        low, _, high = pair.partition(":")
        try:
            limits[channel.strip()] = (float(low), float(high))
        except ValueError:
            raise argparse.ArgumentTypeError(
                "expected plane, plate, a .json file, or limits such as"
                f" DNA=100:4000,ER=50:900. Received: {text}"
            ) from None
    return limits


def _parse_shard(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal()):
        raise argparse.ArgumentTypeError(
            f"expected K/N, for example 3/20. Received: {text}"
        )
    return int(number), int(count)
