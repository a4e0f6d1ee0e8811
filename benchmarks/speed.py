"""Measure the speed of the network: planes per second, and relative to the first.

    python benchmarks/speed.py [--files FOLDER]

Engines: the network alone, planes of 224 x 224 prepared in memory, three taps with mean
and standard deviation, on all cores that the process may use. Peers run the same
network, each in its fastest way: OpenVINO runs the weights file, with a stream per
core; TensorFlow runs the Keras definition, in batches. OpenVINO comes with
requirements/speed.txt; engines that are not installed are left out. bfloat16 is shown
if the processor has it, but is not a peer, because its features differ. --files stores
the network with trained gates (here random numbers), which takes TensorFlow a minute to
make; its 8-bit integers are measured too if they have been made by ``python -m training
quantize FOLDER/gated.onnx``.

Recipes: `StratoNet.features`, with its preprocessing.

All take turns in one run, so that other load on the machine affects all equally; ratios
are medians over turns. The last line is the time of one core for a tile, whatever the
number of cores: ``SECONDS_PER_TILE`` of ``cellprofiler_plugin/forecast.py``, from which
the module in CellProfiler predicts how long a run will take.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from stratonet import StratoNet, _onnx
from stratonet.parallel import count_cores
from stratonet.preprocessing import to_planes
from stratonet.processor import read_instructions, read_processor_name
from stratonet.providers import PROVIDERS, open_session
from stratonet.session import NetworkSession
from stratonet.weights_file import find_weights, read_card

PLANES, TURNS = 40, 7
SIDE = 224
BATCH = 8  # for TensorFlow: 1 and 32 are slower
SHIPPED, FAST = "stratonet50", "stratonet50-int8"
GATED = "gated.onnx"
TILES = "low, medium and high of 224x224 planes"
# Names of instructions to print.
SHOWN = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_int8")
BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}

Engine = Callable[[], object]


def list_outputs() -> list[str]:
    taps = read_card().choose_taps()
    return [name for tap in taps for name in (tap.layer, tap.sd) if name]


def cut_network(weights: str | Path) -> bytes:
    content = find_weights(weights).path.read_bytes()
    return _onnx.cut_after(_onnx.read_model(content), list_outputs())


def make_ours(weights: str | Path, provider: str = "cpu") -> Engine:
    session = NetworkSession(cut_network(weights), list_outputs(), provider)
    planes = make_inputs(weights)
    if session.batch > 1:
        return lambda: session.run(planes)
    pool = ThreadPoolExecutor(count_cores())
    alone = np.split(planes, len(planes))
    return lambda: list(pool.map(session.run, alone))


def make_openvino(precision: str) -> Engine:
    import openvino

    core = openvino.Core()
    model = core.read_model(cut_network(SHIPPED))
    model.reshape([1, 3, SIDE, SIDE])
    cores = count_cores()
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "NUM_STREAMS": cores,
        "INFERENCE_NUM_THREADS": cores,
    }
    queue = openvino.AsyncInferQueue(core.compile_model(model, "CPU", settings), cores)

    planes = make_inputs(SHIPPED)

    def run() -> None:
        for plane in planes:
            queue.start_async({0: plane[None]})
        queue.wait_all()

    return run


def make_tensorflow() -> Engine:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # The package is not installed, but in the checkout.
    sys.path.append(str(Path(__file__).parents[1]))
    import tensorflow as tf

    from training.architecture import build_network, tap_network

    taps = [tap.layer for tap in read_card().choose_taps()]
    network = build_network(50, None, taps, input_size=SIDE)
    model = tap_network(network, taps, deviations=True)
    compiled = tf.function(model, jit_compile=False)

    last = np.ascontiguousarray(make_inputs(SHIPPED).transpose(0, 2, 3, 1))

    def run() -> None:
        for first in range(0, len(last), BATCH):
            compiled(tf.constant(last[first : first + BATCH]))

    return run


def write_gated(path: Path) -> None:
    """Write StratoNet with random numbers in place of trained gates."""
    sys.path.append(str(Path(__file__).parents[1]))
    import keras

    from training.architecture import build_network, tap_network
    from training.export import export_model
    from training.trunk import build_trunk

    keras.utils.set_random_seed(0)
    card = dataclasses.replace(read_card(), name="gated50")
    layers = [tap.layer for tap in card.taps]
    network = build_network(50, "eca", layers, input_size=None)
    trunk = build_trunk(network, 50, layers)
    export_model(tap_network(trunk, layers, deviations=True), card, path)


def list_engines(files: Path) -> dict[str, Engine]:
    """Make all engines that are available on this machine; StratoNet's first."""
    engines = {SHIPPED: make_ours(SHIPPED), FAST: make_ours(FAST)}
    if not (files / GATED).exists():
        with contextlib.suppress(ImportError):
            write_gated(files / GATED)
    for name in (GATED, "gated-int8.onnx"):
        if (files / name).exists():
            engines[f"with trained gates, {name}"] = make_ours(files / name)
    for name in PROVIDERS:
        with contextlib.suppress(ValueError):
            _, full = open_session(cut_network(SHIPPED), name)
            if name != "cpu":
                engines[f"{SHIPPED} by {full}"] = make_ours(SHIPPED, name)
    peers = {"OpenVINO, float32": lambda: make_openvino("f32")}
    if BFLOAT16 & read_instructions():
        peers["OpenVINO, bfloat16 (no peer)"] = lambda: make_openvino("bf16")
    peers["TensorFlow, float32"] = make_tensorflow
    for name, make in peers.items():
        try:
            engines[name] = make()
        except ImportError as error:
            print(f"{name} is left out: {error}")
    return engines


