"""What `stratonet_sklearn` hands on, and what it says where a package is missing."""

import subprocess
import sys

import pytest

import stratonet_sklearn
from stratonet_sklearn import evaluation


@pytest.mark.parametrize("package", [stratonet_sklearn, evaluation])
def test_every_name_is_there(package):
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
        assert name in dir(package)
    with pytest.raises(AttributeError, match="has no attribute 'resample'"):
        package.resample  # noqa: B018


def run(code):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_the_transformer_does_not_need_the_evaluation():
    done = run(
        "import sys; sys.modules['imblearn'] = sys.modules['imblearn.base'] = None\n"
        "import stratonet_sklearn; stratonet_sklearn.StratoFeatureTransformer\n"
        "stratonet_sklearn.StratifiedResampler"
    )
    assert "StratifiedResampler needs the package imblearn" in done.stderr
    assert "Install stratonet[evaluate]" in done.stderr


def test_without_scikit_learn_the_extra_is_named():
    done = run(
        "import sys; sys.modules['sklearn'] = sys.modules['sklearn.base'] = None\n"
        "from stratonet_sklearn import StratoFeatureTransformer"
    )
    assert "StratoFeatureTransformer needs the package sklearn" in done.stderr
    assert "Install stratonet[sklearn]" in done.stderr
