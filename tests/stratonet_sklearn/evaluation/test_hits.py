"""Hits are as sure as their wells allow, and known plates are judged as they are."""

from importlib import import_module
from math import comb
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stratonet_sklearn.evaluation import find_hits, find_roles, read_screen
from stratonet_sklearn.evaluation.hits import combine_doses
from stratonet_sklearn.evaluation.positions import warn_of_positions
from stratonet_sklearn.evaluation.wells import prepare_wells

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
DRUG = "Metadata_Drug"


@pytest.fixture
def synthetic(monkeypatch):
    # Benchmarks are programs beside each other, not a package that is installed.
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("synthetic_plates")


@pytest.mark.slow
def test_of_known_plates_few_hits_are_false(synthetic):
    """The same at 200 seeds is in benchmarks/hits.csv."""
    judged = []
    for seed in range(4):
        plate = synthetic.make_plate(seed)
        screen = synthetic.read_plate(plate)
        judged.append(synthetic.judge_hits(plate, screen.hits))
        toxic = screen.hits.set_index("compound").loc["toxic"]
        assert toxic.active and toxic.relative_count == pytest.approx(0.2, abs=0.05)
        assert not any("cannot be separated" in text for text in screen.warnings)
    means = pd.DataFrame(judged).mean()
    assert means["false"] <= 0.05 and means["power 2.0"] == 1


def test_in_columns_position_and_treatment_cannot_be_separated(synthetic):
    plate = synthetic.make_plate(0, "columns", active=False)
    screen = synthetic.read_plate(plate)
    assert screen.warnings[0].startswith(
        "Position and treatment cannot be separated: 80 of 80 treatments have all their"
        " wells in one column"
    )
    assert not screen.hits.active.any()
    assert "none of the 80 treatments differs" in screen.headline


