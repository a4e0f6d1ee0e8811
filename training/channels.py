"""Channels first, as ONNX Runtime computes: Keras's own order is taken out of a graph.

tf2onnx turns the order at every operation that it does not know to be indifferent to
it. Each turn costs time, and keeps ONNX Runtime from its own, faster order.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from stratonet import Card


def put_channels_first(graph: onnx.GraphProto, card: Card) -> None:
    """Take turns of axes out of a graph, and name the sides that are free.

    Parameters
    ----------
    graph : onnx.GraphProto
        From tf2onnx, with channels last. It is changed.
    card : Card
        Says what it takes.
    """
    _turn_input(graph)
    _turn_gates(graph)
    sides = [card.input_size] * 2
    axes = graph.input[0].type.tensor_type.shape.dim
    lengths = [
        "n",
        card.planes.count,
        *(["height", "width"] if card.any_size else sides),
    ]
    for axis, length in zip(axes, lengths):
        axis.Clear()
        if isinstance(length, str):
            axis.dim_param = length
        else:
            axis.dim_value = length


def _turn_input(graph: onnx.GraphProto) -> None:
    """Take away the turn behind the input."""
    (planes,) = graph.input
    (turn,) = (node for node in graph.node if planes.name in node.input)
    _replace_input(graph, turn.output[0], planes.name)
    graph.node.remove(turn)


def _turn_gates(graph: onnx.GraphProto) -> None:
    """Multiply by gates (n, channels, 1, 1), and take away the turns around that."""
    makers = {name: node for node in graph.node for name in node.output}
    for node in list(graph.node):
        made_by = {
            makers[name].op_type: makers[name] for name in node.input if name in makers
        }
        if node.op_type == "Conv" and "Reshape" in made_by:
            _drop_means_shape(graph, made_by["Reshape"], makers)
        if node.op_type != "Mul" or set(made_by) != {"Transpose", "Reshape"}:
            continue
        turn, gates = made_by["Transpose"], made_by["Reshape"]
        (back,) = (other for other in graph.node if node.output[0] in other.input)
        gates.input[1] = _add_shape(graph, gates.input[1])
        node.input[:] = [turn.input[0], gates.output[0]]
        node.output[0] = back.output[0]
        graph.node.remove(turn)
        graph.node.remove(back)


def _drop_means_shape(
    graph: onnx.GraphProto, node: onnx.NodeProto, makers: dict[str, onnx.NodeProto]
) -> None:
    """Take away a change of shape behind means that have it already."""
    maker = makers.get(node.input[0])
    shapes = [value for value in graph.initializer if value.name == node.input[1]]
    is_same = [list(numpy_helper.to_array(shape)[2:]) == [1, 1] for shape in shapes]
    if maker is not None and maker.op_type == "GlobalAveragePool" and is_same == [True]:
        _replace_input(graph, node.output[0], node.input[0])
        graph.node.remove(node)


def _replace_input(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]


def _add_shape(graph: onnx.GraphProto, old: str) -> str:
    """Make the shape (n, channels, 1, 1) of that of channels that come last."""
    values = {value.name: value for value in graph.initializer}
    channels = int(numpy_helper.to_array(values[old]).max())
    name = f"gates_of_{channels}"
    if name not in values:
        shape = np.array([-1, channels, 1, 1], np.int64)
        graph.initializer.append(numpy_helper.from_array(shape, name))
    return name
