"""How well feature tables separate treatments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stratonet_sklearn.lazy import load_export

if TYPE_CHECKING:
    from stratonet_sklearn.evaluation.classification import evaluate
    from stratonet_sklearn.evaluation.comparison import align_tables
    from stratonet_sklearn.evaluation.profiles import Profiles, make_profiles
    from stratonet_sklearn.evaluation.retrieval import score_retrieval
    from stratonet_sklearn.evaluation.scores import Evaluation
    from stratonet_sklearn.evaluation.splits import measure_confounding, split

__all__ = [
    "Evaluation",
    "Profiles",
    "align_tables",
    "evaluate",
    "make_profiles",
    "measure_confounding",
    "score_retrieval",
    "split",
]

_MODULES = {
    "Evaluation": "scores",
    "Profiles": "profiles",
    "align_tables": "comparison",
    "evaluate": "classification",
    "make_profiles": "profiles",
    "measure_confounding": "splits",
    "score_retrieval": "retrieval",
    "split": "splits",
}


def __getattr__(name: str) -> object:
    return load_export(__name__, _MODULES, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
