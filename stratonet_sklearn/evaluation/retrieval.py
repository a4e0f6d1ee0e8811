"""Retrieval scores as the field reports them: whether like treatments look alike."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from stratonet.naming import metadata_columns
from stratonet.tables.columns import PLATE, WELL
from stratonet_sklearn.evaluation.neighbors import score_neighbors
from stratonet_sklearn.evaluation.precision import (
    score_mechanisms,
    score_positions,
    score_replicates,
)
from stratonet_sklearn.evaluation.profiles import Profiles


def score_retrieval(
    profiles: Profiles,
    label: str | None,
    compound: str,
    dose: str | None = None,
    batch: str = PLATE,
) -> pd.DataFrame:
    """Score how well profiles find those of the same treatment or mechanism.

    Profiles are compared by cosine similarity.

    Parameters
    ----------
    profiles : Profiles
        Profiles of wells, as `make_profiles` returns them.
    label : str or None
        The column of mechanisms.
    compound : str
        The column of compounds. Wells without one, and negative controls, have no
        treatment.
    dose : str, optional
        The column of doses: a treatment is a compound at a dose.
    batch : str
        The column of batches.

    Returns
    -------
    pandas.DataFrame
        One row per measure: ``measure``; ``value``, NaN if it cannot be computed;
        ``n``, on how many treatments (mechanisms, positions), ``of`` how many;
        ``note``, what the value is and what chance gives, or why there is none.

        - ``NSC`` (not the same compound): treatments, the median of their wells, whose
          nearest neighbour among those of other compounds has the same mechanism.
          ``NSCB`` (nor batch): neighbours share no batch either.
        - ``replicate mAP``: mean average precision with which the wells of a treatment
          find each other among negative controls on other plates; on the same, if most
          treatments are on one plate. ``replicate retrieved``: the share of treatments
          for which it is significant (permutations, corrected).
        - ``mechanism mAP``, ``mechanism retrieved``: the same for compounds of a
          mechanism among other compounds.
        - ``position mAP``, ``position retrieved``: negative controls in the same well
          of other plates, among those in other wells of other plates. High means that
          the layout of the plates is seen.

    Raises
    ------
    ValueError
        There is no such column.

    References
    ----------
    Ljosa et al., J Biomol Screen 18, 1321 (2013); Ando et al., bioRxiv 161422 (2017);
    Kalinin et al., Nature Communications 16, 5181 (2025).
    """
    _check_columns(profiles, (label, compound, dose, batch))
    wells = _describe_wells(profiles, label, compound, dose, batch)
    values = profiles.frame[profiles.features].reset_index(drop=True)
    is_control = wells["control"].to_numpy()
    has_compound = (wells["compound"] != "").to_numpy()
    is_treated = has_compound & ~is_control
    scores = [
        *score_neighbors(wells[is_treated], values[is_treated], batch),
        *score_replicates(wells, values, is_treated),
        *score_mechanisms(wells[is_treated], values[is_treated]),
        *score_positions(wells[is_control], values[is_control]),
    ]
    return pd.DataFrame(scores, columns=["measure", "value", "n", "of", "note"])


def _check_columns(profiles: Profiles, columns: Sequence[str | None]) -> None:
    known_columns = metadata_columns(profiles.frame)
    wanted = [name for name in columns if name is not None]
    absent = [name for name in wanted if name not in known_columns]
    if absent:
        raise ValueError(
            f"The profiles have no column {', '.join(absent)}. Metadata that differ"
            f" within a well are left out. Received: {', '.join(known_columns)}"
        )


def _describe_wells(
    profiles: Profiles,
    label: str | None,
    compound: str,
    dose: str | None,
    batch: str,
) -> pd.DataFrame:
    """Return the metadata of each well under fixed names; ``""`` if missing."""
    frame = profiles.frame
    columns = {
        "compound": compound,
        "dose": dose,
        "label": label,
        "batch": batch,
        "plate": PLATE,
        "well": WELL,
    }
    # Users may name one column twice: a compound's name as its mechanism.
    wells = pd.DataFrame(index=pd.RangeIndex(len(frame)))
    for name, column in columns.items():
        if column is None:
            wells[name] = ""
        else:
            # As objects: a categorical column takes no new value for missing ones.
            values = frame[column].astype(object)
            wells[name] = values.where(values.notna(), "").to_numpy()
    wells["control"] = False if profiles.control is None else profiles.control
    wells["treatment"] = wells.groupby(["compound", "dose"]).ngroup()
    return wells
