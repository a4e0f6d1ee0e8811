import csv
import json
import shutil

import numpy as np
import pandas as pd
import pytest

pytest.importorskip(
    "tensorflow",
    reason="training needs TensorFlow, which CellProfiler's own environment has not",
)

from finetune_images import write_assay  # noqa: E402
from small_network import CARD, build_small_network, shake_norms  # noqa: E402
from training_runs import kill_after_epoch, training  # noqa: E402

from stratonet import StratoNet  # noqa: E402
from stratonet.checks import check_network  # noqa: E402
from stratonet.extraction.sources.imagesets import ImageSource  # noqa: E402
from stratonet.weights_file import read_card  # noqa: E402
from training.__main__ import main  # noqa: E402
from training.export import export_model  # noqa: E402
from training.finetune import (  # noqa: E402
    REPORT,
    Tuning,
    _describe_classes,
    _describe_request,
    _store_request,
    finetune,
)
from training.finetune_card import (  # noqa: E402
    Outcome,
    describe_tuned,
    describe_untuned,
)
from training.finetune_loop import History, Schedule, Task, tune  # noqa: E402
from training.finetune_network import Tuner, load_start  # noqa: E402
from training.finetune_planes import prepare_planes  # noqa: E402
from training.finetune_report import Comparison, compare  # noqa: E402
from training.finetune_split import assign_roles, choose_groups  # noqa: E402
from training.finetune_table import read_assay  # noqa: E402

pytestmark = pytest.mark.slow

SIDE = 24
QUICK = Schedule(steps=4, every=2, batch=8)
# Stripe widths of classes that cannot, and that can, be told apart.
SAME, DIFFERENT = {"a": 5, "b": 5}, {"a": 3, "b": 8}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.onnx"
    export_model(shake_norms(build_small_network()), CARD, path)
    return path


