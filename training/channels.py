"""Put channels first in a graph, as ONNX Runtime does, in place of Keras's order.

tf2onnx transposes the axes at every operation that it does not know to be independent
of their order. Each transposition takes time, and keeps ONNX Runtime from using its
own, faster order.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from stratonet import Card


def put_channels_first(graph: onnx.GraphProto, card: Card) -> None:
    """Remove transpositions from a graph, and name the axes of variable length.

    Parameters
    ----------
    graph : onnx.GraphProto
        From tf2onnx, with channels last. It is changed in place.
    card : Card
        Describes the input.
    """
    _remove_input_transpose(graph)
    _remove_gate_transposes(graph)
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


def _remove_input_transpose(graph: onnx.GraphProto) -> None:
    """Remove the transposition that follows the input."""
    (planes,) = graph.input
    (transpose,) = (node for node in graph.node if planes.name in node.input)
    _replace_input(graph, transpose.output[0], planes.name)
    graph.node.remove(transpose)


def _remove_gate_transposes(graph: onnx.GraphProto) -> None:
    """Multiply by gates (n, channels, 1, 1); drop the transpositions around that."""
    makers = {name: node for node in graph.node for name in node.output}
    for node in list(graph.node):
        makers_by_type = {
            makers[name].op_type: makers[name] for name in node.input if name in makers
        }
        if node.op_type == "Conv" and "Reshape" in makers_by_type:
            _drop_means_shape(graph, makers_by_type["Reshape"], makers)
        if node.op_type != "Mul" or set(makers_by_type) != {"Transpose", "Reshape"}:
            continue
        transpose, gates = makers_by_type["Transpose"], makers_by_type["Reshape"]
        (transpose_back,) = (
            other for other in graph.node if node.output[0] in other.input
        )
        gates.input[1] = _add_shape(graph, gates.input[1])
        node.input[:] = [transpose.input[0], gates.output[0]]
        node.output[0] = transpose_back.output[0]
        graph.node.remove(transpose)
        graph.node.remove(transpose_back)


def _drop_means_shape(
    graph: onnx.GraphProto, node: onnx.NodeProto, makers: dict[str, onnx.NodeProto]
) -> None:
    """Remove a reshape that follows means which already have that shape."""
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
    """Add the shape (n, channels, 1, 1) for a shape with channels last."""
    values = {value.name: value for value in graph.initializer}
    channels = int(numpy_helper.to_array(values[old]).max())
    name = f"gates_of_{channels}"
    if name not in values:
        shape = np.array([-1, channels, 1, 1], np.int64)
        graph.initializer.append(numpy_helper.from_array(shape, name))
    return name
