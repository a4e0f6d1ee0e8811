"""Treatments that do the same are grouped, and their mechanism is found."""

import numpy as np
import pandas as pd
import pytest

from stratonet_sklearn.evaluation import read_screen

CHANNELS = ("DNA", "ER")


@pytest.fixture(scope="module")
def screen():
    """Six active compounds of two mechanisms, which change one channel each."""
    rng = np.random.default_rng(1)
    mechanisms = {"DMSO": ""}
    mechanisms |= {f"a{n}": "kinase" for n in range(3)}
    mechanisms |= {f"b{n}": "tubulin" for n in range(3)}
    mechanisms |= {f"c{n}": "sugar" for n in range(6)}
    drugs = ["DMSO"] * 24 + [name for name in list(mechanisms)[1:] for _ in range(4)]
    wells = [f"{'ABCDEFGH'[n % 8]}{n // 8 + 1:02d}" for n in range(len(drugs))]
    order = rng.permutation(len(drugs))
    rows = pd.DataFrame(
        {
            "Metadata_Plate": "P1",
            "Metadata_Well": [wells[number] for number in order],
            "Metadata_Drug": drugs,
            "Metadata_Moa": [mechanisms[name] for name in drugs],
        }
    )
    names = [f"StratoFeatures_Low{n:04d}_{c}" for c in CHANNELS for n in range(40)]
    values = rng.normal(size=(len(rows), 80))
    values[rows.Metadata_Moa == "kinase", :40] += rng.choice([-3, 3], 40)
    values[rows.Metadata_Moa == "tubulin", 40:] += rng.choice([-3, 3], 40)
    features = pd.DataFrame(values, columns=names)
    negative = rows.Metadata_Drug == "DMSO"
    return read_screen(
        rows, features, negative, compound="Metadata_Drug", label="Metadata_Moa"
    )


def test_groups_neighbours_mechanisms_and_channels(screen):
    likeness = screen.likeness
    groups = likeness.groups.set_index("treatment")["group"]
    assert sorted(groups.index) == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert (
        groups[["a0", "a1", "a2"]].nunique()
        == groups[["b0", "b1", "b2"]].nunique()
        == 1
    )
    assert groups.nunique() == 2
    first = likeness.neighbours[likeness.neighbours["rank"] == 1]
    assert all(
        one[0] == other[0] for one, other in first[["treatment", "neighbour"]].values
    )
    found = likeness.mechanisms.set_index("mechanism")
    assert set(found.index) == {"kinase", "tubulin"}
    # Three of three among twelve: 1 / (12 choose 3).
    assert found.p.tolist() == pytest.approx([1 / 220] * 2)
    assert (found.corrected_p < 0.05).all() and (found.n_all == 12).all()
    effects = likeness.effects
    assert (effects.loc["a0", "DNA low"] > 2) and effects.loc["a0", "ER low"] < 1.5
    assert effects.loc["b0"].idxmax() == "ER low"


def test_one_hit_and_none(screen):
    from dataclasses import replace

    from stratonet_sklearn.evaluation.likeness import compare_hits

    for n_active in (0, 1):
        hits = screen.hits.assign(active=np.arange(len(screen.hits)) < n_active)
        likeness = compare_hits(screen.wells, hits)
        assert len(likeness.groups) == len(likeness.effects) == n_active
        assert likeness.neighbours.empty and likeness.mechanisms.empty
    unlabelled = screen.wells.rows.assign(label="")
    wells = replace(screen.wells, rows=unlabelled)
    assert compare_hits(wells, screen.hits).mechanisms.empty
