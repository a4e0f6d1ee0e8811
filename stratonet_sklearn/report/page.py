"""A report as it is written.

One HTML page that needs nothing else, figures as PNG, numbers as CSV.
"""

import base64
import io
import re
from pathlib import Path

import jinja2

from stratonet.drawing import DPI


class Page:
    """Sections of text, tables and figures, in the order in which they are added.

    Parameters
    ----------
    output : path
        Folder, made if missing: ``report.html``, ``figures/*.png``, ``numbers/*.csv``.
        Those of an older report in it are removed.

    Attributes
    ----------
    answer, warnings : list of str
        The first lines.
    facts : list of (str, str)
        What the numbers were made of.
    """

    def __init__(self, output):
        self.output = Path(output)
        older = (self.output / "report.html").exists()
        for folder, kind in (("figures", "png"), ("numbers", "csv")):
            (self.output / folder).mkdir(parents=True, exist_ok=True)
            for path in (self.output / folder).glob(f"*.{kind}") if older else ():
                path.unlink()
        self.answer, self.warnings, self.facts = [], [], []
        self._sections, self._numbers = [], []

    def section(self, title):
        """Begin a section, to which what follows is added."""
        self._sections.append((title, []))

    def text(self, *paragraphs):
        self._add(("text", paragraphs))

    def table(self, frame, caption):
        """A short table, as it is to be read: its values are texts."""
        self._add(("table", (frame.reset_index(drop=True), caption)))

    def numbers(self, name, frame):
        """Write ``numbers/<name>.csv``, at full precision."""
        frame.to_csv(self.output / "numbers" / f"{name}.csv", index=False)
        self._numbers.append(name)

    def figure(self, name, figure, caption, shown=True):
        """Write ``figures/<name>.png``, and show it with a caption, which is also its text for those who do not see it."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI)
        (self.output / "figures" / f"{name}.png").write_bytes(buffer.getvalue())
        if shown:
            width = int(figure.get_figwidth() * DPI)
            self._add(
                (
                    "figure",
                    (
                        name,
                        base64.b64encode(buffer.getvalue()).decode(),
                        caption,
                        width,
                    ),
                )
            )

    def write(self, title):
        """Write the page; returns its path."""
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("stratonet_sklearn.report", "."),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        path = self.output / "report.html"
        page = environment.get_template("report.html").render(
            title=title,
            answer=self.answer,
            warnings=self.warnings,
            facts=self.facts,
            sections=[
                (name, _anchor(name), items) for name, items in self._sections if items
            ],
            numbers=self._numbers,
        )
        path.write_text(page, encoding="utf-8")
        return path

    def _add(self, item):
        self._sections[-1][1].append(item)


def _anchor(title):
    return re.sub(r"\W+", "-", title.lower()).strip("-")
