"""What a run in parts must not write over is refused before it, as by one process."""

import re
import sqlite3
import tempfile
from contextlib import closing

import numpy as np
import pytest

pytest.importorskip("cellprofiler", reason="CellProfiler is not installed")

from cellprofiler_core.image import ImageSetList
from cellprofiler_core.measurement import Measurements
from cellprofiler_core.pipeline import Pipeline
from cellprofiler_core.preferences import set_default_output_directory
from cellprofiler_core.workspace import Workspace
from cellprofiler_runs import load_modules, module, rows_of, write

from cellprofiler_plugin.row_groups import SCREEN
from cellprofiler_plugin.written_files import WrittenFiles

FILES = ["A01.tif", "A01.tif", "A02.tif"]


@pytest.fixture
def prepare(tmp_path):
    """Return what looks at a pipeline: three image sets in two groups, two plates."""
    load_modules()
    rows = []
    for number, name in enumerate(FILES):
        folder = tmp_path / f"plate{number}"
        folder.mkdir()
        row = rows_of(folder, A01_DNA=np.zeros((8, 8), np.uint8))
        rows.append({**row, "FileName_DNA": name, "Metadata_Plate": f"P{number // 2}"})
    output = tmp_path / "out put"
    output.mkdir()

    def look(*modules):
        # As each plan does it: CellProfiler prepares the run in an empty folder.
        set_default_output_directory(tempfile.mkdtemp(dir=tmp_path))
        write(tmp_path, rows, *modules)
        pipeline = Pipeline()
        pipeline.load(str(tmp_path / "run.cppipe"))
        load = pipeline.modules()[0]
        load.csv_directory.join_parts("Elsewhere...", str(tmp_path))
        load.csv_file_name.value = "load_data.csv"
        load.wants_image_groupings.value = True
        load.metadata_fields.value = "Plate"
        measurements = Measurements()
        workspace = Workspace(
            pipeline, None, None, None, measurements, ImageSetList(), None
        )
        assert pipeline.prepare_run(workspace)
        files = WrittenFiles(workspace, {1: 1, 2: 1, 3: 2}, output)
        return " ".join(files.list_reasons())

    return look, output


def save(**settings):
    folder = settings.pop("folder", None)
    step = module(
        "SaveImages",
        image_name="DNA",
        file_image_name="DNA",
        file_format="png",
        **settings,
    )
    if folder:
        step.pathname.value = f"Elsewhere...|{folder}"
    return step


NAMED = {"file_name_method": "Single name"}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, r"image sets 1 and 2 as A01\.png, and must not overwrite"),
        ({"overwrite": True}, None),
        ({"file_name_method": "Sequential numbers"}, None),
        ({**NAMED, "single_file_name": r"\g<Plate>"}, r"1 and 2 as P0\.png"),
        # Only one file of each group is saved.
        ({"when_to_save": "First cycle"}, None),
        ({"when_to_save": "Last cycle"}, None),
        (
            {**NAMED, "single_file_name": "x", "when_to_save": "First cycle"},
            r"image sets 1 and 3 as x\.png",
        ),
        # What a module measures in the run is not known.
        ({**NAMED, "single_file_name": r"\g<QCFlag>"}, None),
        ({"overwrite": True, "folder": "/tmp/shared"}, "several processes might"),
    ],
)
def test_images_of_one_name(settings, told, prepare):
    look, _ = prepare
    if told is None:
        assert not look(save(**settings))
        return
    assert re.search(rf"SaveImages \(module 2\).*{told}", look(save(**settings)))


def test_images_that_are_there(prepare):
    look, output = prepare
    numbered = {"file_name_method": "Sequential numbers", "single_file_name": "x"}
    (output / "x0002.png").touch()
    assert re.search(r"must not overwrite .*out put/x0002\.png", look(save(**numbered)))
    assert not look(save(overwrite=True, **numbered))


def test_tables_that_are_there(prepare):
    look, output = prepare
    sheets = module("ExportToSpreadsheet", wants_prefix=True, prefix="My_")
    assert not look(sheets)
    (output / "My_Experiment.csv").touch()
    assert re.search(r"must not overwrite .*/My_Experiment\.csv", look(sheets))
    sheets.wants_everything.value = False
    sheets.object_groups[0].name.value = "Image"
    assert not look(sheets)
    sheets.object_groups[0].wants_automatic_file_name.value = False
    sheets.object_groups[0].file_name.value = r"\g<Plate>.txt"
    (output / "My_P1.txt").touch()
    assert re.search(r"must not overwrite .*/My_P1\.txt", look(sheets))
    sheets.wants_overwrite_without_warning.value = True
    assert not look(sheets)


@pytest.mark.parametrize(
    ("choice", "table", "refused"),
    [
        ("Never", "MyExpt_Per_Image", True),
        ("Never", "Other_Per_Image", False),
        ("Data only", "MyExpt_Per_Image", True),
        ("Data and schema", "MyExpt_Per_Image", False),
    ],
)
def test_databases_that_are_there(choice, table, refused, prepare):
    look, output = prepare
    step = module("ExportToDatabase", db_type="SQLite", allow_overwrite=choice)
    step.objects_choice.value = "None"
    assert not look(step)
    with closing(sqlite3.connect(output / "DefaultDB.db")) as database:
        database.execute(f"CREATE TABLE {table} (a int)")
    if not refused:
        assert not look(step)
        return
    assert re.search(rf'finds {table} in .* is "{choice}"', look(step))


def test_graphs_that_modules_append_to(prepare, tmp_path):
    look, output = prepare
    step = module("MeasureObjectSkeleton", wants_objskeleton_graph=True)
    assert not look(step)
    (output / "edges.csv").touch()
    assert re.search(r"does not overwrite .*/edges\.csv", look(step))
    (output / "edges.csv").unlink()
    step.edge_file_name.value = r"\g<Plate>_edges.csv"
    assert re.search("writes graphs to several files", look(step))
    step.edge_file_name.value = "edges.csv"
    step.directory.value = f"Elsewhere...|{tmp_path}"
    assert re.search("appends to .*, and all processes would", look(step))


def test_cropped_objects_that_meet(prepare, tmp_path):
    look, _ = prepare
    step = module("SaveCroppedObjects", objects_name="Cells", export_option="Masks")
    step.use_filename.value = False
    assert not look(step)
    step.directory.value = f"Elsewhere...|{tmp_path}"
    assert re.search(r"image sets 1 and 2, so that several", look(step))


def test_parquet_files_of_another_run(prepare):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    look, output = prepare
    step = module("MeasureStratoFeatures", images="DNA", taps="low")
    step.output.value = "A Parquet file"
    assert not look(step)
    path = output / "StratoFeatures_Image.parquet"
    table = pa.table({"ImageNumber": [1]}).replace_schema_metadata({SCREEN: b"other"})
    parquet.write_table(table, path)
    assert re.search(f"{path} exists already", look(step))
