"""Features on one scale, against a second computation."""

from statistics import NormalDist

import numpy as np
import pandas as pd
from screen_tables import draw_sites

from stratonet_sklearn.evaluation import ProfileRecipe, make_profiles

# Not sphered: what is looked at is the scale.
MAD = ProfileRecipe("mad_robustize", select=False, sphere=False)
RANK = ProfileRecipe(transform="rank", sphere=False)


def scale_by_median(values, of_control):
    """Take off the controls' median, divide by what is their sd if they are normal."""
    controls = values[of_control]
    median = np.median(controls, axis=0)
    deviation = np.median(np.abs(controls - median), axis=0)
    return (values - median) / deviation / 1.482602


def test_median_absolute_deviation_of_the_controls_of_each_plate():
    metadata, features, control = draw_sites(sites=1)
    of_first = (metadata.Metadata_Plate == "P0").to_numpy()
    features[of_first] *= 3
    # One odd control, which mean and standard deviation would follow.
    features.loc[0] = 1e3
    made = make_profiles(metadata, features, control, MAD)
    values = features.to_numpy(float)
    expected = np.concatenate(
        [
            scale_by_median(values[plate], control[plate])
            for plate in (of_first, ~of_first)
        ]
    )
    np.testing.assert_allclose(made.frame[made.features], expected, 1e-5, 1e-5)
    assert (
        "scaled by its median and median absolute deviation on the negative controls"
        in " ".join(made.steps)
    )


def test_features_that_most_controls_share_have_no_deviation():
    metadata, features, control = draw_sites(sites=1)
    # Six of ten controls of a plate have one value: others would be divided by 0.
    features.loc[:5, "f2"] = 7
    made = make_profiles(metadata, features, control, MAD)
    assert made.features == ["f0", "f1", "f3", "f4", "f5"]
    assert np.isfinite(made.frame[made.features]).all(axis=None)
    assert "1 of 6 features have one value there, or in half" in " ".join(made.steps)
    # The standard deviation is not 0.
    assert "f2" in make_profiles(metadata, features, control).features


def test_ranks_among_all_wells_become_normal_scores():
    metadata, features, control = draw_sites(sites=1, plates=1)
    features.loc[29, "f0"] = 1e6
    made = make_profiles(metadata, features, control, RANK)
    values = made.frame["f0"].to_numpy()
    order = features["f0"].rank().to_numpy()
    normal = NormalDist()
    expected = [normal.inv_cdf((rank - 0.375) / 30.25) for rank in order]
    np.testing.assert_allclose(values, expected)
    # The odd well is the highest, and no further away than the highest of 30.
    assert values.argmax() == 29 and values.max() < 2.1
    assert abs(values.std() - 1) < 0.05
    said = " ".join(made.steps)
    assert "normal scores of its ranks among all wells" in said
    assert "All else by pycytominer" in said


def test_ranks_follow_the_scale_of_each_plate():
    metadata, features, control = draw_sites(sites=1)
    plain = make_profiles(metadata, features, control, RANK)
    shifted = features.copy()
    of_first = metadata.Metadata_Plate == "P0"
    shifted[of_first] = 5 * shifted[of_first] + 100
    made = make_profiles(metadata, shifted, control, RANK)
    pd.testing.assert_frame_equal(made.frame, plain.frame, atol=0.1)
