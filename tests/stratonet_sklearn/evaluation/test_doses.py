"""Curves where doses show one, and a reason where they do not."""

import numpy as np
import pandas as pd
import pytest

from stratonet_sklearn.evaluation import fit_doses
from stratonet_sklearn.evaluation.doses import Curve, fit_curve, parse_doses

DOSES = np.repeat([1.0, 3, 10, 30, 100, 300], 3)
ZERO = np.random.default_rng(9).normal(scale=0.05, size=8)


def fit(curve, doses=DOSES, noise=0.05, controls=ZERO, seed=0):
    values = curve.predict(doses)
    values = values + np.random.default_rng(seed).normal(scale=noise, size=len(values))
    given = None if controls is None else {"axis": controls}
    return fit_doses(["x"] * len(doses), doses, {"axis": values}, given).iloc[0]


@pytest.mark.slow
def test_intervals_hold_what_they_say():
    """Of 200 curves, the 95% interval holds the true EC50 in about 190."""
    held = []
    for seed in range(200):
        row = fit(Curve(0, 1, np.log10(20), 1.3), noise=0.1, seed=seed)
        held.append(row.low <= 20 <= row.high)
    assert 0.91 <= np.mean(held) <= 0.99


@pytest.mark.parametrize("slope", [0.7, 1.5, 4])
@pytest.mark.parametrize("top", [1.0, -0.8])
def test_curves_up_and_down(slope, top):
    row = fit(Curve(0, top, np.log10(17), slope), noise=0.01)
    assert row.ec50 == pytest.approx(17, rel=0.1) and row.top == pytest.approx(
        top, abs=0.1
    )
    assert row.r_squared > 0.98 and row.note == "" and row.n_doses == 6


@pytest.mark.parametrize(
    "curve, told",
    [
        (Curve(0, 0, 1, 1), "no change with the dose"),
        (Curve(0, 1, np.log10(400), 1), "no upper plateau"),
        (Curve(0, 1, np.log10(0.2), 1.5), "no lower plateau"),
    ],
)
def test_no_ec50_and_why(curve, told):
    row = fit(curve)
    assert np.isnan(row.ec50) and told in row.note


def test_controls_show_the_lower_plateau():
    curve = Curve(0, 1, np.log10(2.0), 1.2)
    assert fit(curve, noise=0.02).ec50 == pytest.approx(2, rel=0.3)
    assert "no lower plateau" in fit(curve, noise=0.02, controls=None).note


@pytest.mark.parametrize(
    "doses, told",
    [
        (np.repeat([1.0, 10, 100], 5), "3 doses: a curve needs 4 or more"),
        (np.repeat([7.0], 5), "1 dose: a curve needs 4 or more"),
        (np.array([1.0, 10, 100, 1000]), "4 wells: a curve of 4 parameters needs more"),
    ],
)
def test_few_doses(doses, told):
    row = fit(Curve(0, 1, 1, 1), doses, controls=None)
    assert row.note == told and np.isnan(row.ec50)


def test_doses_as_people_write_them():
    texts = pd.Series(["0.5 uM", "500 nM", "1e-3", "10µM", "0", "none", "", "-", "5,5"])
    doses, units = parse_doses(texts)
    expected = [0.5, 500, 1e-3, 10, 0, np.nan, np.nan, np.nan, np.nan]
    np.testing.assert_array_equal(doses, expected)
    assert units[:5] == ["µM", "nM", "", "µM", ""]
    mixed = fit_doses(
        ["x"] * 4, ["1 uM", "5 nM", "10 uM", "20 uM"], {"axis": [0, 0, 1, 1.0]}
    )
    assert mixed.note[0] == "its doses have several units"


def test_responses_that_are_missing_or_all_the_same():
    values = np.where(DOSES > 50, np.nan, 1.0)
    row = fit_doses(["x"] * 18, DOSES, {"axis": values}).iloc[0]
    assert row.n_doses == 4 and row.note == "no change with the dose"
    assert fit_doses([], [], {"axis": []}).empty


def test_the_mean_of_each_dose_gives_the_same_curve_as_all_wells():
    from scipy.optimize import curve_fit

    values = Curve(0, 1, 1.2, 1.4).predict(DOSES) + ZERO[np.arange(18) % 8]
    curve, errors = fit_curve(DOSES, values)
    expected, covariance = curve_fit(
        lambda x, a, b, m, s: a + (b - a) / (1 + 10 ** (s * (m - x))),
        np.log10(DOSES),
        values,
        [0, 1, 1.2, 1.4],
    )
    found = [curve.bottom, curve.top, curve.log_ec50, curve.slope]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(errors, np.sqrt(np.diag(covariance)), rtol=1e-2)
