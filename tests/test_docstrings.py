"""What users import says what goes in and what comes out, and shows an example."""

import inspect
from importlib import import_module

import pytest

MODULES = (
    "stratonet",
    "stratonet.extraction",
    "stratonet.tables",
    "stratonet_sklearn",
)
# Users are given these and make none of them.
RESULTS = {"Card", "FeatureTable", "Planes", "Scaling", "Summary", "Tap"}


def list_public_objects():
    for module in MODULES:
        for name in import_module(module).__all__:
            value = getattr(import_module(module), name)
            if callable(value) and name not in RESULTS:
                yield pytest.param(value, id=f"{module}.{name}")


PUBLIC = list(list_public_objects())


@pytest.mark.parametrize("value", PUBLIC)
def test_it_has_an_example(value):
    docs = [value.__doc__ or ""]
    if inspect.isclass(value):
        methods = inspect.getmembers(value, inspect.isroutine)
        docs += [method.__doc__ or "" for name, method in methods if name[0] != "_"]
    assert any(">>>" in doc for doc in docs)


@pytest.mark.parametrize("value", PUBLIC)
def test_it_says_what_goes_in_and_comes_out(value):
    doc = value.__doc__
    if inspect.isclass(value):
        assert "Parameters\n" in doc or "Attributes\n" in doc
    else:
        assert "Parameters\n" in doc
        assert "Returns\n" in doc or "Yields\n" in doc
