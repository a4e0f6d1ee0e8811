"""Planes in batches, providers, and what happens where memory ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from stratonet import StratoNet, _onnx
from stratonet.providers import PROVIDERS, open_session
from stratonet.session import NetworkSession, check_same_numbers
from stratonet.weights_file import WEIGHTS

pytestmark = pytest.mark.stock_cellprofiler

ROOT = Path(__file__).parents[2]
TAP = "conv2_block1_out"
LAST = "conv4_block6_out"

# The memory of a process is limited to a little more than it has.
LIMITED = """
import json, os, resource, sys
import numpy as np
from stratonet import StratoNet

net = StratoNet.load(taps="conv2_block1_out", recipe="whole64/mean", batch=2048)
plane = np.random.default_rng(0).random((64, 64))
alone = StratoNet.load(taps="conv2_block1_out", recipe="whole64/mean").features(plane)
pages = int(open("/proc/self/statm").read().split()[0])
room = pages * resource.getpagesize() + int(sys.argv[1]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (room, room))
try:
    features = net.features([plane] * 600)
    same = bool(np.allclose(features, alone, rtol=1e-4, atol=1e-6))
    print(json.dumps([len(features), same, net._session.batch]))
except MemoryError as error:
    print(json.dumps(str(error)))
"""


@pytest.fixture(scope="module")
def cut():
    """The network up to one tap, as bytes."""
    content = (WEIGHTS / "stratonet50.onnx").read_bytes()
    return _onnx.cut_after(_onnx.read_model(content), [TAP])


@pytest.fixture
def planes(rng):
    sizes = [(300, 200), (64, 64), (500, 130), (90, 130), (64, 64)]
    return [rng.random(size) for size in sizes]


@pytest.mark.parametrize("batch", [2, 3, 64])
@pytest.mark.parametrize("recipe", ["tiles64/mean+sd", "whole64+tiles96/mean"])
def test_batches_give_the_features_of_planes_alone(planes, recipe, batch):
    alone = StratoNet.load(taps=[TAP, "intensity"], recipe=recipe)
    net = StratoNet.load(taps=[TAP, "intensity"], recipe=recipe, batch=batch)
    assert net is not alone and net.feature_set_id == alone.feature_set_id
    np.testing.assert_allclose(
        net.features(planes), alone.features(planes), rtol=1e-4, atol=1e-6
    )


def test_batches_keep_the_order_and_planes_that_there_are_not(planes):
    net = StratoNet.load(taps=TAP, recipe="tiles64/mean", batch=4)
    there = [planes[0], None, planes[1], None, planes[2]]
    rows = list(net.stream(there, read=lambda plane: plane))
    assert [row is None for row in rows] == [plane is None for plane in there]
    np.testing.assert_allclose(
        rows[4], net.features(planes[2])[0], rtol=1e-4, atol=1e-6
    )
    assert list(net.stream([None, None], read=lambda plane: plane)) == [None, None]
    assert net.features([]).shape == (0, net.width)


def test_planes_before_a_bad_one_come_first(planes):
    net = StratoNet.load(taps=TAP, recipe="tiles64/mean", batch=64)
    rows = net.stream([planes[0], planes[1], np.full((9, 9), np.nan), planes[2]])
    assert next(rows).shape == next(rows).shape == (net.width,)
    with pytest.raises(ValueError, match="Plane 2: .*81 of 81"):
        next(rows)


def test_brightness_alone_goes_in_batches_too(planes):
    net = StratoNet.load(taps="intensity", batch=3)
    alone = StratoNet.load(taps="intensity")
    np.testing.assert_array_equal(net.features(planes), alone.features(planes))


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_of_no_planes_is_refused(batch):
    with pytest.raises(ValueError, match=f"`batch` is 1 .*Received: {batch}"):
        StratoNet.load(batch=batch)


def run_limited(megabytes):
    answer = subprocess.run(
        [sys.executable, "-c", LIMITED, str(megabytes)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(answer.stdout)


@pytest.mark.parametrize("name", ["stratonet50", "stratonet50-int8"])
@pytest.mark.parametrize("side", [64, 96, 128])
def test_small_squares_have_the_same_bits_alone_and_together(name, side, rng):
    content = _onnx.read_model((WEIGHTS / f"{name}.onnx").read_bytes())
    content = _onnx.cut_after(content, [LAST])
    together, alone = (NetworkSession(content, [LAST], batch=n) for n in (None, 1))
    # Grey and ones, or three planes of grey.
    shape = (7, 2 if "int8" in name else 3, side, side)
    planes = rng.normal(0, 60, shape).astype(np.float32)
    expected = alone.run(planes)
    for count in (1, 3, 5, 7):
        np.testing.assert_array_equal(together.run(planes[:count]), expected[:count])


class ScarceMemory:
    """ONNX Runtime where memory holds so many planes, and no more."""

    def __init__(self, onnx, most):
        self.onnx = onnx
        self.most = most
        self.tried = []

    def run(self, outputs, planes):
        (count,) = {len(plane) for plane in planes.values()}
        self.tried.append(count)
        if count > self.most:
            raise RuntimeError("Failed to allocate memory for requested buffer")
        return self.onnx.run(outputs, planes)


@pytest.mark.parametrize(
    ("most", "tried"), [(0, [4, 2, 1]), (1, [4, 2, 1, 1, 1, 1]), (2, [4, 2, 2])]
)
def test_small_squares_are_halved_and_that_ends(cut, most, tried):
    session = NetworkSession(cut, [TAP])
    session.onnx = scarce = ScarceMemory(session.onnx, most)
    planes = np.zeros((4, 3, 32, 32), np.float32)
    if most:
        assert len(session.run(planes)) == 4
    else:
        with pytest.raises(MemoryError, match="no memory for 1 planes"):
            session.run(planes)
    assert scarce.tried == tried


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_a_batch_is_halved_until_memory_holds_it():
    count, same, batch = run_limited(300)
    assert (count, same) == (600, True)
    assert 1 <= batch < 600


def test_a_provider_that_is_not_there_is_refused_with_what_to_install():
    there = onnxruntime.get_available_providers()
    missing = [name for name, full in PROVIDERS.items() if full not in there]
    assert missing
    for name in missing:
        with pytest.raises(ValueError, match="This ONNX Runtime has .*Install onnx"):
            StratoNet.load(provider=name)
    with pytest.raises(ValueError, match="'toaster'. Known names are .* and auto"):
        StratoNet.load(provider="toaster")


def test_auto_takes_what_works_here(cut):
    session, name = open_session(cut, "auto")
    assert session.get_providers()[0] == name
    if not set(PROVIDERS.values()) & set(onnxruntime.get_available_providers()[:-1]):
        assert name == "CPUExecutionProvider"
    assert open_session(cut, "cpu")[1] == "CPUExecutionProvider"
    assert StratoNet.load(taps=TAP, provider="auto").provider == name


def test_a_provider_with_other_numbers_is_refused(cut):
    session = NetworkSession(cut, [TAP])
    check_same_numbers(session, NetworkSession(cut, [TAP]), (1, 3, 64, 64), False)
    content = (WEIGHTS / "stratonet50.onnx").read_bytes()
    model = _onnx.cut_after(_onnx.read_model(content), ["conv2_block2_out"])
    other = NetworkSession(model, ["conv2_block2_out"])
    with pytest.raises(ValueError, match="CPUExecutionProvider gives other features"):
        check_same_numbers(session, other, (1, 3, 64, 64), False)
