import hashlib
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from stratonet import Recipe, StratoNet, _onnx, preprocessing
from stratonet.parallel import count_cores
from stratonet.weights_file import WEIGHTS, read_card

pytestmark = pytest.mark.stock_cellprofiler

ROOT = Path(__file__).parents[2]
SHIPPED = WEIGHTS / "stratonet50.onnx"
WHOLE = Recipe.parse("whole224/mean")


@pytest.fixture(scope="module")
def low():
    return StratoNet.load(taps="low")


@pytest.fixture
def planes():
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 65536, (300, 200), np.uint16),
        rng.integers(0, 256, (224, 224), np.uint8),
        rng.random((90, 130)),
        rng.random((64, 64)) > 0.7,
    ]


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout


def with_metadata(path, **entries):
    model = _onnx.read_model(SHIPPED.read_bytes())
    model.ClearField("metadata_props")
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.slow
def test_shapes_and_dtype(net, planes):
    assert net.width == 5120
    assert len(net.feature_names(["DNA", "ER"])) == 2 * net.width
    for given, number in (
        (planes[0], 1),
        (planes, 4),
        (iter(planes[:2]), 2),
        (np.stack([planes[1]] * 2), 2),
    ):
        features = net.features(given)
        assert features.shape == (number, 5120)
        assert features.dtype == np.float32
        assert np.isfinite(features).all()
    assert net.features([]).shape == (0, 5120)


def test_features_are_those_of_the_file_run_plainly(planes):
    """The whole file, uncut, fed by hand."""
    net = StratoNet.load(recipe=WHOLE)
    session = onnxruntime.InferenceSession(
        str(SHIPPED), providers=["CPUExecutionProvider"]
    )
    grey = preprocessing.to_grey(planes[0], net.card)
    outputs = session.run(
        [tap.layer for tap in net.taps],
        {"planes": preprocessing.to_planes(grey, net.card)},
    )
    np.testing.assert_allclose(
        net.features(planes[0]), np.concatenate(outputs, axis=1), rtol=1e-4, atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "alias, first, last",
    [("low", 0, 1024), ("medium", 1024, 3072), ("high", 3072, 5120)],
)
def test_one_tap_alone_equals_its_columns_of_all(net, planes, alias, first, last):
    alone = StratoNet.load(taps=alias)
    by_layer = StratoNet.load(taps=alone.taps[0].layer)
    assert by_layer.taps == alone.taps == net.card.choose_taps(alias)
    expected = net.features(planes[:2])[:, first:last]
    for same in (alone, by_layer):
        np.testing.assert_array_equal(same.features(planes[:2]), expected)


def test_network_is_cut_behind_its_last_tap(monkeypatch):
    graphs = []
    session = onnxruntime.InferenceSession

    def opened(content, *arguments, **keywords):
        graphs.append(_onnx.read_model(content).graph)
        return session(content, *arguments, **keywords)

    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    for taps in ("low", None):
        StratoNet(SHIPPED, taps, "CPUExecutionProvider", WHOLE)
    low, full = graphs
    assert [value.name for value in low.output] == ["conv3_block4_out"]
    assert len(low.node) < 0.6 * len(full.node)
    assert len(low.initializer) < 0.6 * len(full.initializer)


@pytest.mark.everything
def test_cut_graph_is_sound_onnx():
    onnx = pytest.importorskip("onnx", reason="onnx comes with the training extra")
    content = _onnx.cut_after(
        _onnx.read_model(SHIPPED.read_bytes()), ["conv2_block1_out"]
    )
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert {entry.key for entry in model.metadata_props} == {"card"}
    assert (
        sum(node.op_type == "Conv" for node in model.graph.node) == 1 + 4
    )  # stem, block with shortcut


def test_same_arguments_give_the_same_network(net):
    assert StratoNet.load() is net
    assert StratoNet.load("stratonet50") is net
    assert StratoNet.load(taps=["high", "low"]) is StratoNet.load(taps=("high", "low"))
    assert StratoNet.load(SHIPPED) is net


