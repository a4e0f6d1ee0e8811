"""How Sphinx builds the pages: ``make docs``.

The sources start at the root of the repository, so that the links between README.md,
docs/ and training/README.md are the same here as where the code is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pygments.lexers.jvm import GroovyLexer

import stratonet

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "StratoNet"
author = copyright = "the StratoNet authors"
release = stratonet.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc"]
root_doc = "docs/index"
source_suffix = {".md": "markdown"}
include_patterns = [
    "*.md",
    "docs/**.md",
    "stratonet/extraction/README.md",
    "stratonet_sklearn/report/README.md",
    "stratonet/weights/LICENSES.md",
    "training/README.md",
]
# The page of the package index repeats the README. Environments hold so many files that
# looking at each takes longer than all pages do.
exclude_patterns = ["docs/package.md", ".*", "build", "dist", "stratonet-results"]

# `name` in a docstring is a link where the name is documented here.
default_role = "py:obj"
# Headings are link targets, under the names that they have where the code is read.
myst_heading_anchors = 3

# The docstrings say the types of the parameters, with shapes and units.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False

html_theme = "furo"
html_title = f"StratoNet {release}"
html_copy_source = False
html_show_sourcelink = False


def setup(app: Sphinx) -> None:
    """Tell Pygments that Nextflow is a kind of Groovy."""
    app.add_lexer("nextflow", GroovyLexer)
