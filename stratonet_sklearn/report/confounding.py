"""Section: whether the layout of the plates gives the classes away.

It has no heading of its own: what it finds is a caution at the top of the page.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from stratonet.tables.columns import BATCH, PLATE, WELL
from stratonet.tables.wells import split_well_names
from stratonet_sklearn.evaluation.columns import name_wells
from stratonet_sklearn.evaluation.splits import measure_confounding
from stratonet_sklearn.report.data import ReportData
from stratonet_sklearn.report.section import Block, Caution, Content, Numbers


def build_confounding(data: ReportData) -> Content | None:
    """Warn of plates, batches, rows and columns that are associated with the class.

    Parameters
    ----------
    data : ReportData
        With an evaluation.

    Returns
    -------
    Content or None
        None if nothing was classified, or the layout does not vary.
    """
    if data.evaluation is None:
        return None
    labels, layout = list_layout(data.tested_rows, data.evaluation.labels)
    associations = measure_confounding(labels, layout)
    # One plate, one row and one column: nothing can be associated.
    if associations.empty:
        return None
    blocks: list[Block] = [Caution(text) for text in word_confounding(associations)]
    blocks.append(Numbers("confounding", associations.reset_index()))
    return Content("Confounding", blocks)


def list_layout(
    rows: pd.DataFrame, labels: np.ndarray
) -> tuple[pd.Series, pd.DataFrame]:
    """List the class of each well, and where the well lies.

    Its plate, batch, row or column may give the class away without any image.

    Parameters
    ----------
    rows : pandas.DataFrame (n rows)
        ``Metadata_*`` of the rows that were classified.
    labels : numpy.ndarray (n rows,)
        Their classes.

    Returns
    -------
    labels : pandas.Series (n wells,)
        A well with two classes is listed twice.
    layout : pandas.DataFrame (n wells)
        ``plate``, ``batch``, ``row of the plate``, ``column of the plate``: those that
        are known for all wells.
    """
    frame = pd.DataFrame(
        {"label": labels, "well": name_wells(rows), "plate": rows[PLATE]}
    )
    if BATCH in rows:
        frame["batch"] = rows[BATCH]
    letters, columns = split_well_names(rows[WELL])
    # Whole rows or columns often have one treatment, and edges dry out.
    frame["row of the plate"] = letters
    frame["column of the plate"] = columns
    # Sites of a well are not independent observations of the layout.
    frame = frame.drop_duplicates(["label", "well"]).dropna(axis=1)
    return frame["label"], frame.drop(columns=["label", "well"])


def word_confounding(associations: pd.DataFrame) -> list[str]:
    """Describe which parts of the layout are associated with the class.

    Parameters
    ----------
    associations : pandas.DataFrame
        What `stratonet_sklearn.evaluation.splits.measure_confounding` gives.

    Returns
    -------
    list of str
        Two sentences per confounded column.
    """
    warnings = []
    for name, row in associations[associations["confounded"]].iterrows():
        warnings.append(
            f"Class and {name} are associated (Cramér's V {row['cramers_v']:.2f} on a"
            f" scale from 0, none, to 1, complete; for {row['pure']:.0%} of the wells,"
            f" all wells of the same {name} have the same class). Differences between"
            f" the classes may reflect the {name} instead of the treatment."
        )
    return warnings
