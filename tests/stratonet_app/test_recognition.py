"""What is recognised, and how it is shown: the same as ``extract`` reads."""

import base64
import io
import re

import numpy as np
import pytest
import tifffile
from app_plates import WELLS, write_plate
from PIL import Image

from stratonet.preprocessing import prepare_plane
from stratonet.weights_file import read_card
from stratonet_app.apart import Helper, TookTooLong
from stratonet_app.choices import Choices
from stratonet_app.controls import check_controls, read_plate_map
from stratonet_app.preview import draw_preview, list_recipes
from stratonet_app.recognition import Refused, recognize


def test_a_folder(plate):
    (plate / "overview.tif").write_bytes(b"")
    (plate / "notes.txt").touch()
    found = recognize(Choices(str(plate)))
    assert found.plates == ["P1"] and found.channels == ["w1", "w2"]
    assert found.wells == sorted(WELLS) and found.sites == ["1"]
    assert (found.n_image_sets, found.n_wells, found.n_images) == (12, 12, 24)
    assert found.header == ["Plate", "Well", "Site", "w1", "w2"]
    assert found.rows[0] == ["P1", "A01", "1", "x_A01_s1_w1.tif", "x_A01_s1_w2.tif"]
    assert (found.skipped, found.n_skipped) == (["overview.tif"], 1)
    assert found.n_without == 0 and found.metadata == []


def test_a_well_counts_on_each_plate_and_gaps_are_counted(tmp_path):
    write_plate(tmp_path, WELLS[:2])
    second = write_plate(tmp_path, WELLS[:2], name="P2")
    (second / "x_A01_s1_w2.tif").unlink()
    found = recognize(Choices(str(tmp_path)))
    assert found.plates == ["P1", "P2"] and len(found.wells) == 2
    assert (found.n_wells, found.n_without, found.n_images) == (4, 1, 7)


def test_a_table_and_where_its_images_are(plate, tmp_path):
    table = tmp_path / "load_data.csv"
    table.write_text(
        "Metadata_Plate,Metadata_Well,Metadata_drug,FileName_DNA,PathName_DNA\n"
        "P1,A01,taxol,x_A01_s1_w1.tif,C:\\Images\nP1,A02,,x_A02_s1_w1.tif,C:\\Images\n"
    )
    refused = recognize(Choices(str(table)))
    assert "None of the 2 images" in refused.reason
    assert "--replace-path OLD=NEW" in refused.reason and "`" not in refused.reason
    found = recognize(Choices(str(table), replace=f"C:\\Images={plate}"))
    assert found.metadata == ["Metadata_drug"] and found.channels == ["DNA"]
    assert found.rows[1] == ["P1", "A02", "", "x_A02_s1_w1.tif"]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "is not a regular expression"),
        ("x", "needs the named groups"),
        ("phenix", "no image has a name that matches phenix"),
        (r"(?P<Well>Z\d)_(?P<Channel>w\d)", "no image has a name that matches"),
        (r"(?P<Well>[A-Z]\d\d)_s1_(?P<Channel>w)", "two images for channel w"),
    ],
)
def test_patterns_that_do_not_fit(plate, pattern, reason):
    refused = recognize(Choices(str(plate), pattern=pattern))
    assert reason in refused.reason and "`" not in refused.reason


def test_folders_that_cannot_be_used(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "holds no images" in recognize(Choices(str(tmp_path / "empty"))).reason
    assert "is not there" in recognize(Choices(str(tmp_path / "gone"))).reason
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    assert "a.csv" in recognize(Choices(str(tmp_path / "a.csv"))).reason


def test_the_preview_is_what_the_network_sees(plate):
    recipe = "whole224/mean"
    preview = draw_preview(Choices(str(plate), recipe=recipe), 2)
    assert preview.name == "P1 A02 1"
    first = preview.planes[0]
    card = read_card("stratonet50")
    plane = tifffile.imread(plate / "x_A02_s1_w1.tif")
    (grey,) = prepare_plane(plane, card, card.choose_recipe(recipe)).greys
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(first.png))))
    np.testing.assert_array_equal(shown, np.round(grey * 255))
    assert (first.shape, first.resized) == ((64, 64), (224, 224))
    assert (preview.n_tiles, first.tiles) == (2, ())
    low, high = np.percentile(plane, [0.1, 99.9])
    assert (first.low, first.high) == pytest.approx((low, high))


