"""The shared trained StratoNet.

It turns a plane of pixels into features. CellProfiler, scikit-learn and the command
line all call it, so they give the same numbers.

>>> import numpy as np
>>> from stratonet import StratoNet
>>> plane = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
>>> StratoNet.load(taps="low", recipe="whole224").features(plane).shape
(1, 512)
"""

from __future__ import annotations

from stratonet.card import Card, Planes, Scaling, Tap
from stratonet.limits import PlateLimits
from stratonet.network import StratoNet
from stratonet.recipe import Recipe
from stratonet.views import Tiles, WholePlane

__version__ = "0.1.0"
__all__ = [
    "Card",
    "Planes",
    "PlateLimits",
    "Recipe",
    "Scaling",
    "StratoNet",
    "Tap",
    "Tiles",
    "WholePlane",
    "__version__",
]
