"""The wells that are shown in the table of hits."""

from __future__ import annotations

import pandas as pd

from stratonet_sklearn.evaluation.screen import Screen

# Most rows of the table of hits.
MOST_ROWS = 25


def list_pictured_wells(screen: Screen) -> pd.DataFrame:
    """List the wells that are shown in the table of hits.

    Parameters
    ----------
    screen : Screen
        With treatments.

    Returns
    -------
    pandas.DataFrame
        As `Table.pictured`: one row for each of the first hits.
    """
    shown = screen.hits.head(MOST_ROWS)
    return screen.middle_wells.reindex(shown["treatment"]).reset_index(drop=True)
