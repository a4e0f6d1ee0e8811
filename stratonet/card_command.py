"""The command ``stratonet card``: its flags, and what it does."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_card(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "card",
        help="write a card into a network of your own, to measure images with it",
        description=(
            "Write a card into an .onnx file, so that CellProfiler, scikit-learn and"
            " stratonet extract can measure with it. The number of planes, the order of"
            " the axes, the side of planes and the widths of outputs are read from the"
            " network; scaling, and everything else that the network does not say, is"
            " taken from the card of other weights."
        ),
        epilog="Example: stratonet card my.onnx --output measuring.onnx",
    )
    command.set_defaults(
        run=_write_card,
        flags={"planes": "--multiply and --subtract"},
        modules=("stratonet.card_writer", "stratonet.checks"),
        when_interrupted="No card was written.",
    )
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
            "an output that gives features, with a short name for it; can be given more"
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
        help="factor for grey values in [0, 1], one for all planes or one for each",
    )
    command.add_argument(
        "--subtract",
        type=_parse_numbers,
        metavar="A,...",
        help=(
            "what is then subtracted: one number for each plane; write negative numbers"
            " after an equals sign, as in --subtract=-1,-1,-1"
        ),
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


def _write_card(options: argparse.Namespace) -> None:
    """Write the card into a network and name its feature set id."""
    from stratonet.card import Planes
    from stratonet.card_writer import describe_network, write_card
    from stratonet.checks import check_card
    from stratonet.weights_file import read_card, read_feature_set_id

    planes = None
    if options.multiply or options.subtract:
        usual = read_card(options.like).planes
        planes = Planes(
            options.multiply or usual.multiply, options.subtract or usual.subtract
        )
    card = describe_network(
        options.network,
        options.like,
        options.name,
        options.version,
        dict(options.taps) if options.taps else None,
        options.sizes,
        planes,
        options.licence,
    )
    # A card that could not be used for measuring is refused before it is written.
    try:
        check_card(card)
    except AssertionError as error:
        raise ValueError(str(error)) from None
    output = options.output or options.network
    write_card(options.network, card, output)
    print(
        f"{card.to_json()}\n{output} has this card. Its feature set id is"
        f" {read_feature_set_id(output)}.\nCheck the network in Python:"
        f" from stratonet.checks import check_network; check_network({str(output)!r})"
    )


def _parse_tap(text: str) -> tuple[str, str | None]:
    """Return layer and alias of ``LAYER`` or ``LAYER=ALIAS``."""
    layer, _, alias = text.partition("=")
    return layer, alias or None


def _parse_sizes(text: str) -> tuple[int, ...]:
    sizes = text.split(",")
    if not all(size.isdecimal() and int(size) for size in sizes):
        raise argparse.ArgumentTypeError(
            f"expected sides in pixels, for example 224 or 64,96. Received: {text}"
        )
    return tuple(map(int, sizes))


def _parse_numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected numbers, for example 0.5 or 0.5,0.5,0.5. Received: {text}"
        ) from None


def _parse_factors(text: str) -> float | tuple[float, ...]:
    """Return one factor for all planes, or one for each."""
    factors = _parse_numbers(text)
    return factors[0] if len(factors) == 1 else factors
