"""``python -m training taps``: how far apart does each block of a network hold the controls of a plate?

The question of the thesis's appendix D, which chose the taps of StratoNet.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist, squareform
from sklearn.model_selection import LeaveOneGroupOut, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from stratonet import StratoNet
from stratonet.files.images import read_plane
from stratonet.network import read_card
from stratonet_sklearn.datasets import read_plate
from training.files import replacing

RESAMPLES = 2000
PERMUTATIONS = 9999
FEWEST = 3  # wells of a role
TOGETHER = "together"


def taps(plate, weights, output, seed=0):
    """Measure how far apart each tap of a network holds the controls of a plate (thesis, appendix D).

    Prints the table and what it says, and writes ``taps.csv`` and ``taps.png``.

    Parameters
    ----------
    plate : str or path
        Folder as `stratonet_sklearn.datasets.read_plate` takes it, whose labels have a
        column ``role`` with ``negcon`` and ``poscon``. Other roles are left out.
    weights : str or path
        As `StratoNet.load` takes them. Every tap of the card is measured.
    output : str or path
        Made if missing.
    seed : int
        Of folds (where they are drawn), resampling and permutation.

    Returns
    -------
    pandas.DataFrame
        The table of `compare`, with the taps in the order of the network, then
        ``together``: the taps with an alias, where there is more than one. A well's
        features are those of all its channels, the mean over its sites.

    Raises
    ------
    FileNotFoundError
        No such plate, image or weights.
    ValueError
        There are fewer than 3 wells of a role, or all their images are alike.
    OSError
        A file cannot be written; the message names it.
    """
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    net = StratoNet.load(weights, [tap.layer for tap in read_card(weights).taps])
    wells, features = read_controls(plate, net)
    positive = (wells.role == "poscon").to_numpy()
    folds, scheme = split(wells, positive, seed)
    table = compare(features, positive, folds, seed)
    aliases = {tap.layer: tap.alias for tap in net.taps if tap.alias}
    table.insert(0, "alias", table.index.map(aliases))

    name = Path(plate).resolve().name
    controls = (
        f"{(~positive).sum()} negative and {positive.sum()} positive control wells"
    )
    print(f"{name}: {controls}, {scheme}. Features: {net.feature_set_id}\n")
    print(tell(table))
    with replacing(output / "taps.csv") as path:
        table.round(4).to_csv(path)
    title = (
        f"{name}: how far apart does each block of {net.feature_set_id} hold the"
        f" controls?\n{controls}, {scheme}"
    )
    with replacing(output / "taps.png") as path:
        draw(table, title, path)
    return table


def read_controls(plate, net):
    """Features of a plate's control wells.

    Returns
    -------
    wells : pandas.DataFrame, n rows
        Columns ``well``, ``role`` and, where the labels have it, ``plate``.
    features : dict of str to numpy.ndarray (n, channels x width)
        By layer, and ``together``.
    """
    images, labels = read_plate(plate)
    labels = labels.assign(role=labels.get("role"))
    controls = labels.role.isin(["negcon", "poscon"])
    keys = [key for key in ("plate", "well", "role") if key in labels]
    sites = labels[controls].groupby(keys).indices
    wells = pd.DataFrame(list(sites), columns=keys)
    counts = {role: int((wells.role == role).sum()) for role in ("negcon", "poscon")}
    if min(counts.values()) < FEWEST:
        raise ValueError(
            f"{plate}: labels.csv needs a column role, with at least {FEWEST} wells of"
            f" negcon and of poscon. Received: {counts}"
        )
    paths = images[controls].to_numpy()
    planes = np.stack(list(net.stream(paths.ravel(), read=read_plane, name=str)))
    planes = planes.reshape(*paths.shape, net.width)
    by_well = np.stack([planes[of].mean(axis=0) for of in sites.values()])
    if not np.ptp(by_well, axis=0).any():
        raise ValueError(f"{plate}: the images of all control wells are alike.")
    parts = np.split(by_well, np.cumsum([tap.width for tap in net.taps])[:-1], axis=2)
    features = {
        tap.layer: part.reshape(len(wells), -1) for tap, part in zip(net.taps, parts)
    }
    named = [features[tap.layer] for tap in net.taps if tap.alias]
    if len(named) > 1:
        features[TOGETHER] = np.hstack(named)
    return wells, features


def split(wells, positive, seed):
    """Folds over wells: rows of the plate, where each holds both controls and there are three; stratified otherwise.

    Returns
    -------
    folds : list of (train, test), arrays of places
    scheme : str
        In words.
    """
    rows = wells.well.astype(str).str.extract("^([A-Za-z]+)")[0].fillna("")
    roles = pd.Series(positive).groupby(rows).nunique()
    if len(roles) >= 3 and (roles == 2).all():
        return (
            list(LeaveOneGroupOut().split(wells, groups=rows)),
            f"{len(roles)} rows held out in turn",
        )
    number = min(5, positive.sum(), (~positive).sum())
    folds = StratifiedKFold(number, shuffle=True, random_state=seed).split(
        wells, positive
    )
    return list(folds), f"{number} stratified folds"


def compare(features, positive, folds, seed):
    """Hold sets of features against each other on the same wells, folds and resamples.

    Parameters
    ----------
    features : dict of str to numpy.ndarray (n, any width)
        The key ``together`` is not ranked among the others.
    positive : numpy.ndarray (n,), bool
    folds : list of (train, test)
    seed : int

    Returns
    -------
    pandas.DataFrame
        Index ``tap``, and the columns

        - ``features``: their number;
        - ``z_prime``: `z_prime` of the `held_out_scores`;
        - ``distance``, ``distance_p``: `inhomogeneity` of the standardised features,
          and the share of permutations of
          the wells' roles that reach it;
        - of both: ``_lower`` and ``_upper``, the 95 % bootstrap interval over wells,
          the axes staying as they were
          fitted; ``_rank`` among the single taps; ``_first``, the share of resamples in
          which the tap ranks first; ``_minus_best`` and ``_minus_together``, the
          difference to the best single tap and to ``together``, with its paired
          interval. The best is chosen on these same wells, which flatters it a little;
        - ``balanced_accuracy``: share of held-out wells on the right side of 0.5, mean
          of the roles; its interval is
          Jeffreys', because a bootstrap of 1.00 has no width.
    """
    rng = np.random.default_rng(seed)
    roles = np.array([~positive, positive])
    negatives, positives = (
        rng.multinomial(role.sum(), role / role.sum(), RESAMPLES) for role in roles
    )
    permuted = np.array([rng.permutation(positive) for _ in range(PERMUTATIONS)])
    rows, resampled = {}, {"z_prime": {}, "distance": {}}
    for name, values in features.items():
        scores = held_out_scores(values, positive, folds)
        distances = squareform(pdist(StandardScaler().fit_transform(values)))
        distance = inhomogeneity(distances, *roles)
        resampled["z_prime"][name] = z_prime(scores, negatives, positives)
        resampled["distance"][name] = inhomogeneity(distances, negatives, positives)
        smaller = (
            inhomogeneity(distances, ~permuted, permuted) < distance - 1e-9
        )  # equal but for rounding reaches it
        accuracy, *interval = balanced_accuracy(
            (scores > 0.5) == positive, positive, seed
        )
        rows[name] = {
            "features": values.shape[1],
            "z_prime": z_prime(scores, *roles),
            "distance": distance,
            "distance_p": (1 + np.sum(~smaller)) / (1 + PERMUTATIONS),
            "balanced_accuracy": accuracy,
            "balanced_accuracy_lower": interval[0],
            "balanced_accuracy_upper": interval[1],
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("tap")
    single = table.index != TOGETHER
    for measure, draws in resampled.items():
        draws = pd.DataFrame(draws).T.dropna(
            axis=1, how="all"
        )  # the same well each time has no spread
        table[f"{measure}_lower"], table[f"{measure}_upper"] = _interval(draws)
        table[f"{measure}_rank"] = table[measure][single].rank(ascending=False)
        table[f"{measure}_first"] = (
            draws[single].rank(ascending=False).eq(1).mean(axis=1)
        )
        against = {"best": table[measure][single].idxmax()} | (
            {} if single.all() else {TOGETHER: TOGETHER}
        )
        for name, other in against.items():
            column = f"{measure}_minus_{name}"
            table[column] = table[measure] - table[measure][other]
            table[f"{column}_lower"], table[f"{column}_upper"] = _interval(
                draws - draws.loc[other]
            )
    measures = ["features", "z_prime", "balanced_accuracy", "distance"]
    return table[
        [
            column
            for measure in measures
            for column in table
            if column.startswith(measure)
        ]
    ]


def held_out_scores(features, positive, folds):
    """Scores of wells on the axis of a linear SVM that has not seen them.

    Returns
    -------
    numpy.ndarray (n,)
        0 is the mean of the negative controls that the SVM has seen, 1 that of the
        positive ones: each fold has its own axis, and so they have one scale.
    """
    scores = np.empty(len(features))
    for train, test in folds:
        model = make_pipeline(
            StandardScaler(), SVC(kernel="linear", class_weight="balanced")
        )
        seen = model.fit(features[train], positive[train]).decision_function(
            features[train]
        )
        low, high = seen[~positive[train]].mean(), seen[positive[train]].mean()
        with np.errstate(invalid="ignore"):  # features that do not vary have no axis
            scores[test] = (model.decision_function(features[test]) - low) / (
                high - low
            )
    return scores


def z_prime(scores, negative, positive):
    """Z'-factor: 1 - 3 (sd+ + sd-) / abs(mean+ - mean-) (Zhang, Chung and Oldenburg 1999).

    Parameters
    ----------
    scores : numpy.ndarray (n,)
    negative, positive : numpy.ndarray (n,) or (resamples, n), bool or int
        How often each well counts in its group.

    Returns
    -------
    float or numpy.ndarray (resamples,)
        1 is perfect, above 0.5 an excellent assay, below 0 the groups overlap.
    """
    squares = (
        scores[:, None] - scores
    ) ** 2 / 2  # their mean over pairs is the variance, with n - 1
    apart = (positive @ scores) / positive.sum(-1) - (negative @ scores) / negative.sum(
        -1
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - 3 * (
            np.sqrt(_within(squares, negative)) + np.sqrt(_within(squares, positive))
        ) / np.abs(apart)


def inhomogeneity(distances, negative, positive):
    """Energy distance of two groups as a share of their mean distance (Szekely and Rizzo 2013).

    ``(2 E|X-Y| - E|X-X'| - E|Y-Y'|) / (2 E|X-Y|)``, without bias: the mean is 0 for
    equal distributions whatever the number of wells, so single values can be below. 1
    where the spread within is nothing against the distance between.

    Parameters
    ----------
    distances : numpy.ndarray (n, n)
    negative, positive
        As for `z_prime`.

    Returns
    -------
    float or numpy.ndarray (resamples,)
    """
    between = np.sum(negative @ distances * positive, axis=-1) / (
        negative.sum(-1) * positive.sum(-1)
    )
    with np.errstate(invalid="ignore"):
        return 1 - (_within(distances, negative) + _within(distances, positive)) / (
            2 * between
        )


def balanced_accuracy(right, positive, seed):
    """Balanced accuracy, lower and upper end of its 95 % interval (Jeffreys' for each role: Brown et al. 2001)."""
    rng = np.random.default_rng(seed)
    value = draws = 0
    for role in (positive, ~positive):
        hits, misses = right[role].sum(), (~right)[role].sum()
        value += hits / role.sum() / 2
        draws += rng.beta(hits + 0.5, misses + 0.5, RESAMPLES) / 2
    lower, upper = np.percentile(draws, [2.5, 97.5])
    return value, min(lower, value), max(upper, value)


def _within(pairs, counts):
    """Mean of ``pairs`` over pairs of different wells.

    One drawn twice makes no pair, which would hide the spread.
    """
    counts = counts.astype(float)
    return np.sum(counts @ pairs * counts, axis=-1) / (
        counts.sum(-1) ** 2 - (counts**2).sum(-1)
    )


def _interval(draws):
    return draws.quantile(0.025, axis=1), draws.quantile(0.975, axis=1)


def tell(table):
    """The table for reading, and what it says."""

    def spell(row, column, digits=2):
        value, lower, upper = (
            row[f"{column}{end}"] for end in ("", "_lower", "_upper")
        )
        return f"{value:.{digits}f} [{lower:.{digits}f}, {upper:.{digits}f}]"

    shown = pd.DataFrame(
        {
            "alias": table.alias.fillna(""),
            "features": table.features,
            "Z' of held-out wells": table.apply(spell, axis=1, column="z_prime"),
            "balanced accuracy": table.apply(spell, axis=1, column="balanced_accuracy"),
            "distance": table.apply(spell, axis=1, column="distance", digits=3),
            "p": table.distance_p.map("{:.4f}".format),
        }
    )
    lines = [shown.to_string(), "", "In brackets: 95 % intervals over wells."]
    single = table[table.index != TOGETHER]
    for measure, name in (("z_prime", "Z'"), ("distance", "Distance")):
        best = single[measure].idxmax()
        ranks = ", ".join(
            f"{row.alias} {row[f'{measure}_rank']:.0f}"
            for _, row in single[single.alias.notna()].iterrows()
        )
        lines.append(
            f"{name}: {best} is the best single tap, and first in"
            f" {single[f'{measure}_first'][best]:.0%} of resamples."
            + (f" Ranks of {len(single)}: {ranks}." if ranks else "")
        )
        if TOGETHER in table.index:
            row = table.loc[TOGETHER]
            lower, upper = (
                row[f"{measure}_minus_best_lower"],
                row[f"{measure}_minus_best_upper"],
            )
            verdict = (
                "better"
                if lower > 0
                else "worse"
                if upper < 0
                else "no clear difference"
            )
            lines.append(
                f"    together - {best}: {spell(row, f'{measure}_minus_best', 3)},"
                f" {verdict}."
            )
    perfect = (table.balanced_accuracy == 1).sum()
    if perfect > 1:
        lines.append(
            f"Balanced accuracy is 1.00 in {perfect} of {len(table)} rows: it cannot"
            " rank these."
        )
    return "\n".join(lines)


def draw(table, title, path):
    """Write a PNG.

    The three measures, one above the other, over the taps in the order of the network.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator

    single, named = table.index != TOGETHER, table.alias.notna()
    x = np.arange(len(table)) + np.where(single, 0, 0.3)
    # Colours of Okabe and Ito.
    kinds = [
        (single & ~named, "o", "#6b6b6b"),
        (named, "s", "#0072B2"),
        (~single, "D", "#D55E00"),
    ]
    panels = [
        (
            "z_prime",
            (
                "Z'-factor of held-out wells, cut at −1\n(1 = perfect, above 0.5 ="
                " excellent assay)"
            ),
            0.5,
        ),
        (
            "balanced_accuracy",
            "Balanced accuracy\nof held-out wells\n(0.5 = chance)",
            0.5,
        ),
        (
            "distance",
            "Distance between controls\n(0 = one distribution, 1 = no spread within)",
            0,
        ),
    ]
    figure = Figure(figsize=(11.6, 9.6), layout="constrained")
    axes = figure.subplots(3, 1, sharex=True, height_ratios=[3, 2, 3])
    for axis, (measure, label, landmark) in zip(axes, panels):
        # Below -1 a Z'-factor only says that the controls are not apart, and it can be as low as it likes.
        value, lower, upper = (
            table[f"{measure}{end}"].clip(lower=-1) for end in ("", "_lower", "_upper")
        )
        axis.axhline(landmark, color="#b0b0b0", linewidth=1, linestyle=":", zorder=0)
        for of, marker, colour in kinds:
            axis.vlines(x[of], lower[of], upper[of], color=colour, linewidth=2)
            axis.plot(x[of], value[of], marker, color=colour, markersize=8)
        for place in np.flatnonzero(named):
            axis.annotate(
                table.alias.iloc[place],
                (x[place], upper.iloc[place]),
                (0, 9),
                textcoords="offset points",
                ha="center",
                color="#0072B2",
                weight="bold",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )
        axis.axhline(
            value.get(TOGETHER, np.nan),
            color="#D55E00",
            linewidth=1,
            linestyle="--",
            zorder=0,
        )
        axis.margins(x=0.03, y=0.2)
        axis.set_ylabel(label)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].yaxis.set_major_locator(FixedLocator(np.linspace(0, 1, 5)))
    perfect = (table.balanced_accuracy == 1).sum()
    if perfect > 1:
        axes[1].text(
            x[0], 0.54, f"{perfect} of {len(table)} at 1.00: accuracy cannot rank these"
        )
    short = {
        tap: tap.removesuffix("_out").replace("_block", ".") for tap in table.index
    }
    short[TOGETHER] = "\n+ ".join(table.alias[named])
    axes[-1].set_xticks(
        x, table.index.map(short), rotation=90 if len(table) > 16 else 0
    )
    axes[-1].set_xlabel(
        "block, in the order of the network (bars: 95 % intervals over wells; dashed:"
        " named taps together)"
    )
    figure.align_ylabels(axes)
    figure.suptitle(title)
    figure.savefig(path, dpi=110, format="png")
