"""Z' is of controls that the axis has not seen; there are many ways to lack them."""

import numpy as np
import pandas as pd
import pytest

from stratonet_sklearn.evaluation.controls import compare_controls, measure_controls
from stratonet_sklearn.evaluation.heldout_axis import draw_roles, fit_axis


def make_plates(
    n_plates=1, n_negative=16, n_positive=8, n_treated=4, shift=4.0, seed=0
):
    """Plates whose positive controls differ in 30 of 400 features."""
    rng = np.random.default_rng(seed)
    frames, values = [], []
    for plate in range(n_plates):
        roles = ["neg"] * n_negative + ["pos"] * n_positive + ["trt"] * n_treated
        wells = [f"{'ABCDEFGH'[n % 8]}{n // 8 + 1:02d}" for n in range(len(roles))]
        frames.append(
            pd.DataFrame(
                {
                    "Metadata_Plate": f"P{plate}",
                    "Metadata_Well": wells,
                    "role": roles,
                }
            )
        )
        drawn = rng.normal(size=(len(roles), 400)) + 10 * rng.normal(size=400)
        drawn[n_negative : n_negative + n_positive, :30] += shift
        values.append(drawn)
    return pd.concat(frames, ignore_index=True), np.concatenate(values)


def measure(rows, values, **options):
    return measure_controls(
        rows, values, rows.role == "neg", rows.role == "pos", **options
    )


@pytest.mark.slow
def test_noise_is_not_overfitted():
    """Fitted to and tested on the same wells, noise in 4,000 features has Z' 0.8."""
    z_primes, confirmed = [], []
    for seed in range(6):
        rows, values = make_plates(shift=0, seed=seed)
        controls = measure(rows, values)
        z_primes.append(controls.plates.z_prime[0])
        confirmed.append(controls.confirmed)
    assert max(z_primes) < -1 and sum(confirmed) <= 1
    noise = np.random.default_rng(0).normal(size=(24, 4000))
    positive = np.arange(24) > 15
    direction, offset = fit_axis(noise, positive)
    seen = compare_controls(*np.split(noise @ direction - offset, [16]))
    assert seen["z_prime"] > 0.7


def test_an_effect_is_confirmed_and_wells_are_placed():
    rows, values = make_plates()
    values[-4:-2, :30] += 4.0
    controls = measure(rows, values)
    plate = controls.plates.iloc[0]
    assert controls.confirmed and 0.4 < plate.z_prime < 0.95
    assert plate.low < plate.z_prime < plate.high and plate.ssmd > 4
    # Wells are in the order of their names, not of the rows.
    axis = controls.wells.set_index("well").axis.loc[rows.Metadata_Well].to_numpy()
    assert axis[:16].mean() == pytest.approx(0, abs=1e-9)
    assert axis[16:24].mean() == pytest.approx(1, abs=1e-9)
    # Wells that no axis was fitted to: two like the positive controls, two without.
    assert axis[24:26] == pytest.approx(1, abs=0.3)
    assert axis[26:] == pytest.approx(0, abs=0.3)
    again = measure(rows, values)
    pd.testing.assert_frame_equal(again.plates, controls.plates)


def test_z_prime_is_that_of_its_definition():
    negative, positive = np.array([0.0, 1.0, 2.0]), np.array([9.0, 10.0, 11.0, 12.0])
    found = compare_controls(negative, positive)
    spread = negative.std(ddof=1) + positive.std(ddof=1)
    assert found["z_prime"] == pytest.approx(1 - 3 * spread / 9.5)
    assert found["robust_z_prime"] == pytest.approx(1 - 3 * 1.4826 * 2 / 9.5, abs=1e-4)
    assert found["ssmd"] == pytest.approx(9.5 / np.sqrt(1 + positive.var(ddof=1)))


def test_plates_are_tested_by_axes_of_other_plates():
    rows, values = make_plates(n_plates=3)
    controls = measure(rows, values)
    assert "on other plates, in 3 parts" in controls.note
    assert len(controls.plates) == 3 and controls.plates.z_prime.min() > 0.4
    # A plate without an effect is seen, though the axis is good.
    values[56 + 16 : 56 + 24, :30] -= 4.0
    spoilt = measure(rows, values)
    assert spoilt.plates.z_prime[2] < 0 < spoilt.plates.z_prime[:2].min()


