"""`stratonet run-cellprofiler` with projects: the images are those of CellProfiler."""

import csv
import json
import os
import subprocess

import numpy as np
import pytest
import tifffile

pytest.importorskip("cellprofiler", reason="CellProfiler is not installed")

from cellprofiler_core.utilities.pathname import pathname2url
from cellprofiler_core.workspace import Workspace
from cellprofiler_runs import load_modules, module, pipeline_of, rows_of, write
from cellprofiler_server import quick_starts

from cellprofiler_plugin import headless
from cellprofiler_plugin.batch_plan import plan_batches
from cellprofiler_plugin.batches import Batches
from cellprofiler_plugin.headless import CellProfilerOptions
from cellprofiler_plugin.processes import build_command, make_part

pytestmark = pytest.mark.slow


def write_images(folder, *names):
    folder.mkdir()
    for value, name in enumerate(names, start=1):
        pixels = np.full((16, 16), 100 * value, np.uint16)
        tifffile.imwrite(folder / name, pixels)
    return [folder / name for name in names]


def save_project(path, paths, stale=()):
    """A project as CellProfiler's window saves it, with its own list of images.

    ``stale``: images that were in the list when its image sets were last made.
    """
    intensity = module("MeasureImageIntensity")
    intensity.images_list.value = "DNA"
    inputs = [module(name) for name in ("Images", "Metadata", "NamesAndTypes")]
    inputs[2].single_image_provider.value = "DNA"
    sheets = module("ExportToSpreadsheet", wants_prefix=False)
    pipeline = pipeline_of(*inputs, module("Groups"), intensity, sheets)
    workspace = Workspace(pipeline, None, None, None, None, None)
    workspace.create()
    for number, image in enumerate(stale, start=1):
        facts = {"ImageNumber": number, "FileName_DNA": image.name}
        for feature, value in facts.items():
            workspace.measurements.add_measurement(
                "Image", feature, value, image_set_number=number
            )
    workspace.file_list.add_files_to_filelist([*map(pathname2url, map(str, paths))])
    workspace.save_pipeline_to_measurements()
    workspace.save(str(path))
    workspace.close()


