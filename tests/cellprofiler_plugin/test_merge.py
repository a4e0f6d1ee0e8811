"""Files of the parts of a run, made into those of one process."""

import csv
import json
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from urllib.parse import quote

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed")

import numpy as np
import pyarrow as pa
from killed_work import kill_at_file, kill_at_size
from pyarrow import parquet

from cellprofiler_plugin.merge import merge_parts
from cellprofiler_plugin.merge_csv import has_image_numbers


def make_parts(output, name, *contents):
    """Write a file into the folder of each part; None where a part lacks it."""
    folders = []
    for number, content in enumerate(contents, start=1):
        folder = output / "_parts-0123456789ab" / f"{number:05d}-{number:05d}"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_bytes(
                content if isinstance(content, bytes) else content.encode()
            )
        folders.append(folder)
    return folders


@pytest.mark.parametrize(
    "name",
    [
        *("ImageNumber", "image_number", "Image Number", "IMAGE_NUMBER", "imageNumber"),
        *("Image #", "Image No.", "Image_Nr", "img_id", "imageset", "Image Set Number"),
        *("Metadata_ImageNumber", "First Image Number", "image_number1", "image-index"),
    ],
)
def test_image_numbers_have_many_names(name):
    assert has_image_numbers(["label", name])


@pytest.mark.parametrize("name", ["Image", "Count_Images", "ImageQuality_PowerSlope"])
def test_other_columns_are_no_image_numbers(name):
    assert not has_image_numbers([name])


@pytest.mark.parametrize(
    ("contents", "merged"),
    [
        (
            ["image_number,v1\n1,a\n", "image_number,v1\n2,b\n"],
            "image_number,v1\n1,a\n2,b\n",
        ),
        (
            ["x;Image No.\r\n9;1\r\n", "x;Image No.\r\n", "x;Image No.\r\n7;3\r\n"],
            "x;Image No.\r\n9;1\r\n7;3\r\n",
        ),
        (
            ["# of a plug-in\nimg_id\tA\n1\t2\n", "# of a plug-in\nimg_id\tA\n2\t3\n"],
            "# of a plug-in\nimg_id\tA\n1\t2\n2\t3\n",
        ),
        # One part has written nothing, or not begun the file.
        (
            ["", "Image_Number\n2\n", None, "Image_Number\n4\n"],
            "Image_Number\n2\n4\n",
        ),
        # A module of which one part has nothing: its columns are empty there.
        (
            ["ImageNumber,A,C\n1,2,3\n", 'ImageNumber,A,B,C\n2,5,"6,0",7\n'],
            'ImageNumber,A,B,C\n1,2,,3\n2,5,"6,0",7\n',
        ),
        (
            ["ImageNumber,A,B\n1,2,3\n", "ImageNumber,A,C\n2,5,6\n"],
            "ImageNumber,A,B,C\n1,2,3,\n2,5,,6\n",
        ),
        (
            [
                "Image,Image,Cells\nImageNumber,ObjectNumber,A\n1,1,5\n",
                "Image,Image,Cells,Cells\nImageNumber,ObjectNumber,A,B\n2,1,6,7\n",
            ],
            "Image,Image,Cells,Cells\nImageNumber,ObjectNumber,A,B\n1,1,5,\n2,1,6,7\n",
        ),
    ],
)
def test_tables_of_any_module_are_put_together(contents, merged, tmp_path):
    merge_parts(make_parts(tmp_path, "some.txt", *contents), tmp_path)
    assert (tmp_path / "some.txt").read_bytes().decode() == merged


def test_a_file_that_cannot_be_put_together_is_kept_and_named(tmp_path):
    make_parts(tmp_path, "a.png", "first", "second")
    make_parts(tmp_path, "same.txt", "same", "same")
    make_parts(tmp_path, "Image.csv", "ImageNumber\n1\n", "ImageNumber\n2\n")
    parts = make_parts(tmp_path, "deep/notes.txt", "A01: 3 cells", "A02: 5 cells")
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"notes\.txt is written by 2 parts"):
            merge_parts(parts, tmp_path)
        assert (tmp_path / "Image.csv").read_text() == "ImageNumber\n1\n2\n"
        assert [len(list(part.rglob("*.*"))) for part in parts] == [4, 4]
    for part in parts:
        (part / "deep" / "notes.txt").unlink()
    merge_parts(parts, tmp_path)
    assert (tmp_path / "a.png").read_text() == "second"
    assert (tmp_path / "same.txt").read_text() == "same"


@pytest.mark.parametrize("name", ["plain", "a b", "Größe µm", "50% #1 [x]", "it's+(1)"])
def test_paths_of_parts_become_paths_of_the_output_however_they_are_written(
    name, tmp_path
):
    output = tmp_path / name
    output.mkdir()

    def spell(folder):
        path = f"{folder}/x.tiff"
        lower = "".join(
            letter
            if letter.isalnum() and letter.isascii() or letter in "/._-"
            else "".join(f"%{byte:02x}" for byte in letter.encode())
            for letter in path
        )
        return [path, f"file:{quote(path)}", f"file://{lower}", json.dumps(path)]

    parts = make_parts(output, "a.properties", "", "")
    part = parts[1]
    (part / "a.properties").write_text("\n".join(spell(part)), encoding="utf-8")
    table = pa.table({"ImageNumber": [1], "Metadata_URL": [spell(part)[1]]})
    for number, folder in enumerate(parts, start=1):
        parquet.write_table(table, folder / "a.parquet")
        with closing(sqlite3.connect(folder / "a.db")) as database:
            database.execute("CREATE TABLE Per_Image (Image_No int, url varchar)")
            row = (number, spell(folder)[1])
            database.execute("INSERT INTO Per_Image VALUES (?, ?)", row)
            database.commit()
    # Only what lies in a part is moved.
    lines = [f"1\t{url}\n" for url in spell(part)[:3]] + [f"2\t{part}0/y\n"]
    (part / "a.csv").write_text("image_number\tURL\n" + "".join(lines), "utf-8")
    merge_parts(parts, output)
    moved = spell(output)
    assert (output / "a.properties").read_text("utf-8").split("\n") == moved
    found = (output / "a.csv").read_text("utf-8").splitlines()[1:]
    assert found == [f"1\t{url}" for url in moved[:3]] + [f"2\t{part}0/y"]
    urls = parquet.read_table(output / "a.parquet")["Metadata_URL"].to_pylist()
    assert urls == [moved[1]] * 2
    with closing(sqlite3.connect(output / "a.db")) as database:
        rows = database.execute("SELECT * FROM Per_Image").fetchall()
    assert rows == [(1, moved[1]), (2, moved[1])]


