import contextlib
import csv
import dataclasses
import json
import os
import re
import shutil
import socket
import subprocess
import time

import numpy as np
import pytest

pytest.importorskip(
    "tensorflow",
    reason="training needs TensorFlow, which CellProfiler's own environment has not",
)

from training_runs import (  # noqa: E402
    SMALL,
    kill_after_epoch,
    limit_file_size,
    make_images,
    python,
    real_training,
    training,
    write_config,
)

from stratonet.files.atomic import FolderInUse, lock_folder  # noqa: E402
from training import trainer  # noqa: E402
from training.__main__ import main  # noqa: E402
from training.board import open_board, write_row  # noqa: E402
from training.config import Config  # noqa: E402
from training.evaluate import evaluate_run  # noqa: E402
from training.export import export_run  # noqa: E402
from training.steps import choose_strategy, compute_learning_rate  # noqa: E402
from training.trainer import TrainingStopped, train  # noqa: E402

# The fixtures that all tests share take long.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_images(tmp_path_factory.mktemp("images") / "small")


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    """A run of the command, three epochs, undisturbed."""
    folder = tmp_path_factory.mktemp("runs")
    done = real_training(
        "train",
        write_config(folder / "small.json"),
        "--data",
        images,
        "--output",
        folder / "run",
    )
    assert done.returncode == 0, done.stdout
    return folder / "run", done.stdout


def log_of(run):
    with open(run / "log.csv") as file:
        return [
            {name: float(value) for name, value in row.items()}
            for row in csv.DictReader(file)
        ]


def without_speed(rows):
    return [
        {name: value for name, value in row.items() if name != "images_per_second"}
        for row in rows
    ]


def test_learning_rate_schedules():
    config = Config(
        "", learning_rate=1.0, warmup_epochs=4, epochs=12, schedule="cosine"
    )
    rates = [compute_learning_rate(config, epoch, []) for epoch in range(12)]
    np.testing.assert_allclose(rates[:5], [0.25, 0.5, 0.75, 1, 1])
    assert rates[8] == pytest.approx(0.5) and 0 < rates[11] < 0.05
    config = dataclasses.replace(
        config, schedule="step", step_epochs=5, step_factor=0.1, warmup_epochs=0
    )
    np.testing.assert_allclose(
        [compute_learning_rate(config, epoch, []) for epoch in (0, 4, 5, 9, 10)],
        [1, 1, 0.1, 0.1, 0.01],
    )
    assert (
        compute_learning_rate(dataclasses.replace(config, schedule="constant"), 11, [])
        == 1
    )


def test_plateau_reducer():
    config = Config(
        "",
        learning_rate=1.0,
        warmup_epochs=0,
        schedule="constant",
        plateau_epochs=2,
        plateau_factor=0.5,
    )
    assert compute_learning_rate(config, 3, [3.0, 2.0, 1.0]) == 1
    assert compute_learning_rate(config, 3, [1.0, 2.0, 1.0]) == 0.5
    assert compute_learning_rate(config, 5, [1.0, 2.0, 1.0, 1.5, 1.5]) == 0.25
    assert compute_learning_rate(config, 4, [1.0, 2.0, 0.9, 1.5]) == 1
    assert (
        compute_learning_rate(
            dataclasses.replace(config, plateau_epochs=0), 4, [1.0] * 9
        )
        == 1
    )


def test_run_learns_and_keeps_everything(finished):
    run, printed = finished
    rows = log_of(run)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["loss"] < rows[0]["loss"] and rows[-1]["top1"] > 0.6
    best = max(rows, key=lambda row: row["val_top1"])
    result = json.loads((run / "result.json").read_text())
    assert (
        result["best_epoch"] == best["epoch"] and result["val_top1"] == best["val_top1"]
    )
    assert (
        result["train_images"] == 30
        and result["val_images"] == 15
        and result["corrupt_images"] == {}
    )
    assert "1 x 8 images = a batch of 8; learning rate 0.002" in printed
    assert (
        "Input alone:" in printed
        and "epoch 3: loss" in printed
        and "30 images to train" in printed
    )
    assert (
        list((run / "tensorboard").glob("events*"))
        and (run / "curve.png").stat().st_size > 5000
    )
    assert Config.read(run / "config.json") == Config.from_values(SMALL)


