"""The pages of the repository and the blocks of code in them."""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
# What the readers of the pages type.
PROGRAMS = ("stratonet", "python -m training")
# An interpreter with its folder is the same program.
INTERPRETER = re.compile(r"\S*bin/(?=python|stratonet)")
COMMAND = re.compile(rf"(?<![\w./-])(?:{'|'.join(PROGRAMS)}) [^\n\"|;#)]*")


@dataclass(frozen=True)
class Block:
    """A block of code, with the line of its page where it begins."""

    language: str
    code: str
    line: int


def list_pages():
    """All Markdown pages, relative to the root of the repository."""
    pages = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("stratonet*/**/*.md"),
        *ROOT.glob("cellprofiler_plugin/**/*.md"),
        *ROOT.glob("training/*.md"),
    ]
    return sorted(str(page.relative_to(ROOT)) for page in pages)


def read_blocks(page):
    """Blocks of code: between fences, with their language, or indented, without."""
    tokens = MarkdownIt().parse((ROOT / page).read_text(encoding="utf-8"))
    blocks = []
    for token in tokens:
        if token.type in ("fence", "code_block"):
            code = textwrap.dedent(token.content)
            blocks.append(Block(token.info.strip(), code, token.map[0] + 1))
    return blocks


def read_spans(page):
    """The text of each span of code within a sentence or a table."""
    tokens = MarkdownIt().enable("table").parse((ROOT / page).read_text("utf-8"))
    children = [child for token in tokens for child in token.children or []]
    return [child.content for child in children if child.type == "code_inline"]


def find_commands(text):
    """The commands of ours in a text, each on one line, shell's variables filled in."""
    text = text.replace("\\\n", " ")
    text = INTERPRETER.sub("", text)
    # "$((N + 1))/200", ${name} and $name stand for numbers and words.
    text = re.sub(r"\"?\$\(\([^)]*\)\)(/\d+)?\"?", r"1\1", text)
    text = re.sub(r"\$\{[^}]*\}|\$\w+", "1", text)
    # Words in quotation marks hold nothing that would end a command.
    text = re.sub(r"\"[\w./= -]*\.{3}\"", "words", text)
    return [match.group().strip() for match in COMMAND.finditer(text)]
