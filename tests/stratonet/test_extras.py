"""What a missing package leads to: the right extra, and not the end of CellProfiler."""

import pytest

from stratonet import extras
from stratonet.extras import name_missing_extra


@pytest.fixture
def install(monkeypatch):
    """Let packages be installed in given versions, and no others."""

    def set_versions(**versions):
        def find(name):
            if name not in versions:
                raise extras.PackageNotFoundError(name)
            return versions[name]

        monkeypatch.setattr(extras, "version", find)

    return set_versions


def ask(*wanted):
    with pytest.raises(ImportError) as caught, name_missing_extra("It", *wanted):
        import not_there  # noqa: F401
    return str(caught.value)


@pytest.mark.parametrize(
    "versions",
    [{}, {"scikit-learn": "0.24.2"}, {"scikit-learn": "1.7.2", "cellprofiler": "4.2"}],
)
def test_the_extra_is_named(install, versions):
    install(**versions)
    assert ask("evaluate") == (
        "It needs the package not_there. Install stratonet[evaluate]."
    )


def test_scikit_learn_of_cellprofiler_is_not_replaced(install):
    install(**{"scikit-learn": "0.24.2", "cellprofiler": "4.2.8.1"})
    said = ask("evaluate")
    assert "into an environment of its own, not into this one" in said
    assert "scikit-learn that CellProfiler needs" in said
    assert ask("extract", "sklearn").endswith("Install stratonet[extract].")
    assert ask("cellprofiler").endswith("Install stratonet[cellprofiler].")
