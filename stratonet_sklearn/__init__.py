"""StratoNet for scikit-learn: features of images, and how good features are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stratonet_sklearn.lazy import SKLEARN, load_export

if TYPE_CHECKING:
    from stratonet_sklearn.evaluation.classification import evaluate
    from stratonet_sklearn.evaluation.splits import split
    from stratonet_sklearn.projection import fit_projection
    from stratonet_sklearn.report.report import write_report
    from stratonet_sklearn.resampling import StratifiedResampler
    from stratonet_sklearn.transformer import StratoFeatureTransformer

__all__ = [
    "StratifiedResampler",
    "StratoFeatureTransformer",
    "evaluate",
    "fit_projection",
    "split",
    "write_report",
]

_MODULES = {
    "StratifiedResampler": "resampling",
    "StratoFeatureTransformer": "transformer",
    "evaluate": "evaluation.classification",
    "fit_projection": "projection",
    "split": "evaluation.splits",
    "write_report": "report.report",
}
_EXTRAS = {"StratoFeatureTransformer": SKLEARN}


def __getattr__(name: str) -> object:
    return load_export(__name__, _MODULES, name, _EXTRAS)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
