"""The first sentence of the page, and what was taken for controls."""

from __future__ import annotations

from stratonet_sklearn.report.data import ReportData
from stratonet_sklearn.report.section import Answer, Block, Content, Fact


def build_headline(data: ReportData) -> Content | None:
    """Say whether the assay works, which treatments are active, and at which dose.

    Parameters
    ----------
    data : ReportData
        With compounds, or with negative and positive controls.

    Returns
    -------
    Content or None
        Without a heading. None where neither is known.
    """
    blocks: list[Block] = []
    knows_controls = data.controls is not None and data.positive is not None
    if data.screen is not None and (data.treatments.compound or knows_controls):
        blocks.append(Answer(data.screen.headline))
    if data.control_notes:
        blocks.append(Fact("Controls", " ".join(data.control_notes)))
    return Content("Headline", blocks) if blocks else None
