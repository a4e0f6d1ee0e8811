"""Correct profiles for what they share: correlations of controls, and batches."""

from __future__ import annotations

from importlib.metadata import version
from types import ModuleType
from typing import Literal

import numpy as np
import pandas as pd
import pycytominer

from stratonet.naming import metadata_columns
from stratonet_sklearn.evaluation.steps import CONTROL, FEWEST, Step, list_others

CONTROLS_PER_FEATURE = 2  # with fewer, sphering fits their noise
# Harmony aligns batches within clusters: as many as harmonypy chooses, but at least
# one.
WELLS_PER_CLUSTER = 30
MOST_CLUSTERS = 100
# The first version whose results are those of the current Harmony.
FIRST_HARMONYPY = 2


def sphere_profiles(
    frame: pd.DataFrame, features: list[str], sphere: Literal["auto"] | bool
) -> Step:
    """Remove the correlations that the negative controls have.

    Parameters
    ----------
    frame : pandas.DataFrame (n wells)
        Metadata, ``is_control`` and normalised features.
    features : list of str
        The columns of features.
    sphere : {"auto", True, False}
        ``"auto"``: if there are many controls.

    Returns
    -------
    profiles : pandas.DataFrame (n wells)
    steps : list of str

    Raises
    ------
    ValueError
        Sphering was asked for, but there are too few controls. On several plates,
        pycytominer needs more controls than features, unless profiles were ranked.
    """
    if sphere is False:
        return frame, ["They were not sphered, as requested."]
    n_controls = int(frame[CONTROL].sum())
    needed = CONTROLS_PER_FEATURE * len(features)
    if sphere == "auto" and n_controls < needed:
        return frame, [
            f"They were not sphered: this takes at least {needed:,} negative controls,"
            f" and there are {n_controls:,}."
        ]
    if n_controls < FEWEST:
        raise ValueError(
            f"`sphere` needs at least {FEWEST} wells of negative controls. Received:"
            f" {n_controls}"
        )
    try:
        sphered = pycytominer.normalize(
            frame,
            features=features,
            meta_features=list_others(frame, features),
            samples=CONTROL,
            method="spherize",
            spherize_method="ZCA-cor",
            # Added to singular values, which are standard deviations times this.
            spherize_epsilon=np.sqrt(n_controls),
        )
    except ValueError as error:
        # Controls that were standardized on each of several plates have a lower rank
        # than pycytominer allows if they are fewer than features.
        raise ValueError(
            "`sphere` needs more negative controls than features, or one plate."
            f" Received: {n_controls:,} controls, {len(features):,} features."
            f" pycytominer says: {error}"
        ) from error
    return sphered, [
        f"They were sphered (ZCA-cor) on {n_controls:,} negative controls, with one"
        " standard deviation added."
    ]


def harmonize_profiles(frame: pd.DataFrame, features: list[str], batch: str) -> Step:
    """Align the profiles of different batches by Harmony.

    Parameters
    ----------
    frame : pandas.DataFrame (n wells)
        Metadata and features.
    features : list of str
        The columns of features.
    batch : str
        The column of batches.

    Returns
    -------
    profiles : pandas.DataFrame (n wells)
    steps : list of str

    Raises
    ------
    ImportError
        harmonypy is missing or too old.
    ValueError
        There is no such column, a well has no batch, or all wells are of one batch.

    References
    ----------
    Korsunsky et al., Nature Methods 16, 1289 (2019).
    """
    harmonypy = import_harmonypy()
    batches = _get_batches(frame, batch)
    n_clusters = int(np.clip(len(frame) // WELLS_PER_CLUSTER, 1, MOST_CLUSTERS))
    # Wells are columns: otherwise a square table would be read the wrong way round.
    aligned = harmonypy.run_harmony(
        frame[features].to_numpy(float).T,
        pd.DataFrame({batch: batches}),
        batch,
        nclust=n_clusters,
        verbose=False,
        random_state=0,
    )
    harmonized = frame.copy()
    harmonized[features] = np.asarray(aligned.Z_corr, float)
    return harmonized, [
        f"{batches.nunique():,} batches ({batch}) were aligned by Harmony (harmonypy"
        f" {version('harmonypy')})."
    ]


def _get_batches(frame: pd.DataFrame, batch: str) -> pd.Series:
    if batch not in frame:
        raise ValueError(
            f"`harmonize` must name a column of the profiles. Metadata that differ"
            f" within a well are left out. Received: {batch}, not among"
            f" {', '.join(metadata_columns(frame))}"
        )
    batches = frame[batch].fillna("").astype(str)
    n_without = int((batches == "").sum())
    if n_without or batches.nunique() < 2:
        raise ValueError(
            "`harmonize` needs a column with a batch for every well, two or more."
            f" Received: {batch} with {batches[batches != ''].nunique()} batches, and"
            f" {n_without} wells without one"
        )
    return batches


def import_harmonypy() -> ModuleType:
    """Import harmonypy, which users install themselves.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        It is missing or too old; the message says what to install.
    """
    # Its licence is the GPL, ours is not: it is neither shipped nor required.
    try:
        import harmonypy
    except ImportError:
        raise ImportError(
            "`harmonize` needs the package harmonypy (GPL-3.0-or-later), which does not"
            f' come with StratoNet. Install it: pip install "harmonypy>='
            f'{FIRST_HARMONYPY}"',
            name="harmonypy",
        ) from None
    installed = version("harmonypy")
    if int(installed.partition(".")[0]) < FIRST_HARMONYPY:
        raise ImportError(
            f"`harmonize` needs harmonypy {FIRST_HARMONYPY} or newer. Received:"
            f' {installed}. Install it: pip install "harmonypy>={FIRST_HARMONYPY}"',
            name="harmonypy",
        )
    return harmonypy
