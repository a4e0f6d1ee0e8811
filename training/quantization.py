"""A weights file in 8-bit integers: several times as fast, for nearly the same numbers.

Weights and maps become integers of 8 bits; what a step of each map stands for is chosen
on images (static quantization of ONNX Runtime, per channel of the weights). The first
convolution, of three channels, stays as it is: it costs little, and what it sees are
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

# Of so many images one is not calibrated on, but compared.
HELD_OUT = 4
# Fewer images tell nothing of how features go together.
FEWEST_COMPARED = 12
# Of the values of a map, those beyond are cut off: one that is far brighter than all
# others would cost the others their digits.
PERCENTILE = 99.999
# By the names of Linux (/proc/cpuinfo): what multiplies 8-bit integers in one step.
FAST_ON = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


@dataclass(frozen=True)
class Comparison:
    """How the features of 8 bits go together with those of the file itself.

    Attributes
    ----------
    recipe : str
        By which both were measured.
    correlations : numpy.ndarray (n features,)
        Over the images that were not calibrated on; without features that are constant.
    """

    recipe: str
    correlations: np.ndarray

    @property
    def median(self) -> float:
        """Of the correlations."""
        return float(np.median(self.correlations))

    @property
    def low(self) -> float:
        """Their 5th percentile."""
        return float(np.percentile(self.correlations, 5))


def quantize_weights(
    weights: str | os.PathLike[str],
    folders: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    name: str | None = None,
    sources: str | None = None,
    seed: int = 0,
) -> tuple[Card, list[Comparison]]:
    """Write a weights file of 8-bit integers, whole or not at all.

    Parameters
    ----------
    weights : str or path
        Name or path of the weights to start from, with gates or without.
    folders : sequence of str or path
        Images of one grey plane, such as will be measured; folders in them count, too.
        Of each folder as many are drawn.
    output : str or path
        The ``.onnx`` file to write.
    name : str, optional
        Of the network. Default: that of the weights, with ``-int8``.
    sources : str, optional
        What the card says of the images: where they are from, and their licences.
        Default: the names of the folders.
    seed : int
        Of the images that are drawn.

    Returns
    -------
    card : Card
        Of the new file.
    comparisons : list of Comparison
        One per recipe that the card recommends, on every fourth image, which was not
        calibrated on. Empty where there are fewer than 48 images: all are calibrated
        on.

    Raises
    ------
    FileNotFoundError
        No such weights, or no image.
    ValueError
        The weights have 8 bits already, or no image can be read.
    """
    file = find_weights(weights)
    card = read_card(weights)
    if card.fast_on:
        raise ValueError(f"{weights} has 8-bit integers already: give what it is from.")
    examples = draw_examples(folders, card, seed)
    calibrated, compared = _hold_out(examples)
    model, card = join_planes(onnx.load(file.path), card)
    model = quantize_model(model, list(show_examples(calibrated, card)))
    where = sources or ", ".join(Path(folder).name for folder in folders)
    card = replace(
        card,
        name=name or f"{card.name}-int8",
        architecture=f"{card.architecture}; in 8-bit integers but for the first layer",
        trained_on=f"{card.trained_on} Calibrated for 8 bits on: {where}.",
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
    """Divide images into those to calibrate on and those to compare."""
    if len(examples) < 2 * HELD_OUT * FEWEST_COMPARED:
        return list(examples), []
    used: list[Example] = []
    held: list[Example] = []
    for number, example in enumerate(examples):
        # An image's two examples stay together.
        is_held = number // 2 % HELD_OUT == 0
        (held if is_held else used).append(example)
    return used, held


def join_planes(model: onnx.ModelProto, card: Card) -> tuple[onnx.ModelProto, Card]:
    """Make the first convolution take grey and ones, in place of planes made of grey.

    All planes are ``grey * multiply - subtract``, and a convolution is linear: their
    weights become those of two planes, for two thirds of the work where there are
    three. Ones, not an offset: beyond the border they are 0, as the planes are.

    Parameters
    ----------
    model : onnx.ModelProto
        With the channels first. It is not changed.
    card : Card
        Says how planes are made.

    Returns
    -------
    model : onnx.ModelProto
        The same as before where there are no more than two planes, or where the first
        operation is no convolution.
    card : Card
        Of that network.
    """
    joined = onnx.ModelProto()
    joined.CopyFrom(model)
    graph = Graph(joined)
    (taken,) = joined.graph.input
    readers = graph.readers[taken.name]
    is_simple = [node.op_type for node in readers] == ["Conv"]
    if card.planes.count <= 2 or card.layout != "NCHW" or not is_simple:
        return joined, card
    kernel = graph.weights[readers[0].input[1]]
    weights = numpy_helper.to_array(kernel).astype(float)
    multiply = np.broadcast_to(card.planes.multiply, card.planes.count)
    of_grey = np.einsum("oihw,i->ohw", weights, multiply)
    of_ones = -np.einsum("oihw,i->ohw", weights, card.planes.subtract)
    both = np.stack([of_grey, of_ones], axis=1).astype(np.float32)
    kernel.CopyFrom(numpy_helper.from_array(both, kernel.name))
    taken.type.tensor_type.shape.dim[1].dim_value = 2
    planes = Planes(multiply=(1.0, 0.0), subtract=(0.0, -1.0))
    return joined, replace(card, planes=planes)


def quantize_model(
    model: onnx.ModelProto, planes: Sequence[np.ndarray]
) -> onnx.ModelProto:
    """Make a network of 8-bit integers.

    Parameters
    ----------
    model : onnx.ModelProto
        Of float32. It is not changed.
    planes : sequence of numpy.ndarray (1, ...), float32
        What it is calibrated on.

    Returns
    -------
    onnx.ModelProto
        With pairs of QuantizeLinear and DequantizeLinear (QDQ), which ONNX Runtime and
        others turn into operations on integers.
    """
    equal = equalize_channels(model, planes)
    graph = Graph(equal)
    # ReLU belongs to what is before it: two steps of rounding become one.
    types = ["Conv", "Relu", "Add"]
    if any(map(graph.is_gating, equal.graph.node)):
        types.append("Mul")
    with tempfile.TemporaryDirectory() as folder:
        path, made = Path(folder) / "equal.onnx", Path(folder) / "int8.onnx"
        onnx.save(equal, path)
        with _keep_quiet():
            quantization.quantize_static(
                path,
                made,
                _Planes(equal.graph.input[0].name, planes),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=types,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=_list_kept(graph),
                calibrate_method=quantization.CalibrationMethod.Percentile,
                extra_options={
                    "CalibPercentile": PERCENTILE,
                    # One plane at a time: all of their maps would not fit in memory.
                    "CalibStridedMinMax": 1,
                },
            )
        return onnx.load(made)


def _list_kept(graph: Graph) -> list[str]:
    """List the nodes that stay in float32."""
    first = graph.convolutions[0].name
    kept = [node.name for node in graph.convolutions if not graph.reads_map(node)]
    products = [
        node.name
        for node in graph.model.graph.node
        if node.op_type == "Mul" and not graph.is_gating(node)
    ]
    return [first, *kept, *products]


class _Planes(quantization.CalibrationDataReader):
    """Gives planes to ONNX Runtime."""

    def __init__(self, taken: str, planes: Sequence[np.ndarray]) -> None:
        self._taken, self._planes = taken, planes
        self.set_range(0, len(planes))

    def __len__(self) -> int:
        return len(self._planes)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._range = iter(self._planes[start_index:end_index])

    def get_next(self) -> dict[str, np.ndarray] | None:
        plane = next(self._range, None)
        return None if plane is None else {self._taken: plane}


@contextlib.contextmanager
def _keep_quiet() -> Iterator[None]:
    """Leave out what ONNX Runtime prints for each plane, and its advice."""
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
        Of networks with the same taps.
    examples : sequence of Example
        What is measured.

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
        One per feature that is not constant over the first.

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
    # What became constant in 8 bits goes together with nothing.
    return products / np.maximum(lengths, np.finfo(float).tiny)


def _list_metrics(comparisons: Sequence[Comparison]) -> dict[str, float]:
    metrics = {}
    for each in comparisons:
        metrics[f"{each.recipe} correlation, median"] = round(each.median, 4)
        metrics[f"{each.recipe} correlation, 5th percentile"] = round(each.low, 4)
    return metrics
