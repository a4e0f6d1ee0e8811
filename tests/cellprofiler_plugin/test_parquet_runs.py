"""Parquet files of real runs: jobs, damaged images, earlier runs, early ends."""

import csv
import re
import shutil

import numpy as np
import pytest

pytest.importorskip("cellprofiler", reason="CellProfiler is not installed")
pytest.importorskip("pyarrow", reason="pyarrow is not installed")

from cellprofiler_runs import load_modules, module, rows_of, words_of_recipe, write
from cellprofiler_server import quick_starts
from pyarrow import parquet

import stratonet_cli
from cellprofiler_plugin import headless

pytestmark = [pytest.mark.stock_cellprofiler, pytest.mark.slow]

LOW = "StratoFeatures_Low0000_DNA"


def measure(**settings):
    step = module("MeasureStratoFeatures", images="DNA", taps="low")
    return words_of_recipe(step, "whole224/mean", output="A Parquet file", **settings)


def sheets(**settings):
    return module("ExportToSpreadsheet", wants_prefix=False, **settings)


def needing():
    """A module of CellProfiler's that ends a run at an image that cannot be read."""
    return module("FlipAndRotate", image_name="DNA", output_name="Flipped")


def run(folder, output, *arguments):
    data = f"--data-file={folder / 'load_data.csv'}"
    with quick_starts():
        headless.run_pipeline(folder / "run.cppipe", output, [], data, *arguments)
    return (output / headless.LOG).read_text()


def numbers(path):
    return parquet.read_table(path, columns=["ImageNumber"])["ImageNumber"].to_pylist()


@pytest.fixture
def screen(tmp_path):
    """Two image sets of each of two plates; NaN in the second, inf in the third."""
    load_modules()
    pixels = np.random.default_rng(0).random((4, 64, 80), np.float32)
    pixels[1, 0, 0] = np.nan
    pixels[2] = np.inf
    labels = np.zeros((64, 80), np.uint16)
    labels[20:40, 20:40], labels[50:60, 60:70] = 1, 2
    rows = []
    for number, plane in enumerate(pixels):
        row = rows_of(tmp_path, **{f"s{number}_DNA": plane}, objects_Cells=labels)
        rows.append({**row, "Metadata_Plate": f"P{number // 2}"})
    return tmp_path, rows


def test_jobs_of_two_plates_with_damaged_images(screen, tmp_path):
    folder, rows = screen
    step = measure(prefix=r"\g<Plate>_S[1]", region_choice="Both", objects="Cells")
    sizes = module("MeasureObjectSizeShape")
    sizes.objects_list.value = "Cells"
    write(folder, rows, step, sizes)
    output = tmp_path / "out"
    logs = [
        run(folder, output, "--first-image-set=3"),
        run(folder, output, "--first-image-set=1", "--last-image-set=2"),
        # A job that is run once more.
        run(folder, output, "--first-image-set=2", "--last-image-set=3"),
    ]
    for plate, own in (("P0", [1, 2]), ("P1", [3, 4])):
        for name, count in (("Image", 1), ("Cells", 2)):
            table = parquet.read_table(output / f"{plate}_S[1]_{name}.parquet")
            expected = [number for number in own for _ in range(count)]
            assert table["ImageNumber"].to_pylist() == expected
            nan = np.isnan(table[LOW].to_numpy())
            damaged = [number in (2, 3) for number in expected]
            assert nan.tolist() == damaged
    assert re.search(r"s1_DNA.*1 of 5120 pixels NaN or infinite", logs[1])
    assert re.search(r"s2_DNA.*5120 of 5120 pixels NaN or infinite", logs[2])
    assert len(list(output.glob("*.parquet"))) == 4
    assert not list(output.glob("*.unfinished"))


def test_files_of_earlier_runs(screen, tmp_path):
    folder, rows = screen
    output = tmp_path / "out"
    path = output / "StratoFeatures_Image.parquet"
    overwriting = sheets(wants_overwrite_without_warning=True)
    write(folder, rows, needing(), measure(), overwriting)
    run(folder, output)
    assert numbers(path) == [1, 2, 3, 4]
    # Image set 4 cannot be read any more: what is left of it is no result of this run.
    whole = (folder / "s3_DNA.tif").read_bytes()
    (folder / "s3_DNA.tif").write_bytes(b"broken")
    run(folder, output, "--first-image-set=3", "--always-continue")
    assert numbers(path) == [1, 2, 3]
    log = run(folder, output, "--first-image-set=4", "--always-continue")
    assert "rows of an earlier run removed there: 0" in log
    (folder / "s3_DNA.tif").write_bytes(whole)
    # Other image sets in the same place are refused before the first of them.
    before = path.read_bytes()
    write(folder, rows[:2], measure())
    with pytest.raises(RuntimeError, match="exists already, with the image sets of"):
        run(folder, output)
    assert path.read_bytes() == before
    assert "Image # 1" not in (output / headless.LOG).read_text()
    path.unlink()
    path.mkdir()
    with pytest.raises(
        RuntimeError, match=f"{path} cannot be written: there is a fold"
    ):
        run(folder, output)
    write(folder, rows, measure(prefix=r"\g<Well>_S"))
    with pytest.raises(RuntimeError, match=r"Prefix.* asks for metadata .*\\g<Well>_S"):
        run(folder, output)


def test_what_an_error_at_the_end_or_in_the_middle_leaves(screen, tmp_path, capsys):
    folder, rows = screen
    output = tmp_path / "out"
    path = output / "StratoFeatures_Image.parquet"
    # A module between makes the folder in which the file cannot be written.
    blocking = module(
        "SaveImages",
        image_name="DNA",
        file_name_method="Single name",
        single_file_name="x",
        file_format="npy",
        overwrite=True,
    )
    blocking.pathname.value = f"Default Output Folder sub-folder|{path.name}"
    write(folder, rows, measure(), blocking, sheets())
    log = run(folder, output)
    assert re.search(r"StratoFeatures_Image\.parquet cannot be written", log)
    assert f"stratonet gather {output}" in log
    with open(output / "Image.csv", newline="") as file:
        assert [row["ImageNumber"] for row in csv.DictReader(file)] == list("1234")
    shutil.rmtree(path)
    assert stratonet_cli.main(["gather", str(output)]) == 0
    assert numbers(path) == [1, 2, 3, 4] and "4 rows" in capsys.readouterr().out
    # A run that ends early.
    path.unlink()
    (folder / "s2_DNA.tif").write_bytes(b"broken")
    write(folder, rows, needing(), measure())
    with pytest.raises(RuntimeError, match="s2_DNA"):
        run(folder, output)
    assert stratonet_cli.main(["gather", str(output)]) == 0
    assert numbers(path) == [1, 2]
