"""`stratonet run-cellprofiler`: what image sets leave for others, or for the end."""

import csv
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("cellprofiler", reason="CellProfiler is not installed")

from cellprofiler_core.preferences import (
    get_default_output_directory,
    set_default_output_directory,
)
from cellprofiler_runs import load_modules, module, pipeline_of, rows_of, write
from cellprofiler_server import quick_starts

import stratonet_cli
from cellprofiler_plugin import finished, headless, processes
from cellprofiler_plugin.aggregates import compute_statistics, write_statistics
from cellprofiler_plugin.batch_plan import (
    BatchPlan,
    RunPlan,
    divide_image_sets,
    plan_batches,
)
from cellprofiler_plugin.batches import Batches
from cellprofiler_plugin.folders import read_from_output
from cellprofiler_plugin.headless import CellProfilerOptions
from cellprofiler_plugin.sequence import list_group_reasons, list_run_reasons
from stratonet.files.atomic import FolderInUse, lock_folder

SETS = 4
PARQUET = "A Parquet file"


@pytest.fixture(scope="module", autouse=True)
def modules():
    load_modules()


FIRST = {"individual_or_once": "First"}
ANY_GRID = {"failed_grid_choice": "Use any previous grid"}
MOVIE = {"save_image_or_figure": "Movie/Stack"}
ACROSS = {"each_or_all": "All: Across cycles"}


@pytest.mark.parametrize(
    ("name", "settings", "group", "run"),
    [
        ("Crop", {}, "", ""),
        ("Crop", FIRST, "crops all images as the first of their group", ""),
        ("DefineGrid", {}, "", ""),
        ("DefineGrid", {"each_or_once": "Once"}, "", "grid of an earlier image set"),
        ("DefineGrid", ANY_GRID, "", "grid of an earlier image set"),
        ("SaveImages", {}, "", ""),
        ("SaveImages", {"when_to_save": "First cycle"}, "", ""),
        ("SaveImages", {"when_to_save": "Last cycle"}, "all image sets of a group", ""),
        ("SaveImages", MOVIE, "all image sets of a group", ""),
        ("CorrectIlluminationCalculate", {}, "", ""),
        ("CorrectIlluminationCalculate", ACROSS, "all image sets of a group", ""),
        ("MakeProjection", {}, "all image sets of a group", ""),
        ("TrackObjects", {}, "all image sets of a group", ""),
        ("Tile", {"tile_method": "Across cycles"}, "all image sets of a group", ""),
        ("UntangleWorms", {"mode": "Train"}, "all image sets of a group", ""),
        ("CalculateStatistics", {}, "", "at the end of the run"),
        ("MeasureImageQuality", {}, "", ""),
        ("MeasureStratoFeatures", {}, "", ""),
        ("ExportToDatabase", {}, "", ""),
        ("Align", {}, "", ""),
        ("LabelImages", {}, "", ""),
        ("FlagImage", {}, "", ""),
    ],
)
def test_modules_that_need_other_image_sets(name, settings, group, run):
    pipeline = pipeline_of(module(name, **settings))
    for reasons, words in (
        (list_group_reasons(pipeline), group),
        (list_run_reasons(pipeline, skips=False), run),
    ):
        assert len(reasons) == bool(words)
        assert all(f"{name} (module 1)" in reason for reason in reasons)
        assert words in "".join(reasons)


def test_a_first_image_may_be_skipped():
    first = module("Crop", **FIRST)
    assert not list_run_reasons(pipeline_of(first), skips=False)
    assert "may be skipped" in list_run_reasons(pipeline_of(first), skips=True)[0]
    flagged = pipeline_of(module("FlagImage"), first)
    (reason,) = list_run_reasons(flagged, skips=False)
    assert "Crop (module 2)" in reason


