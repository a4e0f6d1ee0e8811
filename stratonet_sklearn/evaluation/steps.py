"""What the steps that make profiles share."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

FEWEST = 4  # wells from which a feature's scale, or correlations, are taken
# The column that marks negative controls on the way through the steps.
CONTROL = "is_control"
# What a step returns: the profiles, and sentences on what it did.
Step = tuple[pd.DataFrame, list[str]]


def keep_present(columns: Sequence[str], frame: pd.DataFrame) -> list[str]:
    """List those of the columns that a frame still has.

    Parameters
    ----------
    columns : sequence of str
        Features before a step.
    frame : pandas.DataFrame
        What the step returned.

    Returns
    -------
    list of str
    """
    return [name for name in columns if name in frame]


def list_others(frame: pd.DataFrame, features: Sequence[str]) -> list[str]:
    """List the columns that are not features.

    Parameters
    ----------
    frame : pandas.DataFrame
        Profiles.
    features : sequence of str
        The columns of features.

    Returns
    -------
    list of str
    """
    # A set: wide tables have thousands of features.
    feature_names = set(features)
    return [name for name in frame if name not in feature_names]
