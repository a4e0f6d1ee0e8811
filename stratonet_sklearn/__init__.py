"""StratoNet for scikit-learn: image features, and how good features are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stratonet.extras import import_when_used

# For type checkers and editors, which cannot follow `__getattr__`. Importing all of it
# takes seconds, and needs packages that users of the transformer alone do not have.
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

# The module that defines each public name.
_HOMES = {
    "StratifiedResampler": "stratonet_sklearn.resampling",
    "StratoFeatureTransformer": "stratonet_sklearn.transformer",
    "evaluate": "stratonet_sklearn.evaluation.classification",
    "fit_projection": "stratonet_sklearn.projection",
    "split": "stratonet_sklearn.evaluation.splits",
    "write_report": "stratonet_sklearn.report.report",
}

# The transformer needs fewer packages than the rest.
__getattr__, __dir__ = import_when_used(
    __name__, _HOMES, "evaluate", others={"StratoFeatureTransformer": "sklearn"}
)
