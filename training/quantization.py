"""Convert a weights file to 8-bit integers: much faster, with nearly the same features.

Weights and maps become 8-bit integers; the step size of each map is chosen on images
(static quantization of ONNX Runtime, per channel of the weights). The first
convolution, of three channels, stays as it is: it takes little time, and its input is
the grey values themselves.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime import quantization

from stratonet import Card, Planes, StratoNet
from stratonet.files.atomic import write_atomically
from stratonet.weights_file import find_weights, read_card
from training.calibration import Example, draw_examples, show_examples
from training.equalization import Graph, equalize_channels

# One in so many images is used for comparison, not for calibration.
HELD_OUT = 4
# Correlations over fewer images would say nothing.
FEWEST_COMPARED = 12
# Values of a map beyond this percentile are clipped: one that is far brighter than all
# others would cost the others precision.
PERCENTILE = 99.999
# Processor features that multiply 8-bit integers in one step, as named by Linux in
# /proc/cpuinfo.
FAST_ON = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


@dataclass(frozen=True)
class Comparison:
    """How features in 8 bits correlate with those of the original weights file.

    Attributes
    ----------
    recipe : str
        The recipe by which both were measured.
    correlations : numpy.ndarray (n features,)
        Over the images not used for calibration; without constant features.
    """

    recipe: str
    correlations: np.ndarray

    @property
    def median(self) -> float:
        """The median of the correlations."""
        return float(np.median(self.correlations))

    @property
    def low(self) -> float:
        """The 5th percentile of the correlations."""
        return float(np.percentile(self.correlations, 5))


def quantize_weights(
    weights: str | os.PathLike[str],
    folders: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    name: str | None = None,
    sources: str | None = None,
    seed: int = 0,
) -> tuple[Card, list[Comparison]]:
    """Write a weights file of 8-bit integers, completely or not at all.

    Parameters
    ----------
    weights : str or path
        Name or path of the weights to start from, with gates or without.
    folders : sequence of str or path
        Images of one grey plane, similar to those that will be measured; subfolders are
        included. The same number is drawn from each folder.
    output : str or path
        The ``.onnx`` file to write.
    name : str, optional
        Name of the network. Default: that of the weights, with ``-int8``.
    sources : str, optional
        What the card says about the images: where they are from, and their licences.
        Default: the names of the folders.
    seed : int
        Seed of the draw of images.

    Returns
    -------
    card : Card
        Card of the new file.
    comparisons : list of Comparison
        One per recipe that the card recommends, on every fourth image, which was not
        used for calibration. Empty if there are fewer than 48 images: then all are used
        for calibration.

    Raises
    ------
    FileNotFoundError
        There are no such weights, or no images.
    ValueError
        The weights have 8 bits already, or no image can be read.
    """
    file = find_weights(weights)
    card = read_card(weights)
    if card.fast_on:
        raise ValueError(
            f"{weights} has 8-bit integers already: give the weights it was made from."
        )
    examples = draw_examples(folders, card, seed)
    calibrated, compared = _hold_out(examples)
    model, card = join_planes(onnx.load(file.path), card)
    model = quantize_model(model, list(show_examples(calibrated, card)))
    image_sources = sources or ", ".join(Path(folder).name for folder in folders)
    card = replace(
        card,
        name=name or f"{card.name}-int8",
        architecture=f"{card.architecture}; in 8-bit integers but for the first layer",
        trained_on=f"{card.trained_on} Calibrated for 8 bits on: {image_sources}.",
        fast_on=FAST_ON,
    )
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.onnx"
        _write_model(model, card, draft)
        comparisons = compare_weights(weights, draft, compared)
    card = replace(card, metrics={**card.metrics, **_list_metrics(comparisons)})
    with write_atomically(output) as unfinished:
        _write_model(model, card, unfinished)
    return card, comparisons


def _hold_out(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Divide examples into those for calibration and those for comparison."""
    if len(examples) < 2 * HELD_OUT * FEWEST_COMPARED:
        return list(examples), []
    calibrated: list[Example] = []
    compared: list[Example] = []
    for number, example in enumerate(examples):
        # The two examples of an image stay together.
        is_compared = number // 2 % HELD_OUT == 0
        (compared if is_compared else calibrated).append(example)
    return calibrated, compared


def join_planes(model: onnx.ModelProto, card: Card) -> tuple[onnx.ModelProto, Card]:
    """Make the first convolution take grey and ones, instead of planes made from grey.

    All planes are ``grey * multiply - subtract``, and a convolution is linear: its
    weights are joined into those for two planes, which takes two thirds of the work if
    there were three. A plane of ones, not an offset, because padding makes both ones
    and planes 0 beyond the border.

    Parameters
    ----------
    model : onnx.ModelProto
        Network with channels first. It is not changed.
    card : Card
        Says how planes are made.

    Returns
    -------
    model : onnx.ModelProto
        Unchanged if there are no more than two planes, or if the first operation is not
        a convolution.
    card : Card
        Card of that network.
    """
    joined = onnx.ModelProto()
    joined.CopyFrom(model)
    graph = Graph(joined)
    (model_input,) = joined.graph.input
    readers = graph.readers[model_input.name]
    is_simple = [node.op_type for node in readers] == ["Conv"]
    if card.planes.count <= 2 or card.layout != "NCHW" or not is_simple:
        return joined, card
    kernel = graph.weights[readers[0].input[1]]
    weights = numpy_helper.to_array(kernel).astype(float)
    multiply = np.broadcast_to(card.planes.multiply, card.planes.count)
    grey_weights = np.einsum("oihw,i->ohw", weights, multiply)
    ones_weights = -np.einsum("oihw,i->ohw", weights, card.planes.subtract)
    joined_weights = np.stack([grey_weights, ones_weights], axis=1).astype(np.float32)
    kernel.CopyFrom(numpy_helper.from_array(joined_weights, kernel.name))
    model_input.type.tensor_type.shape.dim[1].dim_value = 2
    planes = Planes(multiply=(1.0, 0.0), subtract=(0.0, -1.0))
    return joined, replace(card, planes=planes)


