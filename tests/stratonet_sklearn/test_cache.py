"""Nothing is measured twice, and whatever befalls the cache, the numbers are right."""

import contextlib
import inspect
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import tifffile
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from stratonet_sklearn import StratoFeatureTransformer
from stratonet_sklearn import cache as cache_module
from stratonet_sklearn.cache import FILE, FeatureCache, find_folder

WIDTH = 100
LABELS = np.arange(12) % 2
# Small squares: the network takes a millisecond for one.
RECIPE = "whole32/mean"


@pytest.fixture
def planes_seen(monkeypatch):
    """Counts the planes that reach the network, which measures them all the same."""
    seen = []
    run = onnxruntime.InferenceSession.run

    def run_and_count(session, outputs, inputs, *rest):
        (planes,) = inputs.values()
        seen.extend([planes.shape] * len(planes))
        return run(session, outputs, inputs, *rest)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", run_and_count)
    return seen


@pytest.fixture(scope="module")
def images():
    """Twelve images of two channels; no two of the planes are the same."""
    pixels = np.random.default_rng(0).integers(0, 4096, (12, 32, 32, 2))
    return pixels.astype(np.uint16)


def make_row(number):
    return np.arange(number, number + WIDTH, dtype=np.float32)


def make_key(number):
    return b"key %d" % number


