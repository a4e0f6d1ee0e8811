"""The choices of MeasureStratoFeatures, in words and beyond them, and their upgrade."""

import io
from pathlib import Path

import pytest

pytest.importorskip("cellprofiler", reason="CellProfiler is not installed")
pytest.importorskip("pyarrow", reason="pyarrow is not installed")

from cellprofiler_core.pipeline import Pipeline
from cellprofiler_core.setting import ValidationError
from cellprofiler_runs import (
    load_modules,
    module,
    pipeline_of,
)  # before the others: no window

from cellprofiler_plugin.forecast import describe_next_step, describe_run
from cellprofiler_plugin.recipe_settings import TAP_LIST, upgrade
from cellprofiler_plugin.recipes import CUSTOM, SQUARE_VIEWS, VIEWS
from cellprofiler_plugin.settings import AUTOMATIC, MOST_TABLE_COLUMNS
from cellprofiler_plugin.tap_settings import ALL, RECOMMENDED, TAPS

pytestmark = pytest.mark.stock_cellprofiler

SAVED = Path(__file__).with_name("pipelines")
LOW = "Low: edges and textures"


@pytest.fixture(scope="module", autouse=True)
def modules():
    load_modules()


def measure(images="DNA", **settings):
    return module("MeasureStratoFeatures", images=images, **settings)


def loading(step):
    source = module("NamesAndTypes", assignment_method="Images matching rules")
    source.add_assignment()
    for assignment, name in zip(source.assignments, ("DNA", "GFP")):
        assignment.image_name.value = name
    return pipeline_of(source, step)


def shows(step, setting):
    return any(one is setting for one in step.visible_settings())


def reload(step):
    """The module, as a pipeline saves and loads it."""
    text = io.StringIO()
    pipeline_of(step).dump(text)
    assert text.getvalue().isascii(), "Windows would save other bytes"
    pipeline = Pipeline()
    pipeline.load(io.StringIO(text.getvalue()))
    (loaded,) = pipeline.modules()
    return loaded


@pytest.mark.parametrize("words", TAPS)
def test_taps_are_chosen_in_words(words):
    step = reload(measure(tap_words=words))
    expected = step.get_card().choose_taps(TAPS[words])
    assert step.get_taps() == expected
    assert not shows(step, step.taps)
    step.validate_module(loading(step))
    # What the list has selected plays no role.
    step.taps.value = "conv2_block1_out"
    assert step.get_taps() == expected


def test_a_new_module_takes_what_is_recommended():
    step = measure()
    assert step.tap_words == RECOMMENDED and step.get_tap_names() == ALL
    assert step.output == AUTOMATIC
    step.tap_words.value = CUSTOM
    assert shows(step, step.taps) and step.get_tap_names() == ALL
    # One click without Ctrl.
    step.taps.value = "conv2_block3_out"
    step = reload(step)
    assert [tap.layer for tap in step.get_taps()] == ["conv2_block3_out"]
    step.tap_words.value = RECOMMENDED
    assert step.get_tap_names() == ALL


@pytest.mark.parametrize(
    ("selected", "words"),
    [
        ("low,medium,high", RECOMMENDED),
        ("high,low,medium", RECOMMENDED),
        ("low,medium,high,intensity", "Low, medium, high and brightness"),
        ("low", LOW),
        ("low,high", CUSTOM),
        ("intensity", CUSTOM),
        ("conv2_block3_out,low", CUSTOM),
        ("low,low", CUSTOM),
        ("", CUSTOM),
    ],
)
def test_taps_of_earlier_pipelines_stay(selected, words):
    values = [setting.value_text for setting in measure().settings()][:21]
    values[TAP_LIST] = selected
    upgraded, revision = upgrade(values, 4)
    assert (upgraded[:21], upgraded[21], revision) == (values, words, 5)
    step = measure()
    step.set_settings_from_values(values, 4, "MeasureStratoFeatures")
    names = selected.split(",") if selected else []
    assert sorted(step.get_tap_names()) == sorted(names)
    if names:
        assert step.get_taps() == step.get_card().choose_taps(names)


@pytest.mark.parametrize("path", sorted(SAVED.glob("*.cppipe")), ids=lambda p: p.stem)
def test_earlier_pipelines_are_saved_as_they_are_loaded(path):
    pipeline = Pipeline()
    pipeline.load(str(path))
    step = pipeline.modules()[1]
    again = reload(step)
    values = [setting.value_text for setting in step.settings()]
    assert [setting.value_text for setting in again.settings()] == values
    assert again.variable_revision_number == 5
    # None is of one kind by its number of columns.
    assert step.output != AUTOMATIC


def test_a_pipeline_from_before_there_were_words():
    pipeline = Pipeline()
    pipeline.load(str(SAVED / "revision4_whole.cppipe"))
    step = pipeline.modules()[1]
    assert step.tap_words == RECOMMENDED and not shows(step, step.taps)
    # 10,240 columns, and in the tables all the same.
    assert step.writes_tables and not step.writes_parquet
    columns = step.get_measurement_columns(pipeline)
    assert len(columns) == 1 + 2 * 2 * 2560
    assert step.get_recipe("Image").id == "tiles224-across2-mean-sd"


