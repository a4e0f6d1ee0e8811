"""Find the well that represents a treatment, and a control to show beside it."""

from __future__ import annotations

import pandas as pd
from numpy.typing import ArrayLike

from stratonet_sklearn.evaluation.hits import name_treatments
from stratonet_sklearn.evaluation.wells import Wells


def find_middle_wells(wells: Wells, distance: ArrayLike) -> pd.DataFrame:
    """Find the well in the middle of each treatment, by distance from the controls.

    Parameters
    ----------
    wells : Wells
        With treatments.
    distance : array-like (n wells,)
        Distance of each well from the negative controls.

    Returns
    -------
    pandas.DataFrame
        Indexed by treatment: ``plate``, ``well`` and ``control``, the negative control
        in the middle of those of the plate, ``None`` if there is none.
    """
    rows = wells.rows[["plate", "well"]].assign(
        treatment=name_treatments(wells), distance=distance
    )
    controls = _take_middle(rows[wells.negative], "plate")["well"]
    middle = _take_middle(rows[rows["treatment"] != ""], "treatment")
    control = middle["plate"].map(controls).astype(object)
    return middle[["plate", "well"]].assign(
        control=control.where(control.notna(), None)
    )


def _take_middle(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Take the row with the median distance of each group, the lower of two."""
    rows = rows.sort_values("distance", kind="stable")
    groups = rows.groupby(column)
    position, size = groups.cumcount(), groups["well"].transform("size")
    return rows[position == (size - 1) // 2].set_index(column, drop=False)
