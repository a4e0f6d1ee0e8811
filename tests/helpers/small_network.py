"""A StratoNet-18 of random weights, small enough to be made in every test run."""

import keras
import numpy as np

from stratonet import Card, Planes, Scaling, Tap
from training.architecture import build_network

CARD = Card(
    name="small",
    version="0.0.1",
    architecture="StratoNet-18, random",
    taps=(Tap("conv2_block2_out", 64), Tap("conv3_block1_out", 128, "low")),
    input_size=64,
    resize="BOX",
    scaling=Scaling(low=1.0, high=99.0),
    planes=Planes(multiply=2.0, subtract=(0.5, 1.0, 1.5)),
    trained_on="nothing",
    trained_from="random numbers",
    metrics={},
    licence="none",
    citation="none",
)


def build_small_network():
    keras.utils.set_random_seed(3)
    return build_network(
        18, "eca", taps=[tap.layer for tap in CARD.taps], input_size=64
    )


def shake_norms(model):
    """Take batch normalisation off its start, where nothing of it could be folded."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            gamma, beta = rng.uniform(0.5, 1.5, shape), rng.normal(size=shape)
            mean, variance = rng.normal(size=shape), rng.uniform(0.5, 2, shape)
            layer.set_weights([gamma, beta, mean, variance])
    return model
