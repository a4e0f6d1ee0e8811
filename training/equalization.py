"""Bring channels to similar ranges, so that one step of 8 bits suits all of them.

In 8 bits all channels of a tensor share one step. A channel that is a hundred times
weaker than the strongest would have two or three values. A positive factor on a channel
passes through ReLU, pooling and addition, so the convolutions before and after can
absorb it: the network stays the same, and its channels become similar (Nagel et al.
2019, Data-free quantization through weight equalization, arXiv:1906.04721).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

# A factor passes through these operations: input and output share their channels.
LINKS = ("Relu", "Pad", "Add", "Sub", "GlobalAveragePool", "Squeeze", "Sqrt")
# Larger factors gain hardly anything, and weights lose digits.
LARGEST_FACTOR = 16.0
# As a share of the median channel: gives channels that were never active some range.
SMALLEST_PEAK = 1e-3


class Graph:
    """A network, with groups of tensors that share their channels.

    Parameters
    ----------
    model : onnx.ModelProto
        The network. `_scale_group` changes it.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        graph = model.graph
        self.weights = {value.name: value for value in graph.initializer}
        self.makers = {name: node for node in graph.node for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.convolutions = [node for node in graph.node if node.op_type == "Conv"]
        self._parents: dict[str, str] = {}
        for node in graph.node:
            linked = self._list_linked(node)
            for name in linked[1:]:
                self._parents[self.find_group(linked[0])] = self.find_group(name)

    def find_group(self, tensor: str) -> str:
        """Return the name of the group that a tensor belongs to."""
        while tensor in self._parents and self._parents[tensor] != tensor:
            tensor = self._parents[tensor]
        return tensor

    def list_maps(self) -> list[str]:
        """List the tensors that are stored in 8 bits: those that convolutions read."""
        names = []
        for node in self.model.graph.node:
            if node.op_type in ("Conv", "Add", "MaxPool") or self.is_gating(node):
                names.append(self._skip_relu(node.output[0]))
        return names

    def is_gating(self, node: onnx.NodeProto) -> bool:
        """Tell whether a node multiplies a map by gates."""
        return node.op_type == "Mul" and any(map(self._is_gate, node.input))

    def reads_map(self, node: onnx.NodeProto) -> bool:
        """Tell whether a convolution reads a map, not its means (as gates do)."""
        maker = self.makers.get(node.input[0])
        return maker is None or maker.op_type not in ("GlobalAveragePool", "Reshape")

    def is_scalable(self, group: str) -> bool:
        """Tell whether all nodes that write or read a group can absorb a factor."""
        if self.find_group(self.model.graph.input[0].name) == group:
            return False
        for node in self.model.graph.node:
            if node.op_type == "Conv" or self._list_linked(node):
                continue
            reads = any(self.find_group(name) == group for name in node.input)
            makes = self.find_group(node.output[0]) == group
            if reads or (makes and node.op_type != "MaxPool"):
                return False
        return True

    def _list_linked(self, node: onnx.NodeProto) -> list[str]:
        """List the tensors of a node that share their channels."""
        maps = [name for name in node.input if name and name not in self.weights]
        if node.op_type in LINKS or self._is_shaping(node):
            return [*maps, node.output[0]]
        if node.op_type == "Mul" and len(set(node.input)) == 1:
            return [maps[0], node.output[0]]
        if self.is_gating(node):
            gated = [name for name in maps if not self._is_gate(name)]
            return [*gated, node.output[0]]
        return []

    def _is_gate(self, tensor: str) -> bool:
        """Tell whether a tensor holds gates: the output of a sigmoid, in any shape."""
        maker = self.makers.get(tensor)
        while maker is not None and maker.op_type in ("Reshape", "Transpose"):
            maker = self.makers.get(maker.input[0])
        return maker is not None and maker.op_type == "Sigmoid"

    def _is_shaping(self, node: onnx.NodeProto) -> bool:
        """Tell whether a node reshapes means for their subtraction from a map."""
        readers = self.readers.get(node.output[0], [])
        return node.op_type == "Reshape" and {"Sub"} == {
            reader.op_type for reader in readers
        }

    def _skip_relu(self, tensor: str) -> str:
        readers = self.readers.get(tensor, [])
        if len(readers) == 1 and readers[0].op_type == "Relu":
            return readers[0].output[0]
        return tensor


def equalize_channels(
    model: onnx.ModelProto, planes: Iterable[np.ndarray]
) -> onnx.ModelProto:
    """Bring the channels of a network's maps to similar ranges.

    Parameters
    ----------
    model : onnx.ModelProto
        Network of convolutions with weights and biases; groups of maps that meet
        operations foreign to residual networks stay as they are. It is not changed.
    planes : iterable of numpy.ndarray (1, ...), float32
        Input on which the network is run.

    Returns
    -------
    onnx.ModelProto
        The same network, except for rounding.
    """
    equalized = onnx.ModelProto()
    equalized.CopyFrom(model)
    graph = Graph(equalized)
    peaks = _measure_peaks(graph, planes)
    for group, factors in _choose_factors(graph, peaks).items():
        _scale_group(graph, group, factors)
    _drop_unused(equalized.graph)
    return equalized


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    for value in list(graph.initializer):
        if value.name not in used:
            graph.initializer.remove(value)


def run_with_maps(
    model: onnx.ModelProto, names: Iterable[str], planes: Iterable[np.ndarray]
) -> Iterator[dict[str, np.ndarray]]:
    """Run a network, and yield the values of some of its tensors.

    Parameters
    ----------
    model : onnx.ModelProto
        Network with one input.
    names : iterable of str
        Names of the tensors.
    planes : iterable of numpy.ndarray
        The inputs, one after the other.

    Yields
    ------
    dict of str to numpy.ndarray
        Tensor name to its values, for each plane.
    """
    names = list(names)
    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    output_names = {value.name for value in extended.graph.output}
    for name in names:
        if name not in output_names:
            value = onnx.helper.make_empty_tensor_value_info(name)
            extended.graph.output.append(value)
    session = onnxruntime.InferenceSession(
        extended.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (model_input,) = session.get_inputs()
    for plane in planes:
        yield dict(zip(names, session.run(names, {model_input.name: plane})))


def _measure_peaks(graph: Graph, planes: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """Measure the largest value of each channel, by group."""
    peaks: dict[str, np.ndarray] = {}
    for maps in run_with_maps(graph.model, graph.list_maps(), planes):
        for name, values in maps.items():
            if values.ndim != 4:
                continue
            largest = np.abs(values).max(axis=(0, 2, 3))
            group = graph.find_group(name)
            earlier = peaks.get(group, largest)
            if earlier.shape == largest.shape:
                peaks[group] = np.maximum(earlier, largest)
    return peaks


def _choose_factors(
    graph: Graph, peaks: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Choose the factor by which each channel of a group is divided."""
    factors = {}
    for group, peak in peaks.items():
        if not peak.any() or not graph.is_scalable(group):
            continue
        peak = np.maximum(peak, SMALLEST_PEAK * np.median(peak[peak > 0]))
        # The maps that are divided and the weights that multiply them back each take
        # half of the difference, since both have 8 bits.
        factor = np.sqrt(peak / _measure_weights(graph, group, len(peak)))
        factor /= np.exp(np.log(factor).mean())
        factors[group] = factor.clip(1 / LARGEST_FACTOR, LARGEST_FACTOR)
    return factors


def _measure_weights(graph: Graph, group: str, width: int) -> np.ndarray:
    """Measure the weights that read each channel, relative to the largest (1)."""
    largest = np.full(width, 1e-6)
    for node in graph.convolutions:
        if graph.find_group(node.input[0]) != group or not graph.reads_map(node):
            continue
        weights = np.abs(numpy_helper.to_array(graph.weights[node.input[1]]))
        rows = weights.max(axis=(1, 2, 3), keepdims=True)
        shares = weights / np.maximum(rows, 1e-12)
        largest = np.maximum(largest, shares.max(axis=(0, 2, 3)))
    return largest


def _scale_group(graph: Graph, group: str, factors: np.ndarray) -> None:
    """Divide the maps of a group, and multiply again where they are read."""
    divide, multiply = 1 / factors, factors
    for node in graph.convolutions:
        if graph.find_group(node.output[0]) == group:
            _scale_weights(graph, node, 1, divide[:, None, None, None])
            if len(node.input) > 2:
                _scale_weights(graph, node, 2, divide)
        if graph.find_group(node.input[0]) == group:
            _scale_weights(graph, node, 1, multiply[None, :, None, None])
    for node in list(graph.model.graph.node):
        # Not the weights before the pooling: a step of 8 bits would move in front of
        # it, where there is four times as much to round, and in a slow layout.
        if node.op_type == "MaxPool" and graph.find_group(node.output[0]) == group:
            _multiply_after(graph, node, divide[:, None, None])
    for value in graph.model.graph.output:
        maker = graph.makers[value.name]
        if graph.find_group(value.name) == group:
            _multiply_after(graph, maker, multiply)


def _scale_weights(
    graph: Graph, node: onnx.NodeProto, position: int, factors: np.ndarray
) -> None:
    old = graph.weights[node.input[position]]
    scaled = numpy_helper.to_array(old) * factors
    # A new tensor, because other nodes may read the old one.
    name = f"{node.name or node.output[0]}/equal/{position}"
    new = numpy_helper.from_array(scaled.astype(np.float32), name)
    if name in graph.weights:
        graph.weights[name].CopyFrom(new)
        return
    graph.model.graph.initializer.append(new)
    graph.weights[name] = graph.model.graph.initializer[-1]
    node.input[position] = name


def _multiply_after(graph: Graph, node: onnx.NodeProto, factors: np.ndarray) -> None:
    """Insert a product after a node, and let the node's readers read the product."""
    output = node.output[0]
    before, name = f"{output}/unequal", f"{output}/factors"
    nodes = graph.model.graph.node
    node.output[0] = before
    product = onnx.helper.make_node(
        "Mul", [before, name], [output], f"{node.name or output}/equal"
    )
    nodes.insert(list(nodes).index(node) + 1, product)
    values = numpy_helper.from_array(factors.astype(np.float32), name)
    graph.model.graph.initializer.append(values)