@pytest.mark.slow
def test_a_plate_of_jump(monkeypatch):
    """Four plates of 384 wells: 38 compounds in eight doses, 64 and 16 controls."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    large = import_module("large_screen")
    metadata = large.make_metadata(4)
    roles = find_roles(metadata)
    assert roles.negative.sum() == 4 * 64 and roles.positive.sum() == 4 * 16
    assert "JCP2022_033924 in Metadata_JCP2022 are taken as negative" in roles.notes[0]
    values = large.draw_features(metadata, 480)
    screen = read_screen(
        metadata,
        values,
        roles.negative,
        roles.positive,
        "Metadata_JCP2022",
        "Metadata_Concentration_uM",
    )
    assert (screen.controls.plates[["n_negative", "n_positive"]] == [64, 16]).all(None)
    hits = screen.hits.query("role == 'treatment'")
    assert len(hits) == 304 and (hits.n_plates == 4).all() and (hits.n_wells == 4).all()
    assert screen.controls.confirmed and screen.controls.plates.z_prime.notna().all()
    assert "of 38 compounds differ" in screen.headline
    assert "the same well on every plate" in screen.warnings[0]


def make_plate(drugs, n_features=60, n_plates=1, seed=0):
    """Plates of wells with these drugs, in order; ``far`` differs."""
    rng = np.random.default_rng(seed)
    wells = [f"{'ABCDEFGH'[n % 8]}{n // 8 + 1:02d}" for n in range(len(drugs))]
    rows = pd.concat(
        [
            pd.DataFrame(
                {"Metadata_Plate": f"P{plate}", "Metadata_Well": wells, DRUG: drugs}
            )
            for plate in range(n_plates)
        ],
        ignore_index=True,
    )
    values = rng.normal(size=(len(rows), n_features))
    values[rows[DRUG].str.startswith("far")] += 3
    return rows, values


def find(rows, values, **options):
    return find_hits(rows, values, rows[DRUG] == "DMSO", DRUG, **options)


@pytest.mark.parametrize("n_wells, n_controls", [(2, 16), (3, 16), (3, 5), (5, 2)])
def test_no_p_is_smaller_than_so_few_wells_allow(n_wells, n_controls):
    rows, values = make_plate(["DMSO"] * n_controls + ["far"] * n_wells)
    hit = find(rows, values).iloc[0]
    assert hit.mean_average_precision == 1
    exact = 1 / comb(n_wells - 1 + n_controls, n_wells - 1)
    assert hit.smallest_p == pytest.approx(exact, rel=0.4) and hit.p >= exact
    assert hit.active == (hit.p < 0.05)


def test_a_pair_among_one_control_is_no_hit():
    """As a share of permutations above it, p would be one in ten thousand."""
    rows, values = make_plate(["DMSO", "far", "far"])
    hit = find(rows, values).iloc[0]
    assert hit.mean_average_precision == 1 and hit.p >= 0.5 and not hit.active


def test_wells_that_are_as_alike_as_controls_are_no_hit():
    """Of one feature, wells on one side of the middle are all the same to a cosine."""
    rows, values = make_plate(["DMSO"] * 12 + ["far"] * 4 + ["near"] * 4)
    values = np.where(np.arange(20) % 2, 1.0, -1.0)[:, None] * np.ones(20)
    hits = find(rows, values)
    assert (hits.p > 0.3).all() and not hits.active.any()


def test_each_row_says_where_its_wells_are():
    rows, values = make_plate(["DMSO"] * 16 + ["far"] * 3 + ["near"] * 3, n_plates=2)
    hits = find(rows, values).set_index("treatment")
    assert hits.wells["far"] == "A03 B03 C03" and hits.plates["far"] == "P0 P1"
    assert hits.n_wells.tolist() == [6, 6] and hits.n_plates.tolist() == [2, 2]
    assert hits.active.tolist() == [True, False]
    assert hits.distance["far"] > 2 > 1.3 > hits.distance["near"] > 0.7


def test_what_cannot_be_tested_is_listed_and_says_why():
    rows, values = make_plate(["DMSO"] * 8 + ["far"] * 3 + ["one", "near", "near"])
    hits = find(rows, values).set_index("treatment")
    assert hits.note["one"] == "only one well: there is no replicate to find"
    assert np.isnan(hits.p["one"]) and not hits.active["one"]
    nothing = find_hits(rows, values, np.zeros(len(rows), bool), DRUG)
    assert set(nothing.note) == {"no negative controls", hits.note["one"]}
    assert nothing.distance.isna().all() and not nothing.active.any()
    # Controls on another plate only.
    apart = rows.assign(Metadata_Plate=np.where(rows[DRUG] == "DMSO", "P0", "P1"))
    hits = find(apart, values)
    assert hits.p.isna().all() and "no negative controls on its" in hits.note[0]


def test_empty_wells_are_no_treatment():
    rows, values = make_plate(["DMSO"] * 16 + ["far"] * 4 + ["nothing"] * 4)
    given = (rows, values, rows[DRUG] == "DMSO")
    screen = read_screen(*given, compound=DRUG, empty=rows[DRUG] == "nothing")
    assert screen.hits.treatment.tolist() == ["far"]


def test_compounds_that_are_called_by_numbers():
    rows, values = make_plate(["DMSO"] * 16 + ["0"] * 4 + ["1"] * 4)
    hits = find(rows, values)
    named, _ = make_plate(["DMSO"] * 16 + ["a"] * 4 + ["b"] * 4)
    assert hits.p.tolist() == find(named, values).p.tolist()


def test_plates_that_differ_are_no_effect():
    rows, values = make_plate(["DMSO"] * 8 + list("aabbccdd"), n_plates=4)
    values += 5 * pd.factorize(rows.Metadata_Plate)[0][:, None]
    assert not find(rows, values).active.any()


def test_rows_of_sites_objects_and_another_order_are_the_same_wells():
    rows, values = make_plate(["DMSO"] * 16 + ["far"] * 4 + ["near"] * 4)
    expected = find(rows, values)
    order = np.random.default_rng(0).permutation(len(rows))
    shuffled = find(rows.iloc[order].reset_index(drop=True), values[order])
    pd.testing.assert_frame_equal(shuffled, expected, check_exact=False)
    sites = pd.concat([rows.assign(Metadata_Site=n) for n in "123"], ignore_index=True)
    of_sites = find(sites, np.tile(values, (3, 1)))
    assert of_sites.p.tolist() == expected.p.tolist()
    objects = sites.rename(columns={"Metadata_Site": "ObjectNumber"})
    assert (find(objects, np.tile(values, (3, 1))).relative_count == 1).all()


def test_positive_controls_do_not_make_others_significant():
    """They are known to be active: among them, others would pass more easily."""
    rows, values = make_plate(["DMSO"] * 16 + ["far"] * 4 + ["near"] * 4)
    hits = find(rows, values, positive=rows[DRUG] == "far").set_index("role")
    assert np.isnan(hits.corrected_p["positive control"])
    assert hits.corrected_p["treatment"] == hits.p["treatment"]


def test_doses_of_a_compound_are_one_question():
    p = [0.001, 0.04, 0.5, 0.6]
    hits = pd.DataFrame(
        {"compound": ["a", "a", "b", "b"], "role": "treatment", "p": p, "active": False}
    )
    compounds = combine_doses(hits).set_index("compound")
    assert compounds.p.tolist() == [0.002, 0.6]
    assert compounds.corrected_p.tolist() == [0.004, 0.6]


def test_hits_at_the_edge_are_warned_of():
    drugs = [f"c{number // 4}" for number in range(96)]
    rows, values = make_plate(drugs)
    rows[DRUG] = np.where(np.arange(96) % 4 == 0, "DMSO", rows[DRUG])
    at_edge = rows.Metadata_Well.str[1:].isin(["01", "12"]).to_numpy()
    values[at_edge & (rows[DRUG] != "DMSO")] += 4
    wells = prepare_wells(rows, values, rows[DRUG] == "DMSO", compound=DRUG)
    from stratonet_sklearn.evaluation.hits import list_hits

    hits = list_hits(wells)
    assert hits.active.any()
    assert any("cluster at the edge" in text for text in warn_of_positions(hits, wells))


@pytest.mark.parametrize(
    "change, told",
    [
        ({"Metadata_Well": "A01"}, "rows of a well must have the same"),
        ({DRUG: None}, None),
    ],
)
def test_metadata_that_say_nothing(change, told):
    rows, values = make_plate(["DMSO"] * 8 + ["far"] * 4)
    negative = rows[DRUG] == "DMSO"
    rows = rows.assign(**change)
    if told:
        with pytest.raises(ValueError, match=told):
            find_hits(rows, values, negative, DRUG)
    else:
        assert find_hits(rows, values, negative, DRUG).empty
