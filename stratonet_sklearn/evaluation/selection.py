"""Leave unreliable or redundant features out of profiles."""

from __future__ import annotations

import pandas as pd
import pycytominer

from stratonet_sklearn.evaluation.steps import Step, keep_present

# pycytominer takes half a minute for half a million correlated pairs, and pairs grow
# with the square of the features.
MOST_CORRELATED = 3000
# pycytominer's operations, in this order, and why a feature is left out by each.
SELECTION = {
    "blocklist": "are on pycytominer's blocklist of CellProfiler's features",
    "drop_outliers": "go beyond 500 standard deviations",
    "correlation_threshold": "correlate above 0.9 with others",
}


def select_features(frame: pd.DataFrame, features: list[str]) -> Step:
    """Leave out features that are unreliable or redundant.

    Parameters
    ----------
    frame : pandas.DataFrame (n wells)
        Metadata and normalised features.
    features : list of str
        The columns of features.

    Returns
    -------
    profiles : pandas.DataFrame (n wells)
    steps : list of str

    Raises
    ------
    ValueError
        No feature is left.
    """
    steps = []
    for operation, reason in SELECTION.items():
        if operation == "correlation_threshold" and len(features) > MOST_CORRELATED:
            steps.append(
                "Correlated features were kept, since there are more than"
                f" {MOST_CORRELATED:,}."
            )
            continue
        frame = pycytominer.feature_select(
            frame, features=features, operation=operation
        )
        kept_features = keep_present(features, frame)
        if len(kept_features) < len(features):
            steps.append(
                f"{len(features) - len(kept_features):,} of {len(features):,} features"
                f" {reason}, and are left out."
            )
        features = kept_features
        if not features:
            raise ValueError(f"No feature can be used. {' '.join(steps)}")
    return frame, steps
