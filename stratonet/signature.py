"""Check that the input and the outputs of a network are what its card says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stratonet.card import Card
from stratonet.recipe import Recipe

if TYPE_CHECKING:
    import onnxruntime


def check_layers(wanted: Iterable[str], outputs: Sequence[str], path: Path) -> None:
    """Refuse taps that are not outputs of the network.

    Parameters
    ----------
    wanted : iterable of str
        Outputs that the card names.
    outputs : sequence of str
        Names of the network's outputs.
    path : pathlib.Path
        Named in errors.

    Raises
    ------
    ValueError
        The message names these taps, and the outputs that the network has.
    """
    missing = [name for name in wanted if name not in outputs]
    if missing:
        raise ValueError(
            f"{path}: the card names the taps {', '.join(missing)}, which are no"
            f" outputs of the network. Its outputs: {', '.join(outputs)}"
        )


def check_input(
    session: onnxruntime.InferenceSession, card: Card, recipe: Recipe, path: Path
) -> str:
    """Return the name of the network's input, if it is what the card says.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        The open network.
    card : Card
        Its number of planes, and the order of the axes.
    recipe : Recipe
        The sides of planes.
    path : pathlib.Path
        Named in errors.

    Raises
    ------
    ValueError
        The network has several inputs, or one of another shape or type.
    """
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise ValueError(
            f"{path}: a network has one input, the planes. Received: {names or 'none'}"
        )
    (planes,) = inputs
    for side in {view.side for view in recipe.views}:
        expected = [1, side, side, card.planes.count]
        if card.layout == "NCHW":
            expected = [1, card.planes.count, side, side]
        if planes.type != "tensor(float)" or not _fits(planes.shape, expected):
            raise ValueError(
                f"{path}: by its card the network takes {tuple(expected)}, float32"
                f" ({card.layout}; any number of planes at once may stand for 1)."
                f" Received: {tuple(planes.shape)}, {planes.type}"
            )
    return planes.name


def check_outputs(
    session: onnxruntime.InferenceSession, widths: Mapping[str, int], path: Path
) -> None:
    """Refuse outputs that are not as wide as the card says.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        The open network.
    widths : mapping of str to int
        The outputs that are measured, and their number of features.
    path : pathlib.Path
        Named in errors.

    Raises
    ------
    ValueError
        An output has another shape or type.
    """
    outputs = {value.name: value for value in session.get_outputs()}
    for layer, width in widths.items():
        output = outputs[layer]
        if output.type != "tensor(float)" or not _fits(output.shape, [1, width]):
            raise ValueError(
                f"{path}: by its card the tap {layer} gives (n, {width}), float32."
                f" Received: {tuple(output.shape)}, {output.type}. Correct the width in"
                " the card; what is not (n, width) must be averaged in the network."
            )


def _fits(shape: Sequence[int | str | None], expected: Sequence[int]) -> bool:
    """Whether the shape that a network declares admits an array of another shape."""
    # A network may leave some sizes open, as texts or None, or not declare its shape.
    if not shape:
        return True
    return len(shape) == len(expected) and all(
        not isinstance(length, int) or length == wanted
        for length, wanted in zip(shape, expected)
    )
