"""A screen as a whole: controls, hits, doses, and what hits are like."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from stratonet_sklearn.evaluation.controls import Controls, judge_controls
from stratonet_sklearn.evaluation.distances import measure_distances
from stratonet_sklearn.evaluation.doses import find_unit, fit_doses
from stratonet_sklearn.evaluation.headline import word_screen
from stratonet_sklearn.evaluation.hits import combine_doses, list_hits
from stratonet_sklearn.evaluation.likeness import Likeness, compare_hits
from stratonet_sklearn.evaluation.middle_wells import find_middle_wells
from stratonet_sklearn.evaluation.positions import warn_of_positions
from stratonet_sklearn.evaluation.wells import Wells, prepare_wells

AXIS, DISTANCE = "axis", "distance"


@dataclass(frozen=True)
class Screen:
    """The results of a screen, each computed when it is first needed.

    Attributes
    ----------
    wells : Wells
        What was done to each well, and its features on one scale.
    unit : str
        The unit of doses that are written without one.
    seed : int
        For folds and intervals.
    """

    wells: Wells
    unit: str = ""
    seed: int = 0

    @cached_property
    def controls(self) -> Controls:
        """Whether the assay works, see `measure_controls`."""
        return judge_controls(self.wells, self.seed)

    @cached_property
    def responses(self) -> pd.DataFrame:
        """``axis`` and ``distance`` of each well; NaN where they are not known."""
        axis = self.controls.wells["axis"].to_numpy()
        if not self.controls.confirmed:
            axis = np.full(len(axis), np.nan)
        distance = measure_distances(self.wells)
        return pd.DataFrame({AXIS: axis, DISTANCE: distance})

    @cached_property
    def hits(self) -> pd.DataFrame:
        """Which treatments are active, see `list_hits`."""
        return list_hits(self.wells, self.responses[AXIS].to_numpy())

    @cached_property
    def middle_wells(self) -> pd.DataFrame:
        """Which well represents a treatment, see `find_middle_wells`."""
        return find_middle_wells(self.wells, self.responses[DISTANCE])

    @cached_property
    def compounds(self) -> pd.DataFrame:
        """Which compounds are active at any dose, see `combine_doses`."""
        return combine_doses(self.hits)

    @property
    def dose_response(self) -> str:
        """The response whose EC50 counts: the axis where it is confirmed."""
        return AXIS if self.controls.confirmed else DISTANCE

    @cached_property
    def doses(self) -> pd.DataFrame:
        """At which dose compounds act, see `fit_doses`."""
        wells, responses = self.wells, self.responses
        treated, negative = wells.treated, wells.negative
        names = [name for name in responses if responses[name].notna().any()]
        has_dose = treated & (wells.rows["dose"] != "").to_numpy()
        return fit_doses(
            wells.rows.loc[has_dose, "compound"].to_numpy(),
            wells.rows.loc[has_dose, "dose"].to_numpy(),
            {name: responses.loc[has_dose, name].to_numpy() for name in names},
            {name: responses.loc[negative, name].to_numpy() for name in names},
            self.unit,
        )

    @cached_property
    def likeness(self) -> Likeness:
        """What active treatments are like, see `compare_hits`."""
        return compare_hits(self.wells, self.hits)

    @cached_property
    def warnings(self) -> list[str]:
        """What speaks against the hits, in sentences."""
        return warn_of_positions(self.hits, self.wells)

    @cached_property
    def headline(self) -> str:
        """What to read first, in one sentence."""
        return word_screen(
            self.controls, self.hits, self.compounds, self.doses, self.dose_response
        )


def read_screen(
    metadata: pd.DataFrame,
    features: pd.DataFrame | np.ndarray,
    negative: ArrayLike | None = None,
    positive: ArrayLike | None = None,
    compound: str | None = None,
    dose: str | None = None,
    label: str | None = None,
    counts: ArrayLike | None = None,
    empty: ArrayLike | None = None,
    seed: int = 0,
) -> Screen:
    """Read a screen: controls, hits and doses are then computed when they are needed.

    Parameters
    ----------
    metadata, features, negative, positive, compound, dose, label, counts, empty
        As `stratonet_sklearn.evaluation.wells.prepare_wells` takes them.
    seed : int
        For folds and intervals.

    Returns
    -------
    Screen

    Raises
    ------
    ValueError
        See `prepare_wells`.

    Examples
    --------
    >>> wells = [f"{row}{column:02d}" for row in "ABCD" for column in range(1, 13)]
    >>> metadata = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": wells})
    >>> metadata["Metadata_Drug"] = np.tile(["DMSO"] * 6 + ["kill"] * 4 + ["a", "b"], 4)
    >>> drugs = metadata.Metadata_Drug
    >>> values = np.random.default_rng(0).normal(size=(48, 60))
    >>> values[:, :20] += 4 * drugs.isin(["kill", "a"]).to_numpy()[:, None]
    >>> screen = read_screen(
    ...     metadata, values, drugs == "DMSO", drugs == "kill", "Metadata_Drug"
    ... )
    >>> screen.headline.split("; ")[1]
    '1 of 2 treatments differs from the controls.'
    """
    wells = prepare_wells(
        metadata, features, negative, positive, compound, dose, label, counts, empty
    )
    return Screen(wells, find_unit(dose) if dose else "", seed)
