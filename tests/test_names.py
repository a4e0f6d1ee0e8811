"""Names say what they hold: a path, a well, a match, not a thing that was found."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE = (
    "stratonet",
    "stratonet_app",
    "stratonet_sklearn",
    "cellprofiler_plugin",
    "training",
    "benchmarks",
)
FILES = [
    *(path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))),
    *sorted(ROOT.glob("stratonet_*.py")),
]
VAGUE = {
    *("place", "places", "one", "ones", "thing", "things", "kind", "kinds"),
    *("there", "here", "what", "who", "way", "both", "whole"),
    *("found", "given", "held", "kept", "known", "made", "said", "seen", "asked"),
}


def list_names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name


def list_vague_names(source):
    names = {name.strip("_") for name in list_names(ast.parse(source))}
    return sorted(names & VAGUE)


def test_names_are_not_vague():
    vague = {str(path): list_vague_names(path.read_text()) for path in FILES}
    assert {path: names for path, names in vague.items() if names} == {}


def test_a_vague_name_is_noticed():
    source = "def f(place):\n    self.kept = place\n    found: int = 1"
    assert list_vague_names(source) == ["found", "kept", "place"]
