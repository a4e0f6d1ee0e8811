import re

import pytest

from stratonet import naming
from stratonet.naming import block_names, feature_names
from stratonet.recipe import FeatureBlock

pytestmark = pytest.mark.stock_cellprofiler

LOW, HIGH = FeatureBlock("Low", 512), FeatureBlock("High", 1024)


def test_exact_names_in_order():
    names = feature_names([LOW, HIGH], ["DNA", "ER"])
    assert len(names) == 2 * (512 + 1024)
    assert names[0] == "StratoFeatures_Low0000_DNA"
    assert names[511:513] == [
        "StratoFeatures_Low0511_DNA",
        "StratoFeatures_High0000_DNA",
    ]
    assert names[512 + 12] == "StratoFeatures_High0012_DNA"
    assert names[1536] == "StratoFeatures_Low0000_ER"
    assert names[-1] == "StratoFeatures_High1023_ER"


def test_one_channel_as_text():
    assert feature_names([LOW], "ER") == feature_names([LOW], ["ER"])


@pytest.mark.parametrize(
    "width, first, last",
    [(1, "High0000", "High0000"), (10_001, "High00000", "High10000")],
)
def test_numbers_of_a_block_have_one_width(width, first, last):
    names = block_names(FeatureBlock("High", width))
    assert (names[0], names[-1]) == (first, last)
    assert len(set(map(len, names))) == 1


def test_names_of_all_taps_are_unambiguous(net):
    names = feature_names(net.card.taps, ["DNA", "ER", "w1_Mito"])
    assert len(set(names)) == len(names) == 3 * sum(tap.width for tap in net.card.taps)
    assert all(re.fullmatch(r"[0-9A-Za-z_]{1,64}", name) for name in names)
    prefixes = {name[: cut.start()] for name in names for cut in re.finditer("_", name)}
    assert not prefixes.intersection(names)


def test_64_characters_are_the_most():
    names = feature_names([HIGH], "C" * 40)
    assert {len(name) for name in names} == {64}
    with pytest.raises(
        ValueError,
        match=r"at most 64 characters\. Received: .*\(65\)\. Shorten .* by 1\.",
    ):
        feature_names([HIGH], "C" * 41)


@pytest.mark.parametrize(
    "channel", ["", "my channel", "DNA-1", "α_tubulin", "DNA\n", "a/b", None, 3]
)
def test_bad_channel_names_are_refused(channel):
    with pytest.raises(
        ValueError,
        match="letters, digits and underscores.*Received: " + re.escape(repr(channel)),
    ):
        feature_names([LOW], ["ER", channel])


def test_channel_twice_is_refused():
    with pytest.raises(ValueError, match="'DNA' more than once"):
        feature_names([LOW], ["DNA", "ER", "DNA"])


def test_image_columns_are_parsed_as_they_are_made():
    for prefix in naming.IMAGE_PREFIXES:
        for channel in ("DNA", "Plate_DNA", "2021_ER"):
            name = naming.image_column(prefix, channel)
            assert naming.parse_image_column(name) == (prefix, channel)
    for name in ("Metadata_URL_DNA", "FileName_DNA", "URL", "URLs_DNA", "url_DNA", 3):
        assert naming.parse_image_column(name) is None
    with pytest.raises(ValueError, match="URL, Frame, .*Received: 'FileName'"):
        naming.image_column("FileName", "DNA")


def test_channels_and_label_images_of_image_sets():
    columns = ["Metadata_Well", "URL_ER", "Frame_ER", "URL_DNA", "Labels_Nuclei"]
    assert naming.list_image_channels(columns) == ["ER", "DNA"]
    assert naming.list_image_channels(columns, "Labels") == ["Nuclei"]
    assert naming.list_image_channels(columns, "Illumination") == []
