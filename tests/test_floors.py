"""Arrows point down: what import-linter cannot see, for it reads packages alone.

The contracts between packages are in pyproject.toml, and `make lint` checks them.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "stratonet",
    "stratonet_app",
    "stratonet_sklearn",
    "cellprofiler_plugin",
    "training",
)
ROOF = {"stratonet_cli", "benchmarks"}
TENSORFLOW = {"tensorflow", "keras", "tf2onnx"}
# They measure training itself, and TensorFlow as a peer.
MEASURE_TENSORFLOW = {"benchmarks/training_speed.py", "benchmarks/speed.py"}


def read_imports(path):
    """The packages that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "import_module",
            "importlib.import_module",
        ):
            names.update(a.value for a in node.args if isinstance(a, ast.Constant))
    return {name.partition(".")[0] for name in names}


def test_the_demo_knows_the_floors_below_it():
    imports = read_imports("stratonet_demo.py")
    assert not imports & (ROOF | TENSORFLOW | {"training", "stratonet_app"})


def test_the_command_line_knows_no_benchmarks():
    assert not read_imports("stratonet_cli.py") & (TENSORFLOW | {"benchmarks"})


BENCHMARKS = sorted(path.name for path in ROOT.glob("benchmarks/*.py"))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmarks_leave_tensorflow_to_training(name):
    path = f"benchmarks/{name}"
    if path not in MEASURE_TENSORFLOW:
        assert not read_imports(path) & TENSORFLOW


def test_packages_are_only_read_with_absolute_imports():
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            imports = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
            assert not any(node.level for node in imports), path
