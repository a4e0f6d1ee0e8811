import numpy as np
import pandas as pd
import pytest

from stratonet_sklearn.evaluation.splits import measure_confounding, split


def plates(n_plates=6, wells=12, sites=3):
    """Sites of wells of plates; each plate has every class, in turn."""
    frame = pd.DataFrame(
        [
            (plate, well, site)
            for plate in range(n_plates)
            for well in range(wells)
            for site in range(sites)
        ],
        columns=["plate", "well", "site"],
    )
    frame["well"] = frame.plate.astype(str) + "/" + frame.well.astype(str)
    frame["label"] = frame.well.map(
        {well: "abc"[number % 3] for number, well in enumerate(frame.well.unique())}
    )
    return frame


@pytest.mark.parametrize("by", ["well", "plate"])
@pytest.mark.parametrize("n_folds", [3, 5, 10, 1000])
def test_no_group_is_in_both_training_and_test(by, n_folds):
    rows = plates()
    rows["fold"] = split(rows.label, rows[by], n_folds, wells=rows.well)
    assert (rows.groupby(by).fold.nunique() == 1).all()
    assert (rows.groupby("well").fold.nunique() == 1).all()
    assert sorted(rows.fold.unique()) == list(range(min(n_folds, rows[by].nunique())))
    for fold in rows.fold.unique():
        assert set(rows.label[rows.fold != fold]) == set("abc")


def test_classes_are_as_frequent_in_each_fold():
    rows = plates(wells=30)
    rows["fold"] = split(rows.label, rows.well, 10)
    shares = pd.crosstab(rows.fold, rows.label, normalize="index")
    assert np.abs(shares - 1 / 3).to_numpy().max() < 0.01


def test_the_same_seed_splits_the_same():
    rows = plates()
    first, again, other = (split(rows.label, rows.well, 5, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_few_wells_of_each_class_are_few_folds():
    folds = split(["a", "b"] * 6, np.arange(12), 10)
    assert sorted(set(folds)) == list(range(6))


def test_as_many_folds_as_groups_leaves_each_out():
    rows = plates()
    assert np.array_equal(split(rows.label, rows.plate, 6), rows.plate)


def test_sites_of_a_well_are_never_divided():
    rows = plates()
    message = (
        "would leak: rows of 72 wells, the first 0/0, .* in both training and test."
        " Group by well"
    )
    with pytest.raises(ValueError, match=message):
        split(rows.label, rows.site, wells=rows.well)


def test_a_class_of_one_group_is_refused():
    rows = plates()
    with pytest.raises(ValueError, match="^z: all rows of the class are in one group"):
        split(rows.label.mask(rows.well == "0/0", "z"), rows.well)


def test_classes_that_are_plates_are_refused():
    rows = plates()
    with pytest.raises(
        ValueError, match="^plate 0, plate 1, .* all rows of the class are in one group"
    ):
        split("plate " + rows.plate.astype(str), rows.plate)


def test_a_class_that_folds_would_leave_out_of_the_training():
    # Two groups with the rare class: two folds can part them, a third fold leaves both
    # in training.
    labels, groups = (
        list("zzaaaa") + list("b" * 6),
        [0, 1, 0, 1, 2, 3] + [0, 1, 2, 3, 4, 5],
    )
    folds = split(labels, groups, 3)
    assert folds[0] != folds[1]


@pytest.mark.parametrize(
    ("labels", "groups", "n_folds", "message"),
    [
        (["a", "a"], [0, 1], 2, "the class of all rows is a"),
        ([], [], 2, "nothing to classify"),
        (["a", None], [0, 1], 2, "1 of 2 rows have no label"),
        (["a", "b"], [0, np.nan], 2, "1 of 2 rows have no group"),
        (["a", "b", "a"], [0, 1], 2, "`groups` has 2 rows, and `labels` has 3"),
        (["a", "b", np.nan], [0, 1, 2], 2, "1 of 3 rows have no label"),
        (["a", "b", " "], [0, 1, 2], 2, "1 of 3 rows have no label"),
        (["a", "b"], None, 2, "`groups` takes one value .*None"),
        (
            ["a", "b", "a", "b"],
            [0, 0, 1, 1],
            1,
            "n_folds must be at least 2. Received: 1",
        ),
    ],
)
def test_what_cannot_be_split(labels, groups, n_folds, message):
    with pytest.raises(ValueError, match=message):
        split(labels, groups, n_folds)


@pytest.mark.slow
def test_confounding_is_found(rng):
    rows = plates(n_plates=8, wells=24)
    rows["batch"] = np.where(
        rows.label == "a", "first", "second"
    )  # tells a from the others
    rows["random"] = rng.permutation(rows.plate)
    rows["label_again"] = rows.label
    rows["one"] = "the same"
    found = measure_confounding(
        rows.label, rows[["plate", "batch", "random", "label_again", "one"]]
    )
    assert list(found.index) == ["plate", "batch", "random", "label_again"]
    assert found.confounded.to_dict() == {
        "plate": False,
        "batch": True,
        "random": False,
        "label_again": True,
    }
    # A table of two columns, one class against two: chi2 / n is 1, and the smaller side
    # has 2 values.
    assert found.cramers_v.to_dict() == pytest.approx(
        {"plate": 0, "batch": 1, "random": found.cramers_v["random"], "label_again": 1},
        abs=1e-9,
    )
    assert found.cramers_v["random"] < 0.3
    assert found.pure.to_dict() == pytest.approx(
        {"plate": 0, "batch": 1 / 3, "random": 0, "label_again": 1}
    )


def test_many_small_plates_are_not_confounded_by_chance(rng):
    labels, plate = rng.choice(list("ab"), 40), np.repeat(np.arange(20), 2)
    found = measure_confounding(labels, pd.DataFrame({"plate": plate}))
    assert found.cramers_v["plate"] > 0.5
    assert not found.confounded["plate"]
