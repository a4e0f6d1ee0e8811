import numpy as np
import pandas as pd
import pytest

from training.finetune_split import assign_roles, choose_groups


def make_rows(plates=12, wells=4, classes=3):
    rows = [
        {"plate": f"P{plate:02d}", "well": f"A{well:02d}", "label": f"c{label}"}
        for plate in range(plates)
        for well in range(wells)
        for label in range(classes)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_plate_has_two_roles_and_every_role_has_all_classes(seed):
    rows = make_rows()
    group, groups = choose_groups(rows)
    assert group == "plate"
    roles = assign_roles(rows["label"], groups, seed=seed)
    assert roles.groupby(groups).nunique().eq(1).all()
    assert rows["label"].groupby(roles).nunique().to_dict() == {
        "train": 3,
        "stop": 3,
        "test": 3,
    }
    shares = roles.value_counts(normalize=True)
    assert shares["train"] > 0.6 and 0.15 < shares["test"] < 0.3
    assert roles.equals(assign_roles(rows["label"], groups, seed=seed))


def test_seeds_hold_other_plates_out():
    rows = make_rows()
    _, groups = choose_groups(rows)
    tested = {
        tuple(groups[assign_roles(rows["label"], groups, seed=seed) == "test"])
        for seed in range(4)
    }
    assert len(tested) > 1


def test_chosen_plates_are_tested_and_nothing_else():
    rows = make_rows()
    _, groups = choose_groups(rows)
    roles = assign_roles(rows["label"], groups, tested=["P03", "P07"])
    assert set(groups[roles == "test"]) == {"P03", "P07"}
    assert set(roles) == {"train", "stop", "test"}
    with pytest.raises(ValueError, match=r"Received: \['P99'\]"):
        assign_roles(rows["label"], groups, tested=["P99"])


def test_wells_are_held_out_on_few_plates():
    rows = make_rows(plates=1, wells=12)
    group, groups = choose_groups(rows)
    assert group == "well" and groups[0] == "P00 A00"
    roles = assign_roles(rows["label"], groups)
    assert roles.groupby(groups).nunique().eq(1).all()
    assert choose_groups(make_rows(), "well")[0] == "well"


def test_a_class_in_too_few_plates_is_left_out():
    rows = make_rows()
    rare = rows["plate"].isin(["P00", "P01"]) & (rows["label"] == "c2")
    rows = rows[rare | (rows["label"] != "c2")].reset_index(drop=True)
    _, groups = choose_groups(rows)
    roles = assign_roles(rows["label"], groups)
    assert set(rows["label"][roles == ""]) == {"c2"}
    assert (roles[rows["label"] != "c2"] != "").all()


def test_one_class_that_can_be_learnt_is_too_few():
    rows = make_rows(plates=4, classes=2)
    rows = rows[(rows["label"] == "c0") | (rows["plate"] == "P00")]
    _, groups = choose_groups(rows, "plate")
    with pytest.raises(ValueError, match="At least two classes .*'c1': 1"):
        assign_roles(rows["label"], groups)


def test_a_class_that_is_rare_is_trained_on_first():
    rows = make_rows(plates=12)
    keep = rows["plate"].isin(["P00", "P05", "P06"]) | (rows["label"] != "c2")
    rows = rows[keep].reset_index(drop=True)
    _, groups = choose_groups(rows)
    for seed in range(5):
        roles = assign_roles(rows["label"], groups, seed=seed)
        assert "c2" in set(rows["label"][roles == "train"])
        assert np.isin(["train", "stop", "test"], roles).all()
