"""Check that pixels are scaled as those from which the start weights have learnt.

Training would have to undo another scaling, and the card of the exported network would
state it.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import keras
import numpy as np

from training.config import Config


class InputScaling(NamedTuple):
    """The scaling of pixels in [0, 1] to the input of a network, as in `Config`.

    Attributes
    ----------
    multiply : float, or tuple of float
        One factor for all planes; weights files may have one for each.
    subtract : tuple of 3 floats
        One per plane, in the order of the network's planes.
    bgr : bool or None
        Whether blue comes first; None if unknown.
    """

    multiply: float | tuple[float, ...]
    subtract: tuple[float, ...]
    bgr: bool | None = None


PUBLISHED = InputScaling(255.0, (103.939, 116.779, 123.68), True)


def find_application_scaling(application: str) -> InputScaling | None:
    """Find the scaling that a network of ``keras.applications`` was trained with.

    Parameters
    ----------
    application : str
        Its name.

    Returns
    -------
    InputScaling or None
        None if each plane has its own factor, which a configuration cannot express.
    """
    module = sys.modules[getattr(keras.applications, application).__module__]
    black, red, white = np.eye(3)[0] * 0, np.eye(3)[0] * 255, np.full(3, 255.0)
    pixels = np.stack([black, red, white]).astype(np.float32)
    black, red, white = module.preprocess_input(pixels[None, None])[0, 0]
    factors = white - black
    if not np.allclose(factors, factors[0], rtol=1e-5):
        return None
    subtract = tuple(round(-float(value), 4) + 0.0 for value in black)
    # Red changes its own plane, and no other.
    return InputScaling(
        round(float(factors[0]), 4), subtract, bool(np.argmax(red - black) == 2)
    )


def refuse_other_scaling(config: Config, scaling: InputScaling, source: str) -> None:
    """Refuse a configuration whose scaling differs from that of its start weights.

    Parameters
    ----------
    config : Config
        Configuration of the run.
    scaling : InputScaling
        Scaling of the weights.
    source : str
        Origin of the weights, for the message.

    Raises
    ------
    ValueError
        The two differ; the message has the lines to write.
    """
    wanted = dict(zip(("multiply", "subtract", "bgr"), scaling))
    if scaling.bgr is None:
        del wanted["bgr"]
    same = [
        np.allclose(np.asarray(getattr(config, name), float), np.asarray(value, float))
        for name, value in wanted.items()
    ]
    if all(same):
        return
    lines = [f"{name} = {_write_toml(value)}" for name, value in wanted.items()]
    raise ValueError(
        f"start: {source} has learnt from pixels scaled by {', '.join(lines)}."
        f" Write these into the configuration. Received: multiply = {config.multiply},"
        f" subtract = {list(config.subtract)}, bgr = {_write_toml(config.bgr)}"
    )


def _write_toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else str(value)
