"""Section: the first sentence of the page, and notes on controls and metadata."""

from __future__ import annotations

from stratonet_sklearn.report.data import ReportData
from stratonet_sklearn.report.section import Answer, Block, Caution, Content, Fact


def build_headline(data: ReportData) -> Content | None:
    """Say whether the assay works, which treatments are active, and at which dose.

    Parameters
    ----------
    data : ReportData
        With compounds, or with negative and positive controls.

    Returns
    -------
    Content or None
        Without a heading. None if there is nothing to say.
    """
    blocks: list[Block] = []
    knows_controls = data.controls is not None and data.positive is not None
    if data.treatments.compound or knows_controls:
        screen = data.screen_or_reason
        if isinstance(screen, str):
            text = f"Controls, hits and doses were not evaluated: {screen}"
            blocks.append(Caution(text))
        else:
            blocks.append(Answer(screen.headline))
    if data.control_notes:
        blocks.append(Fact("Controls", " ".join(data.control_notes)))
    if data.changes:
        blocks.append(Fact("Metadata", " ".join(data.changes)))
    return Content("Headline", blocks) if blocks else None
