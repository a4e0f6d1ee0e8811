"""The pipeline that ships, on the images that ship with it."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("cellprofiler", reason="CellProfiler is not installed")
pytest.importorskip("pyarrow", reason="pyarrow is not installed")

from cellprofiler_core.pipeline import Pipeline
from cellprofiler_runs import load_modules  # before the others: no window
from cellprofiler_server import quick_starts
from pyarrow import parquet

from cellprofiler_plugin import headless
from stratonet import StratoNet
from stratonet.files.images import read_plane

pytestmark = pytest.mark.stock_cellprofiler

PIPELINE = headless.PLUGINS / "wholeimages.cppipe"
IMAGES = headless.PLUGINS / "example_images"
WELLS, CHANNELS = ["A01", "A03", "B02", "B03"], ["DNA", "GFP"]


def find_image(well, channel):
    return IMAGES / f"{well}_s1_{channel}.png"


def list_marks(pipeline, folder):
    """What the window would show beside the modules."""
    with quick_starts(), open(folder / "marks.txt", "w") as file:
        command = [sys.executable, "-m", "pipeline_marks", str(pipeline)]
        subprocess.run(command, stdout=file, env=headless.build_environment())
    return (folder / "marks.txt").read_text()


@pytest.fixture(scope="module")
def pipeline():
    load_modules()
    pipeline = Pipeline()
    pipeline.load(str(PIPELINE))
    return pipeline


@pytest.mark.slow
def test_it_opens_without_a_mark(pipeline, tmp_path):
    """Before any image is there."""
    names = [step.module_name for step in pipeline.modules()]
    assert names == [
        *("Images", "Metadata", "NamesAndTypes", "Groups"),
        "MeasureStratoFeatures",
    ]
    assert all("".join(step.notes) for step in pipeline.modules())
    broken = tmp_path / "broken.cppipe"
    broken.write_text(PIPELINE.read_text().replace("measure:DNA, GFP", "measure:ER"))
    assert "MeasureStratoFeatures: ER not in DNA, GFP" in list_marks(broken, tmp_path)
    assert list_marks(PIPELINE, tmp_path).strip() == ""


def test_it_measures_as_a_new_module_does(pipeline):
    step = pipeline.modules()[-1]
    assert step.images.value == CHANNELS and step.writes_parquet
    # When another recipe is recommended, the pipeline changes with it.
    new = type(step)()
    new.images.value = ", ".join(CHANNELS)
    values = [setting.value_text for setting in step.settings()]
    assert values == [setting.value_text for setting in new.settings()]
    assert step.get_recipe("Image") == step.get_card().choose_recipe()


def test_the_images_are_small_and_have_cells():
    files = sorted(IMAGES.iterdir())
    assert files == sorted(find_image(w, c) for w in WELLS for c in CHANNELS)
    assert sum(file.stat().st_size for file in files) < 150_000
    for file in files:
        plane = read_plane(file)
        assert plane.dtype == np.uint16 and plane.shape == (96, 96)
        assert plane.max() > 3 * np.median(plane)


@pytest.mark.slow
def test_it_measures_them(tmp_path):
    listed = tmp_path / "files.txt"
    # As a user drags the folder, with what lies beside the images.
    others = [PIPELINE, headless.PLUGINS / "measurestratofeatures.py"]
    listed.write_text("\n".join(map(str, [*IMAGES.iterdir(), *others])))
    table = "StratoFeatures_Image.parquet"
    with quick_starts():
        headless.run_pipeline(PIPELINE, tmp_path, [table], f"--file-list={listed}")
    read = parquet.read_table(tmp_path / table)
    assert read["Metadata_Well"].to_pylist() == WELLS
    assert set(map(str, read["Metadata_Site"].to_pylist())) == {"1"}
    assert read["Metadata_Plate"].to_pylist() == ["example_images"] * 4
    net = StratoNet.load()
    columns = read.select(net.feature_names(CHANNELS)).to_pydict()
    received = np.array(list(columns.values()), np.float32).T
    expected = [
        np.concatenate(net.features([read_plane(find_image(w, c)) for c in CHANNELS]))
        for w in WELLS
    ]
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5)
