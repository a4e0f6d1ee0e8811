"""Write a card into a network of your own, so that it can measure images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stratonet import _onnx
from stratonet.card import Card, Planes, Tap
from stratonet.files.atomic import write_atomically
from stratonet.preprocessing import to_planes
from stratonet.weights_file import read_card

if TYPE_CHECKING:
    import onnxruntime

# What a card says of unknown facts. These are never copied from another card.
UNKNOWN = "not stated"
# No network takes more planes than this: longer axes are heights or widths.
MOST_PLANES = 4


@dataclass(frozen=True)
class _Signature:
    """Input and outputs of a network, as far as its file fixes them."""

    layout: str | None
    planes: int | None
    side: int | None
    outputs: tuple[str, ...]


def describe_network(
    path: str | os.PathLike[str],
    like: str | os.PathLike[str] = "stratonet50",
    name: str | None = None,
    version: str = "1",
    taps: Mapping[str, str | None] | None = None,
    sizes: Sequence[int] = (),
    planes: Planes | None = None,
    licence: str = UNKNOWN,
) -> Card:
    """Make the card of a network from what its file says and from another card.

    Parameters
    ----------
    path : str or path
        An ``.onnx`` file, with or without a card.
    like : str or path
        Name or path of the weights whose scaling, resizing, planes and input size are
        taken, where the network and the arguments below do not say otherwise.
    name : str, optional
        Of the network. Default: that of its file.
    version : str
        Of the network.
    taps : mapping of str to str or None, optional
        Outputs of the network that are features, each with its alias, or with None.
        Default: all outputs, without aliases.
    sizes : sequence of int
        Sides in pixels that the network takes; the first is used where none is chosen.
        Default: what the network fixes.
    planes : Planes, optional
        How grey becomes the planes that the network takes.
    licence : str
        Of the weights.

    Returns
    -------
    Card

    Raises
    ------
    FileNotFoundError
        No such file or weights.
    ValueError
        The file holds no network, or its outputs are not features; the message says
        what was received.
    """
    path = Path(path)
    # Only the processing of planes is copied from it: this network was not trained on
    # the same data.
    template = read_card(like)
    signature = _read_signature(path)
    origin = "`planes` make"
    if planes is None:
        planes = template.planes
        origin = f"the card of {like} makes"
    if signature.planes not in (None, planes.count):
        raise ValueError(
            f"{path} takes {signature.planes} planes, and {origin} {planes.count}. Give"
            " `planes` with one number to subtract for each."
        )
    if not sizes:
        sizes = (signature.side,) if signature.side else template.allowed_sizes
    card = Card(
        name=name or path.stem,
        version=version,
        architecture=UNKNOWN,
        taps=(),
        input_size=sizes[0],
        input_sizes=tuple(sizes) if len(sizes) > 1 else (),
        resize=template.resize,
        scaling=template.scaling,
        planes=planes,
        trained_on=UNKNOWN,
        trained_from=UNKNOWN,
        metrics={},
        licence=licence,
        citation=UNKNOWN,
        layout=signature.layout or template.layout,
    )
    # Widths come last: measuring them needs the planes that the card describes.
    aliases = dict.fromkeys(signature.outputs) if taps is None else taps
    return replace(card, taps=_measure_taps(path, card, signature, aliases))


def write_card(
    path: str | os.PathLike[str],
    card: Card,
    output: str | os.PathLike[str] | None = None,
) -> None:
    """Write a card into an ``.onnx`` file, completely or not at all.

    Parameters
    ----------
    path : str or path
        The network. Everything else in the file stays as it is.
    card : Card
        Replaces the card that the file has, if any.
    output : str or path, optional
        Where to write. Default: over ``path``.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Not an ``.onnx`` file.
    OSError
        It cannot be written.
    """
    path = Path(path)
    model = _parse_network(path)
    _onnx.set_metadata(model, _onnx.CARD, card.to_json())
    with write_atomically(Path(output or path)) as unfinished:
        unfinished.write_bytes(model.SerializeToString())


def _parse_network(path: Path) -> Any:
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: give an .onnx file.")
    try:
        model = _onnx.read_model(path.read_bytes())
    except DecodeError:
        model = None
    # Files of another format may be parsed as a model with nothing in it.
    if model is None or not _onnx.list_outputs(model):
        raise ValueError(f"{path} is not an .onnx file with a network.")
    return model


def _read_signature(path: Path) -> _Signature:
    _parse_network(path)
    session = _open_session(path)
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) not in (0, 4):
        shapes = ", ".join(f"{value.name} {value.shape}" for value in inputs)
        raise ValueError(
            f"{path}: a network has one input with four axes, the planes. Received:"
            f" {shapes or 'none'}"
        )
    lengths = [
        length if isinstance(length, int) else None for length in inputs[0].shape
    ]
    outputs = tuple(value.name for value in session.get_outputs())
    layout, planes, side = _read_axes(lengths or [None] * 4)
    return _Signature(layout, planes, side, outputs)


def _read_axes(
    lengths: Sequence[int | None],
) -> tuple[str | None, int | None, int | None]:
    """Return layout, number of planes and side, as far as the axes' lengths tell."""
    _, second, third, fourth = lengths
    if second is not None and second <= MOST_PLANES:
        return "NCHW", second, third
    if fourth is not None and fourth <= MOST_PLANES:
        return "NHWC", fourth, third
    return None, None, third


def _measure_taps(
    path: Path, card: Card, signature: _Signature, aliases: Mapping[str, str | None]
) -> tuple[Tap, ...]:
    """Run the network once, to see how wide its outputs are."""
    missing = [layer for layer in aliases if layer not in signature.outputs]
    if missing:
        raise ValueError(
            f"{path} has no output {', '.join(missing)}. Its outputs:"
            f" {', '.join(signature.outputs)}"
        )
    # In the order of the network, whatever order they are named in.
    layers = [layer for layer in signature.outputs if layer in aliases]
    session = _open_session(path)
    grey = np.zeros((card.input_size, card.input_size), np.float32)
    (planes,) = session.get_inputs()
    outputs = session.run(layers, {planes.name: to_planes(grey, card)})
    for layer, output in zip(layers, outputs):
        if output.ndim != 2 or len(output) != 1:
            raise ValueError(
                f"{path}: a tap gives (n, width) for n planes. Received of {layer} for"
                f" one plane: {output.shape}. Average it in the network, for example"
                " over its tokens or over height and width, or choose other outputs."
            )
    return tuple(
        Tap(layer, output.shape[1], aliases[layer])
        for layer, output in zip(layers, outputs)
    )


def _open_session(path: Path) -> onnxruntime.InferenceSession:
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
