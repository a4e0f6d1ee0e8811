"""Choices of profiles that are none are refused."""

import pytest

from stratonet_sklearn.evaluation.recipe import ProfileRecipe


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"normalize": "mad"}, "`normalize` must be standardize or mad_robustize"),
        ({"transform": "ranks"}, "`transform` must be None or rank. Received: 'ranks'"),
        ({"select": "no"}, "`select` must be True or False. Received: 'no'"),
        ({"sphere": "yes"}, "`sphere` must be auto or True or False. Received: 'yes'"),
    ],
)
def test_what_is_no_choice_is_refused(choice, message):
    with pytest.raises(ValueError, match=message):
        ProfileRecipe(**choice)