def test_one_of_two_is_killed_in_the_middle_and_ends_with_the_same_numbers(
    finished, images, tmp_path, capsys
):
    """Of two runs started in the same folder, the later one is refused."""
    config, run = write_config(tmp_path / "small.json"), tmp_path / "run"
    command = ["train", config, "--data", images, "--output", run]
    processes = [training(*command, wait=False) for _ in range(2)]
    refused, other = wait_for_first(processes)
    printed, _ = refused.communicate()
    assert refused.returncode == 1, printed
    assert "Another run" in printed and "Traceback" not in printed
    kill_after_epoch(other, run)
    assert 1 <= len(log_of(run)) < 3
    main(list(map(str, command)))
    assert "Going on after epoch" in capsys.readouterr().out
    assert without_speed(log_of(run)) == without_speed(log_of(finished[0]))
    for name in ("best.npz", "state.npz"):
        with np.load(run / name) as received, np.load(finished[0] / name) as expected:
            assert set(received.files) == set(expected.files)
            # That entry has the speeds.
            for key in set(expected.files) - {"kept"}:
                np.testing.assert_array_equal(received[key], expected[key], err_msg=key)


def wait_for_first(processes):
    """Return two processes, the one that ends first before the other."""
    while all(process.poll() is None for process in processes):
        time.sleep(0.02)
    return sorted(processes, key=lambda process: process.poll() is None)


def test_a_finished_run_is_only_reported(finished, images, capsys):
    run, _ = finished
    before = (run / "state.npz").stat().st_mtime_ns
    config = write_config(run.parent / "small.json")
    main(["train", str(config), "--data", str(images), "--output", str(run)])
    assert "Best validation top-1" in capsys.readouterr().out
    assert (run / "state.npz").stat().st_mtime_ns == before


TWO_CPUS = """
import dataclasses
import numpy as np, keras, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, halves)
from training.config import Config
from training.steps import Steps, choose_strategy
rng = np.random.default_rng(0)
images = rng.normal(0, 60, (16, 32, 32, 3)).astype("float32")
labels = np.eye(3, dtype="float32")[rng.integers(0, 3, 16)]
taps = {"low": "conv2_block1_out"}
config = Config("", depth=18, image_size=32, batch=16, learning_rate=1e-3, taps=taps)
try:
    Steps(dataclasses.replace(config, batch=15), 3, choose_strategy("all"))
except ValueError as error:
    print(error)
for devices in ("one", "all"):
    keras.utils.set_random_seed(0)
    strategy = choose_strategy(devices)
    steps = Steps(config, 3, strategy)
    def dataset(shard, per_replica):
        return tf.data.Dataset.from_tensor_slices((images, labels)).batch(per_replica)
    losses = []
    for _ in range(3):
        for batch in steps.distribute(dataset):
            steps.train(*batch)
        losses.append(steps.collect_scores().loss)
    print("replicas and losses:", strategy.num_replicas_in_sync, *losses)
"""


@pytest.fixture(scope="module")
def two_cpus():
    """What TWO_CPUS prints: TensorFlow divides a processor only before it is used."""
    done = python(TWO_CPUS)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_two_replicas_give_the_loss_of_one(two_cpus):
    # TensorFlow prints other lines in between.
    matches = re.findall("replicas and losses: (.*)", two_cpus)
    single, double = ([float(word) for word in numbers.split()] for numbers in matches)
    assert (single[0], double[0]) == (1, 2)
    assert double[1] == pytest.approx(single[1], rel=1e-4)
    np.testing.assert_allclose(
        double[1:], single[1:], rtol=2e-2
    )  # Adam turns rounding into steps of its full rate
    assert single[3] < single[1]