def test_threads_that_load_at_once_share_one_network():
    start = threading.Barrier(8)

    def load(_):
        start.wait()
        return StratoNet.load(taps=("low", "medium"))

    with ThreadPoolExecutor(8) as pool:
        assert len(set(map(id, pool.map(load, range(8))))) == 1


@pytest.mark.slow
def test_threads_that_measure_at_once_get_the_serial_features(low, rng):
    stacks = rng.integers(0, 65536, (6, 3, 100, 100), np.uint16)
    with ThreadPoolExecutor(6) as pool:
        np.testing.assert_array_equal(
            list(pool.map(low.features, stacks)), list(map(low.features, stacks))
        )


@pytest.mark.slow
def test_row_does_not_depend_on_its_neighbours(low, planes):
    alone = np.concatenate([low.features(plane) for plane in planes])
    np.testing.assert_array_equal(low.features(planes), alone)
    np.testing.assert_array_equal(
        low.features(planes[::-1] * 2), np.tile(alone[::-1], (2, 1))
    )


@pytest.mark.slow
@pytest.mark.parametrize("count", ["1", "4"])
def test_another_process_gives_the_same_bits_with_any_number_of_threads(net, count):
    code = (
        "import sys, numpy as np; from stratonet import StratoNet\n"
        "planes = np.random.default_rng(7).integers(0, 65536, (2, 240, 250),"
        " np.uint16)\n"
        "sys.stdout.buffer.write(StratoNet.load().features(planes).tobytes())"
    )
    planes = np.random.default_rng(7).integers(0, 65536, (2, 240, 250), np.uint16)
    assert python(code, OMP_NUM_THREADS=count) == net.features(planes).tobytes()


@pytest.mark.parametrize(
    "given, expected", [("1", 1), ("4", 4), ("", None), ("0", None), ("all", None)]
)
def test_threads(monkeypatch, given, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert count_cores() == (expected or len(os.sched_getaffinity(0)))


def test_feature_set_id(net, low, tmp_path):
    digest = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert (
        net.feature_set_id
        == low.feature_set_id
        == f"{net.card.name}-{net.card.version}-{digest[:12]}-{net.recipe.id}"
    )
    other = with_metadata(
        tmp_path / "other.onnx", card=replace(net.card, resize="HAMMING").to_json()
    )
    assert StratoNet.load(other, "low").feature_set_id != net.feature_set_id


def test_import_is_light():
    heavy = {
        "tensorflow",
        "keras",
        "onnxruntime",
        "onnx",
        "pandas",
        "sklearn",
        "tifffile",
        "fsspec",
    }
    assert (
        python(
            f"import sys, stratonet; print(sorted({heavy!r} & set(sys.modules)))"
        ).strip()
        == b"[]"
    )


def test_read_card(net):
    assert read_card() == net.card
    code = (
        "import sys; from stratonet.weights_file import read_card; read_card();"
        " print('onnxruntime' in sys.modules)"
    )
    assert python(code).strip() == b"False"


def test_unknown_tap_and_provider_are_refused_with_those_there_are():
    with pytest.raises(
        ValueError,
        match=r"low \(conv3_block4_out\).*high \(conv4_block6_out\).*Received: .*'top'",
    ):
        StratoNet.load(taps=["low", "top"])
    with pytest.raises(
        ValueError, match="CPUExecutionProvider.*Received: 'ToasterExecutionProvider'"
    ):
        StratoNet.load(provider="ToasterExecutionProvider")


@pytest.mark.parametrize(
    "weights", ["stratonet51", "/none/stratonet50.onnx", "", str(ROOT)]
)
def test_unknown_weights_are_refused_with_those_that_ship(weights):
    with pytest.raises(FileNotFoundError, match=f"{weights!r}.*one of: stratonet50"):
        StratoNet.load(weights)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not a network"),
        lambda path: path.write_bytes(SHIPPED.read_bytes()[:1_000_000]),
        lambda path: with_metadata(path, author="someone"),
    ],
    ids=["empty", "text", "half", "no-card"],
)
def test_what_is_no_weights_file_is_refused(tmp_path, write):
    write(path := tmp_path / "weights.onnx")
    with pytest.raises(ValueError, match=f"{path} is not a StratoNet weights file"):
        StratoNet.load(path)


