"""From a Keras network to a weights file: one ``.onnx`` with the card inside."""

import os
import tempfile
from pathlib import Path

import numpy as np


def export(model, card, path):
    """Write ``model`` and ``card`` to ``path``, atomically.

    Parameters
    ----------
    model : keras.Model
        Outputs ``{layer name: (n, width)}``, as `architecture.build` makes it without
        classes.
    card : Card
    path : str or path
        The ``.onnx`` file to write.

    Raises
    ------
    ValueError
        The card does not describe the model: other taps, widths or input size.
    """
    import onnx  # with tf2onnx behind ``model.export`` a heavy import, of no use to the rest of training

    described = card.input_size, {tap.layer: tap.width for tap in card.taps}
    received = (
        model.input_shape[1],
        {layer: output.shape[1] for layer, output in model.output.items()},
    )
    if described != received:
        raise ValueError(
            f"The card does not describe the model. Card: {described}. Received:"
            f" {received}"
        )
    path = Path(path)
    model(
        np.zeros((1, *model.input_shape[1:]), "float32")
    )  # Keras exports what has been called
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        raw = os.path.join(folder, "raw.onnx")
        model.export(raw, format="onnx", verbose=False)
        graph = onnx.load(raw)
        graph.producer_name = "stratonet"
        # Constants that tf2onnx has folded away may be left behind as inputs (EfficientNet's normalisation).
        used = {name for node in graph.graph.node for name in node.input}
        for value in [value for value in graph.graph.input if value.name not in used]:
            graph.graph.input.remove(value)
        onnx.helper.set_model_props(graph, {"card": card.to_json()})
        onnx.checker.check_model(graph)
        onnx.save(graph, raw)
        os.replace(raw, path)
