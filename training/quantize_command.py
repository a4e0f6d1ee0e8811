"""The command ``python -m training quantize``: its flags, and its output."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_quantize(commands: Commands) -> None:
    """Add the command ``quantize``."""
    command = commands.add_parser(
        "quantize",
        help="convert a weights file to 8-bit integers, which are much faster",
        description=(
            "Convert a weights file to 8-bit integers, for processors that multiply"
            " them in one step (AVX-512 VNNI, AVX-VNNI, AMX, Arm's dot products). The"
            " new network is calibrated on images, and its features of every fourth"
            " image are compared with those of the original. They have a feature set"
            " id of their own, and are never mixed with those of the original."
        ),
    )
    command.add_argument(
        "weights", help="name or path of the weights to convert, fine-tuned or not"
    )
    command.add_argument(
        "--on",
        dest="folders",
        nargs="+",
        type=Path,
        required=True,
        metavar="FOLDER",
        help=(
            "images of one grey plane, similar to those that will be measured; the same"
            " number is drawn from each folder"
        ),
    )
    command.add_argument(
        "--output",
        type=Path,
        help=(
            "the .onnx file to write (default: WEIGHTS-int8.onnx in the current folder)"
        ),
    )
    command.add_argument(
        "--name", help="name in the card (default: that of WEIGHTS, with -int8)"
    )
    command.add_argument(
        "--sources",
        metavar="TEXT",
        help=(
            "what the card says about the images: where they are from, and their"
            " licences (default: the names of the folders)"
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
            f"  {each.recipe}: correlation of features with those of {options.weights}:"
            f" median {each.median:.3f}, 5th percentile {each.low:.3f}."
        )
    if not comparisons:
        print("  Too few images to compare the features with those of the original.")
