"""Profiles of wells, each step against a second computation."""

from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
from screen_tables import draw_sites

from stratonet_sklearn.evaluation.profiles import make_profiles


def test_profiles_of_wells_are_standardized_on_controls_of_their_plate():
    metadata, features, control = draw_sites(n_features=40)
    features.loc[metadata.Metadata_Plate == "P1"] *= 3
    made = make_profiles(metadata, features, control)
    medians = (
        features.astype(float)
        .groupby([metadata.Metadata_Plate, metadata.Metadata_Well])
        .median()
    )
    of_control = medians.index.get_level_values(1).isin(metadata.Metadata_Well[control])
    expected = [
        (plate - plate[of].mean()) / plate[of].std(ddof=0)
        for _, plate in medians.groupby(level=0)
        for of in [of_control[medians.index.get_level_values(0) == plate.index[0][0]]]
    ]
    frame = made.frame.set_index(["Metadata_Plate", "Metadata_Well"])
    assert made.features == list(features)
    pd.testing.assert_frame_equal(
        frame[made.features].sort_index(), pd.concat(expected), check_names=False
    )
    assert list(made.control) == list(
        frame.index.get_level_values(1).isin(metadata.Metadata_Well[control])
    )
    assert "Metadata_Compound" in frame and "Metadata_Site" not in frame
    said = " ".join(made.steps)
    assert (
        "The 120 rows of the feature table became 60 wells on 2 plates, by taking"
        " medians. Left out, since it"
        " differs within wells: Metadata_Site" in said
    )
    assert "on the negative controls of its plate, 10 or more" in said
    assert (
        "not sphered: this takes at least 80 negative controls, and there are 20."
        in said
    )
    assert made.steps[-1] == f"All by pycytominer {version('pycytominer')}."
    other = make_profiles(metadata.assign(Metadata_Compound="X"), features, control)
    pd.testing.assert_frame_equal(other.frame[made.features], made.frame[made.features])


@pytest.mark.parametrize(
    ("options", "known", "message"),
    [
        (
            {"controls": 3},
            True,
            "on all wells of its plate, since not every plate has 4 negative controls",
        ),
        ({}, False, "on all wells of its plate"),
        (
            {"controls": 1, "treated": 2},
            True,
            "on all wells of all plates, since not every plate has 4 wells",
        ),
    ],
)
def test_few_controls_are_not_normalized_on(options, known, message):
    metadata, features, control = draw_sites(**options)
    made = make_profiles(metadata, features, control if known else None)
    assert message in " ".join(made.steps) and (made.control is None) == (not known)
    groups = (
        made.frame.Metadata_Plate
        if "its plate" in message
        else pd.Series("", made.frame.index)
    )
    np.testing.assert_allclose(
        made.frame[made.features].groupby(groups).mean(), 0, atol=1e-6
    )
    np.testing.assert_allclose(
        made.frame[made.features].groupby(groups).std(ddof=0), 1, rtol=1e-6
    )


def test_features_that_cannot_be_used_are_left_out():
    metadata, features, control = draw_sites(n_features=12)
    on_first = control & (metadata.Metadata_Plate == "P0").to_numpy()
    features.loc[on_first, "f1"] = 7  # on one plate
    features["f2"] = np.where(control, features.f2 * 1e-4, features.f2)  # almost
    features["f4"] = features.f3 * 2 + 1
    features = features.rename(columns={"f5": "Nuclei_Correlation_Manders_AGP_DNA"})
    made = make_profiles(metadata, features, control)
    dropped = set(features) - set(made.features)
    assert (
        dropped - {"f3", "f4"} == {"f1", "f2", "Nuclei_Correlation_Manders_AGP_DNA"}
        and len(dropped) == 4
    )
    assert not dropped & set(made.frame)
    said = " ".join(made.steps)
    assert (
        "1 of 12 features do not vary there" in said
        and "1 of 11 features are on pycytominer's blocklist" in said
    )
    assert (
        "1 of 10 features go beyond 500" in said
        and "1 of 9 features correlate above 0.9" in said
    )
    assert "Profiles have 8 features" in said
    assert len(make_profiles(metadata, features[["f0"]], control).features) == 1


def test_sphering_on_many_controls():
    metadata, features, control = draw_sites(n_features=4, plates=3, sites=1)
    features["f1"] += features.f0
    features["f2"] = features.f0 - features.f3  # depends on others
    made = make_profiles(metadata, features, control)
    assert "sphered (ZCA-cor) on 30 negative controls" in " ".join(made.steps)
    plain = []
    for _, plate in features.groupby(metadata.Metadata_Plate):
        plain.append(
            (plate - plate[control[plate.index]].mean())
            / plate[control[plate.index]].std(ddof=0)
        )
    plain = pd.concat(plain).to_numpy(float)
    # Eigenvectors of the controls' correlation; one standard deviation (by n - 1) is
    # added along each.
    variance, vectors = np.linalg.eigh(np.corrcoef(plain[control].T) * 30 / 29)
    expected = plain @ vectors / (np.sqrt(variance) + np.sqrt(30 / 29)) @ vectors.T
    np.testing.assert_allclose(
        made.frame[made.features], expected, rtol=1e-4, atol=1e-5
    )


def test_tables_that_are_no_profiles_are_refused():
    metadata, features, control = draw_sites()

    def refused(message, metadata=metadata, features=features, control=control):
        with pytest.raises(ValueError, match=message):
            make_profiles(metadata, features, control)

    refused(
        "no Metadata_Well. Received: Metadata_Plate, Metadata_Site",
        metadata.drop(columns="Metadata_Well"),
    )
    refused(
        "`features` has 119 rows, and `metadata` has 120",
        features=features[1:],
    )
    refused("`control` has 119 rows", control=control[1:])
    refused("same index in another order", features=features[::-1])
    refused("`control` must be True or False.* in 120 of 120", control=["DMSO"] * 120)
    refused(
        "`control` must be True or False.* in 1 of 120", control=[None, *control[1:]]
    )
    refused(
        "1 rows and 2 features have NaN",
        features=features.assign(
            f1=features.f1.where(features.index > 0),
            f2=features.f2.where(features.index > 0),
        ),
    )
    refused("in all of its rows, or in none", control=np.arange(len(metadata)) == 0)
    refused("of 6, none varies on the negative", features=features * 0)
    refused(
        "No feature can be used. 1 of 1",
        features=features[["f0"]].where(~control[:, None], features[["f0"]] * 1e-5),
    )
