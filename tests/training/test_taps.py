import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.spatial.distance import pdist, squareform

from stratonet import StratoNet
from stratonet.weights_file import read_card
from stratonet_sklearn.datasets import simulate_plate
from stratonet_sklearn.evaluation.separation import compute_z_prime
from training import tap_statistics
from training import taps as module
from training.tap_statistics import (
    compare_features,
    compute_balanced_accuracy,
    compute_inhomogeneity,
    score_held_out,
)
from training.taps import compare_taps, split_wells

pytestmark = pytest.mark.slow

CHANNELS = ("GFP", "DNA")
POSITIVE = np.arange(24) % 3 == 0
WELLS = pd.DataFrame(
    {
        "well": [
            f"{'ABCDEFGH'[position // 3]}{position % 3 + 1:02d}"
            for position in range(24)
        ]
    }
)


def distances(values):
    return squareform(pdist(values))


def test_resampling_does_not_shrink_the_spread(rng):
    positive = np.arange(12) < 6
    roles = np.array([~positive, positive])
    counts = [rng.multinomial(6, role / 6, 20_000) for role in roles]
    values = rng.normal(size=(12, 50)) + positive[:, None]
    resampled = compute_inhomogeneity(distances(values), *counts)
    assert np.nanmean(resampled) == pytest.approx(
        compute_inhomogeneity(distances(values), *roles), abs=0.01
    )


def test_distance_is_0_for_one_distribution_and_1_for_far_ones(rng):
    values = [
        compute_inhomogeneity(distances(rng.normal(size=(24, 20))), ~POSITIVE, POSITIVE)
        for _ in range(200)
    ]
    assert (
        abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
        and np.max(np.abs(values)) < 0.1
    )
    far = rng.normal(size=(24, 20)) + 1e3 * POSITIVE[:, None]
    assert 0.99 < compute_inhomogeneity(distances(far), ~POSITIVE, POSITIVE) < 1
    # By hand: 0 and 1 against 4 and 6: between 4.5, within 1 and 2.
    by_hand = compute_inhomogeneity(
        distances(np.array([[0.0], [1], [4], [6]])),
        *np.array([[1, 1, 0, 0], [0, 0, 1, 1]]),
    )
    assert by_hand == pytest.approx((2 * 4.5 - 1 - 2) / (2 * 4.5))


def test_balanced_accuracy_counts_each_role_alike_and_keeps_an_interval_at_1():
    right = np.ones(24, bool)
    value, lower, upper = compute_balanced_accuracy(right, POSITIVE, 0)
    assert value == upper == 1 and 0.8 < lower < 0.9
    right[0] = False  # one of 8 positive controls
    value, lower, upper = compute_balanced_accuracy(right, POSITIVE, 0)
    assert value == pytest.approx((7 / 8 + 1) / 2) and lower < value < upper


@pytest.mark.parametrize(
    "wells", [WELLS, WELLS.assign(well="well " + WELLS.well.str[1:])]
)
def test_noise_does_not_tell_controls_apart(wells, rng, monkeypatch):
    monkeypatch.setattr(tap_statistics, "PERMUTATIONS", 999)
    folds, _ = split_wells(wells, POSITIVE, 0)
    tables = [
        compare_features({"noise": rng.normal(size=(24, 2000))}, POSITIVE, folds, seed)
        for seed in range(12)
    ]
    table = pd.concat(tables)
    assert abs(table.balanced_accuracy.mean() - 0.5) < 0.1
    assert (table.z_prime < 0).all()
    assert table.distance.abs().max() < 0.01
    assert 0.2 < table.distance_p.mean() < 0.8 and table.distance_p.min() > 0.001


def test_the_best_axis_is_found_among_thousands_of_features(rng):
    features = rng.normal(size=(24, 2000))
    features[:, :200] += 6 * POSITIVE[:, None]
    scores = score_held_out(features, POSITIVE, split_wells(WELLS, POSITIVE, 0)[0])
    assert compute_z_prime(scores, ~POSITIVE, POSITIVE) > 0.5
    assert (
        scores[POSITIVE].mean() == pytest.approx(1, abs=0.3)
        and abs(scores[~POSITIVE].mean()) < 0.3
    )


