"""The figures of the report, after those of the thesis: each function draws what it is given, and computes no score.

Those of plates and wells are in `stratonet_sklearn.report.plates`.
"""

import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, MultipleLocator, PercentFormatter
from scipy.cluster.hierarchy import leaves_list, linkage

from stratonet.drawing import (
    WIDTH,
    add_color_scale,
    get_bar_style,
    get_color,
    get_marker,
    new_figure,
    shorten_name,
    shorten_names,
    strip_axes,
)
from stratonet_sklearn.evaluation.classification import METRICS, TESTS
from stratonet_sklearn.report.words import verdict

SHOWN = 20  # bars of a panel


def bars(scores, chance):
    """Accuracy and macro precision, recall and F1 of each classifier and set of features (thesis, figures 7, 9 and 10).

    Parameters
    ----------
    scores : pandas.DataFrame
        `Evaluation.scores`. Bars are its ``value``, error bars go from ``low`` to
        ``high``.
    chance : float
        The accuracy of one who guesses, drawn as a line.

    Returns
    -------
    matplotlib.figure.Figure
    """
    scores = scores[scores.average.isin(["", "macro"])]
    sets, classifiers = scores.features.unique(), scores.classifier.unique()
    best = (
        scores[(scores.test == "balanced") & (scores.metric == "F1")]
        .nlargest(1, "value")
        .iloc[0]
    )
    figure = new_figure(
        f"The highest F1 where every class counts the same is {best.value:.2f} (95 %"
        f" interval {best.low:.2f} to {best.high:.2f}), of {best.classifier} by"
        f" {shorten_name(best.features)}.",
        6.2 + 0.25 * np.ceil((len(sets) + 1) / 4),
    )
    panels = figure.subplots(
        len(TESTS), len(classifiers), sharex=True, sharey=True, squeeze=False
    )
    width = 0.84 / len(sets)
    for row, test in zip(panels, TESTS):
        row[0].set_ylabel(f"score, {test} (0 to 1)")
        for axes, classifier in zip(row, classifiers):
            for number, features in enumerate(sets):
                wanted = (
                    (scores.test == test)
                    & (scores.classifier == classifier)
                    & (scores.features == features)
                )
                found = scores[wanted].set_index("metric").loc[list(METRICS)]
                x = np.arange(len(METRICS)) + (number - (len(sets) - 1) / 2) * width
                axes.bar(x, found.value, width, **get_bar_style(number))
                # The value may lie outside of what draws give.
                axes.errorbar(
                    x,
                    (found.low + found.high) / 2,
                    (found.high - found.low) / 2,
                    fmt="none",
                    ecolor="black",
                    elinewidth=0.9,
                    capsize=min(3, 9 * width),
                )
            line = axes.axhline(chance, color="black", linestyle="--", linewidth=1)
            axes.set_title(f"{classifier}, {test}", fontsize=10)
            axes.set_xticks(range(len(METRICS)), METRICS)
            axes.set_ylim(0, 1.02)
            strip_axes(axes, "y")
    keys = [Patch(**get_bar_style(n)) for n in range(len(sets))]
    names = [*shorten_names(sets), f"chance ({chance:.2f})"]
    figure.legend(
        [*keys, line],
        names,
        loc="outside lower center",
        ncol=min(4, len(names)),
        fontsize=8,
        frameon=False,
    )
    return figure


