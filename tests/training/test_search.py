import dataclasses
import json
import os

import pandas as pd
import pytest

pytest.importorskip(
    "tensorflow",
    reason="training needs TensorFlow, which CellProfiler's own environment has not",
)
optuna = pytest.importorskip("optuna")

from training_runs import (  # noqa: E402
    SMALL,
    kill_after_epoch,
    limit_file_size,
    make_images,
    training,
    write_config,
)
from training_server import quick_starts  # noqa: E402

from stratonet.files.atomic import FolderInUse, lock_folder  # noqa: E402
from training import search as searching  # noqa: E402
from training.config import Config  # noqa: E402
from training.identity import identify_images  # noqa: E402
from training.search import search  # noqa: E402
from training.search_worker import list_environments  # noqa: E402

# The fixtures that all tests share take long.
pytestmark = pytest.mark.slow

RANGES = {
    "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "batch": {"choices": [4, 8]},
}
CONFIG = Config(**{**SMALL, "epochs": 4, "warmup_epochs": 0, "search": RANGES})


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_images(tmp_path_factory.mktemp("images") / "small")


@pytest.fixture(scope="module")
def killed(images, tmp_path_factory):
    """A search that was killed while it trained two trials, then resumed up to three.

    Its folder, its table, and the folders of trials that had finished an epoch.
    """
    root = tmp_path_factory.mktemp("searches")
    folder = root / "search"
    config = write_config(root / "small.json", **dataclasses.asdict(CONFIG))
    command = ["search", config, "--data", images, "--output", folder]
    command += ["--trials", 2, "--workers", 2]
    kill_after_epoch(training(*command, wait=False), folder)
    started = [path.parent for path in folder.glob("trial-*/state.npz")]
    trials = searching.open_study(CONFIG, folder).trials
    assert [trial.state.name for trial in trials] == ["RUNNING"] * 2
    with quick_starts():
        table = search(CONFIG, images, folder, trials=3, workers=2)
    assert table.set_index("number")["batch"][[0, 1]].tolist() == [
        trial.params["batch"] for trial in trials
    ]
    return folder, table, started


def test_killed_search_goes_on_in_its_folders(killed):
    folder, table, started = killed
    assert sorted(path.name for path in folder.glob("trial-*")) == [
        "trial-0000",
        "trial-0001",
        "trial-0002",
    ]
    assert sorted(table["number"]) == [0, 1, 2] and set(table["state"]) == {"complete"}
    assert table["learning_rate"].nunique() == 3 and set(table["epochs_done"]) == {4}
    for trial in started:
        assert "Going on after epoch" in (trial / "output.txt").read_text()


def test_search_keeps_everything(killed):
    folder, table, _ = killed
    assert list(table) == [
        "number",
        "state",
        "value",
        "learning_rate",
        "batch",
        "epochs_done",
        "seconds",
        "folder",
        "reason",
    ]
    assert table["value"].is_monotonic_decreasing and (table["seconds"] > 0).all()
    assert (
        pd.read_csv(folder / "trials.csv")["number"].tolist()
        == table["number"].tolist()
    )
    assert (folder / "search.png").stat().st_size > 5000
    for row in table.itertuples():
        run = folder / row.folder
        config = Config.read(run / "config.json")
        assert run.name == f"trial-{row.number:04}"
        assert (config.learning_rate, config.batch, config.search) == (
            row.learning_rate,
            row.batch,
            {},
        )
        assert json.loads((run / "result.json").read_text())["val_top1"] == row.value
        assert "epoch 4: loss" in (run / "output.txt").read_text()
    assert Config.read(folder / "best.json") == Config.read(
        folder / table["folder"][0] / "config.json"
    )


def test_images_are_checked_once(killed):
    folder, *_ = killed
    assert "checking" in (folder / "trial-0000" / "output.txt").read_text()
    assert "checking" not in (folder / "trial-0002" / "output.txt").read_text()


def test_full_disk_ends_the_search_and_a_poor_trial_only_itself(images, tmp_path):
    config = dataclasses.replace(
        CONFIG, search={"learning_rate": {"choices": [1e-3, 1e30]}}
    )
    (tmp_path / "search").mkdir()
    study = searching.open_study(config, tmp_path / "search")
    drawn = {
        "params": {"learning_rate": 1e-3},
        "distributions": searching.make_ranges(config),
    }
    for value in range(2, 7):
        perfect = {epoch: float(value) for epoch in (1, 2, 3, 4)}
        study.add_trial(
            optuna.trial.create_trial(value=value, intermediate_values=perfect, **drawn)
        )
    full = "trial 5: .*cannot be written: File too large"
    with limit_file_size(700_000), pytest.raises(RuntimeError, match=full):
        search(config, images, tmp_path / "search", trials=6)
    assert study.trials[5].state.name == "RUNNING"

    with quick_starts():
        table = search(config, images, tmp_path / "search", trials=7, workers=2)
    table = table.set_index("number")
    assert table["state"].tolist() == ["complete"] * 5 + ["pruned", "fail"]
    assert table["learning_rate"][5] == 1e-3 and table["epochs_done"][5] == 1
    assert "loss became" in table["reason"][6]


