"""The choices in making profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

NORMALIZATIONS = ("standardize", "mad_robustize")
TRANSFORMS = (None, "rank")
SPHERINGS = ("auto", True, False)


@dataclass(frozen=True)
class ProfileRecipe:
    """How profiles of wells are made, see `make_profiles`.

    Attributes
    ----------
    normalize : {"standardize", "mad_robustize"}
        What each feature is scaled by on the negative controls of its plate: mean and
        standard deviation, or median and median absolute deviation, which a few odd
        wells do not affect.
    transform : {None, "rank"}
        ``"rank"``: each feature is replaced by the normal scores of its ranks among all
        wells (rank-based inverse normal transform), so that no well is an outlier.
    select : bool
        Whether to leave out features that are unreliable or redundant.
    sphere : {"auto", True, False}
        Whether to remove the correlations that the negative controls have. ``"auto"``:
        if there are at least twice as many controls as features.
    harmonize : str, optional
        The column of batches, such as ``Metadata_Batch``, that are aligned by Harmony.
        It needs the package harmonypy, which does not come with StratoNet.

    Raises
    ------
    ValueError
        A choice is not among these.

    Examples
    --------
    One of the best in JUMP's comparison, except for Harmony:

    >>> recipe = ProfileRecipe(normalize="mad_robustize", transform="rank")
    >>> recipe.select, recipe.sphere
    (True, 'auto')
    >>> ProfileRecipe(normalize="center")
    Traceback (most recent call last):
        ...
    ValueError: `normalize` must be standardize or mad_robustize. Received: 'center'
    """

    normalize: Literal["standardize", "mad_robustize"] = "standardize"
    transform: Literal["rank"] | None = None
    select: bool = True
    sphere: Literal["auto"] | bool = "auto"
    harmonize: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is not a choice: a typing error would pass for the default."""
        _check_choice("normalize", self.normalize, NORMALIZATIONS)
        _check_choice("transform", self.transform, TRANSFORMS)
        _check_choice("select", self.select, (True, False))
        _check_choice("sphere", self.sphere, SPHERINGS)


def _check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    if value not in choices:
        words = " or ".join(str(choice) for choice in choices)
        raise ValueError(f"`{name}` must be {words}. Received: {value!r}")