def test_a_field_is_shown_in_its_tiles(tmp_path):
    tifffile.imwrite(
        tmp_path / "x_A01_s1_w1.tif",
        np.arange(60_000, dtype=np.uint16).reshape(200, -1),
    )
    preview = draw_preview(Choices(str(tmp_path)), 1)
    (plane,) = preview.planes
    assert plane.resized == (448, 672) and len(plane.tiles) == preview.n_tiles == 6
    assert plane.tiles[-1] == pytest.approx((200, 100, 100, 100))
    assert list(list_recipes())[0] == "tiles224-across2/mean+sd"


def test_of_a_plate_the_limits_are_those_that_extract_takes(plate):
    preview = draw_preview(Choices(str(plate), grey_range="plate"), 1)
    planes = [tifffile.imread(path) for path in sorted(plate.glob("*_w1.tif"))]
    low, high = np.percentile(np.stack(planes), [0.1, 99.9])
    first = preview.planes[0]
    assert (first.low, first.high) == pytest.approx((low, high))


def test_images_that_cannot_be_shown_say_why(plate, tmp_path):
    (plate / "x_A01_s1_w1.tif").write_bytes(b"no image")
    (plate / "x_A01_s1_w2.tif").unlink()
    tifffile.imwrite(tmp_path / "secret.tif", np.zeros((9, 9), np.uint8))
    (plate / "x_A01_s1_w2.tif").symlink_to(tmp_path / "secret.tif")
    preview = draw_preview(Choices(str(plate)), 1)
    damaged, outside = preview.planes
    assert "cannot be read as an image" in damaged.error and not damaged.png
    assert "leads out of the folder" in outside.error and not outside.png
    assert preview.n_tiles == 0
    assert isinstance(draw_preview(Choices(str(plate)), 99), Refused)


def test_controls_are_checked_as_the_evaluation_does():
    checked = check_controls(WELLS, "A01,B01,C01,D01", " a2:d2, ")
    assert (checked.negative, checked.positive) == ("A01:D01", "A02:D02")
    assert check_controls(WELLS, "", "").negative == ""
    for negative, positive, reason in (
        ("A01", "A01", "both a negative and a positive control"),
        ("H12", "", "There is no well H12"),
        ("DMSO", "", "Name single wells like A01"),
    ):
        refused = check_controls(WELLS, negative, positive)
        assert reason in refused.reason and "`" not in refused.reason


def test_plate_maps_are_joined_as_the_evaluation_does(plate, tmp_path):
    choices, path = Choices(str(plate)), tmp_path / "map.csv"
    path.write_text("well,drug,nM\nA1,taxol,3\nB1,DMSO,\nH12,none,\n")
    plate_map = read_plate_map(choices, str(path))
    assert plate_map.columns == ["Metadata_drug", "Metadata_nM"]
    joined, unused, lost = plate_map.notes
    assert joined == "map.csv: joined by well, 2 of 12 rows."
    assert "1 of its 3 rows" in unused and "10 of 12 rows" in lost
    # What would only be said when all is measured.
    for text, reason in (
        ("well,drug\nH12,none\n", "No row has a partner in map.csv"),
        ("plate,well,drug\np1,A01,x\n", "begin with P1 A01, and map.csv with p1 A01"),
        ("drug\nnone\n", "needs a column"),
        ("well,drug\nA01,x\nA1,y\n", "map.csv"),
        ("", "map.csv"),
    ):
        path.write_text(text)
        refused = read_plate_map(choices, str(path))
        assert reason in refused.reason and "Correct the map" in refused.reason
    assert "is not there" in read_plate_map(choices, str(tmp_path / "x.csv")).reason


@pytest.mark.slow
def test_what_never_ends_is_given_up_and_the_next_call_works():
    """Such as a pattern that tries all ways through a name."""
    helper = Helper(seconds=3)
    try:
        with pytest.raises(TookTooLong, match="within 3 seconds"):
            helper.call(re.search, "(a+)+$", "a" * 60 + "b")
        assert helper.call(abs, -3) == 3
        with pytest.raises(ZeroDivisionError):
            helper.call(divmod, 1, 0)
    finally:
        helper.close()
