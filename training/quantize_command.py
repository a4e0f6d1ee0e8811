"""The command ``python -m training quantize``: its flags, and what it prints."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_quantize(commands: Commands) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "quantize",
        help="make a weights file of 8-bit integers, which is several times as fast",
        description=(
            "Make a network of 8-bit integers of a weights file, for processors that"
            " multiply them in one step (AVX-512 VNNI, AVX-VNNI, AMX, Arm's dot"
            " products). It is calibrated on images, and features of every fourth image"
            " are compared with those of the file itself. They are features of another"
            " network: both kinds are never mixed."
        ),
    )
    command.add_argument(
        "weights", help="name or path of the weights to start from, tuned ones too"
    )
    command.add_argument(
        "--on",
        dest="folders",
        nargs="+",
        type=Path,
        required=True,
        metavar="FOLDER",
        help=(
            "images of one grey plane, such as will be measured; of several folders as"
            " many images each"
        ),
    )
    command.add_argument(
        "--output",
        type=Path,
        help="the .onnx file to write (default: here, named after WEIGHTS, -int8.onnx)",
    )
    command.add_argument("--name", help="name in the card (default: with -int8)")
    command.add_argument(
        "--sources",
        metavar="TEXT",
        help=(
            "what the card says of the images: where they are from, and their licences"
            " (default: the names of the folders)"
        ),
    )
    command.set_defaults(run=_run_quantize)


def _run_quantize(options: argparse.Namespace) -> None:
    from training.quantization import quantize_weights

    output = options.output or Path(f"{Path(options.weights).stem}-int8.onnx")
    card, comparisons = quantize_weights(
        options.weights, options.folders, output, options.name, options.sources
    )
    megabytes = output.stat().st_size / 1e6
    print(f"Wrote {output} ({megabytes:.1f} MB): {card.name}-{card.version}.")
    for each in comparisons:
        print(
            f"  {each.recipe}: features correlate with those of {options.weights} at"
            f" {each.median:.3f} in the median, {each.low:.3f} at the 5th percentile."
        )
    if not comparisons:
        print("  Too few images to compare its features with those of the original.")
