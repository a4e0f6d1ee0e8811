"""The shared trained StratoNet: from a plane of pixels to features, the same numbers from every door."""

from .card import Card, Planes, Scaling, Tap
from .network import StratoNet

__version__ = "0.1.0"
__all__ = ["Card", "Planes", "Scaling", "StratoNet", "Tap", "__version__"]
