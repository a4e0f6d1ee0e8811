"""Weights files: where they are, and what they contain.

Nothing here opens a network.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stratonet.card import Card
from stratonet.messages import redact_url
from stratonet.recipe import Recipe

if TYPE_CHECKING:
    PathLike = str | os.PathLike[str]

WEIGHTS = Path(__file__).parent / "weights"


class WeightsFile(NamedTuple):
    """A weights file in one state: time or size change with its content."""

    path: Path
    modified: int  # ns
    size: int  # bytes


def read_card(weights: PathLike = "stratonet50") -> Card:
    """Read the card of weights without opening the network.

    Parameters
    ----------
    weights : str or path
        A name or path, as in `StratoNet.load`.

    Returns
    -------
    Card

    Raises
    ------
    FileNotFoundError, ValueError
        As `StratoNet.load`.

    Examples
    --------
    >>> read_card("stratonet50").input_size
    224
    """
    return _read_card(find_weights(weights))


def read_feature_set_id(
    weights: PathLike = "stratonet50",
    recipe: str | Recipe | None = None,
    crop: int | None = None,
) -> str:
    """Read the feature set id of weights and a recipe without opening the network.

    Parameters
    ----------
    weights : str or path
        A name or path, as in `StratoNet.load`.
    recipe, crop
        As in `StratoNet.load`.

    Returns
    -------
    str
        See `StratoNet`.

    Raises
    ------
    FileNotFoundError, ValueError
        As `StratoNet.load`.

    Examples
    --------
    >>> read_feature_set_id("stratonet50", "whole224/mean").split("-", 3)[3]
    'whole224-mean'
    """
    file = find_weights(weights)
    chosen = _read_card(file).choose_recipe(recipe, crop)
    return f"{_read_weights_id(file)}-{chosen.id}"


def find_weights(weights: PathLike) -> WeightsFile:
    """Find weights by name or path."""
    path = WEIGHTS / f"{weights}.onnx"
    if not path.exists():
        path = Path(weights)
    if not path.is_file():
        shipped = ", ".join(sorted(file.stem for file in WEIGHTS.glob("*.onnx")))
        raise FileNotFoundError(
            f"No weights {redact_url(weights)!r}: give the path of an .onnx weights"
            f" file, or one of: {shipped}."
        )
    path = path.resolve()
    stat = path.stat()
    return WeightsFile(path, stat.st_mtime_ns, stat.st_size)


def parse_weights(content: bytes, path: Path) -> tuple[Any, Card]:
    """Return the model of `stratonet._onnx`, and its card."""
    from google.protobuf.message import DecodeError

    from stratonet import _onnx

    try:
        model = _onnx.read_model(content)
        text = _onnx.read_metadata(model)[_onnx.CARD]
    except (DecodeError, KeyError):
        raise ValueError(
            f"{path} is not a StratoNet weights file (an .onnx file with a card in it)."
        ) from None
    return model, Card.from_json(text)


def make_weights_id(card: Card, content: bytes) -> str:
    """Return the name, the version, and a digest of the whole file."""
    digest = hashlib.sha256(content).hexdigest()
    return f"{card.name}-{card.version}-{digest[:12]}"


@cache
def _read_weights_id(file: WeightsFile) -> str:
    content = file.path.read_bytes()
    _, card = parse_weights(content, file.path)
    return make_weights_id(card, content)


@cache
def _read_card(file: WeightsFile) -> Card:
    _, card = parse_weights(file.path.read_bytes(), file.path)
    return card
