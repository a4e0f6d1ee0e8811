"""The command lines that follow from what was chosen."""

from pathlib import Path

import pytest

import stratonet_cli
from stratonet_app.choices import (
    Choices,
    write_evaluate_arguments,
    write_extract_arguments,
)
from stratonet_app.pages import write_commands
from stratonet_app.plates import write_well_ranges
from stratonet_sklearn.evaluation.roles import parse_well_ranges

ALL = Choices(
    "/data/my plates",
    pattern=r"-(?P<Well>[A-Z]\d\d)_(?P<Channel>\w+)",
    replace="C:\\Data=/mnt",
    recipe="whole224/mean",
    grey_range="plate",
    negative="A01:H01",
    positive="A02",
    metadata="/data/map.xlsx",
    compound="Metadata_drug",
    dose="Metadata_nM",
    label="Metadata_moa",
)


def parse(arguments):
    return stratonet_cli.build_parser().parse_args(arguments)


def test_the_commands_say_all_that_was_chosen():
    options = parse(write_extract_arguments(ALL, Path("/out")))
    assert options.sources == ["/data/my plates"] and options.output == "/out/features"
    assert options.pattern == ALL.pattern and options.recipe == ALL.recipe
    assert options.grey_range == "plate" and options.replace == [("C:\\Data", "/mnt")]
    options = parse(write_evaluate_arguments(ALL, Path("/out")))
    assert options.tables == ["StratoNet=/out/features"]
    assert options.output == Path("/out/report")
    assert (options.control, options.positive) == ("A01:H01", "A02")
    assert options.images == ALL.source and options.pattern == ALL.pattern
    assert options.metadata == ALL.metadata and options.compound == ALL.compound
    assert options.dose == ALL.dose and options.label == ALL.label


def test_what_was_left_as_it_is_is_not_said():
    assert write_commands(Choices("/data/P1"), Path("/out")) == [
        "stratonet extract /data/P1 --output /out/features",
        "stratonet evaluate StratoNet=/out/features --images /data/P1"
        " --output /out/report",
    ]


def test_a_table_with_relative_paths_has_no_pictures():
    choices = Choices("/data/a.csv", base="/images")
    assert "/images" in write_extract_arguments(choices, Path("/out"))
    assert "--images" not in write_evaluate_arguments(choices, Path("/out"))


def test_choices_are_kept_as_json():
    assert Choices.from_json(ALL.to_json()) == ALL
    for values in ({"source": 1}, {"pattern": ""}, {"source": "", "more": ""}):
        with pytest.raises((TypeError, ValueError)):
            Choices.from_json(values)


def test_what_is_to_be_replaced_is_written_with_an_equals_sign():
    with pytest.raises(ValueError, match="--replace-path: expected OLD=NEW"):
        _ = Choices("/data", replace="C:").image_source


@pytest.mark.parametrize(
    "text", ["A01", "A01:H01,A12", "A01:B02,C01", "AF48", "B02:D03,B05:D05,H01:H12"]
)
def test_wells_are_written_in_rectangles(text):
    places = {
        (row, column)
        for rows, columns in parse_well_ranges(text)
        for row in rows
        for column in columns
    }
    written = write_well_ranges(places)
    again = {
        (row, column)
        for rows, columns in parse_well_ranges(written)
        for row in rows
        for column in columns
    }
    assert again == places
    assert written.count(",") <= text.count(",")
