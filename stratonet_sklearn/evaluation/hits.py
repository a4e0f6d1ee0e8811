"""Which treatments are active: whether their wells look alike, and unlike controls."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from math import comb

import numpy as np
import pandas as pd
from copairs.compute import get_null_dists
from numpy.typing import ArrayLike
from scipy.stats import false_discovery_control

from stratonet_sklearn.evaluation.distances import measure_distances
from stratonet_sklearn.evaluation.positions import describe_positions
from stratonet_sklearn.evaluation.precision import (
    NULL_SIZE,
    SEED,
    SIGNIFICANT,
    Pairs,
    compute_precisions,
)
from stratonet_sklearn.evaluation.wells import Wells, compare_counts, prepare_wells

# Wells of treatments that are compared with all controls at a time: their pairs take
# memory.
WELLS_AT_ONCE = 1000
# Similarities and copairs's null distributions have single precision.
ROUNDING = 1e-6
TREATED, POSITIVE = "treatment", "positive control"
_ACROSS = (Pairs(["treatment"], ["plate"]), Pairs([], ["plate", "control"]))
_WITHIN = (Pairs(["treatment", "plate"], []), Pairs(["plate"], ["control"]))
COLUMNS = (
    "treatment",
    "compound",
    "dose",
    "role",
    "plates",
    "wells",
    "n_plates",
    "n_wells",
    "mean_average_precision",
    "by_chance",
    "p",
    "corrected_p",
    "smallest_p",
    "active",
    "distance",
    "axis",
    "relative_count",
    "position",
    "edge_share",
    "distance_in_line",
    "note",
)


def find_hits(
    metadata: pd.DataFrame,
    features: pd.DataFrame | np.ndarray,
    negative: ArrayLike,
    compound: str,
    dose: str | None = None,
    positive: ArrayLike | None = None,
    counts: ArrayLike | None = None,
) -> pd.DataFrame:
    """Find the treatments whose wells look alike, and unlike negative controls.

    Parameters
    ----------
    metadata : pandas.DataFrame (n rows)
        With ``Metadata_Plate`` and ``Metadata_Well``.
    features : pandas.DataFrame or array (n rows, n features)
        Numbers without NaN, in the same order.
    negative : array (n rows,), bool
        Which rows are negative controls.
    compound, dose : str
        Columns of the metadata: a treatment is a compound at a dose.
    positive : array (n rows,), bool, optional
        Positive controls are listed, but neither counted nor corrected for: they are
        known to be active.
    counts : array (n rows,), optional
        Objects of each row, as `prepare_wells` takes them.

    Returns
    -------
    pandas.DataFrame
        One row per treatment, the active ones first, see `list_hits`.

    Raises
    ------
    ValueError
        See `prepare_wells`.

    Examples
    --------
    >>> wells = [f"{row}{column:02d}" for row in "ABCD" for column in range(1, 9)]
    >>> metadata = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": wells})
    >>> metadata["Metadata_Drug"] = np.tile(["DMSO"] * 6 + ["taxol", "sugar"], 4)
    >>> values = np.random.default_rng(0).normal(size=(32, 50))
    >>> values[metadata.Metadata_Drug == "taxol", :10] += 3
    >>> negative = metadata.Metadata_Drug == "DMSO"
    >>> hits = find_hits(metadata, values, negative, "Metadata_Drug")
    >>> hits[["treatment", "active"]].values.tolist()
    [['taxol', True], ['sugar', False]]
    """
    wells = prepare_wells(
        metadata, features, negative, positive, compound, dose, counts=counts
    )
    return list_hits(wells)


def list_hits(wells: Wells, axis: np.ndarray | None = None) -> pd.DataFrame:
    """List the treatments of prepared wells.

    Parameters
    ----------
    wells : Wells
        From `prepare_wells`, with compounds.
    axis : numpy.ndarray (n wells,), optional
        The response of each well along the axis of the controls.

    Returns
    -------
    pandas.DataFrame
        One row per treatment, the active ones first, then by p and distance:

        - ``treatment``, ``compound``, ``dose``; ``role`` (``treatment`` or ``positive
          control``); ``plates``, ``wells`` (names, separated by spaces), ``n_plates``,
          ``n_wells``.
        - ``mean_average_precision`` with which its wells find each other among the
          negative controls of its plates (copairs), on other plates if there are
          several; ``by_chance``, what is to be expected without an effect.
        - ``p`` (random ranks; ties count against it), ``corrected_p`` (Benjamini and
          Hochberg, over treatments), ``smallest_p``, the lowest that so many wells and
          controls allow; ``active``: corrected p below 0.05.
        - ``distance`` from the negative controls, see `measure_distances`, and
          ``axis``: medians of its wells.
        - ``relative_count``: objects, relative to the controls of the plate.
        - ``position``, ``edge_share``, ``distance_in_line``: see `describe_positions`.
        - ``note``: why there is no p.
    """
    names = name_treatments(wells)
    is_named = names != ""
    if not is_named.any():
        return pd.DataFrame(columns=list(COLUMNS))
    precisions = _score_treatments(wells, names)
    described = _describe_treatments(wells, names, axis)
    hits = described.join(precisions).join(describe_positions(wells, names))
    hits["note"] = [
        _explain_no_p(n_wells, wells) if np.isnan(p) else ""
        for n_wells, p in zip(hits["n_wells"], hits["p"])
    ]
    hits = _correct_p(hits)
    hits = hits.sort_values(
        ["active", "p", "distance", "treatment"],
        ascending=[False, True, False, True],
        na_position="last",
    )
    return hits.reset_index()[list(COLUMNS)]


def name_treatments(wells: Wells) -> np.ndarray:
    """Name the treatment of each well: a compound at a dose.

    Parameters
    ----------
    wells : Wells
        From `prepare_wells`.

    Returns
    -------
    numpy.ndarray (n wells,), str
        ``""`` for negative controls and wells without a compound; a positive control
        is a treatment of its own.
    """
    rows = wells.rows
    texts = rows["compound"].astype(str).str.cat(rows["dose"].astype(str), sep=" ")
    texts = texts.str.strip()
    is_known = (rows["compound"] != "") & ~rows["negative"]
    texts = texts.where(~rows["positive"], texts + " (positive control)")
    return texts.where(is_known, "").to_numpy(object)


def _correct_p(hits: pd.DataFrame) -> pd.DataFrame:
    """Correct p for multiple comparisons, among treatments."""
    hits = hits.assign(corrected_p=np.nan)
    tested = hits["p"].notna() & (hits["role"] == TREATED)
    if tested.any():
        corrected = false_discovery_control(hits.loc[tested, "p"])
        hits.loc[tested, "corrected_p"] = corrected
    return hits.assign(active=hits["corrected_p"] < SIGNIFICANT)


def _describe_treatments(
    wells: Wells, names: np.ndarray, axis: np.ndarray | None
) -> pd.DataFrame:
    rows = wells.rows.assign(treatment=names)
    rows["distance"] = measure_distances(wells)
    rows["axis"] = np.nan if axis is None else axis
    rows["relative_count"] = compare_counts(wells)
    rows = rows[names != ""]
    of_treatments = rows.groupby("treatment")
    described = of_treatments[["compound", "dose"]].first()
    is_positive = of_treatments["positive"].any()
    described["role"] = np.where(is_positive, POSITIVE, TREATED)
    described["plates"] = of_treatments["plate"].agg(_join_names)
    described["wells"] = of_treatments["well"].agg(_join_names)
    described["n_plates"] = of_treatments["plate"].nunique()
    described["n_wells"] = of_treatments.size()
    medians = of_treatments[["distance", "axis", "relative_count"]].median()
    return described.join(medians)


def _join_names(names: pd.Series) -> str:
    return " ".join(dict.fromkeys(names))


def _score_treatments(wells: Wells, names: np.ndarray) -> pd.DataFrame:
    """Compute mean average precision and p of each treatment that has replicates."""
    plates = pd.Series(wells.plates).groupby(names)
    n_plates = plates.transform("nunique").to_numpy()
    n_wells = plates.transform("size").to_numpy()
    is_named = names != ""
    across = is_named & (n_plates > 1)
    within = is_named & (n_plates == 1) & (n_wells > 1)
    parts = []
    if wells.negative.any():
        if across.any():
            parts.append(_rank_wells(wells, wells.values, names, across, _ACROSS))
        if within.any():
            values = _centre_plates(wells, within)
            parts.append(_rank_wells(wells, values, names, within, _WITHIN))
    parts = [part for part in parts if len(part)]
    columns = ["mean_average_precision", "by_chance", "p", "smallest_p"]
    if not parts:
        return pd.DataFrame(columns=columns, dtype=float)
    return _test_treatments(pd.concat(parts, ignore_index=True))[columns]


def _centre_plates(wells: Wells, chosen: np.ndarray) -> np.ndarray:
    """Centre plates on all of their wells, so that controls are not set apart.

    If a plate is centred on its controls, its wells share the error of their mean, but
    the controls themselves do not.
    """
    values = wells.values.copy()
    plates = wells.plates
    for plate in np.unique(plates[chosen]):
        of_plate = plates == plate
        values[of_plate] -= values[of_plate].mean(axis=0)
    return values


def _rank_wells(
    wells: Wells,
    values: np.ndarray,
    names: np.ndarray,
    chosen: np.ndarray,
    pairs: tuple[Pairs, Pairs],
) -> pd.DataFrame:
    """Compute the average precision of each chosen well, some treatments at a time."""
    lengths = np.linalg.norm(values, axis=1)
    # A well exactly in the middle is like no other.
    unit = values / np.where(lengths > 0, lengths, 1)[:, None]
    precisions = []
    for part in _divide_treatments(wells.plates, names, chosen):
        # Only these plates: controls of others may look different whatever was done to
        # the cells.
        on_plates = np.isin(wells.plates, wells.plates[part])
        controls = np.flatnonzero(wells.negative & on_plates)
        numbers = np.concatenate([part, controls])
        rows = pd.DataFrame(
            {
                # Controls are not replicates of each other: each gets a treatment of
                # its own. No other name begins with a space.
                "treatment": [*names[part], *(f" {n}" for n in range(len(controls)))],
                "plate": wells.plates[numbers],
                "control": wells.negative[numbers],
            }
        )
        similarity = unit[numbers] @ unit[numbers].T
        # A replicate that is as similar as a control counts as less: copairs would rank
        # it first.
        similarity[: len(part), : len(part)] -= ROUNDING
        precisions.append(compute_precisions(*pairs, rows, similarity))
    return pd.concat(precisions, ignore_index=True)


def _divide_treatments(
    plates: np.ndarray, names: np.ndarray, chosen: np.ndarray
) -> Iterator[np.ndarray]:
    """Divide wells into parts of whole treatments that are on the same plates."""
    numbers = pd.Series(np.flatnonzero(chosen))
    of_treatments = numbers.groupby(names[chosen], sort=True)
    by_plates: dict[tuple[int, ...], list[int]] = {}
    for _, of_treatment in of_treatments:
        key = tuple(np.unique(plates[of_treatment]))
        part = by_plates.setdefault(key, [])
        if part and len(part) + len(of_treatment) > WELLS_AT_ONCE:
            yield np.array(part)
            part.clear()
        part.extend(of_treatment)
    for part in by_plates.values():
        yield np.array(part)


def _test_treatments(precisions: pd.DataFrame) -> pd.DataFrame:
    """Compare the mean of each treatment with that of random ranks."""
    sizes = precisions[["n_pos_pairs", "n_total_pairs"]].to_numpy()
    sizes, size_numbers = np.unique(sizes, axis=0, return_inverse=True)
    # Not the cache in the user's home: what it holds depends on what was computed
    # first.
    with tempfile.TemporaryDirectory() as cache:
        nulls = get_null_dists(
            sizes, NULL_SIZE, SEED, cache_dir=cache, progress_bar=False
        )
    # Wells of a treatment are not found independently: if one is found, so are others.
    nulls.sort(axis=1)
    tested = {}
    for name, rows in precisions.groupby("treatment").indices.items():
        of_rows, counts = np.unique(size_numbers.ravel()[rows], return_counts=True)
        null = np.average(nulls[of_rows], axis=0, weights=counts)
        mean = precisions["average_precision"].to_numpy()[rows].mean()
        tested[name] = {
            "mean_average_precision": mean,
            "by_chance": null.mean(),
            # Ties count: few wells among few controls often come first by chance.
            "p": _compute_p(null, mean),
            "smallest_p": max(_compute_p(null, 1.0), _bound_p(sizes[of_rows])),
        }
        tested[name]["p"] = max(tested[name]["p"], tested[name]["smallest_p"])
    return pd.DataFrame.from_dict(tested, orient="index")


def _compute_p(null: np.ndarray, mean: float) -> float:
    return float(((null >= mean - ROUNDING).sum() + 1) / (len(null) + 1))


def _bound_p(sizes: np.ndarray) -> float:
    """Return the smallest chance, over wells, of finding all replicates first."""
    return min(1 / comb(int(n_total), int(n_positive)) for n_positive, n_total in sizes)


def _explain_no_p(n_wells: int, wells: Wells) -> str:
    if n_wells < 2:
        return "only one well: there is no replicate to find"
    if not wells.negative.any():
        return "no negative controls"
    return "no negative controls on its plates, or on others to compare with"


def combine_doses(hits: pd.DataFrame) -> pd.DataFrame:
    """Combine the doses of each compound into one p.

    Parameters
    ----------
    hits : pandas.DataFrame
        From `list_hits`.

    Returns
    -------
    pandas.DataFrame
        One row per compound that is not a positive control: ``compound``,
        ``n_treatments`` (doses), ``n_active``, ``p`` (Simes: at least one dose
        differs), ``corrected_p`` and ``active``.

    References
    ----------
    Simes, Biometrika 73, 751 (1986).
    """
    treated = hits[hits["role"] == TREATED]
    rows = []
    for compound, doses in treated.groupby("compound"):
        tested = doses["p"].dropna()
        # The smallest p after correction by Benjamini and Hochberg is that of Simes.
        p = float(false_discovery_control(tested).min()) if len(tested) else np.nan
        n_active = int(doses["active"].sum())
        rows.append((compound, len(doses), n_active, p))
    frame = pd.DataFrame(rows, columns=["compound", "n_treatments", "n_active", "p"])
    tested = frame["p"].notna()
    frame["corrected_p"] = np.nan
    if tested.any():
        corrected = false_discovery_control(frame.loc[tested, "p"])
        frame.loc[tested, "corrected_p"] = corrected
    return frame.assign(active=frame["corrected_p"] < SIGNIFICANT)