def test_every_well_is_held_out_once():
    folds, scheme = split_wells(WELLS, POSITIVE, 0)
    assert scheme == "8 rows held out in turn" and [list(test) for _, test in folds][
        1
    ] == [3, 4, 5]
    for wells in (
        WELLS.assign(well="A01"),
        WELLS.assign(well=range(24)),
        WELLS.assign(well=list("ABC") * 8),
    ):
        folds, scheme = split_wells(
            wells, POSITIVE, 0
        )  # fewer than 3 rows, none, one role a row
        assert (
            scheme == "5 stratified folds"
            and len({POSITIVE[test].sum() for _, test in folds} - {1, 2}) == 0
        )
        assert sorted(np.concatenate([test for _, test in folds])) == list(range(24))


def test_comparisons_are_paired_and_leave_together_unranked(rng):
    signal = rng.normal(size=(24, 30)) + 3 * POSITIVE[:, None]
    features = {"dull": rng.normal(size=(24, 30)), "sharp": signal, "together": signal}
    table = compare_features(features, POSITIVE, split_wells(WELLS, POSITIVE, 0)[0], 0)
    assert list(table.index) == list(features)
    for measure in ("z_prime", "distance"):
        assert list(table[f"{measure}_rank"][:2]) == [2, 1] and np.isnan(
            table[f"{measure}_rank"]["together"]
        )
        assert table[f"{measure}_first"]["sharp"] > 0.99
        against = table.filter(regex=f"^{measure}_minus_best")
        assert (against.loc["together"] == 0).all() and (against.loc["dull"] < 0).all()
        assert (table[f"{measure}_lower"] < table[measure]).all() and (
            table[measure] < table[f"{measure}_upper"]
        ).all()


def test_p_is_no_smaller_than_the_number_of_permutations_allows(rng):
    positive = np.arange(8) % 2 == 0
    folds, _ = split_wells(WELLS[:8], positive, 0)
    table = compare_features(
        {"far": rng.normal(size=(8, 300)) + 9 * positive[:, None]}, positive, folds, 0
    )
    assert table.distance_p["far"] == pytest.approx(
        2 / 70, rel=0.2
    )  # of 70 ways, this one and its mirror image


def test_features_that_do_not_vary_hold_nothing_apart(rng):
    features = {
        "blank": np.ones((24, 5)),
        "sharp": rng.normal(size=(24, 5)) + 9 * POSITIVE[:, None],
    }
    table = compare_features(features, POSITIVE, split_wells(WELLS, POSITIVE, 0)[0], 0)
    assert table.balanced_accuracy["blank"] == 0.5 and table.distance_p["blank"] == 1
    assert np.isnan(table.z_prime["blank"]) and table.z_prime_rank["sharp"] == 1


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    simulate_plate(folder, rows=3, columns=4, sites=2, size=64)
    return folder


@pytest.mark.slow
def test_a_plate_gives_a_table_and_a_picture(plate, tmp_path, capsys):
    table = compare_taps(plate, "stratonet50", tmp_path / "new" / "folder")
    card = read_card("stratonet50")
    assert list(table.index) == [tap.layer for tap in card.taps] + ["together"]
    assert dict(table.alias.dropna()) == {
        tap.layer: tap.alias for tap in card.taps if tap.alias
    }
    # Two channels, means and standard deviations.
    assert list(table.features) == [4 * tap.width for tap in card.taps] + [4 * 2560]
    written = pd.read_csv(tmp_path / "new" / "folder" / "taps.csv", index_col="tap")
    pd.testing.assert_frame_equal(written, table, atol=1e-4, check_dtype=False)
    assert Image.open(tmp_path / "new" / "folder" / "taps.png").width == 1276
    printed = capsys.readouterr().out
    sentences = (
        (
            f"{plate.name}: 4 negative and 4 positive control wells, 3 rows held out in"
            " turn"
        ),
        StratoNet.load("stratonet50").feature_set_id,
        f"{table.z_prime[:-1].idxmax()} is the best single tap",
        "together - ",
        f"Ranks of 13: low {table.z_prime_rank['conv3_block4_out']:.0f}",
    )
    assert all(words in printed for words in sentences), printed
    again = compare_taps(plate, "stratonet50", tmp_path / "again")
    pd.testing.assert_frame_equal(again, table)


