"""StratoNet for scikit-learn."""

from importlib import import_module

from stratonet_sklearn.transformer import StratoFeatureTransformer

# The evaluation needs more than the transformer: the extra `evaluate`.
_EVALUATION = {
    "StratifiedResampler": "resampling",
    "evaluate": "evaluation.classification",
    "fit_projection": "projection",
    "split": "evaluation.splits",
}

__all__ = ["StratoFeatureTransformer", *_EVALUATION]


def __getattr__(name):
    if name not in _EVALUATION:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f".{_EVALUATION[name]}", __name__), name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{name} needs the package {error.name}: install stratonet[evaluate]."
        ) from None
