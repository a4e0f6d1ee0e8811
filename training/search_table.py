"""Write the table of a search's trials, best first, and plot them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stratonet.files.atomic import write_atomically

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    from matplotlib.axes import Axes

FILLED, EMPTY = "#0072b2", "#999999"


def make_table(study: optuna.Study, parameters: Mapping[str, object]) -> pd.DataFrame:
    """Make the table of a study's trials.

    Parameters
    ----------
    study : optuna.Study
        Study with the trials.
    parameters : dict
        Names of the searched fields, which become columns.

    Returns
    -------
    pandas.DataFrame
        One row per trial, best first, see `search.search`.
    """
    attributes = ("number", "state", "value", "params", "user_attrs")
    table = study.trials_dataframe(attributes)
    table = table.rename(columns=_remove_prefix)
    last = ["epochs_done", "seconds", "folder", "reason"]
    # Before the first trial ends, Optuna's table lacks some of them.
    table = table.reindex(columns=["number", "state", "value", *parameters, *last])
    table["state"] = table["state"].astype(str).str.lower()
    table["epochs_done"] = table["epochs_done"].fillna(0).astype(int)
    table["value"] = table["value"].astype(float)
    # Stable, so that trials with the same value stay in order.
    return table.sort_values("value", ascending=False, kind="stable", ignore_index=True)


def _remove_prefix(column: str) -> str:
    return re.sub("^(params|user_attrs)_", "", column)


def write_table(
    table: pd.DataFrame, parameters: Mapping[str, Mapping], output: Path
) -> None:
    """Write ``trials.csv`` and, once a trial is complete, ``search.png``.

    Parameters
    ----------
    table : pandas.DataFrame
        From `make_table`.
    parameters : dict
        Parameter to its range, as in a configuration.
    output : pathlib.Path
        Folder of the search.
    """
    with write_atomically(output / "trials.csv") as unfinished:
        table.to_csv(unfinished, index=False)
    # A plot of pruned trials only would suggest that one of them is best.
    if "complete" in set(table["state"]):
        with write_atomically(output / "search.png") as unfinished:
            _draw_trials(table, parameters, unfinished)


def _draw_trials(
    table: pd.DataFrame, parameters: Mapping[str, Mapping], path: Path
) -> None:
    """Draw the values of the trials in order, and against each parameter."""
    from matplotlib.figure import Figure

    # The panel of the trials is twice as wide as those of the parameters.
    figure = Figure(figsize=(4.5 + 2.2 * len(parameters), 3.6), layout="constrained")
    widths = [2] + [1] * len(parameters)
    panels = figure.subplots(1, len(widths), sharey=True, width_ratios=widths)
    first, *others = panels
    _draw_panel(first, table, "number", {})
    for axes, (name, values) in zip(others, parameters.items()):
        _draw_panel(axes, table, name, values)
    # The table is sorted by value, but the line follows the order of trials.
    complete = table[table["state"] == "complete"].sort_values("number")
    first.step(
        complete["number"],
        complete["value"].cummax(),
        FILLED,
        where="post",
        lw=1,
        label="best so far",
    )
    first.set_xlabel("trial")
    first.set_ylabel("Validation top-1")
    first.legend(frameon=False, fontsize=8)
    figure.savefig(path, format="png", dpi=120)


def _draw_panel(axes: Axes, table: pd.DataFrame, name: str, values: Mapping) -> None:
    from matplotlib.ticker import MaxNLocator

    choices = values.get("choices")
    styles = (("complete", FILLED, FILLED), ("pruned", "none", EMPTY))
    for state, fill, edge in styles:
        rows = table[table["state"] == state]
        # Choices are drawn in the order of the configuration.
        x = rows[name].map(choices.index) if choices else rows[name]
        axes.scatter(
            x, rows["value"], 24, fill, edgecolors=edge, alpha=0.7, label=state
        )
    if choices:
        axes.set_xticks(range(len(choices)), choices)
        axes.set_xlim(-0.5, len(choices) - 0.5)
    elif values.get("log"):
        axes.set_xscale("log")
    elif table[name].dtype.kind == "i":
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.set_xlabel(name)
    axes.spines[["top", "right"]].set_visible(False)