def test_what_is_lacking_is_said():
    rows, values = make_plates(n_plates=2)
    lacking = (rows.Metadata_Plate == "P1") & (rows.role == "pos")
    controls = measure(rows[~lacking], values[~lacking])
    assert np.isnan(controls.plates.z_prime[1]) and controls.plates.z_prime[0] > 0.3
    assert (
        controls.plates.note[1] == "0 positive controls: Z' needs two or more of each."
    )
    # The plate's wells are on the axis of the other nevertheless.
    assert controls.wells.axis.notna().all() and "on other wells" in controls.note
    for role, told in {
        "pos": "No positive controls are known.",
        "neg": "No negative controls are known.",
    }.items():
        kept = rows.role != role
        controls = measure(rows[kept], values[kept])
        assert controls.note == told and not controls.confirmed
        assert controls.wells.axis.isna().all()
    one = (rows.role != "pos") | (rows.index == 16)
    assert "Received: 32 and 1" in measure(rows[one], values[one]).note


@pytest.mark.parametrize("n_negative, n_positive", [(2, 2), (3, 2), (4, 12)])
def test_few_controls(n_negative, n_positive):
    rows, values = make_plates(n_negative=n_negative, n_positive=n_positive)
    controls = measure(rows, values)
    assert np.isfinite(controls.plates.z_prime[0])
    # Of two and two, one in six is in order by chance.
    assert controls.confirmed == (n_negative * n_positive > 6)


def test_constant_features_and_controls_that_are_all_the_same():
    rows, values = make_plates()
    values[:, 30:] = 7
    controls = measure(rows, values)
    assert controls.confirmed and (controls.weights[:30] != 0).any()
    values[rows.role == "neg"] = 0
    values[rows.role == "pos"] = 1
    controls = measure(rows, values)
    assert controls.plates.z_prime[0] == pytest.approx(1)


def test_a_control_is_of_one_kind():
    rows, values = make_plates()
    with pytest.raises(ValueError, match="Received: such a row"):
        measure_controls(rows, values, rows.role == "neg", rows.role != "trt")


def test_drift_of_rows_is_found():
    rows, values = make_plates(n_negative=32)
    letters = rows.Metadata_Well.str[0].map(dict(zip("ABCDEFGH", range(8))))
    values[:, :30] += letters.to_numpy()[:, None] / 2
    drift = measure(rows, values).drift.set_index("factor")
    assert drift.corrected_p["row"] < 0.01 < drift.corrected_p["column"]
    assert drift.range["row"] > 0.3


@pytest.mark.parametrize(
    "spoil, told",
    [
        (lambda v: np.where(np.arange(400) == 3, np.nan, v), "1 features have NaN"),
        (lambda v: np.zeros_like(v), "of 400, none varies"),
        (lambda v: v[0], "an array of shape"),
        (lambda v: v[:5], "has 5 rows"),
    ],
)
def test_features_that_cannot_be_used(spoil, told):
    rows, values = make_plates()
    with pytest.raises(ValueError, match=told):
        measure(rows, spoil(values))


@pytest.mark.parametrize(
    ("n_negative", "n_positive", "n_drawn"),
    [(5, 4, 39), (4, 4, 34), (3, 3, 9), (2, 1, 2)],
)
def test_of_few_controls_each_division_is_drawn_once(n_negative, n_positive, n_drawn):
    roles = np.arange(n_negative + n_positive) < n_positive
    drawn = draw_roles(roles, 0)
    assert len({other.tobytes() for other in drawn}) == len(drawn) == n_drawn
    assert all((other != roles).any() and other.sum() == n_positive for other in drawn)


def test_four_controls_of_each_kind_confirm_a_clear_axis():
    rows = pd.DataFrame(
        {"Metadata_Plate": "P", "Metadata_Well": [f"A{n:02d}" for n in range(1, 9)]}
    )
    values = np.random.default_rng(0).normal(size=(8, 100))
    values[4:, :40] += 8
    controls = measure_controls(rows, values, np.arange(8) < 4, np.arange(8) >= 4)
    assert controls.confirmed and controls.p == 1 / 35