@pytest.fixture(scope="module")
def untuned(weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "untuned.onnx"
    load_start(weights, SIDE).export(path, "mine")
    return path


def make_task(table, folder, weights, first_head=0):
    assay = read_assay(ImageSource(table), "kind")
    examples = prepare_planes(assay, folder, read_card(weights))
    _, groups = choose_groups(examples.rows)
    roles = assign_roles(examples.rows["label"], groups)
    return Task(examples, roles.to_numpy(str), first_head)


@pytest.fixture(scope="module")
def stripes(tmp_path_factory, untuned):
    folder = tmp_path_factory.mktemp("stripes")
    table = write_assay(folder, DIFFERENT, plates=8, each=6)
    return make_task(table, folder / "kept", untuned)


def measure(path, seed=0):
    planes = np.random.default_rng(seed).random((3, 40, 40))
    return StratoNet.load(path, taps=["conv2_block2_out", "low"]).features(planes)


def test_the_network_starts_as_the_weights_file(weights, untuned):
    card = StratoNet.load(untuned).card
    assert (card.name, card.input_size, card.resize) == ("mine", SIDE, "BOX")
    assert (card.scaling, card.planes) == (CARD.scaling, CARD.planes)
    path = untuned.with_name("64.onnx")
    load_start(weights, 64).export(path, "same")
    np.testing.assert_allclose(measure(path), measure(weights), rtol=1e-3, atol=1e-4)


def test_only_the_later_convolutions_are_trained(weights, stripes):
    start = load_start(weights, SIDE)
    before = {layer.name: layer.get_weights() for layer in start.trained.model.layers}
    tuner = Tuner(start, [2])
    greys = stripes.examples.planes[:8, 0].astype(np.float32)
    heads = np.zeros(8, int)
    losses = [tuner.train(greys, heads, stripes.targets[:8], 1.0) for _ in range(20)]
    assert losses[-1] < losses[0]
    changed = {
        layer.name
        for layer in start.trained.model.layers
        if any(
            not np.array_equal(now, then)
            for now, then in zip(layer.get_weights(), before[layer.name])
        )
    }
    assert changed
    assert all(name.startswith("conv3_") and name.endswith("_conv") for name in changed)


def test_heads_do_not_see_each_other(weights):
    tuner = Tuner(load_start(weights, SIDE), [2, 3])
    greys = np.random.default_rng(0).random((4, SIDE, SIDE)).astype(np.float32)
    for head, classes in enumerate([2, 3]):
        predicted = tuner.predict(greys, head)
        assert predicted.shape == (4, classes)
        np.testing.assert_allclose(np.exp(predicted).sum(axis=1), 1, rtol=1e-4)
    before = tuner.predict(greys, 0)
    kernel = tuner.model.get_layer("heads").kernel.numpy()
    tuner.train(greys, np.ones(4, int), np.array([0, 1, 2, 0]), 1.0)
    after = tuner.model.get_layer("heads").kernel.numpy()
    assert not np.array_equal(after[:, 2:], kernel[:, 2:])
    np.testing.assert_array_equal(after[:, :2], kernel[:, :2])
    assert before.shape == (4, 2)


def test_it_learns_and_keeps_the_best(weights, stripes, tmp_path):
    start = load_start(weights, SIDE)
    schedule = Schedule(steps=60, every=20, batch=16)
    history = tune(start, [stripes], schedule, tmp_path)
    assert [look["step"] for look in history.looks] == [20, 40, 60]
    assert history.looks[-1]["loss"] < history.looks[0]["loss"]
    with (tmp_path / "log.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3
    # The network is that of the best check, not of the last.
    with np.load(tmp_path / "best.npz") as best:
        layer = start.trained.model.get_layer("conv3_block1_2_conv")
        arrays = [best[name] for name in best.files if name.startswith("network/")]
        assert any(np.array_equal(layer.kernel.numpy(), value) for value in arrays)


@pytest.mark.parametrize(
    "accuracies, over",
    [
        ([], False),
        ([0.5, 0.6], False),
        ([0.6, 0.5, 0.6], True),
        ([0.5, 0.6, 0.5], False),
        ([0.1, 0.2, 0.3, 0.4], True),
    ],
)
def test_when_training_ends(accuracies, over):
    looks = [
        {"step": 10 * (number + 1), "loss": 1.0, "accuracy": accuracy}
        for number, accuracy in enumerate(accuracies)
    ]
    schedule = Schedule(steps=40, every=10, patience=2)
    assert History(looks).is_over(schedule) == over


def test_both_features_get_the_same_labels(stripes, untuned):
    same = compare(stripes, "plate", untuned, untuned)
    assert same.untuned == same.tuned > 0.9
    assert (same.gain, same.low, same.high) == (0, 0, 0)
    counts = [len(stripes.select(role)) for role in ("train", "stop", "test")]
    assert [same.trained, same.stopped, same.tested] == counts


def test_cards_say_what_was_done(weights, stripes, untuned):
    history = History([{"step": 20, "loss": 0.5, "accuracy": 0.75}])
    gained = Comparison("stripes", 2, 60, 12, 24, "plate", 0.5, 0.75, 0.25, 0.1, 0.4)
    start = load_start(weights, SIDE)
    outcome = Outcome(start, [stripes], QUICK, history, [gained])
    card = StratoNet.load(untuned).card
    tuned = describe_tuned(card, outcome)
    assert tuned.trained_on.startswith("stripes (fine-tuned on 60 examples of 2 cl")
    assert "20 steps of 8, seed 0" in tuned.trained_on
    assert tuned.trained_from == "small 0.0.1: nothing"
    assert tuned.metrics["stripes_tuned"] == 0.75
    rows = stripes.examples.rows
    tested = set(rows["plate"][stripes.roles == "test"])
    assert tested and not tested & set(tuned.trained_wells)
    assert set(tuned.trained_wells) | tested == set(rows["plate"])
    assert tuned.trained_wells[min(tuned.trained_wells)][0] == "a00"
    same = describe_untuned(card, outcome)
    assert not same.trained_wells and same.trained_on.endswith("is unchanged.")


def test_nothing_gained_leaves_the_network_as_it_was(
    weights, untuned, tmp_path, capsys
):
    table = write_assay(tmp_path, SAME, channels=("_DNA", "_ER"))
    other = write_assay(tmp_path / "other", SAME, name="others")
    assays = [read_assay(ImageSource(path), "kind") for path in (table, other)]
    output = tmp_path / "mine.onnx"
    tuning = Tuning(str(weights), SIDE, schedule=QUICK)
    comparisons = finetune(assays, output, tuning)
    assert [each.assay for each in comparisons] == ["stripes", "others"]
    printed = capsys.readouterr().out
    assert (
        "Nothing was gained beyond chance" in printed
        and "is small unchanged" in printed
    )
    check_network(output)
    np.testing.assert_allclose(measure(output), measure(untuned), rtol=1e-5, atol=1e-5)
    tuned = measure(tmp_path / "mine.run/tuned.onnx")
    assert not np.allclose(tuned, measure(output), rtol=1e-5, atol=1e-5)
    assert len((tmp_path / "mine.run" / REPORT).read_text().splitlines()) == 3
    # Damaged files that can be made again are no obstacle.
    for name in ("untuned.onnx", "tuned.onnx"):
        (tmp_path / "mine.run" / name).write_bytes(b"")
    finetune(assays, output, tuning)
    np.testing.assert_allclose(measure(output), measure(untuned), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="holds a run with other schedule"):
        finetune(assays, output, Tuning(str(weights), SIDE))
    with pytest.raises(ValueError, match="holds a run with other tables"):
        finetune(assays[:1], output, tuning)


def test_damaged_files_of_a_run_are_named(weights, stripes, tmp_path):
    start = load_start(weights, SIDE)
    tune(start, [stripes], QUICK, tmp_path)
    for name in ("best.npz", "state.npz"):
        original = (tmp_path / name).read_bytes()
        for content in (original[:5000], b"", b"text"):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(ValueError, match=rf"{name} is damaged.*Copy the run"):
                tune(start, [stripes], QUICK, tmp_path)
        (tmp_path / name).write_bytes(original)
    (tmp_path / "request.json").write_text('{"tables": ')
    with pytest.raises(ValueError, match="request.json is damaged.*Copy the run"):
        _store_request({}, tmp_path)


def test_a_run_knows_its_table_and_images(tmp_path):
    table = write_assay(tmp_path, DIFFERENT)

    def describe(folder=tmp_path):
        assay = read_assay(ImageSource(folder / "stripes.csv"), "kind")
        return _describe_request([assay], Tuning())["tables"]

    earlier = [describe()]
    shutil.copytree(tmp_path, tmp_path / "copy")
    assert describe(tmp_path / "copy") == earlier[0]
    image = next((tmp_path / "images").iterdir())
    lines = table.read_text().splitlines()
    changes = (
        lambda: image.write_bytes(image.read_bytes() + b"more"),
        lambda: table.write_text("\n".join(lines[:-1])),
        lambda: table.write_text("\n".join([*lines[:-1], lines[-1][:-1] + "a"])),
    )
    for change in changes:
        change()
        assert describe() not in earlier
        earlier.append(describe())


def test_how_many_examples_each_class_has_is_said():
    labels = pd.Series(["a", "a", "b", "b", "c"])
    roles = pd.Series(["train", "test", "train", "stop", ""])
    assert _describe_classes(labels, roles) == (
        "Examples of each class (train + stop + test): a 1 + 0 + 1, b 1 + 1 + 0."
    )


def test_the_weights_that_are_started_from_are_not_replaced(weights, tmp_path):
    path = tmp_path / "started.onnx"
    shutil.copy(weights, path)
    with pytest.raises(ValueError, match="must not be the weights file to start from"):
        finetune([], path, Tuning(str(path), SIDE))


@pytest.mark.parametrize(
    "output, name, message",
    [
        ("mine.pt", None, "must end in .onnx"),
        ("mine.onnx", "small", "is the network to start from"),
    ],
)
def test_what_is_refused(weights, stripes, tmp_path, output, name, message):
    with pytest.raises(ValueError, match=message):
        finetune([], tmp_path / output, Tuning(str(weights), SIDE), name)


def test_other_architectures_are_refused(tmp_path, weights):
    from dataclasses import replace

    from stratonet.card_writer import write_card

    path = tmp_path / "vit.onnx"
    write_card(weights, replace(CARD, architecture="a vision transformer"), path)
    with pytest.raises(ValueError, match="Only StratoNet and ResNet.*transformer"):
        load_start(path, SIDE)


def test_killed_it_resumes_and_ends_with_the_same_features(
    weights, untuned, tmp_path, capsys
):
    table = write_assay(tmp_path, DIFFERENT, plates=6, each=3)
    undisturbed, resumed = tmp_path / "whole", tmp_path / "parts.run"
    undisturbed.mkdir()
    start = load_start(weights, SIDE)
    task = make_task(table, tmp_path / "kept", untuned)
    tune(start, [task], Schedule(steps=90), undisturbed)
    start.export(undisturbed / "tuned.onnx", "parts")

    command = ["finetune", table, "--label", "kind", "--from", weights]
    command += ["--input-size", SIDE, "--steps", 90]
    command += ["--output", tmp_path / "parts.onnx"]
    kill_after_epoch(training(*command, wait=False), resumed)
    assert not (tmp_path / "parts.onnx").exists()
    capsys.readouterr()
    main(list(map(str, command)))
    printed = capsys.readouterr().out
    assert "plates: 4 to train on, 1 to stop by, 1 to test on" in printed
    assert "step 90:" in printed and "step 60:" not in printed
    assert (resumed / "log.csv").read_text() == (undisturbed / "log.csv").read_text()
    with (
        np.load(resumed / "state.npz") as state,
        np.load(undisturbed / "state.npz") as expected_state,
    ):
        for name in expected_state.files:
            np.testing.assert_array_equal(state[name], expected_state[name])
    received, expected = (measure(run / "tuned.onnx") for run in (resumed, undisturbed))
    np.testing.assert_array_equal(received, expected)
    request = json.loads((resumed / "request.json").read_text())
    assert request["input_size"] == SIDE and list(request["tables"]) == ["stripes"]