def test_views_beyond_the_words():
    step = measure(region_choice="Both", objects="Nuclei")
    assert not shows(step, step.view_text) and not shows(step, step.square_view_text)
    # As recommended, until the user writes another.
    before = [step.get_recipe(name) for name in ("Image", "Nuclei")]
    step.view.value = step.square_view.value = CUSTOM
    assert [step.get_recipe(name) for name in ("Image", "Nuclei")] == before
    step.view_text.value = " tiles224-overlap50 "
    step.square_view_text.value = "whole224+tiles224-smallest64"
    step = reload(step)
    assert shows(step, step.view_text) and shows(step, step.square_view_text)
    ids = [step.get_recipe(name).id for name in ("Image", "Nuclei")]
    assert ids == [
        "tiles224-overlap50-mean-sd",
        "whole224-tiles224-smallest64-mean-sd-crop96",
    ]
    assert not shows(step, step.pixel_size)
    step.view_text.value = "tiles224-75um"
    assert shows(step, step.pixel_size) and not shows(step, step.tile_width)
    step.pixel_size.value = "0.5"
    assert step.find_pixel_size() == 0.5
    assert "features for each of: Image" in describe_run(step)


@pytest.mark.parametrize(
    ("setting", "text", "told"),
    [
        ("view_text", "", "A view is whole or tiles.*Received: ''"),
        ("view_text", "tiles224/mean", "Write the views alone.*Received: 'tiles224/me"),
        ("view_text", "tiles{side}", "A view is whole or tiles"),
        ("view_text", "tiles100000", "(?i)side"),
        ("view_text", "whole224+whole224", "one view, or a whole plane and tiles"),
        ("view_text", "t" * 10_000, "A view is whole or tiles"),
        ("square_view_text", "tiles224-75um", "the squares around objects are in pix"),
    ],
)
def test_views_that_cannot_be_are_refused(setting, text, told):
    step = measure(
        region_choice="Both", objects="Nuclei", view=CUSTOM, square_view=CUSTOM
    )
    getattr(step, setting).value = text
    with pytest.raises(ValidationError, match=told) as caught:
        step.validate_module(loading(step))
    assert caught.value.setting is getattr(step, setting)
    # The window is drawn all the same.
    step.visible_settings()


@pytest.mark.parametrize("name", ["view", "square_view", "tap_words"])
def test_words_that_no_choice_has_are_refused_where_they_stand(name):
    step = measure(region_choice="Both", objects="Nuclei", **{name: "Upside down"})
    with pytest.raises(ValidationError, match="Choose one of.*'Upside down'") as caught:
        step.validate_module(loading(step))
    assert caught.value.setting is getattr(step, name)
    assert step.get_measurement_columns(loading(step))


def test_a_network_with_other_taps_says_where_they_are(monkeypatch):
    step = measure()
    card = step.get_card()
    monkeypatch.setattr(type(step), "get_card", lambda self: card)
    monkeypatch.setattr(type(card), "choose_taps", _refuse_taps)
    told = r"has the taps early, late.*Choose Custom\.\.\. to select among them"
    with pytest.raises(ValidationError, match=told) as caught:
        step.validate_module(loading(step))
    assert caught.value.setting is step.tap_words


def _refuse_taps(card, taps=None):
    raise ValueError(f"vit has the taps early, late. Received: {taps!r}")


@pytest.mark.parametrize(
    ("settings", "columns", "place"),
    [
        ({"tap_words": LOW}, 1024, "Written to CellProfiler's tables."),
        (
            {"tap_words": LOW, "region_choice": "Both", "objects": "Nuclei"},
            2048,
            "Parquet",
        ),
        ({"images": "DNA, GFP", "tap_words": LOW, "statistics": "Mean"}, 1024, ""),
        ({}, 5120, "Written to StratoFeatures_Image.parquet."),
        ({"images": ""}, 0, "Nothing"),
    ],
)
def test_many_columns_go_to_a_parquet_file(settings, columns, place):
    step = measure(**settings)
    assert step.count_columns() == columns
    is_many = columns > MOST_TABLE_COLUMNS
    assert (step.writes_tables, step.writes_parquet) == (not is_many, is_many)
    assert shows(step, step.folder) == shows(step, step.prefix) == is_many
    pipeline = loading(step)
    declared = [name for _, name, _ in step.get_measurement_columns(pipeline)]
    assert len(declared) == 2 if is_many else len(declared) == 1 + columns
    if columns:
        step.validate_module(pipeline)
        if "statistics" not in settings:
            step.validate_module_warnings(pipeline)
        kind = "parquet" if place == "Parquet" else place
        assert kind in describe_run(step)
        wide = module("ExportToDatabase", db_type="SQLite")
        pipeline.add_module(wide)
        wide.set_module_num(3)
        if step.writes_parquet:
            step.validate_module(pipeline)


def test_the_window_shows_names_of_files_with_metadata():
    step = measure(prefix=r"\g<Plate>_Deep", output="Both")
    step.visible_settings()
    assert r"Written to \g&lt;Plate&gt;_Deep_Image.parquet" in step.column_count.content
    assert "and CellProfiler's tables." in step.column_count.content


def test_the_next_step_names_the_file():
    step = measure(region_choice="Both", objects="Nuclei", prefix="Run7")
    told = "After the run: stratonet evaluate Run7_Image.parquet --output report"
    assert describe_next_step(step) == told
    step.output.value = "CellProfiler's tables"
    assert "evaluate FOLDER (of ExportToSpreadsheet" in describe_next_step(step)


def test_every_choice_has_its_words_in_the_help():
    step = measure()
    for setting in (step.view, step.square_view, step.tap_words, step.output):
        for choice in setting.get_choices():
            assert f"*{choice}" in setting.doc, (setting.text, choice)
    assert list(step.view.get_choices()) == [*VIEWS, CUSTOM]
    assert list(step.square_view.get_choices()) == [*SQUARE_VIEWS, CUSTOM]
