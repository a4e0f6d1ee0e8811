"""The first sentence is what the tables say."""

import numpy as np
import pandas as pd
import pytest

from stratonet_sklearn.evaluation.controls import Controls
from stratonet_sklearn.evaluation.headline import word_screen


def make_controls(z_primes, p=0.001, n_negative=16, n_positive=8):
    plates = pd.DataFrame({"z_prime": z_primes})
    plates["n_negative"], plates["n_positive"] = n_negative, n_positive
    empty = pd.DataFrame()
    return Controls(plates, empty, empty, np.zeros(1), p, "")


def make_hits(active, p=0.001, smallest_p=0.0001, n_wells=4):
    hits = pd.DataFrame({"active": active})
    hits["treatment"] = [f"drug{n}" for n in range(len(hits))]
    hits["compound"], hits["role"] = hits["treatment"], "treatment"
    hits["p"], hits["smallest_p"], hits["n_wells"] = p, smallest_p, n_wells
    return hits.assign(distance=range(len(hits)))


def make_compounds(names, active):
    return pd.DataFrame({"compound": names, "active": active}, index=range(len(names)))


CURVE = {"response": "axis", "unit": "nM", "low": 9.1, "high": 16.2}
NO_DOSES = pd.DataFrame(columns=["compound", "ec50", *CURVE])
FOUR = [f"drug{n}" for n in range(4)]


@pytest.mark.parametrize(
    "controls, active, expected",
    [
        ([0.71], [1, 1, 1, 0], "The assay works (Z' 0.71 on one plate); 3 of 4 "),
        (
            [0.2],
            [1, 0, 0, 0],
            "The assay separates its controls, but not clearly (Z' 0",
        ),
        ([-0.3], [0, 0, 0, 0], "The assay is not fit for screening, as its controls"),
        (
            [0.7] * 36 + [0.1] * 4,
            [1, 0, 0, 0],
            "The assay works (median Z' 0.70 on 40 plates, 4 below 0.5); 1 of 4"
            " treatments differs from the controls.",
        ),
        (
            [0.7] * 38 + [np.nan] * 2,
            [0, 0, 0, 0],
            "The assay works (median Z' 0.70 on 38 of 40 plates); none of the 4"
            " treatments differs from the controls.",
        ),
    ],
)
def test_assay_and_treatments(controls, active, expected):
    hits = make_hits(np.array(active, bool))
    compounds = make_compounds(FOUR, hits["active"])
    text = word_screen(make_controls(controls), hits, compounds, NO_DOSES, "axis")
    assert text.startswith(expected) and text.endswith(".")


def test_doses_are_those_of_active_compounds():
    hits = make_hits(np.array([True, True, False, False]))
    hits["compound"] = ["wortmannin", "wortmannin", "sugar", "sugar"]
    compounds = make_compounds(["wortmannin", "sugar"], [True, False])
    doses = pd.DataFrame(
        [
            {"compound": "wortmannin", "ec50": 12.3, **CURVE},
            {"compound": "wortmannin", "ec50": 99, **CURVE, "response": "distance"},
            {"compound": "sugar", "ec50": 5.0, **CURVE},
        ]
    )
    text = word_screen(make_controls([0.71]), hits, compounds, doses, "axis")
    assert text == (
        "The assay works (Z' 0.71 on one plate); 1 of 2 compounds differs from the"
        " controls (2 of 4 doses); wortmannin's EC50 is 12 nM (9.1–16)."
    )
    doses["ec50"] = np.nan
    text = word_screen(make_controls([0.71]), hits, compounds, doses, "axis")
    assert text.endswith("(2 of 4 doses).")


def test_many_doses_are_counted():
    hits = make_hits(np.ones(5, bool))
    compounds = make_compounds(hits["compound"], True)
    rows = [{"compound": name, "ec50": 1, **CURVE} for name in hits["compound"]]
    text = word_screen(
        make_controls([0.71]), hits, compounds, pd.DataFrame(rows), "axis"
    )
    assert text.count("EC50 is") == 3
    assert text.endswith("; 2 more compounds have an EC50.")


@pytest.mark.parametrize(
    "controls, options, told",
    [
        (
            make_controls([np.nan], np.nan, n_positive=0),
            {},
            "It is unclear whether the assay works: no positive controls are known; ",
        ),
        (
            make_controls([np.nan], np.nan, 0, 0),
            {"p": np.nan},
            "no negative and no positive controls are known; no treatment can be tested"
            " without negative controls to compare with.",
        ),
        (
            make_controls([np.nan], np.nan, 9, 1),
            {},
            "works: there are too few controls",
        ),
        (make_controls([0.3], p=0.3), {}, "The controls cannot be told apart (Z' 0.30"),
        (
            make_controls([0.8], p=0.06),
            {},
            "It is unclear whether the assay works: so few controls could look as well"
            " separated by chance (Z' 0.80 on one plate, p = 0.06); ",
        ),
        (
            make_controls([0.8]),
            {"p": np.nan, "n_wells": 1},
            "no treatment can be tested, as each has only one well (farthest from"
            " the controls: drug3).",
        ),
        (
            make_controls([0.8]),
            {"p": [0.01, 0.01, 0.01, np.nan]},
            "none of the 3 treatments differs from the controls (1 could not be"
            " tested).",
        ),
        (
            make_controls([0.8]),
            {"smallest_p": 0.0588},
            "as with so few wells and controls p cannot fall below 0.059.",
        ),
    ],
)
def test_what_is_lacking(controls, options, told):
    hits = make_hits(np.zeros(4, bool), **options)
    compounds = make_compounds(FOUR, False)
    assert told in word_screen(controls, hits, compounds, NO_DOSES, "axis")
    nothing = word_screen(controls, hits[:0], compounds[:0], NO_DOSES, "axis")
    assert "; no treatments are known." in nothing