def differences(frame):
    """Differences between sets of features, with their intervals, a zero line, and which set is better in words.

    Parameters
    ----------
    frame : pandas.DataFrame
        `Evaluation.differences`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    classifiers = frame.classifier.unique()
    pairs = frame[["first", "second"]].drop_duplicates().to_numpy().tolist()
    sets = dict.fromkeys(name for pair in pairs for name in pair)
    names = dict(zip(sets, shorten_names(sets, 20)))
    apart = int(((frame.low > 0) | (frame.high < 0)).sum())
    figure = new_figure(
        f"In {apart} of {len(frame)} comparisons one set of features is better: the"
        " interval leaves out zero.",
        1.6 + 0.55 * len(pairs),
    )
    panels = figure.subplots(
        1, len(classifiers), sharex=True, sharey=True, squeeze=False
    )[0]
    for axes, classifier in zip(panels, classifiers):
        for row in frame[frame.classifier == classifier].itertuples():
            y = pairs.index([row.first, row.second])
            shown = row.low > 0 or row.high < 0
            axes.plot(
                [row.low, row.high],
                [y, y],
                color="black",
                linewidth=1.4 if shown else 0.8,
            )
            axes.plot(
                row.value,
                y,
                color=get_color(0),
                marker="o" if shown else "D",
                markersize=7,
                markerfacecolor=get_color(0) if shown else "white",
            )
            said = verdict(
                row._replace(first=names[row.first], second=names[row.second])
            )
            axes.text(
                0.5,
                y - 0.2,
                said,
                transform=axes.get_yaxis_transform(),
                ha="center",
                va="bottom",
                fontsize=7.5,
                fontweight="bold" if shown else "normal",
                backgroundcolor="white",
            ).get_bbox_patch().set_boxstyle("square", pad=0.1)
        axes.axvline(0, color="black", linestyle="--", linewidth=1)
        axes.set_title(classifier, fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_ylim(len(pairs) - 0.5, -0.6)
        strip_axes(axes, "x")
    panels[0].set_yticks(
        range(len(pairs)),
        [f"{names[first]}\nminus {names[second]}" for first, second in pairs],
    )
    figure.supxlabel(
        "difference of the scores (scale of 0 to 1), with its 95 % interval", fontsize=9
    )
    return figure


def confusions(evaluation, classifier):
    """Of the rows of each class, the shares taken for each class: a panel a set of features (thesis, figures 8 and 15).

    Parameters
    ----------
    evaluation : Evaluation
    classifier : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    found = {
        features: evaluation.confusion(features, name)
        for features, name in evaluation.predicted
        if name == classifier
    }
    sums = next(iter(found.values())).sum(axis=1)
    shares = {
        features: matrix.div(sums, axis=0).to_numpy()
        for features, matrix in found.items()
    }
    best = max(shares, key=lambda features: np.diagonal(shares[features]).mean())
    n_classes = len(evaluation.classes)
    n_columns = min(len(found), 3 if n_classes <= 8 else 2)
    n_rows = -(-len(found) // n_columns)
    names = shorten_names(evaluation.classes, 20)
    room = 0.075 * max(map(len, names))  # inches that a name takes
    side = min(5.5, (WIDTH - room - 2.2) / n_columns - 0.1)
    figure = new_figure(
        f"By {shorten_name(best)}, {classifier} finds"
        f" {np.diagonal(shares[best]).mean():.0%} of the rows, all classes counting the"
        " same; right answers are on the diagonal.",
        1.1 + room + n_rows * (side + 0.32),
    )
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    cell = 72 * side / n_classes  # points
    numbers = cell > 10
    for number, (axes, features) in enumerate(zip(panels, shares)):
        image = axes.imshow(shares[features], cmap="cividis", vmin=0, vmax=1)
        if numbers:
            for (true, told), share in np.ndenumerate(shares[features]):
                axes.text(
                    told,
                    true,
                    f"{100 * share:.0f}",
                    ha="center",
                    va="center",
                    fontsize=min(9, 0.45 * cell),
                    color="black" if share > 0.5 else "white",
                )
        axes.set_title(shorten_name(features, 36), fontsize=10)
        strip_axes(axes)
        axes.set_yticks(
            range(n_classes),
            [f"{name} ({sums[one]:,})" for name, one in zip(names, evaluation.classes)],
        )
        axes.set_xticks(range(n_classes), names, rotation=90)
        axes.tick_params(
            labelleft=number % n_columns == 0,
            labelbottom=number + n_columns >= len(found),
        )
        axes.tick_params(labelsize=min(8, max(6, 0.7 * cell)))
    for axes in panels[len(found) :]:
        axes.axis("off")
    figure.supylabel("true class (number of rows)", fontsize=9)
    figure.supxlabel("class it was taken for", fontsize=9)
    add_color_scale(
        image,
        panels,
        "share of the true class" + "; numbers in %" * numbers,
        format=PercentFormatter(1),
    )
    return figure


def importance(importance, n=SHOWN):
    """The features of most weight: a panel a set of features and classifier (thesis, figure 16).

    Parameters
    ----------
    importance : dict of (features, classifier) to pandas.Series
        `Evaluation.importance`: of each feature, by name, with sum 1.
    n : int
        Features of a panel.

    Returns
    -------
    matplotlib.figure.Figure
    """
    sets, classifiers = (list(dict.fromkeys(names)) for names in zip(*importance))
    tops = {key: weights.nlargest(n) for key, weights in importance.items()}
    sums = [top.sum() for top in tops.values()]
    figure = new_figure(
        f"The {n} features of most weight hold {min(sums):.1%} to {max(sums):.1%} of"
        " the weight of all.",
        0.8 + len(sets) * (0.6 + 0.165 * n),
    )
    panels = figure.subplots(len(sets), len(classifiers), squeeze=False)
    for (features, classifier), top in tops.items():
        axes = panels[sets.index(features), classifiers.index(classifier)]
        number = sets.index(features)
        axes.barh(range(len(top)), top, **get_bar_style(number))
        axes.set_yticks(range(len(top)), shorten_names(top.index, 34))
        axes.set_ylim(n - 0.4, -0.6)
        total = len(importance[features, classifier])
        axes.set_title(
            f"{shorten_name(features)}, {classifier}: {len(top)} of {total:,} hold"
            f" {top.sum():.1%}",
            fontsize=9,
            loc="right",
        )
        axes.xaxis.set_major_locator(MaxNLocator(4))
        strip_axes(axes, "x")
        axes.tick_params(labelsize=7)
    figure.supxlabel(
        "share of the weight of all features of the set (they sum to 1)", fontsize=9
    )
    return figure


def parts(frame):
    """The weight of parts of the sets of features, such as a channel at a tap.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``features``, ``classifier``, ``part`` and ``share``. Of more than 20
        parts of a set, those of least weight are drawn as one.

    Returns
    -------
    matplotlib.figure.Figure
    """
    classifiers = frame.classifier.unique().tolist()
    tables, most = {}, []
    for features, group in frame.groupby("features", sort=False):
        table = group.pivot(index="part", columns="classifier", values="share").fillna(
            0
        )[classifiers]
        table = table.loc[
            table.mean(axis=1).sort_values(ascending=False, kind="stable").index
        ]
        most.append(
            f"{shorten_name(table.index[0])} in {shorten_name(features)}"
            f" ({table.iloc[0].mean():.0%})"
        )
        if len(table) > SHOWN:
            table.loc[f"{len(table) - SHOWN + 1:,} others"] = table.iloc[
                SHOWN - 1 :
            ].sum()
            table = table.iloc[[*range(SHOWN - 1), -1]]
        tables[features] = table
    n_columns = min(2, len(tables))
    n_rows = -(-len(tables) // n_columns)
    figure = new_figure(
        f"The part with most weight, mean over classifiers: {', '.join(most)}.",
        1.3 + n_rows * (0.5 + 0.2 * max(map(len, tables.values()))),
    )
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    width = 0.84 / len(classifiers)
    for axes, (features, table) in zip(panels, tables.items()):
        for number, classifier in enumerate(classifiers):
            y = np.arange(len(table)) + (number - (len(classifiers) - 1) / 2) * width
            axes.barh(y, table[classifier], width, **get_bar_style(number))
        axes.set_yticks(range(len(table)), shorten_names(table.index, 28))
        axes.set_ylim(len(table) - 0.4, -0.6)
        axes.set_title(shorten_name(features, 40), fontsize=10)
        strip_axes(axes, "x")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.xaxis.set_major_locator(MaxNLocator(5))
    for axes in panels[len(tables) :]:
        axes.axis("off")
    figure.supxlabel("share of the weight of all features of the set", fontsize=9)
    keys = [Patch(**get_bar_style(n)) for n in range(len(classifiers))]
    figure.legend(
        keys,
        classifiers,
        loc="outside lower right",
        ncol=len(classifiers),
        fontsize=8,
        frameon=False,
    )
    return figure


def variance(variances):
    """The share of the variance that each principal component holds, and the first ones together (thesis, figure 17).

    Parameters
    ----------
    variances : dict of str to numpy.ndarray (n components,)
        For each set of features.

    Returns
    -------
    matplotlib.figure.Figure
    """
    n = min(10, *map(len, variances.values()))
    held = {name: ratio[:n].sum() for name, ratio in variances.items()}
    said = [
        f"{held[name]:.0%} ({shorten_name(name)})"
        for name in sorted(held, key=held.get)
    ]
    figure = new_figure(
        f"The first {n} components hold"
        f" {' to '.join(dict.fromkeys([said[0], said[-1]]))} of the variance.",
        4.2 + 0.2 * np.ceil(len(variances) / 3),
    )
    each, together = figure.subplots(1, 2)
    for number, (name, label) in enumerate(
        zip(variances, shorten_names(variances, 34))
    ):
        for axes, values in (
            (each, variances[name]),
            (together, np.cumsum(variances[name])),
        ):
            axes.plot(
                range(1, len(values) + 1),
                values,
                color=get_color(number),
                marker=get_marker(number),
                markersize=4,
                markevery=(number % 3, 3) if len(values) > 12 else None,
                label=label,
            )
    each.set(title="each component", ylabel="share of the variance")
    together.set(
        title="the first components together",
        ylabel="share of the variance, cumulative",
        ylim=(0, 1.02),
    )
    each.set_ylim(bottom=0)
    for axes in (each, together):
        axes.set_xlabel("principal component (number)")
        axes.title.set_size(10)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        strip_axes(axes, "y")
    figure.legend(
        *each.get_legend_handles_labels(),
        loc="outside lower center",
        ncol=3,
        fontsize=8,
        frameon=False,
    )
    return figure


def correlation(matrix, significant, first, second):
    """Correlations between the features of two sets, ordered so that those that go together lie together (figure 11).

    Parameters
    ----------
    matrix : pandas.DataFrame (n, m)
        Correlations, from -1 to 1; features of the first set in rows, of the second in
        columns.
    significant : pandas.DataFrame (n, m), bool
        Which of them are, after correction for many tests: they have a dot.
    first, second : str
        The names of the sets.

    Returns
    -------
    matplotlib.figure.Figure
    """
    matrix = matrix.iloc[_order(matrix.to_numpy()), _order(matrix.to_numpy().T)]
    significant = significant.loc[matrix.index, matrix.columns].to_numpy()
    strongest = matrix.stack().abs().idxmax()
    figure = new_figure(
        f"{significant.mean():.0%} of the pairs are significant (with a dot); the"
        f" strongest correlation is {matrix.loc[strongest]:.2f}, of"
        f" {shorten_name(strongest[0], 34)} and {shorten_name(strongest[1], 34)}.",
        2.8 + min(7.0, max(2.5, 0.14 * len(matrix))),
    )
    axes = figure.subplots()
    image = axes.imshow(matrix, cmap="PuOr_r", vmin=-1, vmax=1, aspect="auto")
    y, x = np.nonzero(significant)
    axes.scatter(x, y, s=6, color="black", edgecolors="white", linewidths=0.5)
    axes.set_yticks(range(len(matrix)), shorten_names(matrix.index, 34))
    axes.set_xticks(
        range(matrix.shape[1]), shorten_names(matrix.columns, 34), rotation=90
    )
    strip_axes(axes)
    axes.tick_params(labelsize=6)
    axes.set_ylabel(f"features of {shorten_name(first, 36)}")
    axes.set_xlabel(f"features of {shorten_name(second, 36)}")
    add_color_scale(image, [axes], "Spearman's rank correlation (-1 to 1)")
    return figure


def resources(frame):
    """Time, processor and memory of runs of the extraction (thesis, table 9 and figure 13).

    Parameters
    ----------
    frame : pandas.DataFrame
        What ``stratonet extract`` writes of its runs, a row a machine, with a column
        ``features``: the name of the set.

    Returns
    -------
    matplotlib.figure.Figure
        A box and a point a run. The time is that of all its machines; runs that
        measured nothing have none.

    Raises
    ------
    ValueError
        No run measured an image set.
    """
    runs = frame.groupby(
        ["features", "started", "shard"], sort=False, as_index=False
    ).agg(
        {
            "image_sets": "first",
            "hours": "sum",
            "cpu_percent_mean": "mean",
            "cpu_percent_max": "max",
            "memory_percent_mean": "mean",
            "memory_percent_max": "max",
            "process_memory_max_mb": "max",
        }
    )
    measured = runs[runs.image_sets > 0].copy()
    if measured.empty:
        raise ValueError(
            f"None of {len(runs)} runs measured an image set, so that there is no time"
            " of one to show."
        )
    measured["seconds"] = 3600 * measured.hours / measured.image_sets
    measured["gib"] = measured.process_memory_max_mb / 1024
    sets = measured.features.unique()
    empty = len(runs) - len(measured)
    ends = dict.fromkeys(
        f"{end:.3g}" for end in (measured.seconds.min(), measured.seconds.max())
    )
    figure = new_figure(
        f"An image set took {' to '.join(ends)} seconds of a machine, in"
        f" {len(measured)} run{'s' * (len(measured) > 1)}."
        + f" {empty} that measured none are not shown."
        * bool(empty),
        2.2 + 0.55 * len(sets),
    )
    panels = figure.subplots(1, 4, sharey=True)
    shown = [
        ("time (seconds per image set)", {"": "seconds"}),
        (
            "processor (% of all cores)",
            {"mean": "cpu_percent_mean", "busiest second": "cpu_percent_max"},
        ),
        (
            "memory of the machine (%)",
            {"mean": "memory_percent_mean", "largest": "memory_percent_max"},
        ),
        ("memory of the process (GiB)", {"": "gib"}),
    ]
    for axes, (label, columns) in zip(panels, shown):
        for number, column in enumerate(columns.values()):
            at = np.arange(len(sets)) + 0.34 * (number - (len(columns) - 1) / 2)
            values = [
                measured.loc[measured.features == name, column].to_numpy()
                for name in sets
            ]
            axes.boxplot(
                values,
                vert=False,
                positions=at,
                widths=0.26,
                showfliers=False,
                manage_ticks=False,
                medianprops={"color": "black", "linewidth": 1.5},
            )
            axes.plot(
                np.concatenate(values),
                np.repeat(at, [len(one) for one in values]),
                linestyle="none",
                color=get_color(number),
                marker=get_marker(number),
                markersize=4,
                label=list(columns)[number],
            )
        if len(columns) > 1:
            axes.legend(
                loc="lower center",
                bbox_to_anchor=(0.5, 1),
                ncol=2,
                fontsize=7,
                frameon=False,
                columnspacing=1,
            )
        axes.set_xlabel(label)
        # Room for the mark of the largest value.
        axes.set_xlim(
            0,
            (
                104
                if "%" in label
                else 1.06 * measured[list(columns.values())].to_numpy().max()
            ),
        )
        axes.xaxis.set_major_locator(
            MultipleLocator(25) if "%" in label else MaxNLocator(4)
        )
        strip_axes(axes, "x")
    panels[0].set_yticks(range(len(sets)), shorten_names(sets))
    panels[0].set_ylim(len(sets) - 0.5, -0.5)
    return figure


def _order(values):
    """Rows in the order of a tree of clusters, neighbours as alike as can be."""
    return (
        leaves_list(linkage(values, "average", optimal_ordering=True))
        if len(values) > 1
        else [0]
    )