def test_same_seed_draws_the_same_trials_also_when_it_was_killed(tmp_path):
    def parameters(folder, killed):
        folder.mkdir()
        study = searching.open_study(CONFIG, folder)
        for number in range(14):  # the sampler learns from the eleventh on
            trial = searching.open_trial(
                study, CONFIG, searching.make_ranges(CONFIG), number
            )
            if number in killed:
                study = searching.open_study(CONFIG, folder)
                trial = searching.open_trial(
                    study, CONFIG, searching.make_ranges(CONFIG), number
                )
            study.tell(trial, trial.params["batch"] * trial.params["learning_rate"])
        return [trial.params for trial in study.trials]

    expected = parameters(tmp_path / "one", ())
    assert parameters(tmp_path / "another", (3, 12)) == expected
    assert len({drawn["learning_rate"] for drawn in expected}) == 14


def test_a_dead_process_is_reported_and_no_complete_trial_is_an_error(
    images, tmp_path, capfd
):
    tmp_path.joinpath("trial-0000").write_text("not a folder")
    with pytest.raises(
        RuntimeError, match="All workers died; 1 trials were not started"
    ):
        search(CONFIG, images, tmp_path, trials=2)
    assert "the process died with exit code 1" in capfd.readouterr().out
    with pytest.raises(RuntimeError, match="No trial was completed"):
        search(CONFIG, images, tmp_path, trials=1)


def test_other_search_in_the_folder_is_refused(images, tmp_path):
    searching.open_study(CONFIG, tmp_path)
    other = dataclasses.replace(CONFIG, epochs=7, search={"batch": {"choices": [4]}})
    with pytest.raises(
        ValueError,
        match="epochs 4, now 7; search .*, now .* Choose another output folder",
    ):
        search(other, images, tmp_path, trials=1)
    with lock_folder(tmp_path), pytest.raises(FolderInUse, match="Another run"):
        search(CONFIG, images, tmp_path, trials=1)
    (tmp_path / "study.db").write_text("something else")
    with pytest.raises(
        RuntimeError, match="study.db cannot be used: file is not a database"
    ):
        search(CONFIG, images, tmp_path, trials=1)


def test_a_search_knows_its_images_and_its_trials(images, tmp_path):
    """Other images are refused before any trial starts: results would not compare."""
    folder = tmp_path / "search"
    folder.mkdir()
    study = searching.open_study(CONFIG, folder)
    study.set_user_attr("images", identify_images(images))
    others = make_images(tmp_path / "others", train=9)
    with pytest.raises(ValueError, match="holds a search on other images"):
        search(CONFIG, others, folder, trials=1)
    with pytest.raises(ValueError, match="outside the images"):
        search(CONFIG, images, images / "search", trials=1)
    assert not list(folder.glob("trial-*")) and not (images / "search").exists()
    # A new study in place of a lost one would use the folders of other trials.
    (folder / "trial-0000").mkdir()
    (folder / "trial-0000" / "config.json").write_text("{}")
    for content in (None, b""):
        (folder / "study.db").unlink()
        if content is not None:
            (folder / "study.db").write_bytes(content)
        with pytest.raises(ValueError, match="study.db lists none of the trials"):
            search(CONFIG, images, folder, trials=1)


@pytest.mark.parametrize(
    "ranges, message",
    [
        ({}, "must name fields"),
        (
            {"speed": {"low": 1, "high": 2}},
            "there is no field speed. Fields: architecture",
        ),
        ({"batch": [4, 8]}, r"batch must be \{low = NUMBER.* Received: \[4, 8\]"),
        ({"batch": {"low": 8, "high": 4}}, "Received: {'low': 8, 'high': 4}"),
        (
            {"batch": {"low": 4, "high": 8.5}},
            "batch must be of type int. Received: 8.5",
        ),
        ({"batch": {"low": 4}}, "missing"),
        ({"batch": {"choices": []}}, "one or more"),
        ({"batch": {"choices": [4, 0]}}, "batch must be above 0. Received: 0"),
        (
            {"optimizer": {"choices": ["adam", "lion"]}},
            "optimizer must be one of adam, sgd",
        ),
        ({"learning_rate": {"low": 0, "high": 1, "log": True}}, "low > 0"),
        ({"learning_rate": {"low": 1, "high": float("inf")}}, "finite"),
    ],
)
def test_wrong_range_is_refused(ranges, message, images, tmp_path):
    with pytest.raises(ValueError, match=message):
        search(
            dataclasses.replace(CONFIG, search=ranges),
            images,
            tmp_path / "search",
            trials=1,
        )
    assert not (tmp_path / "search").exists()


def test_gpus_are_dealt_out_and_cores_shared(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    alone = [{"CUDA_VISIBLE_DEVICES": name} for name in ("GPU-a", "GPU-b")]
    assert list_environments(None) == alone and list_environments(1) == alone[:1]
    shared = list_environments(3)
    assert [each["CUDA_VISIBLE_DEVICES"] for each in shared] == [
        "GPU-a",
        "GPU-b",
        "GPU-a",
    ]
    assert {each["TF_FORCE_GPU_ALLOW_GROWTH"] for each in shared} == {"true"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(8))
    assert len(list_environments(None)) == 1
    assert [each["TF_NUM_INTRAOP_THREADS"] for each in list_environments(3)] == [
        "2"
    ] * 3
    with pytest.raises(ValueError, match="workers must be at least 1"):
        list_environments(0)
