import numpy as np
import pandas as pd
import pytest
from sklearn.svm import SVC

from stratonet_sklearn.evaluation.separation import (
    average_pairs,
    compute_z_prime,
    fit_probe,
    leave_rows_out,
    separate_controls,
)


def test_every_row_is_left_out_once_and_aa_is_not_a():
    wells = pd.Series(["AA01", "A01", "B07", "A02", "Z48"], index=list("vwxyz"))
    folds = [(list(train), list(test)) for train, test in leave_rows_out(wells)]
    assert folds == [
        ([0, 2, 4], [1, 3]),
        ([0, 1, 3, 4], [2]),
        ([0, 1, 2, 3], [4]),
        ([1, 2, 3, 4], [0]),
    ]


def test_name_that_is_not_a_wells_is_refused():
    with pytest.raises(ValueError, match="such as A01. Received: 'control'"):
        list(leave_rows_out(pd.Series(["A01", "control"])))


@pytest.fixture
def labels():
    """Three rows, each with both controls and a treated well."""
    wells = [f"{row}{column:02d}" for row in ("A", "B", "AA") for column in (1, 2, 3)]
    return pd.DataFrame({"well": wells, "role": ["negcon", "poscon", "trt"] * 3})


def test_controls_are_scored_by_what_has_not_seen_their_row(labels, rng):
    features = rng.normal(size=(9, 4))
    seen = []

    class Recorder(SVC):
        def fit(self, rows, classes):
            seen.append((rows[:, 0].tolist(), classes.tolist()))
            return super().fit(rows, classes)

    separate_controls(Recorder(kernel="linear"), features, labels)
    rows = [position // 3 for position in range(9)]
    for row, (values, classes) in enumerate(seen):
        train = [i for i in range(9) if rows[i] != row and labels.role[i] != "trt"]
        assert values == features[train, 0].tolist()
        assert classes == [labels.role[i] == "poscon" for i in train]


def test_scores_are_those_of_each_rows_own_classifier(labels, rng):
    features = rng.normal(size=(9, 4))
    features[labels.role == "poscon"] += 9
    model = SVC(kernel="linear", class_weight="balanced")
    scores, accuracy = separate_controls(model, features, labels)
    assert accuracy == 1 and not np.isnan(scores).any()
    by_hand = SVC(kernel="linear", class_weight="balanced")
    by_hand.fit(features[[0, 1, 3, 4]], [False, True, False, True])
    np.testing.assert_allclose(scores[6:], by_hand.decision_function(features[6:]))
    frame = pd.DataFrame(features, index=list("ihgfedcba"))
    np.testing.assert_array_equal(separate_controls(model, frame, labels)[0], scores)


def test_z_prime_of_known_numbers():
    scores = np.array([-1.0, 0, 1, 9, 10, 11])
    positive = scores > 5
    z_prime = compute_z_prime(scores, ~positive, positive)
    assert z_prime == pytest.approx(1 - 3 * (1 + 1) / 10)
    assert compute_z_prime(-scores, ~positive, positive) == z_prime


def test_z_prime_of_one_well_is_unknown():
    scores, positive = np.array([0.0, 1, 5]), np.array([False, False, True])
    assert np.isnan(compute_z_prime(scores, ~positive, positive))


def test_resampling_does_not_shrink_the_spread(rng):
    positive = np.arange(12) < 6
    scores = rng.normal(size=12) + 10 * positive
    roles = np.array([~positive, positive])
    counts = [rng.multinomial(6, role / 6, 20_000) for role in roles]
    resampled = compute_z_prime(scores, *counts)
    expected = compute_z_prime(scores, *roles)
    assert np.nanmedian(resampled) == pytest.approx(expected, abs=0.05)


def test_a_well_drawn_twice_makes_no_pair():
    pairs = np.array([[0.0, 2, 4], [2, 0, 6], [4, 6, 0]])
    assert average_pairs(pairs, np.array([2, 0, 1])) == 4
    assert average_pairs(pairs, np.array([[1, 1, 0], [1, 1, 1]])).tolist() == [2, 4]


def test_probe_on_what_can_be_told_apart(rng):
    classes = np.repeat(np.arange(7), 20)
    features = rng.normal(size=(140, 30)) + 8 * np.eye(7, 30)[classes]
    probe = fit_probe(features[::2], classes[::2])
    assert np.mean(probe.predict(features[1::2]) == classes[1::2]) > 0.95