MORE_DEVICES = """
import sys, pathlib
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, halves)
from training.config import Config
from training.trainer import train
config, images, run = Config.read(sys.argv[1]), sys.argv[2], sys.argv[3]
def stop(row):
    raise KeyboardInterrupt
for devices in ("one", "all"):
    try:
        train(config, images, run, devices, on_epoch=stop)
    except KeyboardInterrupt:
        print("stopped")
train(config, images, run, "one")
"""


def test_another_number_of_devices_goes_on(images, finished, tmp_path):
    config, run = write_config(tmp_path / "small.json"), tmp_path / "run"
    done = python(MORE_DEVICES, config, images, run)
    assert done.returncode == 0, done.stdout
    assert "2 x 4 images = a batch of 8" in done.stdout
    assert "Going on after epoch 1" in done.stdout
    assert "Going on after epoch 2" in done.stdout
    received, expected = log_of(run), log_of(finished[0])
    assert [row["epoch"] for row in received] == [1, 2, 3]
    first, other = without_speed(received)[0], without_speed(expected)[0]
    assert first == other
    for row, wanted in zip(received, expected):
        assert row["loss"] == pytest.approx(wanted["loss"], rel=0.1, abs=0.02)
    assert json.loads((run / "result.json").read_text())["devices"] == 1


def test_two_machines_make_one_run(images, finished, tmp_path):
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    config, run = write_config(tmp_path / "small.json", epochs=2), tmp_path / "run"
    command = ["train", config, "--data", images, "--output", run]
    workers = [
        training(
            *command,
            "--devices",
            "machines",
            environment={
                "TF_CONFIG": json.dumps(
                    {"cluster": cluster, "task": {"type": "worker", "index": index}}
                )
            },
            wait=False,
        )
        for index in range(2)
    ]
    printed = [worker.communicate(timeout=300)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], printed
    assert "2 x 4 images = a batch of 8" in printed[0] and "epoch" not in printed[1]
    received, expected = log_of(run), log_of(finished[0])
    assert len(received) == 2
    assert received[0]["loss"] == pytest.approx(expected[0]["loss"], rel=0.05)
    assert received[-1]["top1"] > 0.6


def test_machines_need_their_variable(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="TF_CONFIG"):
        choose_strategy("machines")
    with pytest.raises(ValueError, match="Received: 'two'"):
        choose_strategy("two")


def test_loss_of_nan_ends_with_the_checkpoint_before(images, tmp_path, monkeypatch):
    rates = [1e-3, 1e30, 1e30]
    monkeypatch.setattr(
        trainer, "compute_learning_rate", lambda config, epoch, losses: rates[epoch]
    )
    with pytest.raises(
        TrainingStopped,
        match=r"(?s)loss became (nan|inf) in epoch 2.*Lower learning_rate.*epoch 1\.",
    ):
        train(
            Config.from_values({**SMALL, "optimizer": "sgd"}), images, tmp_path / "run"
        )
    with np.load(tmp_path / "run" / "best.npz") as arrays:
        weights = set(arrays.files) - {"kept"}
        assert all(np.isfinite(arrays[name]).all() for name in weights)
    assert len(log_of(tmp_path / "run")) == 1


@pytest.fixture
def quick_epochs(finished, monkeypatch):
    """Epochs that take no step, but store files of the same size."""
    rows = log_of(finished[0])
    monkeypatch.setattr(trainer, "_run_epoch", lambda run, epoch, bar: rows[epoch])


@pytest.mark.usefixtures("quick_epochs")
def test_full_disk_keeps_the_checkpoint_before(images, tmp_path):
    config, run = write_config(tmp_path / "small.json", epochs=1), tmp_path / "run"
    with limit_file_size(200_000), pytest.raises(SystemExit) as stopped:
        main(["train", str(config), "--data", str(images), "--output", str(run)])
    message = str(stopped.value)
    assert "best.npz cannot be written: File too large" in message
    assert "No epoch was finished." in message
    assert not list(run.glob(".*")) and not (run / "best.npz").exists()


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of so many kilobytes, which really fills up."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(kilobytes):
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", disk]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root may mount a disk")
        return disk

    yield mount
    subprocess.run(["umount", "-l", disk], capture_output=True)