def quantize_model(
    model: onnx.ModelProto, planes: Sequence[np.ndarray]
) -> onnx.ModelProto:
    """Quantize a network to 8-bit integers.

    Parameters
    ----------
    model : onnx.ModelProto
        Network in float32. It is not changed.
    planes : sequence of numpy.ndarray (1, ...), float32
        Input for the calibration.

    Returns
    -------
    onnx.ModelProto
        Network with pairs of QuantizeLinear and DequantizeLinear (QDQ), which ONNX
        Runtime and others turn into operations on integers.
    """
    equalized = equalize_channels(model, planes)
    graph = Graph(equalized)
    # ReLU is fused with the operation before it: two roundings become one.
    types = ["Conv", "Relu", "Add"]
    if any(map(graph.is_gating, equalized.graph.node)):
        types.append("Mul")
    with tempfile.TemporaryDirectory() as folder:
        path, int8_path = Path(folder) / "equal.onnx", Path(folder) / "int8.onnx"
        onnx.save(equalized, path)
        with _silence_onnxruntime():
            quantization.quantize_static(
                path,
                int8_path,
                _Planes(equalized.graph.input[0].name, planes),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=types,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=_list_float_nodes(graph),
                calibrate_method=quantization.CalibrationMethod.Percentile,
                extra_options={
                    "CalibPercentile": PERCENTILE,
                    # One plane at a time: the maps of all would not fit into memory.
                    "CalibStridedMinMax": 1,
                },
            )
        return onnx.load(int8_path)


def _list_float_nodes(graph: Graph) -> list[str]:
    """List the nodes that stay in float32."""
    first = graph.convolutions[0].name
    gates = [node.name for node in graph.convolutions if not graph.reads_map(node)]
    products = [
        node.name
        for node in graph.model.graph.node
        if node.op_type == "Mul" and not graph.is_gating(node)
    ]
    return [first, *gates, *products]


class _Planes(quantization.CalibrationDataReader):
    """Reads calibration planes for ONNX Runtime."""

    def __init__(self, input_name: str, planes: Sequence[np.ndarray]) -> None:
        self._input_name, self._planes = input_name, planes
        self.set_range(0, len(planes))

    def __len__(self) -> int:
        return len(self._planes)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._range = iter(self._planes[start_index:end_index])

    def get_next(self) -> dict[str, np.ndarray] | None:
        plane = next(self._range, None)
        return None if plane is None else {self._input_name: plane}


@contextlib.contextmanager
def _silence_onnxruntime() -> Iterator[None]:
    """Suppress what ONNX Runtime prints for each plane, and its advice."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _write_model(model: onnx.ModelProto, card: Card, path: Path) -> None:
    model.producer_name = "stratonet"
    model.producer_version = ""
    onnx.helper.set_model_props(model, {"card": card.to_json()})
    onnx.checker.check_model(model)
    onnx.save(model, path)


def compare_weights(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str],
    examples: Sequence[Example],
) -> list[Comparison]:
    """Compare the features of two weights files, recipe by recipe.

    Parameters
    ----------
    first, second : str or path
        Weights of networks with the same taps.
    examples : sequence of Example
        Examples to measure.

    Returns
    -------
    list of Comparison
    """
    comparisons = []
    for recipe in dict.fromkeys(example.recipe for example in examples):
        chosen = [example for example in examples if example.recipe == recipe]
        if len(chosen) < FEWEST_COMPARED:
            continue
        features = [
            StratoNet.load(file, recipe=recipe).features(
                example.read() for example in chosen
            )
            for file in (first, second)
        ]
        comparisons.append(Comparison(recipe.text, correlate_features(*features)))
    return comparisons


def correlate_features(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlate two measurements of each feature over images.

    Parameters
    ----------
    first, second : numpy.ndarray (n images, n features)
        Features of the same images.

    Returns
    -------
    numpy.ndarray
        One correlation per feature that is not constant in ``first``.

    Examples
    --------
    >>> first = np.array([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    >>> correlate_features(first, 2 * first).round(6).tolist()
    [1.0]
    """
    first, second = first.astype(float), second.astype(float)
    varies = first.std(axis=0) > 1e-6 * np.abs(first).mean(axis=0)
    first, second = (
        values[:, varies] - values[:, varies].mean(axis=0) for values in (first, second)
    )
    products = (first * second).sum(axis=0)
    lengths = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    # Features that became constant in 8 bits get a correlation of 0.
    return products / np.maximum(lengths, np.finfo(float).tiny)


def _list_metrics(comparisons: Sequence[Comparison]) -> dict[str, float]:
    metrics = {}
    for each in comparisons:
        metrics[f"{each.recipe} correlation, median"] = round(each.median, 4)
        metrics[f"{each.recipe} correlation, 5th percentile"] = round(each.low, 4)
    return metrics
