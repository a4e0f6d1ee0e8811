"""Data for the scripts of the page: the wells, and their positions in figures."""

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

# Columns of `Plot.wells` that say where a row is drawn; all others colour it.
POSITION_COLUMNS = ("plate", "well", "panel", "x", "y")
# Significant digits: enough for readers, and to tell colours apart.
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
        Those whose wells have positions.
    """
    return [plot for plot in plots if plot.shown and _has_positions(plot.wells)]


def _has_positions(wells: pd.DataFrame | None) -> bool:
    # A figure of one dot has nothing to explore.
    if wells is None or len(wells) < 2:
        return False
    return "x" in wells or not locate_wells(wells["well"])[0].isna().any()


def write_data(plots: Iterable[Plot], wells: Wells) -> str:
    """Write the data for the scripts.

    Parameters
    ----------
    plots : iterable of Plot
        Those that can be explored.
    wells : Wells
        With their treatments.

    Returns
    -------
    str
        JSON that is safe in an HTML page.
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
    # A name may contain text that ends a script.
    return text.replace("<", "\\u003c")


def _describe_figure(
    plot: Plot, numbers: dict[tuple[str, str], int]
) -> dict[str, object]:
    assert plot.wells is not None
    frame = plot.wells
    keys = zip(frame["plate"].astype(str), frame["well"].astype(str))
    # Wells that the report does not list have no number: plate and well name them.
    described: dict[str, object] = {
        "well": [numbers.get(key, list(key)) for key in keys],
        "colors": {
            name: _list_values(frame[name])
            for name in frame
            if name not in POSITION_COLUMNS
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
    """List numbers rounded to a few digits, None where missing, or texts."""
    if not pd.api.types.is_numeric_dtype(column):
        return column.fillna("").astype(str).tolist()
    values = column.to_numpy(float)
    return [
        float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values
    ]


# Packing takes half a second.
@cache
def pack_library() -> str:
    """Pack plotly.js into a text of a third of its size.

    Returns
    -------
    str
        A gzip file in base64, the same each time.
    """
    from plotly.offline import get_plotlyjs

    packed = gzip.compress(get_plotlyjs().encode(), mtime=0)
    return base64.b64encode(packed).decode()
