"""What the server keeps in memory, and how it renders pages."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from stratonet_app.apart import Helper, TookTooLong
from stratonet_app.choices import Choices
from stratonet_app.recognition import Refused, SourceContent, recognize
from stratonet_app.runs import Run, find_run


@dataclass
class Draft:
    """A run that is being set up.

    Attributes
    ----------
    choices : Choices
        The choices so far.
    output : str
        Folder of the run.
    source_content : SourceContent or Refused or None
        What the source holds; None if it has not been read.
    number : int
        Number of the image set in the preview, from 1.
    """

    choices: Choices
    output: str
    source_content: SourceContent | Refused | None = None
    number: int = 1


def propose_output(source: Path) -> str:
    """Propose a folder for a run: beside its source.

    Examples
    --------
    >>> propose_output(Path("/data/P1"))
    '/data/P1-stratonet'
    """
    name = source.name if source.is_dir() else source.name.partition(".")[0]
    return str(source.parent / f"{name or 'images'}-stratonet")


@dataclass
class Desk:
    """What the pages of an app share.

    Attributes
    ----------
    root : pathlib.Path
        The folder where the app was started and browsing begins.
    helper : Helper
        Reads folders and images.
    drafts : dict of str to Draft
        By their names in addresses.
    runs : dict of str to pathlib.Path
        The folders of runs that were opened in this app, by their names in addresses.
    home, reports : str
        How the addresses of pages and of reports begin, see `stratonet_app.guard`.
    """

    root: Path
    helper: Helper = field(default_factory=Helper)
    drafts: dict[str, Draft] = field(default_factory=dict)
    runs: dict[str, Path] = field(default_factory=dict)
    home: str = ""
    reports: str = ""

    def add_draft(self, choices: Choices, output: str) -> str:
        """Begin a run; return its name in addresses."""
        name = secrets.token_urlsafe(6)
        self.drafts[name] = Draft(choices, output)
        return name

    def get_draft(self, name: str) -> Draft:
        """Return a run that is being set up."""
        if name not in self.drafts:
            raise HTTPException(
                404,
                "This page belongs to an app that has been closed. Begin again on the"
                " first page; open a run that was started by its folder.",
            )
        return self.drafts[name]

    def add_run(self, folder: Path) -> str:
        """Make a run accessible; return its name in addresses."""
        name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
        self.runs[name] = folder.resolve()
        return name

    def get_run(self, name: str) -> Run:
        """Return a run that was opened in this app."""
        run = find_run(self.runs[name]) if name in self.runs else None
        if run is None:
            raise HTTPException(
                404,
                "This run was not opened in this app, or its folder is gone. Type its"
                " folder on the first page.",
            )
        return run

    def read_source(self, draft: Draft) -> SourceContent | Refused:
        """Read what the source of a draft holds now."""
        try:
            draft.source_content = self.helper.call(recognize, draft.choices)
        except TookTooLong as error:
            draft.source_content = Refused(str(error))
        if isinstance(draft.source_content, SourceContent):
            draft.number = min(draft.number, draft.source_content.n_image_sets)
        return draft.source_content

    def get_source_content(self, draft: Draft) -> SourceContent | Refused:
        """Return what the source of a draft holds, as it was read last."""
        return draft.source_content or self.read_source(draft)

    def go_to(self, address: str) -> Response:
        """Redirect the browser to a page of the app."""
        # By GET, so that reloading the page does not send a form again.
        return RedirectResponse(self.home + address, 303)

    def render(self, page: str, status: int = 200, **values: Any) -> Response:
        """Render a page."""
        template = self._templates.get_template(page)
        # Names of files need not be valid text: other bytes become question marks.
        content = template.render(values, home=self.home).encode("utf-8", "replace")
        return HTMLResponse(content, status)

    @cached_property
    def _templates(self) -> jinja2.Environment:
        return jinja2.Environment(
            loader=jinja2.PackageLoader("stratonet_app", "templates"),
            # Names of files come from users, and are never HTML.
            autoescape=True,
            # A misspelt name in a template is an error, not an empty line.
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )


def read_asset(package: str, name: str) -> bytes:
    """Read a file of the app that is sent unchanged."""
    return files(package).joinpath(name).read_bytes()
