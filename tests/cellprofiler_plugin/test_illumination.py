"""Illumination functions among the images to measure are named before the run."""

import numpy as np
import pytest

pytest.importorskip("cellprofiler", reason="CellProfiler is not installed")
pytest.importorskip("pyarrow", reason="pyarrow is not installed")

from cellprofiler_core.pipeline import Pipeline
from cellprofiler_core.setting import ValidationError
from cellprofiler_runs import (
    load_modules,
    module,
    pipeline_of,
    rows_of,
    run,
)  # before the others: no window
from pyarrow import parquet

pytestmark = pytest.mark.stock_cellprofiler


@pytest.fixture(scope="module", autouse=True)
def modules():
    load_modules()


def select_all(pipeline):
    """A module at the end of the pipeline, with all images that its picker offers."""
    step = module("MeasureStratoFeatures")
    step.set_module_num(len(pipeline.modules()) + 1)
    pipeline.add_module(step)
    offered = [name for name, *_ in step.images.get_choices(pipeline)]
    step.images.value = ", ".join(offered)
    return step, offered


def warn(step, pipeline):
    """What the yellow mark says."""
    with pytest.raises(ValidationError) as caught:
        step.validate_module_warnings(pipeline)
    assert caught.value.setting is step.images
    # It stands among the settings, too.
    assert caught.value.message in step.column_count.content
    names, _, advice = caught.value.message.partition(": ")
    assert 'clear the ticks in "Select images to measure"' in advice
    return set(names.split(", "))


def test_of_names_and_types():
    source = module("NamesAndTypes", assignment_method="Images matching rules")
    for _ in range(2):
        source.add_assignment()
    source.add_single_image()
    groups = [*source.assignments, *source.single_images]
    types = ["Grayscale image", "Illumination function", "Objects"]
    for group, name, kind in zip(
        groups, ("DNA", "Flat", "Masks", "Dark"), [*types, "Illumination function"]
    ):
        group.image_name.value, group.load_as_choice.value = name, kind
    pipeline = pipeline_of(source)
    step, offered = select_all(pipeline)
    assert set(offered) == {"DNA", "Flat", "Dark"}
    assert warn(step, pipeline) == {"Flat", "Dark"}
    step.images.value = "DNA"
    step.validate_module_warnings(pipeline)
    # Nothing stops those who mean it.
    step.images.value = "Flat"
    step.validate_module(pipeline)
    assert warn(step, pipeline) == {"Flat"}
    # One type for all: none of them is a function.
    source.assignment_method.value = "All images"
    source.single_image_provider.value = "Flat"
    step.validate_module_warnings(pipeline)


def test_of_modules_that_calculate_and_apply_them():
    source = module("NamesAndTypes", assignment_method="All images")
    source.single_image_provider.value = "DNA"
    calculate = module(
        "CorrectIlluminationCalculate",
        image_name="DNA",
        illumination_image_name="Light",
        save_average_image=True,
        average_image_name="Mean",
        dilated_image_name="Dilated",
    )
    smooth = module("Smooth", image_name="DNA", filtered_image_name="Soft")
    apply = module("CorrectIlluminationApply")
    (group,) = apply.images
    group.image_name.value, group.corrected_image_name.value = "DNA", "Corrected"
    group.illum_correct_function_image_name.value = "Soft"
    pipeline = pipeline_of(source, calculate, smooth, apply)
    step, offered = select_all(pipeline)
    assert set(offered) == {"DNA", "Light", "Mean", "Soft", "Corrected"}
    assert warn(step, pipeline) == {"Light", "Mean", "Soft"}
    apply.enabled = False
    assert warn(step, pipeline) == {"Light", "Mean"}


def test_of_the_pipeline_and_the_table_of_jump(data, tmp_path):
    """Its LoadData loads eight channels and a function for each."""
    pipeline = Pipeline()
    pipeline.load(str(data / "pipelines" / "JUMP_analysis_v3.cppipe"))
    load, apply = pipeline.modules()[:2]
    channels = [group.image_name.value for group in apply.images]
    functions = {
        group.illum_correct_function_image_name.value for group in apply.images
    }
    header = [f"FileName_{name}" for name in (*channels, *functions)]
    # In later tables, for which this pipeline has no correction.
    header.append("FileName_IllumNew")
    (tmp_path / "load_data_with_illum.csv").write_text(",".join(header) + "\n")
    load.csv_directory.value = f"Elsewhere...|{tmp_path}"
    load.csv_file_name.value = "load_data_with_illum.csv"
    step, offered = select_all(pipeline)
    made_here = {"IllumBlue", "IllumBlueAvg", "IllumBlueDilated"} & set(offered)
    assert functions < set(offered) and "IllumBlue" in made_here
    assert warn(step, pipeline) == functions | {"IllumNew"} | made_here
    step.images.value = ", ".join(
        name for name in offered if not name.startswith("Illum")
    )
    step.validate_module_warnings(pipeline)


@pytest.mark.slow
def test_files_tell_it_at_the_run(tmp_path):
    """Of a table that calls them otherwise, in a pipeline that does not apply them."""
    plane = np.random.default_rng(0).integers(0, 4000, (64, 64), dtype=np.uint16)
    row = rows_of(tmp_path, i_DNA=plane)
    np.save(tmp_path / "flat.npy", plane / plane.max())
    row.update({"FileName_Flat": "flat.npy", "PathName_Flat": str(tmp_path)})
    step = module("MeasureStratoFeatures", images="DNA, Flat", taps="low")
    out = run(tmp_path, [row], step, expected=["StratoFeatures_Image.parquet"])
    log = (out / "cellprofiler.log").read_text()
    assert "Flat: an illumination function, not an image of cells" in log
    assert "DNA: an illumination" not in log
    path = out / "StratoFeatures_Image.parquet"
    assert f"Next: stratonet evaluate {path} --output report" in log
    # It is measured all the same, as before.
    assert any(name.endswith("_Flat") for name in parquet.read_schema(path).names)
