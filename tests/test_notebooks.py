"""The notebooks run, from the first cell to the last; their pictures are those kept."""

import ast
import json
import re
import shlex

import pytest
from pages import ROOT

for library in ("matplotlib", "pyarrow", "sklearn"):
    pytest.importorskip(library, reason="notebooks need stratonet[evaluate]")

import stratonet_cli  # noqa: E402

# Images go through the network.
pytestmark = pytest.mark.slow
FOLDER = ROOT / "docs" / "notebooks"


def read_cells(name):
    notebook = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return notebook["cells"]


def run_cells(name):
    """Run the code of a notebook, cell by cell, and return its names."""
    names = {}
    for number, cell in enumerate(read_cells(name)):
        if cell["cell_type"] == "code":
            tree = ast.parse("".join(cell["source"]))
            exec(compile(tree, f"{name}, cell {number}", "exec"), names)
    return names


@pytest.fixture
def run(tmp_path, monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    pyplot.switch_backend("agg")
    yield run_cells
    pyplot.close("all")


def test_the_first_hour(run):
    names = run("first_hour.ipynb")
    assert names["summary"].image_sets == 12
    assert names["scores"].mean() == 1


def test_bbbc013(run, data, monkeypatch):
    monkeypatch.setenv("STRATONET_TEST_DATA", str(data))
    names = run("bbbc013.ipynb")
    response, dose = names["response"], names["dose"]
    assert response[dose >= 62].min() > response[(dose > 0) & (dose < 2)].max()


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.ipynb")))
def test_a_notebook_is_as_it_was_looked_at(name):
    path = FOLDER / name
    assert path.stat().st_size < 300_000
    cells = read_cells(name)
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", ()) for output in outputs) == 2
    assert not any(output["output_type"] == "error" for output in outputs)
    # Neither warnings nor places of the machine where it ran.
    assert not any(output.get("name") == "stderr" for output in outputs)
    assert not re.search(r"/(?:home|root|tmp|work)/", path.read_text("utf-8"))
    for cell in cells:
        if cell["cell_type"] == "markdown":
            for line in re.findall(
                r"^ {4}stratonet (.*)", "".join(cell["source"]), re.M
            ):
                stratonet_cli.build_parser().parse_args(shlex.split(line))
