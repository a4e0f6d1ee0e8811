import shutil
import threading

import numpy as np
import pytest

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

import stratonet_cli  # noqa: E402
from cellprofiler_plugin import parquet as plugin_parquet  # noqa: E402
from cellprofiler_plugin.merge import merge_parts  # noqa: E402
from cellprofiler_plugin.placing import remove_image_sets  # noqa: E402
from stratonet.tables.trained import read_trained_wells  # noqa: E402

pytestmark = pytest.mark.stock_cellprofiler

FEATURES = "Metadata_StratoFeatures"
F = "StratoFeatures_Low0000_DNA"
SCREEN = {"names": [F], "screen": "0123"}
IDS = {"Metadata_StratoFeatures": "net-1", "Metadata_StratoProjection": "pca2-1"}


def gather(folder, table, path, attempted=(), **about):
    about = {"names": ["f0", "f1", "f2"], "ids": IDS, **about}
    plugin_parquet.TableDescription(**about).save(folder / table)
    return plugin_parquet.gather_image_sets(folder, table, path, attempted)


@pytest.fixture
def parts(tmp_path, rng):
    """Objects of four image sets, the third without any, written out of order."""
    counts = {1: 2, 2: 5, 3: 0, 10: 1}
    features = {
        number: rng.random((count, 3), np.float32) for number, count in counts.items()
    }
    for number in (10, 2, 1, 3):
        keys = {"ImageNumber": number, "ObjectNumber": np.arange(1, counts[number] + 1)}
        keys.update(
            {
                "Metadata_Well": f"A{number:02d}",
                "Metadata_Dose": 0.5 if number < 10 else "none",
            }
        )
        plugin_parquet.write_image_set(
            tmp_path / "run", "Cells", number, keys, features[number]
        )
    return tmp_path, np.concatenate([features[number] for number in counts])


@pytest.mark.parametrize("numbers", [1, 9, 2**24])
def test_parts_are_gathered_in_order_however_many_at_a_time(
    numbers, parts, monkeypatch
):
    folder, features = parts
    monkeypatch.setattr(plugin_parquet, "NUMBERS", numbers)
    path = folder / "cells.parquet"
    assert gather(folder / "run", "Cells", path) == 8
    table = parquet.read_table(path).to_pydict()
    assert table["ImageNumber"] == [1] * 2 + [2] * 5 + [10]
    assert table["ObjectNumber"] == [1, 2, 1, 2, 3, 4, 5, 1]
    assert table["Metadata_Well"] == ["A01"] * 2 + ["A02"] * 5 + ["A10"]
    assert table["Metadata_Dose"] == ["0.5"] * 7 + ["none"], (
        "numbers and words in one column become words"
    )
    assert {name: set(table[name]) for name in IDS} == {
        name: {value} for name, value in IDS.items()
    }
    np.testing.assert_array_equal(
        np.array([table[name] for name in ("f0", "f1", "f2")], np.float32).T, features
    )
    assert sorted(item.name for item in folder.iterdir()) == ["cells.parquet", "run"]
    assert not list((folder / "run").iterdir())


def test_wells_of_fine_tuning_are_in_the_file_and_in_what_is_merged(parts):
    folder, _ = parts
    path = folder / "0" / "cells.parquet"
    path.parent.mkdir()
    gather(folder / "run", "Cells", path, trained_wells={"P1": ["A01"]})
    (folder / "1").mkdir()
    shutil.copy(path, folder / "1")
    merge_parts([folder / "0", folder / "1"], folder)
    for written in (path, folder / "cells.parquet"):
        metadata = parquet.read_metadata(written).metadata
        assert read_trained_wells([metadata]) == {"P1": {"A01"}}


def test_keys_that_only_some_image_sets_have(tmp_path):
    for number, keys in ((1, {}), (2, {"Metadata_QC": 1}), (3, {})):
        plugin_parquet.write_image_set(
            tmp_path,
            "Image",
            number,
            {"ImageNumber": number, **keys},
            np.ones((1, 1), np.float32),
        )
    gather(tmp_path, "Image", tmp_path / "a.parquet", names=["f0"])
    assert parquet.read_table(tmp_path / "a.parquet")["Metadata_QC"].to_pylist() == [
        None,
        1,
        None,
    ]


def test_what_cannot_be_written_names_the_file_and_keeps_the_parts(parts):
    folder, _ = parts
    path = folder / "nowhere" / "cells.parquet"
    with pytest.raises(OSError, match=f"{path} cannot be written"):
        gather(folder / "run", "Cells", path)
    assert len(list((folder / "run" / "Cells").glob("*.npz"))) == 4


def test_nothing_measured_writes_nothing(tmp_path):
    path = tmp_path / "cells.parquet"
    assert plugin_parquet.gather_image_sets(tmp_path / "run", "Cells", path) == 0
    assert not list(tmp_path.iterdir())