def make_database(path, run, *numbers):
    with closing(sqlite3.connect(path)) as database:
        for statement in (
            "CREATE TABLE Experiment (experiment_id integer primary key autoincrement,"
            " name text)",
            "CREATE TABLE Experiment_Properties (experiment_id integer, value text)",
            f"INSERT INTO Experiment(name) VALUES ('{run}')",
            f"INSERT INTO Experiment_Properties VALUES (1, '{run}')",
            f"CREATE TABLE {run}_Per_Image (ImageNumber integer)",
            f"CREATE INDEX {run}_numbers ON {run}_Per_Image (ImageNumber)",
            f"CREATE VIEW {run}_All AS SELECT * FROM {run}_Per_Image",
        ):
            database.execute(statement)
        for number in numbers:
            database.execute(f"INSERT INTO {run}_Per_Image VALUES ({number})")
        database.commit()


def test_a_database_keeps_the_tables_of_other_runs(tmp_path):
    make_database(tmp_path / "all.db", "other", 5)
    parts = make_parts(tmp_path, "x.png", "", "")
    for number, part in enumerate(parts, start=1):
        make_database(part / "all.db", "mine", number)
    merge_parts(parts, tmp_path)
    with closing(sqlite3.connect(tmp_path / "all.db")) as database:

        def rows(table):
            return database.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()

        assert rows("mine_All") == [(1,), (2,)] and rows("other_All") == [(5,)]
        assert rows("Experiment") == [(1, "other"), (2, "mine")]
        assert rows("Experiment_Properties") == [(1, "other"), (2, "mine")]
    # The same run once more takes the place of its own tables.
    shutil.rmtree(parts[0].parent)
    make_parts(tmp_path, "x.png", "", "")
    for number, part in enumerate(parts, start=1):
        make_database(part / "all.db", "mine", number + 10)
    merge_parts(parts, tmp_path)
    with closing(sqlite3.connect(tmp_path / "all.db")) as database:
        assert rows("mine_All") == [(11,), (12,)]
        assert [number for number, _ in rows("Experiment")] == [1, 2, 3]


def make_all_kinds(output):
    """Parts with a file of each kind, and what other runs have left in the output."""
    make_parts(output, "a.png", "first", "second")
    make_parts(output, "deep/Image.csv", "ImageNumber\n1\n", "ImageNumber\n2\n")
    experiment = "Key,Value\nRun,a\nMeanT,nan\n"
    parts = make_parts(output, "Experiment.csv", experiment, experiment)
    wide = {f"StratoFeatures_Low{n:04d}_DNA": np.ones(1, np.float32) for n in range(64)}
    for number, part in enumerate(parts, start=1):
        make_database(part / "all.db", "mine", number)
        table = pa.table({"ImageNumber": [number], **wide})
        named = table.replace_schema_metadata({"stratonet screen": "s"})
        parquet.write_table(named, part / "a.parquet")
    make_database(output / "all.db", "other", 5)
    other = named.set_column(0, "ImageNumber", pa.array([7]))
    parquet.write_table(other, output / "a.parquet")
    (output / "a.png").write_text("of an earlier run")
    return partial(merge_parts, parts, output, {"MeanT": 0.25})


def read_all_kinds(output):
    with closing(sqlite3.connect(output / "all.db")) as database:
        dump = list(database.iterdump())
    with open(output / "Experiment.csv", newline="") as file:
        experiment = list(csv.reader(file))
    return {
        "files": sorted(
            str(path.relative_to(output))
            for path in output.rglob("*")
            if path.is_file() and "_parts-" not in str(path)
        ),
        "image": (output / "a.png").read_text(),
        "csv": (output / "deep" / "Image.csv").read_text(),
        "experiment": experiment,
        "parquet": parquet.read_table(output / "a.parquet"),
        "database": dump,
    }


def test_merging_may_be_killed_at_any_moment(tmp_path):
    whole = tmp_path / "whole"
    whole.mkdir()
    make_all_kinds(whole)()
    expected = read_all_kinds(whole)
    assert expected["experiment"][2] == ["MeanT", "0.25"]
    assert expected["parquet"]["ImageNumber"].to_pylist() == [1, 2, 7]
    killed = tmp_path / "killed"
    killed.mkdir()
    merge = make_all_kinds(killed)
    # In the middle of a table; then before each file in turn, over what is left there.
    assert all(kill_at_size(merge, size) for size in (1, 1000, 5000))
    moments = 0
    while kill_at_file(merge, killed, moments):
        moments += 1
        if moments % 5 == 0:
            merge()
            assert read_all_kinds(killed) == expected
    assert moments > 20
    assert read_all_kinds(killed) == expected
