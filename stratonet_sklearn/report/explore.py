"""What the scripts of the page are given: the wells, and where figures draw them."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable
from functools import cache

import numpy as np
import pandas as pd

from stratonet.tables.wells import choose_plate_format, locate_wells
from stratonet_sklearn.report.section import Plot, Wells

# Columns of `Plot.wells` that place a row; all others colour it.
PLACES = ("plate", "well", "panel", "x", "y")
# Enough to be read, and to tell colours apart.
DIGITS = 4


def list_figures(plots: Iterable[Plot]) -> list[Plot]:
    """List the figures that can be explored.

    Parameters
    ----------
    plots : iterable of Plot
        All of the page.

    Returns
    -------
    list of Plot
        Those with wells that have a place.
    """
    return [plot for plot in plots if plot.shown and _has_places(plot.wells)]


def _has_places(wells: pd.DataFrame | None) -> bool:
    # Of a figure of one dot there is nothing to explore.
    if wells is None or len(wells) < 2:
        return False
    return "x" in wells or not locate_wells(wells["well"])[0].isna().any()


def write_data(plots: Iterable[Plot], wells: Wells) -> str:
    """Write what the scripts read.

    Parameters
    ----------
    plots : iterable of Plot
        Those that can be explored.
    wells : Wells
        With their treatments.

    Returns
    -------
    str
        JSON that may stand in an HTML page.
    """
    frame = wells.frame
    numbers = {
        key: number for number, key in enumerate(zip(frame["plate"], frame["well"]))
    }
    columns = {name: frame[name].tolist() for name in ("plate", "well", "treatment")}
    content = {
        "wells": {**columns, "negative": frame["negative"].tolist()},
        "key": wells.key,
        "figures": {plot.name: _describe_figure(plot, numbers) for plot in plots},
    }
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    # A name may hold what ends a script.
    return text.replace("<", "\\u003c")


def _describe_figure(
    plot: Plot, numbers: dict[tuple[str, str], int]
) -> dict[str, object]:
    assert plot.wells is not None
    frame = plot.wells
    keys = zip(frame["plate"].astype(str), frame["well"].astype(str))
    # A well that the report does not list has no treatment, but a name.
    described: dict[str, object] = {
        "well": [numbers.get(key, list(key)) for key in keys],
        "colors": {
            name: _list_values(frame[name]) for name in frame if name not in PLACES
        },
    }
    if plot.scale:
        described["scale"] = plot.scale
    if "panel" in frame:
        described["panel"] = frame["panel"].astype(str).tolist()
    if "x" in frame:
        return {
            **described,
            "x": _list_values(frame["x"]),
            "y": _list_values(frame["y"]),
            **({"labels": plot.labels} if plot.labels else {}),
        }
    rows, columns = locate_wells(frame["well"])
    shape = choose_plate_format(int(rows.max()), int(columns.max()))
    x, y = columns.astype(int).tolist(), rows.astype(int).tolist()
    return {**described, "x": x, "y": y, "shape": shape}


def _list_values(column: pd.Series) -> list[object]:
    """List numbers of a few digits, None where there is none, or texts."""
    if not pd.api.types.is_numeric_dtype(column):
        return column.fillna("").astype(str).tolist()
    values = column.to_numpy(float)
    return [
        float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values
    ]


# Packing takes half a second.
@cache
def pack_library() -> str:
    """Pack plotly.js into a text, a third of its size.

    Returns
    -------
    str
        base64 of a gzip file, the same each time.
    """
    from plotly.offline import get_plotlyjs

    packed = gzip.compress(get_plotlyjs().encode(), mtime=0)
    return base64.b64encode(packed).decode()