@pytest.mark.usefixtures("quick_epochs")
@pytest.mark.parametrize(
    ("kilobytes", "named"), [(8, "config.json"), (60, "best.npz"), (1000, "state.npz")]
)
def test_a_disk_that_is_really_full(images, tmp_path, small_disk, kilobytes, named):
    """Nothing is left half written, and the message names the file."""
    config, run = write_config(tmp_path / "small.json", epochs=1), small_disk(kilobytes)
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(config), "--data", str(images), "--output", str(run)])
    message = f"{run / named} cannot be written: No space left on device"
    assert message in str(stopped.value)
    assert not list(run.glob(".*")) and not (run / "state.npz").exists()


def test_files_of_tensorboard_on_a_full_disk(small_disk):
    disk = small_disk(64)
    board = open_board(disk)
    with contextlib.suppress(OSError), (disk / "fill").open("wb", 0) as file:
        while True:
            file.write(bytes(4096))
    row = {"epoch": 1, "loss": 0.5}
    message = "tensorboard cannot be written: .*No space left on device"
    with pytest.raises(OSError, match=message):
        for _ in range(1000):
            write_row(board, disk, row)


def test_an_export_on_a_full_disk(finished, small_disk):
    output = small_disk(200) / "mine.onnx"
    with pytest.raises(OSError, match="mine.onnx cannot be written: No space left"):
        export_run(finished[0], output)
    assert not list(output.parent.iterdir())


@pytest.fixture(scope="module")
def epochs(images, tmp_path_factory):
    """The folder of a run as it was after each of three epochs."""
    folder = tmp_path_factory.mktemp("epochs")
    run = folder / "run"

    def copy(row):
        shutil.copytree(run, folder / str(row["epoch"]))

    train(Config.from_values(HARD), images, run, on_epoch=copy)
    return folder


# Slow enough that a later epoch is better than the first.
HARD = {**SMALL, "learning_rate": 3e-4, "seed": 2}


def test_killed_while_a_checkpoint_was_written(epochs, images, tmp_path):
    """The best checkpoint is of a later epoch than everything else in the folder."""
    history = [row["val_top1"] for row in log_of(epochs / "3")]
    later = 1 + int(np.argmax(history))
    assert later > 1, history
    run = tmp_path / "run"
    shutil.copytree(epochs / str(later - 1), run)
    shutil.copy(epochs / str(later) / "best.npz", run)
    assert json.loads((run / "result.json").read_text())["epochs_done"] == later - 1
    # Files for people are not needed, and are rewritten.
    for name in ("result.json", "log.csv", "images.json"):
        empty(run / name)
    card = export_run(run, tmp_path / "mine.onnx")
    assert card.metrics["val_top1"] == round(history[later - 1], 4)
    assert f"epoch {later} of 3" in card.trained_on
    assert evaluate_run(run, images).top1 == pytest.approx(history[later - 1])
    # It repeats the epoch, on a copy of the images, and ends as if nothing happened.
    copy = shutil.copytree(images, tmp_path / "copy")
    train(Config.from_values(HARD), copy, run)
    assert without_speed(log_of(run)) == without_speed(log_of(epochs / "3"))
    assert json.loads((run / "result.json").read_text())["epochs_done"] == 3


def test_a_run_knows_its_images(epochs, images, tmp_path):
    shutil.copytree(epochs / "2", tmp_path / "run")
    others = make_images(tmp_path / "others", train=9, val=5)
    message = "other images, 30 to train and 15 to validate.* or choose another output"
    with pytest.raises(ValueError, match=message):
        train(Config.from_values(HARD), others, tmp_path / "run")
    # A single image in another class makes another data set, too.
    copy = shutil.copytree(images, tmp_path / "copy")
    moved = sorted(copy.glob("train/*/*"))[0]
    moved.rename(copy / "train" / "n00000001" / "more.JPEG")
    with pytest.raises(ValueError, match="a run on other images"):
        train(Config.from_values(HARD), copy, tmp_path / "run")


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    os.truncate(path, 0)