def read_files(path):
    with open(path, newline="") as file:
        return [
            (
                row["ImageNumber"],
                row["FileName_DNA"],
                row["Intensity_MeanIntensity_DNA"],
            )
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project of three images, and a folder with two that it does not list."""
    load_modules()
    folder = tmp_path_factory.mktemp("project")
    listed = write_images(folder / "listed", "b.tif", "d.tif", "e.tif")
    write_images(folder / "more", "a.tif", "c.tif")
    save_project(folder / "images.cpproj", listed)
    save_project(folder / "stale.cpproj", listed[:2], stale=listed)
    return folder


def make_plan(project, output, name="images.cpproj", more=True, **options):
    directory = str(project / "more") if more else None
    options = CellProfilerOptions(image_directory=directory, **options)
    with quick_starts():
        return plan_batches(project / name, output, options, processes=2)


@pytest.mark.slow
def test_a_project_and_a_folder_are_measured_as_one_process_does(project, tmp_path):
    with quick_starts():
        headless.run_pipeline(
            project / "images.cpproj",
            tmp_path / "one",
            ["Image.csv"],
            f"--image-directory={project / 'more'}",
        )
    runner = Batches(make_plan(project, tmp_path / "two"))
    with quick_starts():
        runner.run(progress=False)
    one = read_files(tmp_path / "one" / "Image.csv")
    assert len(one) == 5
    assert read_files(tmp_path / "two" / "Image.csv") == one
    # A run that is finished does nothing when it is given again, and says so.
    before = os.stat(tmp_path / "two" / "Image.csv").st_mtime_ns
    assert "finished" in runner.run(progress=False)
    assert os.stat(tmp_path / "two" / "Image.csv").st_mtime_ns == before
    # It is run again where a file is gone, or one that was measured has changed.
    (tmp_path / "two" / "Image.csv").unlink()
    assert len(runner.list_jobs()) == 2


@pytest.mark.parametrize(
    ("name", "options", "numbers"),
    [
        ("images.cpproj", {"more": False}, [1, 2, 3]),
        ("images.cpproj", {"more": True}, [1, 2, 3, 4, 5]),
        ("images.cpproj", {"first_image_set": 2, "last_image_set": 4}, [2, 3, 4]),
        ("stale.cpproj", {"more": True}, [1, 2, 3, 4]),
        ("stale.cpproj", {"more": True, "last_image_set": 3}, [1, 2, 3]),
    ],
)
def test_the_plan_has_the_images_of_the_project(
    project, tmp_path, name, options, numbers
):
    made = make_plan(project, tmp_path, name, **options)
    assert [number for number, *_ in made.run.image_sets] == numbers


def run_part(plan, first, last):
    part = make_part(plan, first, last)
    part.folder.mkdir(parents=True)
    log = part.get_path("log")
    with quick_starts(), open(log, "w") as file:
        subprocess.run(
            build_command(plan, part),
            stdout=file,
            stderr=subprocess.STDOUT,
            env=headless.build_environment(),
        )
    return part


def test_image_sets_of_an_earlier_list_do_not_matter(project, tmp_path):
    made = make_plan(project, tmp_path, "stale.cpproj")
    made.save()
    for first, last in ((1, 2), (3, 4)):
        part = run_part(made, first, last)
        assert not part.find_fault(made.run), part.get_path("log").read_text()
    with pytest.raises(ValueError, match="finds no image sets"):
        make_plan(project, tmp_path, "stale.cpproj", more=False)


@pytest.mark.slow
def test_groups_of_a_batch_file_are_counted_as_one_process_counts_them(tmp_path):
    load_modules()
    rows = [
        rows_of(tmp_path, **{f"s{n}_DNA": np.full((16, 16), n, np.uint16)})
        for n in range(3)
    ]
    sheets = module("ExportToSpreadsheet", wants_prefix=False)
    batch = module("CreateBatchFiles", remote_host_is_windows=False)
    write(tmp_path, rows, module("MeasureImageIntensity"), sheets, batch)
    data = f"--data-file={tmp_path / 'load_data.csv'}"
    path = tmp_path / "batch" / "Batch_data.h5"
    with quick_starts():
        # CellProfiler ends as after an error when it has written the file.
        with pytest.raises(RuntimeError, match="did not finish"):
            headless.run_pipeline(tmp_path / "run.cppipe", path.parent, ["x"], data)
        headless.run_pipeline(path, tmp_path / "one", ["Image.csv"], data)
        options = CellProfilerOptions(data_file=tmp_path / "load_data.csv")
        made = plan_batches(path, tmp_path / "two", options, processes=2)
        Batches(made).run(progress=False)
    groups = [
        [
            (row["ImageNumber"], row["Group_Index"], row["Group_Length"])
            for row in csv.DictReader((tmp_path / name / "Image.csv").open())
        ]
        for name in ("one", "two")
    ]
    assert groups[0] == groups[1] and len(groups[0]) == 3


def test_other_images_than_planned_are_not_measured(project, tmp_path):
    made = make_plan(project, tmp_path, more=False)
    made.save()
    content = json.loads(made.path.read_text())
    content["image_sets"][1][2] = "another"
    made.path.write_text(json.dumps(content))
    part = run_part(made, 1, 3)
    assert "other images than planned for 1 of 3 image sets: 2" in (
        part.find_fault(made.run)
    )
    assert "Image # 1, module" not in part.get_path("log").read_text()
    assert not list(part.folder.iterdir())


def test_a_part_of_files_that_changed_since_does_not_count(project, tmp_path):
    made = make_plan(project, tmp_path, more=False)
    made.save()
    part = run_part(made, 1, 3)
    assert not part.find_fault(made.run), part.get_path("log").read_text()
    assert part.report.begun == [1, 2, 3] and part.report.starting > 0
    assert Batches(made).list_jobs() == []
    changed = project / "listed" / "d.tif"
    os.utime(changed, (1, 1))
    again = make_plan(project, tmp_path, more=False)
    assert again.folder == made.folder
    assert len(Batches(again).list_jobs()) == 2