@pytest.mark.slow
def test_sites_are_averaged_to_wells(plate, net):
    wells, features = module.read_controls(plate, net)
    assert not wells.well.duplicated().any()
    first = wells.well[0]
    by_hand = net.features(
        [
            module.read_plane(plate / f"{first}_s{site}_{channel}.tif")
            for site in (1, 2)
            for channel in CHANNELS
        ]
    )
    by_hand = by_hand.reshape(2, 2, -1).mean(axis=0)
    np.testing.assert_allclose(
        features["conv3_block4_out"][0],
        by_hand[:, : 2 * 512].ravel(),
        rtol=1e-5,
        atol=1e-6,
    )
    np.testing.assert_allclose(
        features["conv4_block6_out"][0],
        by_hand[:, -2 * 1024 :].ravel(),
        rtol=1e-5,
        atol=1e-6,
    )


def test_weights_with_one_tap(plate, tmp_path, monkeypatch, capsys):
    net = StratoNet.load("stratonet50", "conv2_block1_out")
    monkeypatch.setattr(module.StratoNet, "load", lambda weights, layers, recipe: net)
    table = compare_taps(plate, "stratonet50", tmp_path)
    assert list(table.index) == ["conv2_block1_out"] and table.alias.isna().all()
    assert (
        not table.filter(like="together").size
        and "Ranks" not in capsys.readouterr().out
    )
    assert (tmp_path / "taps.png").stat().st_size > 0


@pytest.fixture
def labels(plate):
    """The plate's labels, to be changed and saved in another folder."""
    table = pd.read_csv(plate / "labels.csv")
    for channel in CHANNELS:
        table[f"file_{channel}"] = [
            str(plate / name) for name in table[f"file_{channel}"]
        ]
    return table


@pytest.mark.slow
@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda labels: labels.drop(columns="role"),
            "Received: {'negcon': 0, 'poscon': 0}",
        ),
        (
            lambda labels: labels[labels.role != "poscon"],
            "Received: {'negcon': 4, 'poscon': 0}",
        ),
        (
            lambda labels: labels.drop(labels.index[labels.role == "poscon"][4:]),
            "Received: {'negcon': 4, 'poscon': 2}",
        ),
        (
            lambda labels: labels.assign(
                file_GFP=labels.file_GFP[0], file_DNA=labels.file_DNA[0]
            ),
            "wells have the same features",
        ),
    ],
)
def test_a_plate_without_enough_controls_is_refused(change, message, labels, tmp_path):
    change(labels).to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(ValueError, match=re.escape(message)):
        compare_taps(tmp_path, "stratonet50", tmp_path)


def test_an_image_that_cannot_be_read_is_named(labels, tmp_path):
    torn = tmp_path / "torn.tif"
    labels.assign(file_DNA=torn).to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(FileNotFoundError, match="torn.tif"):
        compare_taps(tmp_path, "stratonet50", tmp_path)
    torn.write_bytes(b"II*\0")
    with pytest.raises((OSError, ValueError), match="torn.tif"):
        compare_taps(tmp_path, "stratonet50", tmp_path)


@pytest.mark.slow
def test_a_file_that_cannot_be_written_is_named(plate, tmp_path):
    (tmp_path / "taps.csv").mkdir()
    with pytest.raises(OSError, match="taps.csv cannot be written"):
        compare_taps(plate, "stratonet50", tmp_path)


@pytest.mark.slow
def test_a_real_plate(data, tmp_path):
    table = compare_taps(
        data / "bbbc013", "stratonet50", tmp_path, recipe="whole224/mean"
    )
    assert (table.balanced_accuracy >= 0.95).all() and (table.distance_p < 0.01).all()
    assert (
        table.z_prime.idxmax() == table.distance.idxmax() == "conv3_block4_out"
    )  # the low tap, as in appendix D
    assert table.z_prime["conv3_block4_out"] > 0.5
    assert (
        table.z_prime_minus_best_lower["together"] < 0
    )  # the three together are not shown to be better