@contextlib.contextmanager
def one_warning(match):
    """A cache says once what is wrong with it, and nothing else is said."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield
    assert len(said) == 1
    assert match in str(said[0].message)


@pytest.mark.slow
def test_folds_and_searches_cost_one_pass(images, planes_seen, tmp_path):
    model = Pipeline(
        [("features", StratoFeatureTransformer(cache=tmp_path)), ("svc", SVC())]
    )
    model.set_params(features__recipe=RECIPE)
    cross_val_predict(model, images, LABELS, cv=4)
    assert len(planes_seen) == 24
    choices = {
        "features__taps": ["low", ["conv2_block1_out", "high", "intensity"]],
        # The last is another view: the planes are shown to the network anew, once.
        "features__recipe": [RECIPE, "whole32/mean+sd", "whole48/mean"],
        "svc__C": [0.1, 1],
    }
    search = GridSearchCV(model, choices, cv=2, error_score="raise")
    search.fit(images, LABELS)
    assert len(planes_seen) == 48
    search.predict(images[:5])
    assert len(planes_seen) == 48


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["whole32+tiles32/mean", "tiles32/mean+sd"])
def test_the_features_are_those_without_a_cache(recipe, images, planes_seen, tmp_path):
    """Any taps, statistics and limits; of one sort after the other in one cache."""
    images = images[:3]
    limits = {"Channel1": (100, 900), "Channel2": (200, 4000)}
    for taps in (["low", "intensity"], "conv2_block1_out", None):
        for grey_range in ("plane", limits):
            settings = {"taps": taps, "recipe": recipe, "grey_range": grey_range}
            without = StratoFeatureTransformer(**settings).fit(images)
            kept = clone(without).set_params(cache=tmp_path).fit(images)
            expected = without.transform(images)
            before = len(planes_seen)
            for _ in range(2):
                found = kept.transform(images)
                assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
                assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
            names = kept.get_feature_names_out()
            assert_array_equal(names, without.get_feature_names_out())
    assert len(planes_seen) == before, "other taps were measured anew"


def test_a_file_with_other_pixels_has_other_features(planes_seen, tmp_path):
    paths = [str(tmp_path / f"{number}.tif") for number in range(2)]
    rng = np.random.default_rng(1)
    for path in paths:
        tifffile.imwrite(path, rng.integers(0, 999, (32, 32), np.uint16))
    table = pd.DataFrame({"DNA": paths})
    kept = StratoFeatureTransformer(recipe=RECIPE, cache=tmp_path / "kept").fit(table)
    first = kept.transform(table)
    when = os.stat(paths[0])
    tifffile.imwrite(paths[0], rng.integers(0, 999, (32, 32), np.uint16))
    os.utime(paths[0], ns=(when.st_atime_ns, when.st_mtime_ns))
    second = kept.transform(table)
    assert_array_equal(second[1], first[1])
    assert np.abs(second[0] - first[0]).max() > 0.01
    assert len(planes_seen) == 3


def test_what_cannot_be_measured_is_never_kept(images, planes_seen, tmp_path):
    """Also where the pixels under a mask are those of a plane that is known."""
    damaged = images.astype(float)
    damaged[3, 0, 0, 1] = np.nan
    kept = StratoFeatureTransformer(recipe=RECIPE, cache=tmp_path, on_error="nan")
    for _ in range(2):
        features, reasons = kept.fit(damaged).transform_with_reasons(damaged)
        assert [list(where) for where in np.argwhere(reasons != "")] == [[3, 1]]
        assert np.isnan(features).any(axis=1).tolist() == [n == 3 for n in range(12)]
    assert len(planes_seen) == 23
    hidden = np.ma.masked_greater(images, 4000)
    with pytest.raises(ValueError, match="pixels masked"):
        kept.set_params(on_error="raise").fit(images).transform(hidden)


def test_parameters_pickles_and_frames(images, tmp_path):
    kept = StratoFeatureTransformer(recipe=RECIPE, cache=str(tmp_path))
    assert clone(kept).get_params()["cache"] == str(tmp_path)
    expected = kept.fit_transform(images)
    again = pickle.loads(pickle.dumps(kept))
    frame = again.set_output(transform="pandas").transform(images)
    assert_array_equal(frame, expected)
    assert list(frame) == list(kept.get_feature_names_out())
    for wrong in ("s3://bucket/cache", ""):
        with pytest.raises(
            ValueError, match="`cache` must be None, 'auto' or a folder"
        ):
            kept.set_params(cache=wrong).fit(images)
    with pytest.raises(ValueError, match="'cache' parameter .*must be"):
        kept.set_params(cache=True).fit(images)


def test_auto_is_where_the_system_keeps_caches(monkeypatch, tmp_path):
    if sys.platform != "linux":
        pytest.skip("each system has its own place")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert find_folder("auto") == tmp_path / "stratonet"
    monkeypatch.setenv("HOME", "/home/somebody")
    assert find_folder("~/kept") == Path("/home/somebody/kept")


def test_the_least_recently_used_rows_go(tmp_path):
    """The file stays within its bounds, and what was read last stays in it."""
    largest = 200_000
    with FeatureCache(tmp_path, largest) as cache:
        for number in range(1000):
            cache.put(make_key(number), make_row(number))
            assert cache.get(make_key(0), WIDTH) is not None
    assert largest / 2 < (tmp_path / FILE).stat().st_size < 1.1 * largest
    with FeatureCache(tmp_path, largest) as cache:
        there = [n for n in range(1000) if cache.get(make_key(n), WIDTH) is not None]
        assert there[0] == 0
        assert there[1:] == list(range(there[1], 1000))
        assert len(there) > 200


def fill(folder, count=60):
    with FeatureCache(folder) as cache:
        for number in range(count):
            cache.put(make_key(number), make_row(number))


def test_two_rows_changed_places(tmp_path):
    fill(tmp_path, 2)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as file:
        contents = [row for (row,) in file.execute("SELECT content FROM features")]
        for number, content in enumerate(reversed(contents)):
            file.execute(
                "UPDATE features SET content = ? WHERE key = ?",
                (content, make_key(number)),
            )
        file.commit()
    with FeatureCache(tmp_path) as cache:
        assert cache.get(make_key(0), WIDTH) is None
        # Another layer was added to the network: rows of other widths.
        assert cache.get(make_key(1), WIDTH + 1) is None


DAMAGES = {
    "cut short": lambda content, _: content[: len(content) // 2],
    "cut within a page": lambda content, _: content[:5000],
    "empty": lambda content, _: b"",
    "garbage": lambda content, rng: rng.bytes(len(content)),
    "its beginning is garbage": lambda content, rng: rng.bytes(100) + content[100:],
    "another kind of file": lambda content, _: b"PK\x03\x04" + b"zip" * 5000,
    "another layout": lambda *_: write_another_layout(),
    **{
        f"some bytes changed ({seed})": lambda content, rng: flip_bytes(content, rng)
        for seed in range(20)
    },
}


def write_another_layout():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        with contextlib.closing(sqlite3.connect(path)) as file:
            file.execute("CREATE TABLE features (key, used, content, extra)")
        return path.read_bytes()


def flip_bytes(content, rng):
    changed = bytearray(content)
    for place in rng.integers(0, len(content), 30):
        changed[place] ^= rng.integers(1, 256)
    return bytes(changed)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_gives_no_wrong_number(damage, tmp_path):
    fill(tmp_path)
    path = tmp_path / FILE
    rng = np.random.default_rng(list(DAMAGES).index(damage))
    path.write_bytes(DAMAGES[damage](path.read_bytes(), rng))
    # Some damage is met late, and then all rows are measured again.
    for _ in range(4):
        missing = 0
        with FeatureCache(tmp_path) as cache:
            for number in range(60):
                row = cache.get(make_key(number), WIDTH)
                if row is None:
                    missing += 1
                    cache.put(make_key(number), make_row(number))
                else:
                    assert_array_equal(row, make_row(number))
    # A damaged index may hide a row for good: it is measured again and again.
    assert missing <= 1, "it does not work again"


def test_a_file_that_is_damaged_while_it_is_open(tmp_path):
    fill(tmp_path)
    with FeatureCache(tmp_path) as cache:
        cache.get(make_key(0), WIDTH)
        os.truncate(tmp_path / FILE, 9000)
        for _ in range(2):
            for number in range(60, 90):
                cache.get(make_key(number), WIDTH)
                cache.put(make_key(number), make_row(number))
        assert_array_equal(cache.get(make_key(89), WIDTH), make_row(89))


# Its imports are few: four of them are started.
WRITER = f"""
import sys
from pathlib import Path
import numpy as np
from stratonet_sklearn.cache import FeatureCache
WIDTH = {WIDTH}
{inspect.getsource(make_key)}
{inspect.getsource(make_row)}
with FeatureCache(Path(sys.argv[1])) as cache:
    for turn in range(int(sys.argv[2])):
        for number in range(100):
            row = cache.get(make_key(number), WIDTH)
            assert row is None or (row == make_row(number)).all()
            cache.put(make_key(number), make_row(number))
        print("turn", turn, flush=True)
