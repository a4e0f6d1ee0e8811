"""At which dose a compound acts: four-parameter curves, and EC50 where there is one."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

from stratonet.messages import count_things
from stratonet_sklearn.rows import read_rows

FEWEST_DOSES = 4
# A plateau is reached where the curve has covered this share of its range.
REACHED = 0.8
SIGNIFICANT = 0.05
# Steeper curves are steps: the doses cannot tell how steep.
LEAST_STEEP, MOST_STEEP = 0.1, 10.0
SLOPES = (0.5, 1.0, 2.0, 4.0)
N_MIDDLES = 17
TOLERANCE = 1e-6
N_PARAMETERS = 4
# Logarithm for dose 0: so far below all doses that every curve is at its bottom.
LOG_OF_ZERO = -300.0
COLUMNS = (
    "compound",
    "response",
    "unit",
    "n_doses",
    "n_wells",
    "lowest_dose",
    "highest_dose",
    "ec50",
    "low",
    "high",
    "bottom",
    "top",
    "log_ec50",
    "slope",
    "r_squared",
    "p",
    "note",
)
_UNITS = {"nm": "nM", "um": "µM", "µm": "µM", "μm": "µM", "mm": "mM", "pm": "pM"}
_UNITS |= {"m": "M", "nmol/l": "nM", "umol/l": "µM", "µmol/l": "µM", "ug/ml": "µg/ml"}
_UNITS |= {"µg/ml": "µg/ml", "ng/ml": "ng/ml", "mg/ml": "mg/ml", "%": "%"}
_UNITS |= {"nanomolar": "nM", "micromolar": "µM", "millimolar": "mM"}
_DOSE = re.compile(
    r"\s*(?P<number>[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?)\s*(?P<unit>\D*)"
)


@dataclass(frozen=True)
class Curve:
    """A four-parameter curve on the logarithm of the dose.

    Attributes
    ----------
    bottom, top : float
        The response at dose 0, and at infinite dose.
    log_ec50 : float
        Logarithm, to base 10, of the dose halfway between.
    slope : float
        Positive: from bottom to top.
    """

    bottom: float
    top: float
    log_ec50: float
    slope: float

    def predict(self, doses: np.ndarray) -> np.ndarray:
        """Predict responses.

        Parameters
        ----------
        doses : numpy.ndarray
            0 or more.

        Examples
        --------
        >>> Curve(0, 1, 1, 2).predict(np.array([0, 10])).tolist()
        [0.0, 0.5]
        """
        return _compute_curve(
            _take_logs(doses), self.bottom, self.top, self.log_ec50, self.slope
        )


def parse_doses(texts: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Parse doses, with or without a unit.

    Parameters
    ----------
    texts : pandas.Series (n,)
        Such as ``"0.98"``, ``1e-6`` or ``"10 nM"``.

    Returns
    -------
    doses : numpy.ndarray (n,)
        NaN where there is no number.
    units : list of str
        The unit of each, ``""`` where none is written.

    Examples
    --------
    >>> doses, units = parse_doses(pd.Series(["2.5 uM", "10", "high", ""]))
    >>> doses.tolist(), units
    ([2.5, 10.0, nan, nan], ['µM', '', '', ''])
    """
    parsed_doses = {}
    for text in texts.unique():
        match = _DOSE.fullmatch(str(text))
        if match:
            unit = match["unit"].strip()
            parsed_doses[text] = float(match["number"]), _UNITS.get(unit.lower(), unit)
        else:
            parsed_doses[text] = (np.nan, "")
    pairs = [parsed_doses[text] for text in texts]
    return np.array([number for number, _ in pairs]), [unit for _, unit in pairs]


def find_unit(column: str) -> str:
    """Find the unit in the name of a column of doses.

    Examples
    --------
    >>> find_unit("Metadata_Dose_uM"), find_unit("Metadata_Dose")
    ('µM', '')
    """
    last = re.split(r"[_ (\[]", column.rstrip(")]"))[-1]
    return _UNITS.get(last.lower(), "") if last.lower() != "m" else ""


