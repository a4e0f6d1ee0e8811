"""The outcome of measuring a unit: how much of it could not be measured, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stratonet.extraction.measure import MeasuredImageSet
from stratonet.extraction.units import FILE_PREFIXES
from stratonet.files.urls import redact_url
from stratonet.naming import parse_image_column


@dataclass
class Outcome:
    """How many image sets of a unit are incomplete, and why.

    Attributes
    ----------
    n_incomplete : int
        How many image sets could not be measured completely.
    reasons : dict of str to str
        One example of each type of reason, by its type: the reason without the channel,
        the file and the numbers in it.

    Examples
    --------
    >>> Outcome(1, {"is damaged": "DNA: /data/a.tif is damaged"}).n_incomplete
    1
    """

    n_incomplete: int = 0
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, image_set: Mapping[str, Any], measured: MeasuredImageSet) -> None:
        """Add an image set that was measured.

        Parameters
        ----------
        image_set : mapping
            In normal form.
        measured : MeasuredImageSet
            Its features and errors.
        """
        self.n_incomplete += any(measured.errors)
        for errors in measured.errors:
            for _, reason in errors:
                self.reasons.setdefault(_find_reason_type(reason, image_set), reason)


def _find_reason_type(reason: str, image_set: Mapping[str, Any]) -> str:
    """Return a reason without the channel, the file and the numbers in it."""
    reason_type = reason.partition(": ")[2]
    for name, value in image_set.items():
        column = parse_image_column(name)
        if column and column[0] in FILE_PREFIXES and value is not None:
            reason_type = reason_type.replace(redact_url(value), "")
    return re.sub(r"\d+", "0", reason_type)
