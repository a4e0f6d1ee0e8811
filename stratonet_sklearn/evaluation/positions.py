"""Check whether an effect may come from where wells lie on the plate."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from stratonet.messages import count_things, shorten_list
from stratonet_sklearn.evaluation.distances import measure_distances
from stratonet_sklearn.evaluation.wells import Wells

# Lines in which all wells of a treatment may lie.
ROWS_COLUMNS = ("row", "column")
LINES = ("well", *ROWS_COLUMNS)
# Nine in ten controls are nearer than this to the others: a hit that is, too, is not
# far.
NEAR = 0.9


def describe_positions(wells: Wells, names: np.ndarray) -> pd.DataFrame:
    """Describe where the wells of each treatment lie.

    Parameters
    ----------
    wells : Wells
        The wells of a screen.
    names : numpy.ndarray (n wells,), str
        The treatment of each well, ``""`` where there is none.

    Returns
    -------
    pandas.DataFrame
        Indexed by treatment. ``position``, such as ``one column, without controls``
        (treatment and position cannot be separated), ``one column, with controls`` or
        ``one well, ...`` (the same on each plate); ``""`` where its wells lie apart.
        ``edge_share``: the share of its wells at the edge. ``distance_in_line``: the
        median distance from the controls in the same column (or row), NaN where there
        are none.
    """
    rows = wells.rows.assign(treatment=names)
    in_line = _measure_in_lines(wells)
    rows = rows.assign(**{f"from_{line}": in_line[line] for line in ROWS_COLUMNS})
    control_lines = _list_control_lines(wells)
    described = {}
    for name, of_treatment in rows[names != ""].groupby("treatment"):
        line = _find_line(of_treatment)
        described[name] = {
            "position": _word_position(of_treatment, line, control_lines),
            "edge_share": float(of_treatment["edge"].mean()),
            "distance_in_line": _choose_distance(of_treatment, line),
        }
    return pd.DataFrame.from_dict(described, orient="index")


def _find_line(rows: pd.DataFrame) -> str:
    """Name the line in which all wells of a treatment lie, ``""`` if there is none."""
    if len(rows) < 2 or rows["row"].isna().any():
        return ""
    n_rows, n_columns = rows["row"].nunique(), rows["column"].nunique()
    if n_rows == 1 and n_columns == 1:
        return "well"
    if n_columns == 1:
        return "column"
    return "row" if n_rows == 1 else ""


def _list_control_lines(wells: Wells) -> dict[str, set[tuple[str, object]]]:
    """List the rows and columns of each plate in which there are negative controls."""
    controls = wells.rows[wells.negative]
    return {line: set(zip(controls["plate"], controls[line])) for line in ROWS_COLUMNS}


def _word_position(
    rows: pd.DataFrame, line: str, control_lines: dict[str, set[tuple[str, object]]]
) -> str:
    if not line:
        return ""
    # A treatment's own well holds no control, on any of its plates.
    lines_with_controls = control_lines.get(line, set())
    number = rows.iloc[0].get(line)
    has_controls = any(
        (plate, number) in lines_with_controls for plate in rows["plate"].unique()
    )
    return f"one {line}, {'with' if has_controls else 'without'} controls"


def _choose_distance(rows: pd.DataFrame, line: str) -> float:
    """Return the distance from controls in the line; in its column if it has none."""
    column = "from_row" if line == "row" else "from_column"
    distances = rows[column].dropna()
    return float(distances.median()) if len(distances) else np.nan


def _measure_in_lines(wells: Wells) -> dict[str, np.ndarray]:
    """Measure distances from the controls of the same row, and of the same column."""
    measured = {}
    for line in ROWS_COLUMNS:
        distances = np.full(len(wells.rows), np.nan)
        numbers = wells.rows[line]
        for number in numbers[wells.negative].dropna().unique():
            inside = (numbers == number).fillna(False).to_numpy(bool)
            of_line = measure_distances(wells, inside)
            distances[inside] = of_line[inside]
        measured[line] = distances
    return measured


def warn_of_positions(hits: pd.DataFrame, wells: Wells) -> list[str]:
    """Say where positions speak against the hits.

    Parameters
    ----------
    hits : pandas.DataFrame
        From `stratonet_sklearn.evaluation.hits.list_hits`.
    wells : Wells
        The wells in which they were found.

    Returns
    -------
    list of str
        Sentences; none if nothing speaks against them.
    """
    treated = hits[hits["role"] == "treatment"]
    warnings = [
        *_warn_of_lines(treated),
        *_warn_of_edges(treated, wells),
        *_warn_of_neighbours(treated, wells),
    ]
    return warnings


def _warn_of_lines(treated: pd.DataFrame) -> list[str]:
    warnings = []
    replicated = treated[treated["n_wells"] > 1]
    for line in LINES:
        bound = replicated["position"] == f"one {line}, without controls"
        if bound.sum() > len(replicated) / 2:
            words = "the same well on every plate" if line == "well" else f"one {line}"
            warnings.append(
                f"Position and treatment cannot be separated: {bound.sum():,} of"
                f" {count_things(len(replicated), 'treatment')}"
                f" {'has all its' if bound.sum() == 1 else 'have all their'} wells in"
                f" {words}, without a negative control there. An effect of the position"
                " would look like one of the treatment."
            )
    return warnings


def _warn_of_edges(treated: pd.DataFrame, wells: Wells) -> list[str]:
    """Warn where active treatments lie at the edge more often than others."""
    tested = treated[treated["p"].notna()]
    n_edge = tested["edge_share"] * tested["n_wells"]
    counts = []
    for active in (True, False):
        chosen = tested["active"] == active
        at_edge = round(float(n_edge[chosen].sum()))
        counts.append([at_edge, int(tested.loc[chosen, "n_wells"].sum()) - at_edge])
    p = fisher_exact(counts, alternative="greater").pvalue
    if p >= 0.05:
        return []
    (edge, inside), (other_edge, other_inside) = counts
    return [
        f"Hits cluster at the edge of the plates: {edge / (edge + inside):.0%} of the"
        f" wells of active treatments lie there, and"
        f" {other_edge / max(other_edge + other_inside, 1):.0%} of those of others"
        f" (p {p:.2g}, Fisher)."
    ]


def _warn_of_neighbours(treated: pd.DataFrame, wells: Wells) -> list[str]:
    """Warn of hits that controls of the same column or row resemble."""
    active = treated[treated["active"] & treated["distance_in_line"].notna()]
    if active.empty:
        return []
    of_controls = measure_distances(wells)[wells.negative]
    of_controls = of_controls[np.isfinite(of_controls)]
    if not len(of_controls):
        return []
    near = active[active["distance_in_line"] <= np.quantile(of_controls, NEAR)]
    if near.empty:
        return []
    verb = "is" if len(near) == 1 else "are"
    return [
        f"{len(near):,} of {count_things(len(active), 'active treatment')} with"
        f" negative controls in the same column or row {verb} no farther from these"
        " than controls are from each other:"
        f" {shorten_list(near['treatment'].tolist(), 3)}. The effect may come from the"
        " position."
    ]