def fit_doses(
    compounds: ArrayLike,
    doses: ArrayLike,
    responses: Mapping[str, ArrayLike],
    controls: Mapping[str, ArrayLike] | None = None,
    unit: str = "",
) -> pd.DataFrame:
    """Fit a dose-response curve to each compound.

    Parameters
    ----------
    compounds : array (n wells,)
        The compound of each well.
    doses : array (n wells,)
        Numbers, or texts such as ``"10 nM"``. Wells without one are left out.
    responses : mapping of str to array (n wells,)
        The responses to fit, by name, such as the response along the axis, and the
        distance from the controls. NaN is left out.
    controls : mapping of str to array (n controls,), optional
        The same responses of negative controls, which are dose 0 of every compound.
    unit : str
        The unit of doses that are written without one.

    Returns
    -------
    pandas.DataFrame
        One row per compound and response: ``compound``, ``response``, ``unit``,
        ``n_doses``, ``n_wells``, ``lowest_dose``, ``highest_dose``; ``ec50`` with
        ``low`` and ``high`` (95% interval); ``bottom``, ``top``, ``log_ec50`` and
        ``slope`` of the curve, also where no EC50 is given; ``r_squared``, of the wells
        with a dose; ``p`` (F test against no change); ``note``: why there is no EC50.

    Raises
    ------
    ValueError
        Arguments differ in length.

    Notes
    -----
    An EC50 is given where there are at least four doses, the curve explains the
    responses better than no change does (p < 0.05), it runs between two plateaus (less
    than a fifth of its range lies below the lowest dose, or less than half where
    controls show the lower plateau, and less than a fifth above the highest dose), and
    the interval is no wider than the range of the doses.

    Examples
    --------
    >>> doses = np.repeat([1, 3, 10, 30, 100, 300], 3)
    >>> noise = np.random.default_rng(0).normal(scale=0.05, size=18)
    >>> response = 1 / (1 + (20 / doses) ** 1.5) + noise
    >>> curves = fit_doses(["taxol"] * 18, doses, {"axis": response}, unit="nM")
    >>> curves[["ec50", "low", "high"]].round(0).values.tolist()
    [[20.0, 17.0, 23.0]]
    """
    columns = read_rows({"compounds": compounds, "doses": doses, **responses})
    numbers, units = parse_doses(columns["doses"].astype(str))
    frame = pd.DataFrame(
        {"compound": columns["compounds"].astype(str), "dose": numbers}
    )
    frame["unit"] = [written or unit for written in units]
    rows = []
    for name in responses:
        values = frame.assign(value=columns[name].astype(float))
        values = values[np.isfinite(values["value"]) & np.isfinite(values["dose"])]
        at_zero = np.asarray((controls or {}).get(name, []), float)
        at_zero = at_zero[np.isfinite(at_zero)]
        for compound, wells in values[values["dose"] >= 0].groupby("compound"):
            rows.append(
                {
                    "compound": compound,
                    "response": name,
                    **_fit_compound(wells, at_zero),
                }
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _fit_compound(wells: pd.DataFrame, at_zero: np.ndarray) -> dict[str, Any]:
    treated = wells[wells["dose"] > 0]
    tested_doses = np.sort(treated["dose"].unique())
    described: dict[str, Any] = {
        "unit": " ".join(dict.fromkeys(wells["unit"])),
        "n_doses": len(tested_doses),
        "n_wells": len(treated),
        "lowest_dose": tested_doses.min() if len(tested_doses) else np.nan,
        "highest_dose": tested_doses.max() if len(tested_doses) else np.nan,
    }
    if wells["unit"].nunique() > 1:
        return {**described, "note": "its doses have several units"}
    if len(tested_doses) < FEWEST_DOSES:
        count = count_things(len(tested_doses), "dose")
        note = f"{count}: a curve needs {FEWEST_DOSES} or more"
        return {**described, "note": note}
    doses = np.concatenate([wells["dose"], np.zeros(len(at_zero))])
    values = np.concatenate([wells["value"], at_zero])
    if len(values) <= N_PARAMETERS:
        note = f"{len(values)} wells: a curve of {N_PARAMETERS} parameters needs more"
        return {**described, "note": note}
    try:
        curve, errors = fit_curve(doses, values)
    except RuntimeError:
        return {**described, "note": "no curve could be fitted"}
    described.update(_describe_curve(curve, doses, values))
    # Half a plateau does not tell where the middle is: no EC50 is better than a wrong
    # one.
    note = _explain_no_ec50(
        curve, tested_doses, described["p"], bool((doses == 0).any())
    )
    if note:
        return {**described, "note": note}
    quantile = t_distribution.ppf(0.975, len(values) - N_PARAMETERS)
    half_width = quantile * errors[2]
    if not np.isfinite(half_width) or 2 * half_width > np.log10(
        tested_doses.max() / tested_doses.min()
    ):
        note = "the interval of the EC50 is wider than the range of doses"
        return {**described, "note": note}
    described["ec50"] = 10**curve.log_ec50
    described["low"] = 10 ** (curve.log_ec50 - half_width)
    described["high"] = 10 ** (curve.log_ec50 + half_width)
    return {**described, "note": ""}


def fit_curve(doses: np.ndarray, values: np.ndarray) -> tuple[Curve, np.ndarray]:
    """Fit a four-parameter curve by least squares.

    Parameters
    ----------
    doses, values : numpy.ndarray (n wells,)
        Doses are 0 or more; two or more are above 0.

    Returns
    -------
    curve : Curve
    errors : numpy.ndarray (4,)
        Standard errors of bottom, top, log EC50 and slope.

    Raises
    ------
    RuntimeError
        No curve was found.

    Examples
    --------
    >>> doses = np.array([0, 1.0, 2, 4, 8, 16])
    >>> curve, _ = fit_curve(doses, Curve(0, 1, 0.5, 1).predict(doses))
    >>> round(curve.log_ec50, 2)
    0.5
    """
    logs, dose_numbers, counts = np.unique(
        _take_logs(doses), return_inverse=True, return_counts=True
    )
    # The weighted means of the doses give the same curve in less time.
    means = np.bincount(dose_numbers.ravel(), values) / counts
    finite = logs[logs > LOG_OF_ZERO]
    # One decade beyond the doses: a curve with its middle there gets no EC50.
    lower = [-np.inf, -np.inf, finite.min() - 1, LEAST_STEEP]
    upper = [np.inf, np.inf, finite.max() + 1, MOST_STEEP]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        parameters, covariance = curve_fit(
            _compute_curve,
            logs,
            means,
            _search_start(logs, means, counts),
            sigma=1 / np.sqrt(counts),
            absolute_sigma=True,
            bounds=(lower, upper),
            jac=_compute_slopes,
            x_scale="jac",
            # No dose is known to a millionth.
            ftol=TOLERANCE,
            xtol=TOLERANCE,
        )
    curve = Curve(*map(float, parameters))
    residual = np.square(values - curve.predict(doses)).sum()
    scale = residual / max(len(values) - N_PARAMETERS, 1)
    return curve, np.sqrt(np.diag(covariance) * scale)


def _search_start(
    logs: np.ndarray, means: np.ndarray, counts: np.ndarray
) -> list[float]:
    """Search middle and slope on a grid: from a bad start, a fit ends on a plateau."""
    finite = logs[logs > LOG_OF_ZERO]
    weights = np.sqrt(counts)
    best, start = np.inf, [0.0, 0.0, 0.0, 0.0]
    for middle in np.linspace(finite.min(), finite.max(), N_MIDDLES):
        for slope in SLOPES:
            # For a given middle and slope, responses are linear in the share of the
            # range.
            share = _compute_curve(logs, 0, 1, middle, slope)
            lines = np.column_stack([1 - share, share]) * weights[:, None]
            ends, *_ = np.linalg.lstsq(lines, means * weights, rcond=None)
            residual = float(np.square(means * weights - lines @ ends).sum())
            if residual < best:
                best, start = residual, [*map(float, ends), float(middle), slope]
    return start


def _take_logs(doses: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        logs = np.log10(np.asarray(doses, float))
    return np.maximum(logs, LOG_OF_ZERO)


def _compute_curve(
    logs: np.ndarray, bottom: float, top: float, log_ec50: float, slope: float
) -> np.ndarray:
    # Powers of a dose 0 are infinite, and one over them is 0.
    with np.errstate(over="ignore"):
        return bottom + (top - bottom) / (1 + 10.0 ** (slope * (log_ec50 - logs)))


def _compute_slopes(
    logs: np.ndarray, bottom: float, top: float, log_ec50: float, slope: float
) -> np.ndarray:
    """Compute how each response changes with each of the four parameters."""
    share = _compute_curve(logs, 0, 1, log_ec50, slope)
    steep = (top - bottom) * np.log(10) * share * (1 - share)
    return np.column_stack(
        [1 - share, share, -steep * slope, -steep * (log_ec50 - logs)]
    )


def _describe_curve(
    curve: Curve, doses: np.ndarray, values: np.ndarray
) -> dict[str, Any]:
    squares = np.square(values - curve.predict(doses))
    residual = float(squares.sum())
    total = float(np.square(values - values.mean()).sum())
    n_free = len(values) - N_PARAMETERS
    # Without controls, which all lie at the bottom of the curve, and may be thousands.
    treated = doses > 0
    treated_total = float(np.square(values[treated] - values[treated].mean()).sum())
    unexplained = float(squares[treated].sum())
    p = np.nan
    if n_free > 0 and total > 0:
        explained = (total - residual) / (N_PARAMETERS - 1)
        p = float(
            f_distribution.sf(explained / max(residual / n_free, 1e-30), 3, n_free)
        )
    return {
        "bottom": curve.bottom,
        "top": curve.top,
        "log_ec50": curve.log_ec50,
        "slope": curve.slope,
        "r_squared": 1 - unexplained / treated_total if treated_total > 0 else np.nan,
        "p": p,
    }


def _explain_no_ec50(
    curve: Curve, tested_doses: np.ndarray, p: float, shows_bottom: bool
) -> str:
    """Say why a curve has no EC50; ``""`` where it has one."""
    if not p < SIGNIFICANT:
        return "no change with the dose"
    shares = Curve(0, 1, curve.log_ec50, curve.slope).predict(
        np.array([tested_doses.min(), tested_doses.max()])
    )
    if shares[1] < REACHED:
        return "no upper plateau: the response still changes at the highest dose"
    # Controls show the lower plateau, but not where it ends.
    if shares[0] > (0.5 if shows_bottom else 1 - REACHED):
        return "no lower plateau: the lowest dose already has an effect"
    return ""