def change_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("state.npz", truncate),
        ("state.npz", empty),
        ("state.npz", change_a_byte),
        ("best.npz", truncate),
        ("best.npz", empty),
        ("best.npz", change_a_byte),
        ("config.json", truncate),
        ("config.json", empty),
    ],
)
def test_damaged_files_are_named(epochs, images, tmp_path, name, spoil):
    run = shutil.copytree(epochs / "3", tmp_path / "run")
    spoil(run / name)
    message = f"{run / name} is damaged, or was not completely .* Copy the run"
    calls = {
        "state.npz": [lambda: train(Config.from_values(HARD), images, run)],
        "best.npz": [
            lambda: evaluate_run(run, images),
            lambda: export_run(run, tmp_path / "mine.onnx"),
        ],
        "config.json": [lambda: evaluate_run(run, images)],
    }
    for call in calls[name]:
        with pytest.raises(ValueError, match=message):
            call()


def test_checkpoints_of_an_earlier_version_are_refused(epochs, images, tmp_path):
    run = shutil.copytree(epochs / "3", tmp_path / "run")
    for name in ("state.npz", "best.npz"):
        with np.load(run / name) as arrays:
            remaining = {key: arrays[key] for key in arrays.files if key != "kept"}
        np.savez(run / name, **remaining)
    with pytest.raises(
        ValueError, match="state.npz is not a checkpoint.*earlier version"
    ):
        train(Config.from_values(HARD), images, run)
    with pytest.raises(
        ValueError, match="best.npz is not a checkpoint.*earlier version"
    ):
        evaluate_run(run, images)


def test_a_run_within_its_images(images, capsys):
    config = write_config(images.parent / "small.json")
    for output in (images, images / "run"):
        with pytest.raises(SystemExit) as stopped:
            command = ["train", config, "--data", images, "--output", output]
            main(list(map(str, command)))
        assert stopped.value.code == 2
        assert "outside the images" in capsys.readouterr().err
    assert not (images / "run").exists() and not (images / "config.json").exists()


def test_one_process_per_folder(images, tmp_path):
    message = rf"Another run \(process {os.getpid()}\) is using {tmp_path}"
    with lock_folder(tmp_path), pytest.raises(FolderInUse, match=message):
        train(Config.from_values(SMALL), images, tmp_path)


def test_another_configuration_is_refused(finished, images):
    run, _ = finished
    with pytest.raises(
        ValueError, match="batch 8, now 4.*Choose another output folder"
    ):
        train(Config.from_values({**SMALL, "batch": 4}), images, run)


def test_batch_that_cannot_be_dealt_out(two_cpus):
    assert "batch must be a multiple of the 2 devices. Received: 15" in two_cpus


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(images, tmp_path, precision):
    config = Config.from_values(
        {
            **SMALL,
            "precision": precision,
            "epochs": 1,
            "weight_decay": 1e-3,
            "label_smoothing": 0.1,
        }
    )
    result = train(config, images, tmp_path / "run")
    assert np.isfinite(result["val_loss"])
    with np.load(tmp_path / "run" / "best.npz") as arrays:
        assert {
            arrays[name].dtype for name in arrays.files if name.endswith("kernel")
        } == {np.dtype("float32")}


def test_help_for_newcomers():
    done = real_training("--help")
    assert done.returncode == 0
    for word in (
        "records",
        "train",
        "search",
        "evaluate",
        "export",
        "taps",
        "stratonet50",
    ):
        assert word in done.stdout


def test_errors_are_one_line(tmp_path):
    (tmp_path / "bad.toml").write_text('recipe = "x"\nbatches = 3\n')
    done = training(
        "train", tmp_path / "bad.toml", "--data", tmp_path, "--output", tmp_path / "run"
    )
    assert done.returncode == 1 and "Traceback" not in done.stdout
    assert "there is no field batches" in done.stdout
