"""How well feature tables separate treatments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stratonet.extras import import_when_used

# For type checkers and editors, which cannot follow `__getattr__`: classification,
# retrieval and comparison need different packages, which take seconds to import.
if TYPE_CHECKING:
    from stratonet_sklearn.evaluation.classification import evaluate
    from stratonet_sklearn.evaluation.comparison import align_tables
    from stratonet_sklearn.evaluation.controls import measure_controls
    from stratonet_sklearn.evaluation.doses import fit_doses
    from stratonet_sklearn.evaluation.hits import find_hits
    from stratonet_sklearn.evaluation.profiles import Profiles, make_profiles
    from stratonet_sklearn.evaluation.recipe import ProfileRecipe
    from stratonet_sklearn.evaluation.retrieval import score_retrieval
    from stratonet_sklearn.evaluation.roles import find_roles
    from stratonet_sklearn.evaluation.scores import Evaluation
    from stratonet_sklearn.evaluation.screen import Screen, read_screen
    from stratonet_sklearn.evaluation.splits import measure_confounding, split

__all__ = [
    "Evaluation",
    "ProfileRecipe",
    "Profiles",
    "Screen",
    "align_tables",
    "evaluate",
    "find_hits",
    "find_roles",
    "fit_doses",
    "make_profiles",
    "measure_confounding",
    "measure_controls",
    "read_screen",
    "score_retrieval",
    "split",
]

# The module that defines each public name.
_HOMES = {
    "Evaluation": "stratonet_sklearn.evaluation.scores",
    "ProfileRecipe": "stratonet_sklearn.evaluation.recipe",
    "Profiles": "stratonet_sklearn.evaluation.profiles",
    "Screen": "stratonet_sklearn.evaluation.screen",
    "align_tables": "stratonet_sklearn.evaluation.comparison",
    "evaluate": "stratonet_sklearn.evaluation.classification",
    "find_hits": "stratonet_sklearn.evaluation.hits",
    "find_roles": "stratonet_sklearn.evaluation.roles",
    "fit_doses": "stratonet_sklearn.evaluation.doses",
    "make_profiles": "stratonet_sklearn.evaluation.profiles",
    "measure_confounding": "stratonet_sklearn.evaluation.splits",
    "measure_controls": "stratonet_sklearn.evaluation.controls",
    "read_screen": "stratonet_sklearn.evaluation.screen",
    "score_retrieval": "stratonet_sklearn.evaluation.retrieval",
    "split": "stratonet_sklearn.evaluation.splits",
}

__getattr__, __dir__ = import_when_used(__name__, _HOMES, "evaluate")