"""


def start_writer(folder, turns):
    command = [sys.executable, "-c", WRITER, str(folder), str(turns)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )


@pytest.mark.slow
def test_many_processes_and_some_that_are_killed(tmp_path):
    killed = [start_writer(tmp_path, 100_000) for _ in range(2)]
    others = [start_writer(tmp_path, 3) for _ in range(2)]
    for process in killed:
        process.stdout.readline()
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    for process in others:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0 and not err, err
    with FeatureCache(tmp_path) as cache:
        for number in range(100):
            assert_array_equal(cache.get(make_key(number), WIDTH), make_row(number))


def test_a_folder_that_cannot_be(images, planes_seen, tmp_path):
    (tmp_path / "file").write_text("no folder")
    kept = StratoFeatureTransformer(recipe=RECIPE, cache=tmp_path / "file" / "kept")
    expected = StratoFeatureTransformer(recipe=RECIPE).fit_transform(images)
    with one_warning("measured without it"):
        for _ in range(2):
            found = kept.fit_transform(images)
            assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert len(planes_seen) == 3 * 24


def test_a_folder_that_can_only_be_read_is_read(tmp_path, monkeypatch):
    """Root may write anywhere: SQLite itself is told that the file is to be read."""
    fill(tmp_path, 3)
    connect = sqlite3.connect

    def connect_to_read(path, *rest, **options):
        return connect(f"file:{path}?mode=ro", *rest, uri=True, **options)

    monkeypatch.setattr(cache_module.sqlite3, "connect", connect_to_read)
    with one_warning("readonly database"):
        for _ in range(2):
            with FeatureCache(tmp_path) as cache:
                cache.put(make_key(7), make_row(7))
                assert_array_equal(cache.get(make_key(1), WIDTH), make_row(1))
                assert cache.get(make_key(7), WIDTH) is None


def test_a_file_that_another_process_holds(tmp_path, monkeypatch):
    fill(tmp_path, 3)
    monkeypatch.setattr(cache_module, "PATIENCE", 0.1)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with one_warning("locked"), FeatureCache(tmp_path) as cache:
            assert cache.get(make_key(1), WIDTH) is None
            cache.put(make_key(7), make_row(7))


FULL_DISK = """
import resource, sys
import numpy as np
from stratonet_sklearn import StratoFeatureTransformer
images = np.random.default_rng(0).integers(0, 4096, (12, 32, 32), np.uint16)
settings = {"recipe": "whole32/mean", "taps": "conv2_block1_out"}
expected = StratoFeatureTransformer(**settings).fit_transform(images)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
kept = StratoFeatureTransformer(**settings, cache=sys.argv[1])
for _ in range(2):
    assert np.allclose(kept.fit_transform(images), expected, rtol=1e-4, atol=1e-5)
"""


@pytest.mark.slow
def test_a_full_disk(tmp_path):
    """The operating system breaks off half-way, as where a disk is full."""
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("measured without it") == 1
    assert "disk" in done.stderr
    # What was written until then is whole.
    file = sqlite3.connect(tmp_path / FILE)
    assert file.execute("SELECT count(*) FROM features").fetchone()[0] > 0
    assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    file.close()
