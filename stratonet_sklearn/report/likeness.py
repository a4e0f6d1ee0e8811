"""Section: which active treatments look alike, and what they change."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stratonet.drawing import (
    add_color_scale,
    new_figure,
    shorten_name,
    shorten_names,
)
from stratonet.messages import count_things
from stratonet_sklearn.evaluation.likeness import Likeness
from stratonet_sklearn.report.data import ReportData
from stratonet_sklearn.report.section import (
    Block,
    Content,
    Numbers,
    Paragraph,
    Plot,
    Table,
)

TITLE = "What are the hits like?"
MOST_ROWS = 60
MOST_COLUMNS = 24
MOST_LISTED = 25


def build_likeness(data: ReportData) -> Content | None:
    """Group active treatments, and show which features of the cells they change.

    Parameters
    ----------
    data : ReportData
        With compounds.

    Returns
    -------
    Content or None
        None where no treatment is active.
    """
    screen = data.compound_screen
    if screen is None or not screen.hits["active"].any():
        return None
    likeness = screen.likeness
    effects = likeness.effects.rename_axis("treatment").reset_index()
    blocks: list[Block] = [
        Paragraph(word_channels(likeness.effects)),
        Plot(
            "likeness",
            draw_effects(likeness),
            "How strongly each active treatment changes the features of a channel and"
            " tap: the root mean square of its wells (median), relative to negative"
            " controls; 1 is no effect. Neighbouring treatments look alike (average"
            " linkage of the cosine similarity of all features); lines separate the"
            f" groups. Shown: {min(len(effects), MOST_ROWS)} of {len(effects):,}.",
        ),
        Numbers("groups", likeness.groups),
        Numbers("effects", effects),
    ]
    if len(likeness.neighbours):
        blocks.append(Numbers("neighbours", likeness.neighbours))
        blocks.append(tabulate_neighbours(likeness))
    if len(likeness.mechanisms):
        blocks.append(Numbers("mechanisms", likeness.mechanisms))
        blocks.append(tabulate_mechanisms(likeness.mechanisms))
    return Content(TITLE, blocks)


def word_channels(effects: pd.DataFrame) -> str:
    """Describe which channels and taps carry the effect.

    Parameters
    ----------
    effects : pandas.DataFrame
        `Likeness.effects`.

    Returns
    -------
    str
        A sentence.

    Examples
    --------
    >>> word_channels(pd.DataFrame({"DNA low": [3.0]}, index=["a"]))
    'What treatments change most: DNA low (3.0 times a control, median).'
    """
    strengths = effects.median().dropna().sort_values(ascending=False)
    words = [f"{name} ({value:.1f})" for name, value in strengths.head(3).items()]
    if not words:
        return "Controls do not vary, so the strength of treatments is not known."
    words[0] = words[0].replace(")", " times a control, median)")
    return f"What treatments change most: {', '.join(words)}."


def draw_effects(likeness: Likeness) -> Figure:
    """Draw how strongly treatments change the features of each channel and tap.

    Parameters
    ----------
    likeness : Likeness
        With an active treatment.

    Returns
    -------
    matplotlib.figure.Figure
    """
    effects = likeness.effects.iloc[:MOST_ROWS, :MOST_COLUMNS]
    groups = likeness.groups["group"].to_numpy()[: len(effects)]
    n_groups = len(set(likeness.groups["group"]))
    n_active = len(likeness.effects)
    figure = new_figure(
        f"{count_things(n_active, 'active treatment')}"
        f" {'falls' if n_active == 1 else 'fall'} into"
        f" {count_things(n_groups, 'group')} of cells that look alike.",
        1.9 + 0.2 * len(effects),
    )
    axes = figure.subplots()
    image = axes.imshow(effects.to_numpy(float), cmap="magma", vmin=1, aspect="auto")
    axes.set_yticks(range(len(effects)), shorten_names(effects.index, 34), fontsize=7)
    names = [shorten_name(name, 22) for name in effects]
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=7)
    for last_of_group in np.flatnonzero(np.diff(groups)):
        axes.axhline(last_of_group + 0.5, color="white", linewidth=2)
    add_color_scale(image, [axes], "change, relative to a control")
    return figure


def tabulate_neighbours(likeness: Likeness) -> Table:
    """Write the neighbours of each treatment as texts.

    Parameters
    ----------
    likeness : Likeness
        With neighbours.

    Returns
    -------
    Table
    """
    groups = likeness.groups.set_index("treatment")["group"]
    rows = []
    for name, nearest in likeness.neighbours.groupby("treatment", sort=False):
        words = [
            f"{neighbour} ({similarity:.2f})"
            for neighbour, similarity in zip(
                nearest["neighbour"], nearest["similarity"]
            )
        ]
        rows.append((str(name), str(groups[name]), ", ".join(words)))
    columns = ["Treatment", "Group", "Looks most like (cosine similarity)"]
    frame = pd.DataFrame(rows[:MOST_LISTED], columns=columns)
    return Table(
        frame,
        "The most similar active treatments of other compounds, if there are any"
        f" ({len(frame)} of {len(rows):,}; all are in numbers/neighbours.csv).",
    )


def tabulate_mechanisms(mechanisms: pd.DataFrame) -> Table:
    """Write the mechanisms of groups as texts.

    Parameters
    ----------
    mechanisms : pandas.DataFrame
        `Likeness.mechanisms`.

    Returns
    -------
    Table
    """
    shown = mechanisms.sort_values("p").head(MOST_LISTED)
    frame = pd.DataFrame(
        {
            "Group": shown["group"].astype(str),
            "Mechanism": shown["mechanism"].astype(str),
            "Compounds in the group": [
                f"{row.n_in_group} of {row.n_group}" for row in shown.itertuples()
            ],
            "Of all compounds": [
                f"{row.n_mechanism} of {row.n_all}" for row in shown.itertuples()
            ],
            "p, corrected": [f"{value:.2g}" for value in shown["corrected_p"]],
        }
    )
    return Table(
        frame,
        "Mechanisms that two or more compounds of a group have, and whether these"
        " compounds are more than expected by chance (Fisher's exact test, corrected).",
    )
