"""What the comparison of profiles leaves out has no part in what it is judged by."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from screen_tables import draw_sites

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def heldout(monkeypatch):
    # Benchmarks are programs beside each other, not a package that is installed.
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("heldout")


@pytest.fixture
def profiles(heldout):
    return import_module("profiles")


def test_ranges_of_ids_are_apart(heldout):
    screens = import_module("screens")
    ids = pd.Series(np.arange(1, 2001))
    patterns = pd.Series(np.where(ids <= 1200, "golgi", "nucleolar"))
    ranges = screens.divide_ids(ids, patterns)
    for _, in_pattern in ranges.groupby(patterns):
        ranged_cells = in_pattern[in_pattern >= 0]
        assert list(ranged_cells.unique()) == [0, 1, 2, 3, 4, 5]
        width = len(in_pattern) / 6
        for number in range(5):
            last = ids[ranged_cells.index[ranged_cells == number]].max()
            first = ids[ranged_cells.index[ranged_cells == number + 1]].min()
            assert first - last > 0.45 * width


@pytest.mark.parametrize("name", ["bbbc013", "mitocheck", "hep2", "randtag"])
def test_no_group_is_in_training_and_test(heldout, data, name):
    rows, channels = heldout.LISTS[name](data / name)
    folds_of_groups = rows.groupby("Metadata_Group")["Metadata_Fold"].nunique()
    assert (folds_of_groups == 1).all()
    assert [len(planes.paths) for planes in channels] == [len(rows)] * len(channels)
    classified = rows[rows.Metadata_Class != ""]
    for fold in rows.Metadata_Fold.unique():
        others = classified[classified.Metadata_Fold != fold]
        assert set(others.Metadata_Class) == set(classified.Metadata_Class)


def test_controls_that_are_left_out_set_no_scale(heldout, profiles):
    metadata, features, control = draw_sites(sites=1, plates=1)
    left_out = np.arange(len(metadata)) < 3  # three of ten controls
    screens = []
    for shift in (0, 50):
        moved = features.copy()
        moved[left_out] += shift
        groups = np.arange(len(metadata))
        screens.append(heldout.Screen(metadata, moved, control, groups, groups))
    recipe = profiles.RECIPES["standardize"]
    plain, moved = (
        profiles.profile_rows(screen, recipe, left_out) for screen in screens
    )
    np.testing.assert_allclose(moved[~left_out], plain[~left_out])
    assert (moved[left_out] > plain[left_out] + 10).all()
