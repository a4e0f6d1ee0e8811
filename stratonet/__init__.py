"""The shared trained StratoNet.

From a plane of pixels to features, the same numbers from every door.
"""

from stratonet.card import Card, Planes, Scaling, Tap
from stratonet.network import StratoNet

__version__ = "0.1.0"
__all__ = ["Card", "Planes", "Scaling", "StratoNet", "Tap", "__version__"]
