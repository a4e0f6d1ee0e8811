"""Which well stands for a treatment, and which control beside it."""

from __future__ import annotations

import pandas as pd

from stratonet_sklearn.evaluation.hits import name_treatments
from stratonet_sklearn.evaluation.screen import Screen

# Of the table of hits.
MOST_ROWS = 25


def find_middle_wells(screen: Screen) -> pd.DataFrame:
    """Find the well in the middle of each treatment, by distance from the controls.

    Parameters
    ----------
    screen : Screen
        With treatments.

    Returns
    -------
    pandas.DataFrame
        By treatment: ``plate``, ``well`` and ``control``, the negative control in the
        middle of those of the plate, ``None`` where there is none.
    """
    wells = screen.wells
    rows = wells.rows[["plate", "well"]].assign(
        treatment=name_treatments(wells), distance=screen.responses["distance"]
    )
    controls = _take_middle(rows[wells.negative], "plate")["well"]
    middle = _take_middle(rows[rows["treatment"] != ""], "treatment")
    control = middle["plate"].map(controls).astype(object)
    return middle[["plate", "well"]].assign(
        control=control.where(control.notna(), None)
    )


def _take_middle(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Take of each group the row whose distance is the median, the lower of two."""
    rows = rows.sort_values("distance", kind="stable")
    groups = rows.groupby(column)
    place, size = groups.cumcount(), groups["well"].transform("size")
    return rows[place == (size - 1) // 2].set_index(column, drop=False)


def list_pictured_wells(screen: Screen) -> pd.DataFrame:
    """List the wells that are shown in the table of hits.

    Parameters
    ----------
    screen : Screen
        With treatments.

    Returns
    -------
    pandas.DataFrame
        As `Table` takes them: a row for each of the first hits.
    """
    shown = screen.hits.head(MOST_ROWS)
    return find_middle_wells(screen).reindex(shown["treatment"]).reset_index(drop=True)
