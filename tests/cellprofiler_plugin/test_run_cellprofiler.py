"""`stratonet run-cellprofiler`.

Several processes, and the files that one would have written.
"""

import csv
import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cellprofiler", reason="CellProfiler is not installed")

import pyarrow as pa
from cellprofiler_runs import (
    load_modules,
    module,
    rows_of,
    save,
    words_of_recipe,
    write,
)
from cellprofiler_server import quick_starts
from killed_work import kill_at_file, stopped_at_file
from pyarrow import parquet

import stratonet_cli
from cellprofiler_plugin import headless, processes
from cellprofiler_plugin.batch_plan import (
    BatchPlan,
    RunPlan,
    divide_image_sets,
    plan_batches,
)
from cellprofiler_plugin.batches import Batches
from cellprofiler_plugin.headless import CellProfilerOptions
from cellprofiler_plugin.merge import merge_parts
from cellprofiler_plugin.parts import Report
from cellprofiler_plugin.processes import make_part
from stratonet.files.atomic import FolderInUse, lock_folder
from stratonet.limits import PlateLimits
from stratonet.projection import Projection
from stratonet.weights_file import read_feature_set_id

TIMES = re.compile("ExecutionTime|Timestamp")
SETS = 5


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    """A pipeline with all kinds of outputs, and LoadData's table of five image sets.

    The third has no nuclei.
    """
    folder = tmp_path_factory.mktemp("screen")
    noise = np.random.default_rng(0)
    y, x = np.mgrid[:96, :128]
    rows = []
    for number in range(SETS):
        pixels = noise.normal(300, 20, x.shape)
        for _ in range(0 if number == 2 else 6):
            row, column = noise.uniform(16, [80, 112])
            pixels += 3000 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 60)
        paths = rows_of(folder, **{f"s{number}_DNA": pixels.astype(np.uint16)})
        well = 7 if number < 3 else f"B{number:02d}"
        rows.append({"Metadata_Plate": number // 3 + 1, "Metadata_Well": well, **paths})
    load_modules()
    nuclei = module("IdentifyPrimaryObjects", x_name="DNA", y_name="Nuclei")
    nuclei.size_range.value = (8, 60)
    cells = module(
        "IdentifySecondaryObjects",
        x_name="Nuclei",
        y_name="Cells",
        image_name="DNA",
        method="Distance - N",
    )
    intensity = module("MeasureObjectIntensity")
    intensity.images_list.value, intensity.objects_list.value = "DNA", "Nuclei"
    save = module(
        "SaveImages",
        image_name="DNA",
        file_format="npy",
        file_image_name="DNA",
        update_file_names=True,
    )
    modules = {
        "nuclei": nuclei,
        "cells": cells,
        "intensity": intensity,
        "stratonet": words_of_recipe(
            module("MeasureStratoFeatures"),
            "whole224/mean",
            images="DNA",
            taps="conv2_block1_out",
            output="Both",
            region_choice="Both",
            objects="Nuclei",
        ),
        "save": save,
        "sheets": module("ExportToSpreadsheet", wants_prefix=False),
        "one_sheet": one_sheet("Nuclei", "Cells", "Object relationships"),
        "database": module(
            "ExportToDatabase",
            db_type="SQLite",
            wants_agg_mean=False,
            save_cpa_properties=True,
            location_object="Nuclei",
        ),
    }
    write(folder, rows, *modules.values())
    return folder, modules


def one_sheet(first, second, third):
    """ExportToSpreadsheet with two objects in a file, and a third file."""
    made = module(
        "ExportToSpreadsheet",
        wants_prefix=False,
        wants_everything=False,
        delimiter="Tab",
    )
    made.add_object_group()
    made.add_object_group()
    for group, name in zip(made.object_groups, (first, second, third)):
        group.name.value, group.wants_automatic_file_name.value = name, False
        group.file_name.value, group.previous_file.value = (
            f"only_{name}.txt",
            name == second,
        )
    return made


def batches(folder, output, pipeline="run.cppipe", first=None, **how):
    options = CellProfilerOptions(
        data_file=folder / "load_data.csv", first_image_set=first
    )
    with quick_starts():
        return Batches(plan_batches(folder / pipeline, output, options, **how))


@pytest.fixture(scope="module")
def alone(screen, tmp_path_factory):
    """What a single process writes."""
    folder, _ = screen
    output = tmp_path_factory.mktemp("alone")
    data = f"--data-file={folder / 'load_data.csv'}"
    with quick_starts():
        headless.run_pipeline(
            folder / "run.cppipe", output, ["Image.csv", "DefaultDB.db"], data
        )
    return output


def sheet(path, output):
    """The cells of a CSV file, without times and without the output folder's name."""
    with open(path, newline="") as file:
        lines = csv.reader(file, delimiter="\t" if path.suffix == ".txt" else ",")
        rows = [[cell.replace(str(output), "OUT") for cell in row] for row in lines]
    keep = [column for column, name in enumerate(rows[0]) if not TIMES.search(name)]
    rows = [
        [row[column] for column in keep] for row in rows if not TIMES.search(row[0])
    ]
    return sorted(rows) if "relationships" in path.name else rows


def database(path, output):
    with sqlite3.connect(path) as connection:
        tables = connection.execute(
            "SELECT name, sql FROM sqlite_master ORDER BY name"
        ).fetchall()
        content = {}
        for name, statement in tables:
            if statement and statement.startswith(("CREATE TABLE", "CREATE VIEW")):
                found = connection.execute(f'SELECT * FROM "{name}"')
                keep = [
                    column
                    for column, (title, *_) in enumerate(found.description)
                    if not TIMES.search(title)
                ]
                rows = [[row[column] for column in keep] for row in found.fetchall()]
                content[name] = [
                    [str(cell).replace(str(output), "OUT") for cell in row]
                    for row in rows
                ]
        return tables, content


def assert_same(one, other):
    names = {str(path.relative_to(one)) for path in one.rglob("*") if path.is_file()}
    assert names == {
        str(path.relative_to(other)) for path in other.rglob("*") if path.is_file()
    }
    kinds = {Path(name).suffix for name in names}
    assert {".csv", ".txt", ".db", ".parquet", ".npy", ".properties"} <= kinds
    for name in names - {headless.LOG}:
        first, second = one / name, other / name
        if name.endswith((".csv", ".txt")):
            assert sheet(first, one) == sheet(second, other), name
        elif name.endswith(".db"):
            assert database(first, one) == database(second, other)
        elif name.endswith(".parquet"):
            assert parquet.read_table(first).equals(parquet.read_table(second)), name
        elif name.endswith(".npy"):
            assert first.read_bytes() == second.read_bytes()
        else:
            texts = [
                path.read_text().replace(str(path.parent), "OUT")
                for path in (first, second)
            ]
            assert len({text.partition("\n")[2] for text in texts}) == 1, (
                name
            )  # the first line is the date


def started(work, count, seconds=120):
    """The process numbers of the first parts that have been started."""
    end = time.monotonic() + seconds
    while len(found := sorted(work.glob("_parts-*/*.pid"))) < count or not all(
        path.read_text() for path in found
    ):
        assert time.monotonic() < end
        time.sleep(0.1)
    return [int(path.read_text()) for path in found]


@pytest.mark.slow
def test_killed_and_run_again_two_processes_write_what_one_does(
    screen, alone, tmp_path, capsys
):
    folder, _ = screen
    arguments = ["run-cellprofiler", "-n", "2", "--images-per-batch", "2"]
    arguments += ["-p", str(folder / "run.cppipe"), "-o", str(tmp_path)]
    arguments += ["--data-file", str(folder / "load_data.csv")]
    run = subprocess.Popen(
        [sys.executable, "-m", "stratonet_cli", *arguments], stderr=subprocess.DEVNULL
    )
    try:
        os.kill(started(tmp_path, 2)[0], signal.SIGKILL)  # it is run again
        (work,) = tmp_path.glob("_parts-*")
        while not list(work.glob("*.done")):
            assert run.poll() is None
            time.sleep(0.1)
        with quick_starts():
            assert stratonet_cli.main(arguments) == 1
        in_use = f"Another run (process {run.pid}) is using {work}"
        assert in_use in capsys.readouterr().err
    finally:
        run.kill()
        run.wait()
    with quick_starts():
        status = stratonet_cli.main(arguments)
    said = capsys.readouterr()
    assert status == 0, said.err
    summary = r"\d run by up to 2 processes, \d already measured"
    assert re.search(summary, said.out) and "5/5" in said.err
    assert_same(alone, tmp_path)


@pytest.mark.slow
def test_what_cannot_be_run_is_said_and_the_rest_is_kept(screen, tmp_path):
    folder, _ = screen
    image = folder / "s4_DNA.tif"
    whole = image.read_bytes()
    runner = batches(folder, tmp_path, first=4, processes=2)
    image.write_bytes(b"no image")
    told = "Image set 5 could not be run: CellProfiler ended with an"
    with quick_starts(), pytest.raises(RuntimeError, match=told) as caught:
        runner.run(progress=False)
    said = str(caught.value)
    assert "s4_DNA.tif" in said and "1 of 2 image sets are measured and kept" in said
    assert "Fix the cause, then rerun the command to finish the rest" in said
    assert [part.first for part in runner.parts] == [4]
    assert not list(tmp_path.glob("*.csv"))
    image.write_bytes(whole)
    with quick_starts():
        assert "1 run by" in runner.run(progress=False)
    with open(tmp_path / "Image.csv", newline="") as file:
        assert [row["ImageNumber"] for row in csv.DictReader(file)] == ["4", "5"]


@pytest.mark.slow
def test_a_scheduler_runs_parts_and_merging_may_be_killed(screen, alone, tmp_path):
    folder, _ = screen
    runner = batches(folder, tmp_path, images_per_batch=3, processes=1)
    first, second = runner.list_jobs()
    subprocess.run(first, shell=True, check=True, capture_output=True)
    assert runner.list_jobs() == [second]
    with quick_starts(), open(tmp_path.with_suffix(".log"), "w") as log:
        subprocess.run(shlex.split(second), stdout=log, env=dict(os.environ))
    merge = partial(Batches(runner.plan).run, progress=False)
    # Another process has seen that the run is not finished, and goes on when it is.
    with stopped_at_file(merge, tmp_path, 0):
        assert all(kill_at_file(merge, tmp_path, moment) for moment in (9, 30, 45, 60))
        with stopped_at_file(merge, tmp_path, 50), pytest.raises(FolderInUse):
            runner.run(progress=False)
        log = (tmp_path / headless.LOG).read_bytes()
    assert log == (tmp_path / headless.LOG).read_bytes()
    assert "this run is finished" in runner.run(progress=False)
    assert_same(alone, tmp_path)


def test_one_run_uses_a_folder_and_what_a_killed_one_left_does_not_matter(
    tmp_path, monkeypatch
):
    options = CellProfilerOptions()
    batch_plan = BatchPlan(tmp_path, tmp_path, options, plan([1]), 1)
    runner = Batches(batch_plan)
    batch_plan.save()
    with lock_folder(batch_plan.folder), pytest.raises(FolderInUse, match="process"):
        runner.run(progress=False)
    # What a process that was killed at the wrong moment may leave behind.
    for name in ("lock", "lock.process", "00001-00001.pid"):
        (batch_plan.folder / name).write_text("")
    nothing = [sys.executable, "-c", ""]
    monkeypatch.setattr(processes, "build_command", lambda *_: nothing)
    with pytest.raises(
        RuntimeError, match="Image set 1 could not be run: CellProfiler did not finish"
    ):
        runner.run(progress=False)


@pytest.mark.slow
def test_groups_stay_together_and_make_the_jobs_of_distributed_cellprofiler(
    screen, tmp_path
):
    folder, modules = screen
    grouped = module("LoadData", wants_images=True, wants_image_groupings=True)
    grouped.metadata_fields.value = "Plate,Well"
    save(folder / "grouped.cppipe", grouped, modules["nuclei"], modules["stratonet"])
    made = batches(folder, tmp_path, pipeline="grouped.cppipe", processes=2)
    assert divide_image_sets(made.plan.run, 2) == [(1, 3), (4, 5)]
    jobs = made.make_distributed_jobs()
    assert (
        jobs["groups"][0] == {"Metadata": "Metadata_Plate=1,Metadata_Well=7"}
        and len(jobs["groups"]) == 3
    )
    assert jobs["output_structure"] == "Metadata_Plate/Metadata_Well"
    assert Path(jobs["data_file"]) == folder / "load_data.csv"

    # CellProfiler says so even of a run whose plug-in could not be loaded.
    assert len(made.list_jobs()) == 2
    part = make_part(made.plan, 1, 3)
    states = [state for *_, state in made.plan.run.image_sets]

    def report(begun, **more):
        told = asdict(Report(begun=begun, states=states[: len(begun)], **more))
        part.get_path("report").write_text(json.dumps(told))
        part.get_path("done").write_text("Complete\n")

    part.folder.mkdir()
    report([1, 2, 3])
    (part.folder / "StratoFeatures_Image.parquet").touch()
    assert "/00001-" in made.list_jobs()[0]
    report([1, 2, 3])
    (part.folder / "StratoFeatures_Nuclei.parquet").touch()
    assert all("/00001-" not in job for job in made.list_jobs())
    report([1, 2, 4])
    assert "/00001-" in made.list_jobs()[0]
    report([1, 2, 3], failed=[[2, "LoadData (module 1): no file"]])
    assert "/00001-" in made.list_jobs()[0]


@pytest.mark.slow
def test_parts_of_another_projection_do_not_count(screen, tmp_path):
    folder, modules = screen
    reduced = words_of_recipe(
        deepcopy(modules["stratonet"]),
        "whole224/mean",
        taps="low",
        region_choice="Whole images",
        reduce=True,
        projection=str(tmp_path / "pilot.npz"),
    )
    save(
        folder / "reduced.cppipe",
        module("LoadData", wants_images=True),
        modules["nuclei"],
        reduced,
    )
    means, shares = np.zeros(512, np.float32), np.full(2, 0.4, np.float32)
    works = set()
    for axes in (np.eye(2, 512, dtype=np.float32), np.eye(2, 512, 1, dtype=np.float32)):
        parts = ({"DNA": values} for values in (means, axes, shares))
        measured = read_feature_set_id(recipe="whole224/mean")
        Projection(measured, (("Low", 512),), *parts, rows=9).save(
            tmp_path / "pilot.npz"
        )
        works.add(batches(folder, tmp_path, pipeline="reduced.cppipe").plan.folder)
    assert len(works) == 2


@pytest.mark.slow
def test_parts_of_other_grey_ranges_do_not_count(screen, tmp_path):
    folder, modules = screen
    ranged = deepcopy(modules["stratonet"])
    ranged.grey_range.value = "From a file of stratonet extract"
    ranged.limits_file.value = str(tmp_path / "limits.json")
    save(
        folder / "ranged.cppipe",
        module("LoadData", wants_images=True),
        modules["nuclei"],
        ranged,
    )
    works = set()
    for highest in (4000.0, 5000.0):
        limits = {plate: {"DNA": (100.0, highest)} for plate in ("1", "2")}
        (tmp_path / "limits.json").write_text(PlateLimits(limits).to_json())
        works.add(batches(folder, tmp_path, pipeline="ranged.cppipe").plan.folder)
    assert len(works) == 2
    (tmp_path / "limits.json").write_text(PlateLimits({"1": limits["1"]}).to_json())
    with pytest.raises(ValueError, match=r"limits\.json: .*plates 1. Received: 2"):
        batches(folder, tmp_path, pipeline="ranged.cppipe")


def plan(groups, group_reasons=()):
    image_sets = [
        [number, group, "", ""] for number, group in enumerate(groups, start=1)
    ]
    return RunPlan(
        image_sets, [{}], list(group_reasons), [], [], [], False, 1, False, "digest"
    )


@pytest.mark.parametrize(
    ("groups", "group_reasons", "processes", "most", "parts"),
    [
        ([1] * 10, [], 2, 96, [(1, 5), (6, 10)]),
        ([1] * 10, [], 2, 3, [(1, 3), (4, 6), (7, 9), (10, 10)]),
        ([1] * 3, [], 8, 96, [(1, 1), (2, 2), (3, 3)]),
        ([1] * 10, ["TrackObjects"], 2, 96, [(1, 10)]),
        ([1, 1, 1, 2, 3, 3], [], 2, 96, [(1, 3), (4, 6)]),
        ([1, 1, 2, 2, 3, 3], [], 3, 1, [(1, 2), (3, 4), (5, 6)]),
    ],
)
def test_parts(groups, group_reasons, processes, most, parts):
    assert divide_image_sets(plan(groups, group_reasons), processes, most) == parts


def test_groups_that_are_not_together_are_refused():
    with pytest.raises(ValueError, match="Sort the image sets by their groups"):
        divide_image_sets(plan([1, 2, 1]), 2, 96)


def elsewhere(made):
    made["sheets"].directory.join_parts("Elsewhere...", "/data")
    return made["sheets"]


def genes(made):
    made["sheets"].wants_genepattern_file.value = True
    return made["sheets"]


def server(made):
    made["database"].db_type.value = "MySQL"
    return made["database"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (elsewhere, "writes to a folder of its own"),
        (genes, "GenePattern"),
        (server, "Only SQLite"),
    ],
)
def test_what_cannot_be_done_in_parts_is_refused_before_the_run(screen, change, told):
    from cellprofiler_plugin.plan import PlanningPipeline

    _, modules = screen
    pipeline = PlanningPipeline()
    pipeline.add_module(
        change({name: deepcopy(modules[name]) for name in ("sheets", "database")})
    )
    (refusal,) = pipeline.list_refusals()
    assert told in refusal
    refused = replace(plan([1]), refusals=[refusal])
    made = BatchPlan(Path("p"), Path("o"), CellProfilerOptions(), refused, 1)
    with pytest.raises(ValueError, match=told):
        Batches(made).run()
    with pytest.raises(ValueError, match=told):
        Batches(made).list_jobs()


def test_a_pipeline_that_would_only_prepare_a_run_is_refused(screen):
    from cellprofiler_plugin.plan import PlanningPipeline

    pipeline = PlanningPipeline()
    pipeline.add_module(module("CreateBatchFiles"))
    with pytest.raises(ValueError, match="would only prepare a run"):
        pipeline.check_modules()


def test_a_module_that_cannot_be_loaded_is_named(screen):
    from cellprofiler_plugin.plan import PlanningPipeline

    folder, _ = screen
    text = (
        (folder / "run.cppipe")
        .read_text()
        .replace("IdentifySecondaryObjects:", "IdentifyTertiaryThings:")
    )
    (folder / "unknown.cppipe").write_text(text)
    pipeline = PlanningPipeline()
    pipeline.load(str(folder / "unknown.cppipe"))
    with pytest.raises(
        ValueError, match="The module IdentifyTertiaryThings cannot be loaded"
    ):
        pipeline.check_modules()


def test_metadata_of_parts_become_what_one_file_would_hold(tmp_path):
    names = [f"StratoFeatures_Low{number:04d}_DNA" for number in range(3)]
    wells = [[1, 2], ["B01"], [4]]
    more = [{}, {"Metadata_Dose": [0.5]}, {}]
    for number, (well, keys) in enumerate(zip(wells, more)):
        features = {
            name: pa.array(np.full(len(well), number), pa.float32()) for name in names
        }
        (tmp_path / str(number)).mkdir()
        parquet.write_table(
            pa.table({"Metadata_Well": well, **keys, **features}),
            tmp_path / str(number) / "a.parquet",
        )
    merge_parts([tmp_path / str(number) for number in range(3)], tmp_path)
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table["Metadata_Well"].to_pylist() == ["1", "2", "B01", "4"]
    assert table["Metadata_Dose"].to_pylist() == [None, None, 0.5, None]
    assert table[names[2]].to_pylist() == [0, 0, 1, 2]
