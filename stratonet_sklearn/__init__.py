"""StratoNet for scikit-learn."""

from .transformer import StratoFeatureTransformer

__all__ = ["StratoFeatureTransformer"]
