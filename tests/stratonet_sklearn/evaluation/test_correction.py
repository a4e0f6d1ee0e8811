"""What is removed from all profiles: correlations of controls, and batches."""

import sys

import numpy as np
import pytest
from screen_tables import draw_sites

from stratonet_sklearn.evaluation import ProfileRecipe, make_profiles

BATCHES = ProfileRecipe(harmonize="Metadata_Batch")


def test_features_are_all_kept_and_not_sphered_if_asked():
    metadata, features, control = draw_sites(n_features=4, plates=3, sites=1)
    features["f1"] = 2 * features.f0 + 1
    recipe = ProfileRecipe(select=False, sphere=False)
    made = make_profiles(metadata, features, control, recipe)
    assert made.features == ["f0", "f1", "f2", "f3"]
    said = " ".join(made.steps)
    assert "not sphered, as requested" in said and "correlate" not in said
    # By default one of two that say the same is left out, and the rest is sphered.
    default = make_profiles(metadata, features, control)
    assert len(default.features) == 3 and "were sphered" in " ".join(default.steps)


def test_sphering_with_fewer_controls_than_features():
    metadata, features, control = draw_sites(n_features=30, sites=1, plates=1)
    always = ProfileRecipe(select=False, sphere=True)
    never = ProfileRecipe(select=False, sphere=False)
    made = make_profiles(metadata, features, control, always)
    plain = make_profiles(metadata, features, control, never)
    assert "sphered (ZCA-cor) on 10 negative controls" in " ".join(made.steps)
    assert "not sphered" in " ".join(make_profiles(metadata, features, control).steps)
    # Ten centred controls span nine directions. Along each, the standard deviation s
    # becomes s / (s + 1).
    before, after = (
        np.linalg.svd(profiles.frame[features.columns][control], compute_uv=False)[:9]
        for profiles in (plain, made)
    )
    shrunk = before / (before / np.sqrt(10) + 1) * np.sqrt(9 / 10)
    np.testing.assert_allclose(after, shrunk, rtol=1e-4)


def test_sphering_that_cannot_be_done_is_refused():
    metadata, features, control = draw_sites(n_features=30, sites=1)
    always = ProfileRecipe(select=False, sphere=True)
    with pytest.raises(
        ValueError, match="`sphere` needs at least 4 wells .* Received: 0"
    ):
        make_profiles(metadata, features, None, always)
    # pycytominer's own limit, on two plates.
    with pytest.raises(ValueError, match="or one plate. Received: 20 controls, 30 fe"):
        make_profiles(metadata, features, control, always)


def draw_batches():
    """Draw a plate of two batches, with an offset between them, and three kinds."""
    metadata, features, control = draw_sites(30, 1, controls=20, treated=220, sites=1)
    of_first = np.arange(len(metadata)) % 2 == 0
    metadata["Metadata_Batch"] = np.where(of_first, "b1", "b2")
    features.loc[of_first, features.columns[:5]] += 4
    kinds = np.arange(len(metadata)) // 2 % 3
    for kind in (1, 2):
        own = features.columns[5 * kind : 5 * kind + 5]
        features.loc[kinds == kind, own] += 6
    return metadata, features, control, of_first, kinds


def measure_gap(profiles, feature, of_first):
    values = profiles.frame[feature].to_numpy()
    return abs(values[of_first].mean() - values[~of_first].mean())


def test_batches_are_aligned_and_kinds_are_not():
    pytest.importorskip("harmonypy", reason="users bring it themselves")
    metadata, features, control, of_first, kinds = draw_batches()
    made = make_profiles(metadata, features, control, BATCHES)
    plain = make_profiles(metadata, features, control, ProfileRecipe())
    for feature in ("f0", "f1"):
        between_batches = measure_gap(plain, feature, of_first)
        assert measure_gap(made, feature, of_first) < 0.5 * between_batches
    between_kinds = measure_gap(plain, "f5", kinds == 1)
    assert measure_gap(made, "f5", kinds == 1) > 0.9 * between_kinds
    assert made.frame.shape == plain.frame.shape
    assert "2 batches (Metadata_Batch) were aligned by Harmony" in " ".join(made.steps)
    again = make_profiles(metadata, features, control, BATCHES)
    assert (again.frame == made.frame).all(axis=None)


def test_batches_that_cannot_be_aligned_are_refused():
    pytest.importorskip("harmonypy", reason="users bring it themselves")
    metadata, features, control = draw_sites(sites=1)
    with pytest.raises(ValueError, match="no column .* Received: Metadata_Batch, of"):
        make_profiles(metadata, features, control, BATCHES)
    one = metadata.assign(Metadata_Batch="b1")
    with pytest.raises(ValueError, match="Metadata_Batch with 1 batches, and 0 wells"):
        make_profiles(one, features, control, BATCHES)
    some = metadata.assign(Metadata_Batch=["b1", "b2", None] * 20)
    with pytest.raises(ValueError, match="with 2 batches, and 20 wells without"):
        make_profiles(some, features, control, BATCHES)


def test_without_harmonypy_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "harmonypy", None)
    metadata, features, control, *_ = draw_batches()
    with pytest.raises(ImportError, match=r'pip install "harmonypy>=2"'):
        make_profiles(metadata, features, control, BATCHES)
