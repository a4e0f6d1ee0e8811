"""Section: which features of two tables measure the same (thesis, figure 11)."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.stats import ConstantInputWarning, false_discovery_control, spearmanr

from stratonet.drawing import (
    add_color_scale,
    new_figure,
    shorten_name,
    shorten_names,
    strip_axes,
)
from stratonet.tables.reading import FeatureTable
from stratonet_sklearn.evaluation.columns import name_wells
from stratonet_sklearn.report.data import ReportData
from stratonet_sklearn.report.section import Content, Numbers, Omission, Plot

# Features of each table (thesis, figure 11).
N_FEATURES = 50
SIGNIFICANT = 0.05
# Three wells can be ranked in only six ways, too few to conclude anything.
FEWEST_WELLS = 4


@dataclass(frozen=True)
class Correlations:
    """Rank correlations between the features of two tables.

    Attributes
    ----------
    rho, p, q : numpy.ndarray (n, m)
        Spearman's correlation, its p-value, and the p-value corrected for the number of
        pairs by Benjamini and Hochberg.
    """

    rho: np.ndarray
    p: np.ndarray
    q: np.ndarray

    @property
    def significant(self) -> np.ndarray:
        """Which pairs are correlated, at a false discovery rate of 5%."""
        return self.q < SIGNIFICANT


def build_correlation(data: ReportData) -> Content | None:
    """Correlate, over wells, the features that matter most in the first two tables.

    Parameters
    ----------
    data : ReportData
        With two tables or more.

    Returns
    -------
    Content or None
        None for one table.
    """
    if len(data.tables) < 2:
        return None
    first, second = data.tables[:2]
    title = f"How features of {first.name} and {second.name} are correlated"
    # There are millions of pairs, and most features tell little.
    tops = [choose_features(data, table) for table in (first, second)]
    wells = name_wells(data.rows).to_numpy()
    # Sites and objects of one well are not independent of each other.
    medians = [
        table.frame[top].groupby(wells).median().to_numpy()
        for table, top in zip((first, second), tops)
    ]
    n_wells = len(medians[0])
    if n_wells < FEWEST_WELLS:
        text = f"{n_wells} wells are too few to correlate features."
        return Content(title, [Omission(text)])
    correlations = correlate_features(*medians)
    figure = draw_correlation(
        pd.DataFrame(correlations.rho, *tops),
        pd.DataFrame(correlations.significant, *tops),
        first.name,
        second.name,
    )
    caption = _word_caption(correlations, n_wells, data.evaluation is not None)
    return Content(
        title,
        [
            Numbers("correlation", list_pairs(correlations, *tops)),
            Plot("correlation", figure, caption),
        ],
    )


def choose_features(data: ReportData, table: FeatureTable) -> list[str]:
    """Choose the features of a table that matter most.

    Parameters
    ----------
    data : ReportData
        With or without an evaluation.
    table : FeatureTable
        One of its tables.

    Returns
    -------
    list of str
        At most 50: those most important to the random forest or, where nothing was
        classified, with the largest weights in the first components.
    """
    weights = data.components[table.name].weights
    if data.evaluation is not None:
        weights = data.evaluation.importance.get((table.name, "RF"), weights)
    return weights.nlargest(N_FEATURES).index.tolist()


def correlate_features(first: np.ndarray, second: np.ndarray) -> Correlations:
    """Correlate all features of one table with all of another.

    Parameters
    ----------
    first : numpy.ndarray (n wells, n)
        Features of the first table.
    second : numpy.ndarray (n wells, m)
        Features of the second table, of the same wells.

    Returns
    -------
    Correlations
        Of shape (n, m). A feature with the same value in all wells correlates with
        nothing.

    Examples
    --------
    >>> x = np.arange(8.0)[:, None]
    >>> correlate_features(x, np.hstack([x**2, -x])).rho
    array([[ 1., -1.]])
    """
    n_wells, n_first = first.shape
    # Features without any variation are expected, and come out as missing.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        result = spearmanr(np.hstack([first, second]))
    rho = _to_matrix(result.statistic)[:n_first, n_first:]
    # By chance, n wells are in perfect order, or in its reverse, in 2 of n! cases.
    # scipy's approximation gives this a p-value of 0, as if it were impossible.
    smallest_p = 2 / math.factorial(min(n_wells, 20))
    p = np.maximum(_to_matrix(result.pvalue)[:n_first, n_first:], smallest_p)
    complete_p = np.where(np.isnan(p), 1, p)
    q = false_discovery_control(complete_p.ravel()).reshape(p.shape)
    return Correlations(rho, p, q)


def _to_matrix(values: np.ndarray) -> np.ndarray:
    # For only two features, scipy returns one number instead of a matrix.
    return np.full((2, 2), values) if np.ndim(values) == 0 else values


def list_pairs(
    correlations: Correlations, first: list[str], second: list[str]
) -> pd.DataFrame:
    """List the pairs of features.

    Parameters
    ----------
    correlations : Correlations (n, m)
        Of all pairs.
    first, second : list of str
        The names of the n and the m features.

    Returns
    -------
    pandas.DataFrame
        One row per pair: ``first``, ``second``, ``rho``, ``p``, ``q`` and
        ``significant``.
    """
    return pd.DataFrame(
        {
            "first": np.repeat(first, len(second)),
            "second": np.tile(second, len(first)),
            "rho": correlations.rho.ravel(),
            "p": correlations.p.ravel(),
            "q": correlations.q.ravel(),
            "significant": correlations.significant.ravel(),
        }
    )


def _word_caption(correlations: Correlations, n_wells: int, is_classified: bool) -> str:
    n_first, n_second = correlations.q.shape
    chosen = "with the largest weights in the first three components"
    if is_classified:
        chosen = "most important to the random forest"
    text = (
        f"Spearman's rank correlation, over {n_wells} wells, between the {n_first} and"
        f" {n_second} features {chosen}. Dots mark the"
        f" {correlations.significant.sum():,} of {correlations.q.size:,} pairs that are"
        f" significant at a false discovery rate of {SIGNIFICANT:.0%} (Benjamini and"
        " Hochberg)."
    )
    if is_classified:
        text += (
            " Features that separate the same classes are correlated because of the"
            " classes."
        )
    return text


def draw_correlation(
    matrix: pd.DataFrame, significant: pd.DataFrame, first: str, second: str
) -> Figure:
    """Draw correlations, ordered so that similar features lie together.

    Parameters
    ----------
    matrix : pandas.DataFrame (n, m)
        Correlations from -1 to 1: features of the first table in rows, of the second
        in columns. Missing ones are drawn as 0.
    significant : pandas.DataFrame (n, m), bool
        Which of them are significant and get a dot.
    first, second : str
        The names of the tables.

    Returns
    -------
    matplotlib.figure.Figure
    """
    # Clustering does not take missing numbers.
    matrix = matrix.fillna(0)
    rows = order_features(matrix.to_numpy())
    columns = order_features(matrix.to_numpy().T)
    matrix = matrix.iloc[rows, columns]
    significant = significant.loc[matrix.index, matrix.columns]
    row, column = matrix.stack().abs().idxmax()
    figure = new_figure(
        f"{significant.to_numpy().sum():,} of {matrix.size:,} pairs are significantly"
        f" correlated (with a dot); the strongest correlation is"
        f" {matrix.loc[row, column]:.2f}, between {shorten_name(row, 34)} and"
        f" {shorten_name(column, 34)}.",
        2.8 + min(7.0, max(2.5, 0.14 * len(matrix))),
    )
    axes = figure.subplots()
    # White is no correlation. Everyone can tell purple from orange.
    image = axes.imshow(matrix, cmap="PuOr_r", vmin=-1, vmax=1, aspect="auto")
    y, x = np.nonzero(significant.to_numpy())
    axes.scatter(x, y, s=6, color="black", edgecolors="white", linewidths=0.5)
    axes.set_yticks(range(len(matrix)), shorten_names(matrix.index, 34))
    column_names = shorten_names(matrix.columns, 34)
    axes.set_xticks(range(len(column_names)), column_names, rotation=90)
    strip_axes(axes)
    axes.tick_params(labelsize=6)
    axes.set_ylabel(f"features of {shorten_name(first, 36)}")
    axes.set_xlabel(f"features of {shorten_name(second, 36)}")
    add_color_scale(image, [axes], "Spearman's rank correlation (-1 to 1)")
    return figure


def order_features(values: np.ndarray) -> list[int]:
    """Order rows by hierarchical clustering, so that neighbours are alike.

    Parameters
    ----------
    values : numpy.ndarray (n, m)
        Finite numbers.

    Returns
    -------
    list of int
        Row numbers.

    Examples
    --------
    The value 1 is between the others, whichever of them comes first.

    >>> order_features(np.array([[0.0], [5], [1]]))[1]
    2
    """
    if len(values) < 2:
        return [0]
    return leaves_list(linkage(values, "average", optimal_ordering=True)).tolist()
