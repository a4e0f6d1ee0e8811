"""The first sentence of a report on a screen: what its reader needs to decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from stratonet.messages import count_things
from stratonet_sklearn.evaluation.controls import GOOD_Z_PRIME, Controls

MOST_NAMED = 3


def word_screen(
    controls: Controls,
    hits: pd.DataFrame,
    compounds: pd.DataFrame,
    doses: pd.DataFrame,
    by: str,
) -> str:
    """Put what the tables of a screen say into one sentence.

    Parameters
    ----------
    controls : Controls
        Whether the assay works.
    hits, compounds : pandas.DataFrame
        From `list_hits` and `combine_doses`.
    doses : pandas.DataFrame
        From `fit_doses`.
    by : str
        The response whose EC50 counts: ``axis``, or ``distance``.

    Returns
    -------
    str
        Parts are separated by semicolons.
    """
    parts = [
        word_assay(controls),
        word_activity(hits, compounds),
        *word_doses(doses, compounds, by),
    ]
    text = "; ".join(part for part in parts if part)
    return f"{text[0].upper()}{text[1:]}."


def word_assay(controls: Controls) -> str:
    """Say whether the assay works.

    Parameters
    ----------
    controls : Controls
        The controls of all plates.

    Returns
    -------
    str
        Without a full stop.
    """
    counts = controls.plates[["n_negative", "n_positive"]].sum()
    z_primes = controls.plates["z_prime"].dropna()
    if z_primes.empty:
        lacking = [
            role for role in ("negative", "positive") if counts[f"n_{role}"] == 0
        ]
        if lacking:
            roles = " and no ".join(lacking)
            return (
                f"it is unclear whether the assay works: no {roles} controls are known"
            )
        return "it is unclear whether the assay works: there are too few controls"
    z_text = _word_plates(z_primes, len(controls.plates))
    middle = z_primes.median()
    if not controls.confirmed and middle >= GOOD_Z_PRIME:
        return (
            "it is unclear whether the assay works: so few controls could look as well"
            f" separated by chance ({z_text}, p = {controls.p:.2g})"
        )
    if not controls.confirmed:
        return f"the controls cannot be told apart ({z_text})"
    if middle >= GOOD_Z_PRIME:
        return f"the assay works ({z_text})"
    if middle > 0:
        return f"the assay separates its controls, but not clearly ({z_text})"
    return f"the assay is not fit for screening, as its controls overlap ({z_text})"


def _word_plates(z_primes: pd.Series, n_plates: int) -> str:
    if n_plates == 1:
        return f"Z' {z_primes.iloc[0]:.2f} on one plate"
    text = f"median Z' {z_primes.median():.2f} on {len(z_primes):,}"
    text += " plates" if len(z_primes) == n_plates else f" of {n_plates:,} plates"
    n_poor = int((z_primes < GOOD_Z_PRIME).sum())
    return f"{text}, {n_poor:,} below {GOOD_Z_PRIME}" if n_poor else text


def word_activity(hits: pd.DataFrame, compounds: pd.DataFrame) -> str:
    """Say how many treatments differ from the controls.

    Parameters
    ----------
    hits, compounds : pandas.DataFrame
        From `list_hits` and `combine_doses`.

    Returns
    -------
    str
        Without a full stop.
    """
    treated = hits[hits["role"] == "treatment"]
    if treated.empty:
        return "no treatments are known"
    tested = treated[treated["p"].notna()]
    if tested.empty:
        if (treated["n_wells"] < 2).all():
            farthest = treated.dropna(subset=["distance"]).nlargest(1, "distance")
            text = "no treatment can be tested, as each has only one well"
            if len(farthest):
                text += (
                    f" (farthest from the controls: {farthest['treatment'].iloc[0]})"
                )
            return text
        return "no treatment can be tested without negative controls to compare with"
    text = _count_active(treated, compounds)
    n_untested = len(treated) - len(tested)
    if n_untested:
        text += f" ({n_untested:,} could not be tested)"
    return text


def _count_active(treated: pd.DataFrame, compounds: pd.DataFrame) -> str:
    tested = treated[treated["p"].notna()]
    n_active, n_treatments = int(treated["active"].sum()), len(tested)
    # Even with the smallest p that is possible, no treatment would be active.
    hopeless = (tested["smallest_p"] >= 0.05).all()
    if hopeless:
        return (
            "no treatment can become significant, as with so few wells and controls"
            f" p cannot fall below {tested['smallest_p'].min():.2g}"
        )
    by_dose = len(compounds) < len(treated)
    if not n_active:
        noun = "compound" if by_dose else "treatment"
        n_total = len(compounds) if by_dose else n_treatments
        if n_total == 1:
            return f"the only {noun} does not differ from the controls"
        return f"none of the {n_total:,} {noun}s differs from the controls"
    if by_dose:
        n_compounds = int(compounds["active"].sum())
        return (
            f"{n_compounds:,} of {count_things(len(compounds), 'compound')}"
            f" {_agree(n_compounds)} from the controls ({n_active:,} of"
            f" {count_things(n_treatments, 'dose')})"
        )
    return (
        f"{n_active:,} of {count_things(n_treatments, 'treatment')}"
        f" {_agree(n_active)} from the controls"
    )


def _agree(count: int) -> str:
    return "differs" if count == 1 else "differ"


def word_doses(doses: pd.DataFrame, compounds: pd.DataFrame, by: str) -> list[str]:
    """Give the EC50 of active compounds, the lowest first.

    Parameters
    ----------
    doses : pandas.DataFrame
        From `fit_doses`.
    compounds : pandas.DataFrame
        From `combine_doses`.
    by : str
        The response that counts.

    Returns
    -------
    list of str
        One each for up to three compounds, and how many more have an EC50.
    """
    active = compounds.loc[compounds["active"], "compound"]
    fitted = doses[(doses["response"] == by) & doses["compound"].isin(active)]
    fitted = fitted[fitted["ec50"].notna()].sort_values("ec50")
    texts = [word_ec50(row) for row in fitted.to_dict("records")]
    more = len(texts) - MOST_NAMED
    named = texts[:MOST_NAMED]
    if more > 0:
        verb = "has" if more == 1 else "have"
        named.append(f"{count_things(more, 'more compound')} {verb} an EC50")
    return named


def word_ec50(row: Mapping[str, Any]) -> str:
    """Write an EC50 with its interval.

    Examples
    --------
    >>> row = {"compound": "wortmannin", "ec50": 12.1, "low": 9.2, "high": 15.9}
    >>> word_ec50({**row, "unit": "nM"})
    "wortmannin's EC50 is 12 nM (9.2–16)"
    """
    unit = f" {row['unit']}" if row["unit"] else ""
    values = [format_number(row[name]) for name in ("ec50", "low", "high")]
    return f"{row['compound']}'s EC50 is {values[0]}{unit} ({values[1]}–{values[2]})"


def format_number(value: float) -> str:
    """Format a number with two significant digits.

    Examples
    --------
    >>> format_number(12.1), format_number(0.0456), format_number(1234.0)
    ('12', '0.046', '1,200')
    """
    if not np.isfinite(value) or value == 0:
        return f"{value:g}"
    digits = 1 - int(np.floor(np.log10(abs(value))))
    return f"{round(value, digits):,.{max(digits, 0)}f}"
