"""Controls as they are named, and as JUMP and CellProfiler name them."""

import numpy as np
import pandas as pd
import pytest

from stratonet_sklearn.evaluation.roles import find_roles, recognize_roles

WELLS = ["A01", "A02", "B01", "B02", "C01", "C02"]


def make_rows(**columns):
    rows = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": WELLS})
    return rows.assign(**{f"Metadata_{name}": one for name, one in columns.items()})


@pytest.mark.parametrize(
    "name, values",
    [
        ("control_type", ["negcon", "negcon", "poscon_cp", "poscon", "empty", None]),
        ("pert_type", ["negcon", "NEGCON", "poscon", "poscon_diverse", "empty", "trt"]),
        ("Role", ["negcon", "negcon", "poscon", "poscon", "empty", "trt"]),
        (
            "JCP2022",
            ["JCP2022_033924"] * 2
            + ["JCP2022_085227", "JCP2022_012818", "JCP2022_999999", "JCP2022_000001"],
        ),
    ],
)
def test_jump(name, values):
    roles = recognize_roles(make_rows(**{name: values}))
    assert roles.negative.tolist() == [True, True] + [False] * 4
    assert roles.positive.tolist() == [False, False, True, True, False, False]
    assert roles.empty.tolist() == [False] * 4 + [True, False]
    assert len(roles.notes) == 3 and all("(JUMP)" in note for note in roles.notes)


@pytest.mark.parametrize(
    "values", [[-1, -1, 1, 1, 0, 0], ["-1", "-1.0", "1", "1", "0", ""]]
)
def test_cellprofiler(values):
    roles = recognize_roles(make_rows(Control=values))
    assert roles.negative.sum() == 2 and roles.positive.sum() == 2
    assert roles.notes[1] == (
        "2 rows with 1 in Metadata_Control are taken as positive controls"
        " (CellProfiler)."
    )


@pytest.mark.parametrize(
    "columns",
    [
        {"Control": [0, 1, 2, 0, 1, 2]},  # numbers of something else
        {"Control": ["no", "yes"] * 3},
        {"Compound": ["DMSO", "taxol"] * 3},  # DMSO may be the compound of all wells
        {"pert_type": ["trt"] * 6},
        {},
    ],
)
def test_what_is_no_convention(columns):
    roles = recognize_roles(make_rows(**columns))
    assert not roles.negative.any() and not roles.positive.any() and not roles.notes


def test_what_is_named_goes_before_what_is_recognised():
    rows = make_rows(Role=["negcon", "negcon", "poscon", "poscon", "trt", "trt"])
    roles = find_roles(rows, negative="C01:C02")
    assert roles.negative.tolist() == [False] * 4 + [True] * 2
    assert roles.positive.tolist() == [False, False, True, True, False, False]
    assert roles.notes == [
        "2 rows with poscon in Metadata_Role are taken as positive controls (JUMP).",
        "2 rows are taken as negative controls, as specified (wells C01:C02).",
    ]
    # A negative control that is named as a positive one is no negative one.
    roles = find_roles(rows, positive="A01")
    assert roles.negative.tolist() == [False, True] + [False] * 4


def test_wells_are_rectangles_on_all_plates():
    rows = pd.concat([make_rows(), make_rows().assign(Metadata_Plate="P2")])
    found = find_roles(rows, negative="B02:A01,c-2", positive="C1")
    assert found.negative.tolist() == [True, True, True, True, False, True] * 2
    assert found.positive.tolist() == [False, False, False, False, True, False] * 2


@pytest.mark.parametrize(
    "options, told",
    [
        ({"negative": "D01:D12"}, "There is no well D01:D12. Received the wells: A01"),
        ({"negative": "A01;A02"}, "separate several by commas. Received: 'A01;A02'"),
        ({"negative": "A01:B01:C01"}, "Received: 'A01:B01:C01'"),
        ({"negative": ""}, "Received: ''"),
        ({"negative": ("role", "DMSO")}, "There is no column role"),
        ({"negative": ("well", "A09")}, "No row has 'A09' as well"),
        ({"negative": "A01:A02", "positive": "A02:B02"}, "1 such rows, the first: A02"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, told):
    with pytest.raises(ValueError, match=told):
        find_roles(make_rows(), **options)


def test_objects_of_wells():
    rows = pd.concat([make_rows()] * 3)
    assert np.array_equal(
        find_roles(rows, negative="A01").negative, np.tile([True] + [False] * 5, 3)
    )
