"""What packages hand on when it is used, and say where what it needs is missing."""

import ast
import inspect
import subprocess
import sys

import pytest

pytest.importorskip("pandas", reason="what is handed on needs pandas")
pytest.importorskip("pycytominer", reason="the evaluation needs stratonet[evaluate]")

import stratonet.extraction  # noqa: E402
import stratonet.tables  # noqa: E402
import stratonet_sklearn.evaluation  # noqa: E402
import stratonet_sklearn.report  # noqa: E402

PACKAGES = [
    stratonet.extraction,
    stratonet.tables,
    stratonet_sklearn,
    stratonet_sklearn.evaluation,
    stratonet_sklearn.report,
]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_is_there(package):
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
        assert name in dir(package)
    with pytest.raises(AttributeError, match="has no attribute 'resample'"):
        package.resample  # noqa: B018


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_read_of_the_same_modules(package):
    """They follow the imports under ``if TYPE_CHECKING``, the others `_HOMES`."""
    statements = ast.parse(inspect.getsource(package)).body
    (checked,) = (part for part in statements if isinstance(part, ast.If))
    imported = {
        name.name: statement.module
        for statement in checked.body
        for name in statement.names
    }
    assert imported == package._HOMES
    assert set(package.__all__) <= set(imported)


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
