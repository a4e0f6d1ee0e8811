"""What is installed: files, versions, dependencies, the page of the package index."""

import re
from importlib.metadata import metadata, requires, version
from importlib.resources import files
from pathlib import Path

import pytest

import stratonet

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "package, path",
    [
        ("stratonet", "py.typed"),
        ("stratonet", "weights/stratonet50.onnx"),
        ("stratonet", "weights/stratonet50-int8.onnx"),
        ("stratonet", "weights/LICENSES.md"),
        ("stratonet_app", "py.typed"),
        ("stratonet_app", "app.css"),
        ("stratonet_app", "app.js"),
        ("stratonet_app", "templates/base.html"),
        ("stratonet_sklearn", "py.typed"),
        ("stratonet_sklearn.report", "report.html"),
        ("stratonet_sklearn.report", "report.css"),
        ("stratonet_sklearn.report", "explore.js"),
        ("stratonet_sklearn.report", "figures.js"),
        ("cellprofiler_plugin", "py.typed"),
        ("cellprofiler_plugin.plugins", "measurestratofeatures.py"),
        ("cellprofiler_plugin", "load_data.cppipe"),
        ("cellprofiler_plugin.plugins", "wholeimages.cppipe"),
        ("cellprofiler_plugin.plugins", "example_images/A01_s1_DNA.png"),
    ],
)
def test_files_are_installed(package, path):
    assert files(package).joinpath(path).is_file()


def test_images_are_built_from_all_that_the_wheel_has():
    ignored = ROOT / ".dockerignore"
    if not ignored.exists():
        pytest.skip("the source distribution has no Dockerfile")
    there = {line[1:] for line in ignored.read_text().split() if line[0] == "!"}
    packages = {path.parent.name for path in ROOT.glob("*/py.typed")}
    modules = {path.name for path in ROOT.glob("stratonet*.py")}
    wanted = packages | modules
    assert len(wanted) > 4 and wanted <= there


def test_the_version_is_in_one_place():
    assert version("stratonet") == stratonet.__version__
    assert not re.search(r"^version:", (ROOT / "CITATION.cff").read_text(), re.M)
    project = (ROOT / "pyproject.toml").read_text()
    assert 'dynamic = ["version"]' in project


def test_every_dependency_has_a_lower_bound():
    # What the wheel asks of itself, as stratonet[extract], is no dependency.
    names = [name for name in requires("stratonet") if not name.startswith("stratonet")]
    assert len(names) > 30
    assert [name for name in names if ">=" not in name] == []


def test_the_page_of_the_package_index_has_no_links_into_the_repository():
    page = metadata("stratonet").get_payload() or metadata("stratonet")["Description"]
    assert page.lstrip().startswith("# StratoNet")
    links = re.findall(r"\]\(([^)]*)\)", page)
    assert [link for link in links if not link.startswith("https://")] == []


def test_the_changelog_has_the_feature_set_that_ships():
    from stratonet.weights_file import read_feature_set_id

    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    numbers = changelog.partition("### Numbers that changed")[2].partition("###")[0]
    assert f"`{read_feature_set_id()}`" in numbers