def keep(folder, *numbers, name="Image", value=0.0):
    for number in numbers:
        keys = {"ImageNumber": number, "Metadata_Well": f"A{number:02d}"}
        features = np.full((1, 1), value, np.float32)
        plugin_parquet.write_image_set(folder, name, number, keys, features)


def rows(path):
    table = parquet.read_table(path)
    return dict(zip(table["ImageNumber"].to_pylist(), table[F].to_pylist()))


def test_jobs_of_a_screen_add_to_one_file_and_a_second_run_replaces(tmp_path):
    path = tmp_path / "a.parquet"
    # In any order, as schedulers run them.
    for numbers in ((3, 4), (1, 2), (7,)):
        keep(tmp_path / "run", *numbers)
        assert gather(tmp_path / "run", "Image", path, **SCREEN) == len(numbers)
    assert rows(path) == dict.fromkeys((1, 2, 3, 4, 7), 0)
    # Image set 4 cannot be measured any more, and 7 is that of another job.
    keep(tmp_path / "run", 3, value=1)
    gather(tmp_path / "run", "Image", path, attempted=(3, 4), **SCREEN)
    assert rows(path) == {1: 0, 2: 0, 3: 1, 7: 0}
    assert parquet.read_metadata(path).metadata[b"stratonet screen"] == b"0123"
    # Other features cannot stand in the same columns: the file is of the new ones.
    keep(tmp_path / "run", 1, value=2)
    gather(tmp_path / "run", "Image", path, **{**SCREEN, "ids": {**IDS, FEATURES: "2"}})
    assert rows(path) == {1: 2}
    assert [item.name for item in tmp_path.iterdir() if item.is_file()] == ["a.parquet"]


def test_a_file_of_other_image_sets_is_not_replaced(tmp_path):
    path = tmp_path / "a.parquet"
    for wrong in (b"no Parquet file", None):
        if wrong is None:
            keep(tmp_path / "other", 1)
            path.unlink()
            gather(tmp_path / "other", "Image", path, names=[F], screen="9876")
        else:
            path.write_bytes(wrong)
        before = path.read_bytes()
        keep(tmp_path / "run", 1)
        with pytest.raises(ValueError, match=f"{path} exists already, with the"):
            gather(tmp_path / "run", "Image", path, **SCREEN)
        assert path.read_bytes() == before
        assert (tmp_path / "run" / "Image" / "00000001.npz").exists()


def test_what_a_run_could_not_measure_is_removed_from_the_earlier_file(tmp_path):
    path = tmp_path / "a.parquet"
    assert remove_image_sets(path, [1], "0123") == 0
    keep(tmp_path / "run", 1, 2)
    gather(tmp_path / "run", "Image", path, **SCREEN)
    assert remove_image_sets(path, [1], "9876") == 0
    assert remove_image_sets(path, [1], "0123") == 1
    assert rows(path) == {2: 0}
    assert remove_image_sets(path, [1, 2], "0123") == 1
    assert not path.exists()


def test_jobs_that_end_at_once_lose_nothing(tmp_path):
    path = tmp_path / "a.parquet"
    jobs = []
    for number in range(1, 9):
        folder = tmp_path / f"job{number}.unfinished"
        keep(folder, number)
        jobs.append(
            threading.Thread(target=gather, args=(folder, "Image", path), kwargs=SCREEN)
        )
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert sorted(rows(path)) == list(range(1, 9))


def test_the_command_makes_files_of_runs_that_have_ended_early(tmp_path, capsys):
    for run, numbers in (("a-2.unfinished", (1, 2)), ("b.unfinished", (1, 2, 5))):
        keep(tmp_path / run, *numbers, name="S[1]_Image")
        about = plugin_parquet.TableDescription(**SCREEN)
        about.save(tmp_path / run / "S[1]_Image")
    # Killed before the first image set, and while two files were put together.
    about.save(tmp_path / "c.unfinished" / "S[1]_Cells")
    keep(tmp_path / "d", 9, name="S[1]_Image")
    taken = tmp_path / "a-2.unfinished" / "S[1]_Image" / "earlier-12ab.parquet"
    gather(tmp_path / "d", "S[1]_Image", taken, ids={}, **SCREEN)
    (tmp_path / "d").rmdir()
    assert stratonet_cli.main(["gather", str(tmp_path)]) == 0
    assert rows(tmp_path / "S[1]_Image.parquet") == dict.fromkeys((1, 2, 5, 9), 0)
    assert "4 rows" in capsys.readouterr().out
    assert [item.name for item in tmp_path.iterdir()] == ["S[1]_Image.parquet"]
    assert stratonet_cli.main(["gather", str(tmp_path)]) == 1
    assert "no folder in it ends in .unfinished" in capsys.readouterr().err
