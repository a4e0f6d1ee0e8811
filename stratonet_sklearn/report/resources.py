"""Section: time and memory of the extraction (thesis, table 9 and figure 13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator

from stratonet.drawing import (
    get_color,
    get_marker,
    new_figure,
    shorten_names,
    strip_axes,
)
from stratonet.messages import count_things
from stratonet_sklearn.report.data import ReportData
from stratonet_sklearn.report.section import (
    Block,
    Content,
    Numbers,
    Plot,
    Table,
)

# With fewer runs, a figure of dots and quartiles shows no more than a table.
FEWEST_RUNS = 3


@dataclass(frozen=True)
class Measure:
    """What one panel shows.

    Attributes
    ----------
    label : str
        Label of the axis, with the unit.
    columns : dict of str to str
        Column of the runs by its name in the legend.
    is_percentage : bool
        Whether the axis ends at 100.
    """

    label: str
    columns: dict[str, str]
    is_percentage: bool = False


MEASURES = (
    Measure("time (seconds per image set)", {"": "seconds"}),
    Measure(
        "processor (% of all cores)",
        {"mean": "cpu_percent_mean", "busiest second": "cpu_percent_max"},
        is_percentage=True,
    ),
    Measure(
        "memory of the machine (%)",
        {"mean": "memory_percent_mean", "largest": "memory_percent_max"},
        is_percentage=True,
    ),
    Measure("memory of the process (GiB)", {"": "gib"}),
)


def build_resources(data: ReportData) -> Content | None:
    """Show the time, processor and memory that the extraction took.

    Parameters
    ----------
    data : ReportData
        Any.

    Returns
    -------
    Content or None
        None if no table has records of its runs.
    """
    frames = [
        table.resources.assign(features=table.name)
        for table in data.tables
        if table.resources is not None
    ]
    if not frames:
        return None
    records = pd.concat(frames)
    blocks: list[Block] = [Numbers("resources", records)]
    # Runs that found everything measured already have measured nothing.
    runs = summarize_runs(records)
    runs = runs[runs["image_sets"] > 0]
    if runs["features"].value_counts().max() >= FEWEST_RUNS:
        blocks.append(
            Plot(
                "resources",
                draw_resources(records),
                "Time, processor and memory that the runs of stratonet extract took,"
                " with a point per run; boxes show quartiles.",
            )
        )
    elif len(runs):
        blocks.append(
            Table(
                tabulate_runs(runs),
                "Time, processor and memory that the runs of stratonet extract took.",
            )
        )
    return Content("Time and resources of the extraction", blocks)


def tabulate_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Write what the runs took as texts.

    Parameters
    ----------
    runs : pandas.DataFrame
        What `summarize_runs` gives.

    Returns
    -------
    pandas.DataFrame
        One row per run, with headings for readers.
    """
    return pd.DataFrame(
        {
            "Features": runs["features"],
            "Image sets": runs["image_sets"].map("{:,}".format),
            "Seconds per image set": runs["seconds"].map("{:.3g}".format),
            "Processor, mean (%)": runs["cpu_percent_mean"].map("{:.0f}".format),
            "Memory of the process, largest (GiB)": runs["gib"].map("{:.2f}".format),
        }
    )


def summarize_runs(records: pd.DataFrame) -> pd.DataFrame:
    """Summarize the records of the machines of each run.

    Parameters
    ----------
    records : pandas.DataFrame
        What ``stratonet extract`` records of its runs, one row per machine, with a
        column ``features``: the name of the table.

    Returns
    -------
    pandas.DataFrame
        One row per run, with ``seconds`` (of all its machines together, per image set;
        infinite if it measured none) and ``gib``.
    """
    runs = records.groupby(
        ["features", "started", "shard"], sort=False, as_index=False
    ).agg(
        {
            # Every machine of a run writes the number of image sets of the whole run.
            "image_sets": "first",
            "hours": "sum",
            "cpu_percent_mean": "mean",
            "cpu_percent_max": "max",
            "memory_percent_mean": "mean",
            "memory_percent_max": "max",
            "process_memory_max_mb": "max",
        }
    )
    # The hours of all machines together: more machines make a run shorter, not cheaper.
    runs["seconds"] = 3600 * runs["hours"] / runs["image_sets"]
    runs["gib"] = runs["process_memory_max_mb"] / 1024
    return runs


def draw_resources(records: pd.DataFrame) -> Figure:
    """Draw time, processor and memory of the runs.

    Parameters
    ----------
    records : pandas.DataFrame
        As `summarize_runs` takes them.

    Returns
    -------
    matplotlib.figure.Figure
        A box per feature table and a point per run. Runs that measured nothing are
        not shown.

    Raises
    ------
    ValueError
        No run measured an image set.
    """
    runs = summarize_runs(records)
    measured = runs[runs["image_sets"] > 0]
    if measured.empty:
        raise ValueError(
            f"None of {len(runs)} runs measured an image set, so there is no time per"
            " image set to show."
        )
    # Tables of CellProfiler and others have no records of their runs.
    names = measured["features"].unique()
    figure = new_figure(
        _word_times(measured["seconds"], len(runs)), 2.2 + 0.55 * len(names)
    )
    # One line per feature table, across all panels.
    panels = figure.subplots(1, len(MEASURES), sharey=True)
    for axes, measure in zip(panels, MEASURES):
        _draw_measure(axes, measured, measure, names)
    panels[0].set_yticks(range(len(names)), shorten_names(names))
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    return figure


def _word_times(seconds: pd.Series, n_runs: int) -> str:
    # For one run, or equal ones, give one number instead of a range.
    ends = dict.fromkeys(f"{end:.3g}" for end in (seconds.min(), seconds.max()))
    runs = count_things(len(seconds), "run")
    text = f"An image set took {' to '.join(ends)} seconds of machine time, in {runs}."
    n_empty = n_runs - len(seconds)
    if n_empty:
        text += f" Not shown: {count_things(n_empty, 'run')} that measured none."
    return text


def _draw_measure(
    axes: Axes, runs: pd.DataFrame, measure: Measure, names: Sequence[str]
) -> None:
    n_boxes = len(measure.columns)
    for number, (label, column) in enumerate(measure.columns.items()):
        y = np.arange(len(names)) + 0.34 * (number - (n_boxes - 1) / 2)
        # The mean and the largest value of a table are beside each other.
        values = [runs.loc[runs["features"] == name, column] for name in names]
        axes.boxplot(
            [of_table.to_numpy() for of_table in values],
            vert=False,
            positions=y,
            widths=0.26,
            showfliers=False,
            manage_ticks=False,
            medianprops={"color": "black", "linewidth": 1.5},
        )
        axes.plot(
            np.concatenate(values),
            np.repeat(y, [len(of_table) for of_table in values]),
            linestyle="none",
            color=get_color(number),
            marker=get_marker(number),
            markersize=4,
            label=label,
        )
    if n_boxes > 1:
        axes.legend(
            loc="lower center",
            bbox_to_anchor=(0.5, 1),
            ncol=2,
            fontsize=7,
            frameon=False,
            columnspacing=1,
        )
    axes.set_xlabel(measure.label)
    if measure.is_percentage:
        # Space for the mark of a value of 100.
        axes.set_xlim(0, 104)
        axes.xaxis.set_major_locator(MultipleLocator(25))
    else:
        # Beyond the largest value, so that its mark is complete.
        axes.set_xlim(0, 1.06 * runs[list(measure.columns.values())].to_numpy().max())
        axes.xaxis.set_major_locator(MaxNLocator(4))
    strip_axes(axes, "x")