def test_a_foreign_module_that_keeps_something_runs_whole(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name, code in (("keeper", "self.get_dictionary()['last'] = 1"), ("other", "")):
        text = f"""
from cellprofiler_core.module import Module


class {name.title()}(Module):
    module_name, variable_revision_number = "{name.title()}", 1

    def create_settings(self):
        pass

    def settings(self):
        return []

    def run(self, workspace):
        pass
        {code}
"""
        (tmp_path / f"{name}.py").write_text(text)
    keeper = import_module("keeper").Keeper()
    other = import_module("other").Other()
    (reason,) = list_run_reasons(pipeline_of(keeper, other), skips=False)
    assert reason == "Keeper (module 1) may keep something of earlier image sets."


def test_modules_read_from_the_output_folder_of_the_user(tmp_path):
    load = module("LoadData")
    saved = module("SaveImages")
    filtered = module("FilterObjects")
    for setting, choice, folder in (
        (load.csv_directory, "Default Output Folder", ""),
        (load.image_directory, "Default Input Folder", ""),
        (saved.pathname, "Default Output Folder", ""),
        (filtered.rules_directory, "Default Output Folder sub-folder", "../rules"),
    ):
        setting.dir_choice, setting.custom_path = choice, folder
    pipeline = pipeline_of(load, saved, filtered)
    before = get_default_output_directory()
    (tmp_path / "part").mkdir()
    set_default_output_directory(str(tmp_path / "part"))
    try:
        inputs = load.image_directory.get_absolute_path()
        # A project's pipeline is loaded twice.
        for _ in range(2):
            read_from_output(pipeline, str(tmp_path / "user"))
        assert load.csv_directory.get_absolute_path() == str(tmp_path / "user")
        assert load.image_directory.get_absolute_path() == inputs
        assert saved.pathname.get_absolute_path() == str(tmp_path / "part")
        rules = filtered.rules_directory.get_absolute_path()
        assert rules == str(tmp_path / "rules")
    finally:
        set_default_output_directory(before)


def test_statistics_are_of_all_parts_and_only_of_numbers(tmp_path):
    names = {"Mean": "MeanT", "Median": "MedianT", "Std": "StdT"}
    kept = [[0.1, np.nan], [], [0.2, 0.7]]
    parts = [[{"names": names, "values": values}] for values in kept]
    found = compute_statistics(parts)
    assert found["MeanT"] == np.mean([0.1, 0.2, 0.7])
    assert found["MedianT"] == 0.2
    assert found["StdT"] == np.std([0.1, 0.2, 0.7])
    nothing = compute_statistics([[{"names": names, "values": []}]])
    assert all(np.isnan(list(nothing.values())))

    (tmp_path / "E.txt").write_text("Key\tValue\r\nRun\ta\r\nMeanT\tnan\r\n")
    (tmp_path / "other.csv").write_text("MeanT,Value\n1,2\n")
    (tmp_path / "none.csv").touch()
    with closing(sqlite3.connect(tmp_path / "db")) as database:
        database.execute("CREATE TABLE MyPer_Experiment (Run TEXT, MeanT float)")
        database.execute("INSERT INTO MyPer_Experiment VALUES ('a', NULL)")
        database.commit()
    write_statistics({"MeanT": 0.25}, sorted(tmp_path.iterdir()))
    sheet = (tmp_path / "E.txt").read_bytes()
    assert sheet == b"Key\tValue\r\nRun\ta\r\nMeanT\t0.25\r\n"
    assert (tmp_path / "other.csv").read_text() == "MeanT,Value\n1,2\n"
    with closing(sqlite3.connect(tmp_path / "db")) as database:
        rows = database.execute("SELECT * FROM MyPer_Experiment").fetchall()
    assert rows == [("a", 0.25)]


def make_screen(folder):
    """Image sets with thresholds over the experiment.

    The third is dark, and so flagged; the fourth is no image. The channel ER of the
    second is NaN.
    """
    noise = np.random.default_rng(0)
    rows = []
    for number in range(SETS):
        pixels = noise.integers(50, 200, (24, 24)) * (number + 1)
        pixels = np.zeros_like(pixels) if number == 2 else pixels
        channels = {
            f"s{number}_DNA": pixels.astype(np.uint16),
            f"s{number}_ER": np.full((24, 24), np.nan if number == 1 else 0.5, "f4"),
        }
        rows.append(rows_of(folder, **channels))
    (folder / "s3_DNA.tif").write_text("no image")
    quality = module("MeasureImageQuality")
    quality.images_choice.value = "Select..."
    group = quality.image_groups[0]
    group.image_names.value = "DNA"
    group.calculate_threshold.value = True
    flag = module("FlagImage")
    condition = flag.flags[0]
    condition.wants_skip.value = True
    measurement = condition.measurement_settings[0]
    measurement.measurement.value = "ImageQuality_MaxIntensity_DNA"
    measurement.wants_minimum.value, measurement.minimum_value.value = True, 0.0001
    write(
        folder,
        rows,
        quality,
        flag,
        module("MeasureImageIntensity", images_list="DNA"),
        module("MeasureStratoFeatures", images="ER", taps="low", output=PARQUET),
        module("ExportToSpreadsheet", wants_prefix=False),
        module("ExportToDatabase", db_type="SQLite"),
    )


def read_experiment(folder):
    with open(folder / "Experiment.csv", newline="") as file:
        rows = dict(list(csv.reader(file))[1:])
    sheet = {key: value for key, value in rows.items() if "Threshold" in key}
    with closing(sqlite3.connect(folder / "DefaultDB.db")) as database:
        found = database.execute("SELECT * FROM MyExpt_Per_Experiment")
        names = [name for name, *_ in found.description]
        values = dict(zip(names, found.fetchone()))
    return sheet, {key: values[key] for key in sheet}


def read_images(folder):
    with open(folder / "Image.csv", newline="") as file:
        return [
            {key: value for key, value in row.items() if "ExecutionTime" not in key}
            for row in csv.DictReader(file)
        ]


@pytest.mark.slow
def test_flags_errors_and_statistics_are_as_of_one_process(
    tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "screen"
    folder.mkdir()
    make_screen(folder)
    options = CellProfilerOptions(
        data_file=folder / "load_data.csv", always_continue=True
    )
    with quick_starts():
        headless.run_pipeline(
            folder / "run.cppipe",
            tmp_path / "one",
            ["Experiment.csv"],
            *options.list_arguments(),
        )
        plan = plan_batches(folder / "run.cppipe", tmp_path / "two", options, 2)
    # Time is up at once: a process then measures one image set.
    monkeypatch.setattr(processes, "SECONDS", 0.001)
    monkeypatch.setattr(processes, "STARTS", 0)
    runner = Batches(plan)
    with quick_starts():
        said = runner.run(progress=False)
    assert len(runner.parts) == SETS
    assert read_experiment(tmp_path / "two") == read_experiment(tmp_path / "one")
    assert len(read_experiment(tmp_path / "one")[0]) == 3
    assert len(read_images(tmp_path / "two")) == SETS
    name = "StratoFeatures_Image.parquet"
    one, two = (pd.read_parquet(tmp_path / output / name) for output in ("one", "two"))
    pd.testing.assert_frame_equal(one, two)
    assert two["Metadata_Error"].notna().tolist() == [False, True]
    damaged = "Images of 1 image set (2) could not be measured. Image ER of"
    assert f"{damaged} image set 2" in said
    assert "FlagImage (module 3) skipped 1 image set (3)" in said
    assert "1 image set (4) had errors. 4: LoadData (module 1)" in said
    assert "In some parts nothing was measured: 3 to 3, 4 to 4" in said
    arguments = ["--quiet", "-n", "2", "--always-continue"]
    arguments += ["-p", str(folder / "run.cppipe"), "-o", str(tmp_path / "two")]
    arguments += ["--data-file", str(folder / "load_data.csv")]
    with quick_starts():
        assert stratonet_cli.main(["run-cellprofiler", *arguments]) == 3
    told = capsys.readouterr().out
    assert "this run is finished" in told and "FlagImage (module 3) skipped" in told
    assert not list(Path(tmp_path / "two").glob("_parts-*"))
    # Without the option, image sets with errors are not finished.
    strict = replace(plan, options=replace(options, always_continue=False))
    assert finished.find_lacking(strict) is None


def make_run(numbers, **more):
    image_sets = [[number, group, "", ""] for number, group in enumerate(numbers, 1)]
    empty = {"group_reasons": [], "sequential": [], "refusals": [], "writes": []}
    facts = {"writes_tables": False, "last_module": 1, "searches_images": False}
    return RunPlan(
        image_sets=image_sets,
        **{"groups": [{}], "digest": "digest", **empty, **facts, **more},
    )


def make_batches(output, run, processes=2, **more):
    options = CellProfilerOptions()
    return BatchPlan(output / "p.cppipe", output, options, run, processes, **more)


def list_parts(plan, *measured):
    """Which image sets processes get that each measure no more than so many."""
    runner = processes.Processes(plan, bar=None)
    runner.waiting = divide_image_sets(plan.run, plan.processes, plan.images_per_batch)
    given = []
    for most in measured:
        part = runner._choose_next()
        given.append((part.first, part.last))
        last = min(part.last, part.first + most - 1)
        if last < part.last:
            runner._most_image_sets = 2 * most
            runner.waiting.insert(0, (last + 1, part.last))
    return given


def test_what_a_process_has_not_come_to_goes_to_the_next(tmp_path):
    timed = make_batches(tmp_path, make_run([1] * 40))
    # Both get half; then no more than twice what was measured in time.
    assert list_parts(timed, 4, 4, 20) == [(1, 20), (5, 10), (9, 16)]
    grouped = make_batches(tmp_path, make_run([1] * 3 + [2] * 3 + [3] * 3))
    assert list_parts(grouped, 3, 6, 3) == [(1, 3), (4, 6), (7, 9)]
    fixed = make_batches(tmp_path, make_run([1] * 8), images_per_batch=2)
    assert list_parts(fixed, 2, 2) == [(1, 2), (3, 4)]
    whole = make_batches(tmp_path, make_run([1] * 9, sequential=["Crop keeps."]))
    assert list_parts(whole, 9) == [(1, 9)]


@pytest.mark.parametrize(
    ("groups", "facts", "told"),
    [
        ([1] * 9, {}, ""),
        ([1] * 9, {"sequential": ["Crop keeps."]}, "run by one process: Crop keeps."),
        (
            [1] * 9,
            {"group_reasons": ["Tile needs."]},
            "are one group, .* Tile needs. Where",
        ),
        (
            [1] * 4 + [2] * 5,
            {"group_reasons": ["Tile needs."]},
            "At most 2 .* Tile needs.",
        ),
        ([1] * 4 + [2] * 5, {}, "At most 2 .* stay together"),
        ([1, 2, 3], {"group_reasons": ["Tile needs."]}, ""),
    ],
)
def test_what_cannot_be_divided_is_said(groups, facts, told, tmp_path):
    runner = Batches(make_batches(tmp_path, make_run(groups, **facts), processes=3))
    assert re.search(told or "^$", runner.describe_division())


def test_a_folder_is_for_one_run_at_a_time_also_of_another_pipeline(tmp_path):
    first = make_batches(tmp_path, make_run([1]))
    other = make_batches(tmp_path, make_run([1], digest="other"))
    other.save()
    told = f"{other.folder}.*Both would write to"
    with lock_folder(other.folder), pytest.raises(FolderInUse, match=told):
        Batches(first).run(progress=False)


def test_jobs_of_groups_are_not_merged_and_so_not_refused(tmp_path):
    groups = [{"Metadata_Well": "A01"}, {"Metadata_Well": "A02"}]
    run = make_run([1, 2], groups=groups, refusals=["ExportToDatabase: MySQL."])
    runner = Batches(make_batches(tmp_path, run))
    jobs = runner.make_distributed_jobs()["groups"]
    assert jobs == [
        {"Metadata": "Metadata_Well=A01"},
        {"Metadata": "Metadata_Well=A02"},
    ]
    with pytest.raises(ValueError, match="MySQL"):
        runner.list_jobs()
