"""The messages that the page on errors explains are those of the code."""

import ast
import re

import pytest
from pages import ROOT

PAGE = ROOT / "docs" / "faq.md"
PACKAGES = ("stratonet", "stratonet_sklearn", "cellprofiler_plugin")


def read_text(node):
    """A text in the code, with ... where something is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(read_text(part) or "..." for part in node.values)
    return ""


@pytest.fixture(scope="module")
def texts():
    files = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    assert len(files) > 100
    nodes = (node for path in files for node in ast.walk(ast.parse(path.read_text())))
    return {text for text in map(read_text, nodes) if " " in text}


def list_messages():
    """The first column of the tables."""
    page = PAGE.read_text(encoding="utf-8").partition("## What went wrong")[2]
    return re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)


MESSAGES = list_messages()


def test_there_are_messages_and_each_has_its_reason_and_remedy():
    assert len(MESSAGES) > 40
    rows = re.findall(r"^\| `.*", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert all(len(row.strip(" |").split(" | ")) == 3 for row in rows)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_one_of_the_code(message, texts):
    parts = [part for part in message.split("...") if part.strip(" .:(")]
    pattern = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
    assert parts
    assert any(pattern.search(text) for text in texts)