def time_turns(candidates: Mapping[str, Engine]) -> dict[str, list[float]]:
    """Run candidates in turns; return the seconds of each turn."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(TURNS + 1):
        for name, run in candidates.items():
            began = time.perf_counter()
            run()
            if turn:  # the first turn warms up
                seconds[name].append(time.perf_counter() - began)
    return seconds


def print_turns(seconds: Mapping[str, list[float]]) -> None:
    first = next(iter(seconds.values()))
    for name, values in seconds.items():
        # Ratio within each turn, not of the medians: the load changes between turns.
        ratio = statistics.median(other / own for own, other in zip(values, first))
        speed = PLANES / statistics.median(values)
        print(f"| {name} | {speed:.1f} | {ratio:.2f} |")


def make_planes(size: int, rng: np.random.Generator) -> list[np.ndarray]:
    return [
        rng.integers(100, 4000, (size, size), dtype=np.uint16) for _ in range(PLANES)
    ]


def list_recipes() -> dict[str, Engine]:
    rng = np.random.default_rng(0)
    small, large = make_planes(SIDE, rng), make_planes(1024, rng)
    crops = make_planes(96, rng)
    all_taps = StratoNet.load(recipe="whole224/mean")
    low = StratoNet.load(taps="low", recipe="whole224/mean")
    with_deviations = StratoNet.load(recipe="tiles224/mean+sd")
    return {
        TILES: lambda: all_taps.features(small),
        "low alone": lambda: low.features(small),
        "low, medium and high of 1024x1024 planes": lambda: all_taps.features(large),
        "with standard deviations": lambda: with_deviations.features(small),
        "with standard deviations, 96x96": lambda: with_deviations.features(crops),
    }


def measure_core() -> float:
    """Return one core's seconds per tile: the minimum, since other load adds to it."""
    run = make_ours(SHIPPED)
    used = []
    for _ in range(TURNS):
        began = time.process_time()
        run()
        used.append(time.process_time() - began)
    return min(used) / PLANES


def make_inputs(weights: str | Path) -> np.ndarray:
    """Make the same planes for all engines, as the network takes them."""
    card = read_card(weights)
    greys = np.random.default_rng(0).random((PLANES, SIDE, SIDE), np.float32)
    return np.concatenate([to_planes(grey, card) for grey in greys])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--files", type=Path, help="folder that stores files that take long to make"
    )
    options = parser.parse_args()
    instructions = read_instructions()
    names = ", ".join(name for name in SHOWN if name in instructions)
    print(f"{read_processor_name()} ({names}), {count_cores()} cores")
    with tempfile.TemporaryDirectory() as temporary:
        files = options.files or Path(temporary)
        files.mkdir(parents=True, exist_ok=True)
        engines = list_engines(files)
        print("\n| Engine | planes/s | times the first |\n|---|---|---|")
        print_turns(time_turns(engines))
    print("\n| Recipe | planes/s | times the first |\n|---|---|---|")
    print_turns(time_turns(list_recipes()))
    print(f"\nOne core: {measure_core():.3f} s per tile of 224x224")


if __name__ == "__main__":
    main()