def test_bad_plane_is_named_by_its_number(low, planes):
    planes[2][3, 4] = np.nan
    with pytest.raises(ValueError, match="Plane 2: .*1 of 11700 pixels NaN"):
        low.features(planes)
    with pytest.raises(TypeError, match="Plane 1: .*dtype complex128"):
        low.features([planes[0], planes[0] * 1j])
    with pytest.raises(ValueError, match=r"Plane 0: .*shape \(4, 5, 3\)"):
        low.features(np.zeros((2, 4, 5, 3)))


@pytest.mark.parametrize("shape", [(0,), (0, 10, 10), (3, 0, 10), (0, 0)])
def test_empty_arrays_are_refused(low, shape):
    with pytest.raises(
        ValueError, match="no pixels.*Received: shape " + re.escape(str(shape))
    ):
        low.features(np.zeros(shape))


def test_constant_planes_are_finite_and_the_same(net):
    dark, bright = net.features(
        [np.zeros((50, 60), np.uint8), np.full((50, 60), 40_000, np.uint16)]
    )
    assert np.isfinite(dark).all()
    np.testing.assert_array_equal(dark, bright)


@pytest.mark.slow
def test_stream_draws_only_a_little_ahead(low, rng, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    plane, drawn = rng.random((30, 30)), 0

    def planes():
        nonlocal drawn
        while drawn < 40:
            drawn += 1
            yield plane

    rows = low.stream(planes())
    assert drawn == 0
    for number, row in enumerate(rows, start=1):
        assert row.shape == (1024,)
        assert drawn <= number + 8
    assert number == drawn == 40


@pytest.mark.parametrize(
    "error", [OSError("disk"), ValueError("what is this?"), KeyError("x")]
)
def test_stream_passes_on_errors_of_reading(low, planes, error):
    def read(item):
        if item == 2:
            raise error
        return planes[item]

    rows = low.stream([3, 0, 2, 1], read)
    np.testing.assert_array_equal(
        [next(rows), next(rows)], low.features([planes[3], planes[0]])
    )
    with pytest.raises(type(error)) as raised:
        next(rows)
    assert raised.value is error


def test_squares_go_through_the_network_together_and_keep_their_bits(rng):
    net = StratoNet.load(taps="low", recipe="tiles224/mean+sd", crop=64)
    squares = [rng.random((64, 64)) for _ in range(6)]
    squares.insert(1, rng.random((60, 101)))
    squares.insert(3, rng.random((300, 250)))
    alone = np.concatenate([net.features(square) for square in squares])
    np.testing.assert_array_equal(net.features(squares), alone)
    rows = list(net.stream([*squares, None], read=lambda square: square))
    np.testing.assert_array_equal(np.stack(rows[:-1]), alone)
    assert rows[-1] is None


def test_features_before_a_bad_square_come_first(rng):
    net = StratoNet.load(taps="low", recipe="tiles224/mean+sd", crop=64)
    squares = [rng.random((64, 64)) for _ in range(6)]
    squares[5] = np.full((64, 64), np.nan)
    rows = net.stream(squares)
    received = [next(rows) for _ in range(5)]
    np.testing.assert_array_equal(np.stack(received), net.features(squares[:5]))
    with pytest.raises(ValueError, match="^Plane 5: "):
        next(rows)


@pytest.mark.everything
def test_network_for_one_plane_at_a_time_measures_squares_one_by_one(tmp_path, rng):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(SHIPPED)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, tmp_path / "one.onnx")
    squares = rng.random((5, 64, 64), np.float32)
    options = {"taps": "low", "recipe": "tiles224/mean+sd", "crop": 64}
    expected = StratoNet.load(**options).features(squares)
    one = StratoNet.load(tmp_path / "one.onnx", **options)
    np.testing.assert_array_equal(one.features(squares), expected)
