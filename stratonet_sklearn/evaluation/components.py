"""What sets of features look like, without a model.

Their variance, their map, and what they have in common.
"""

import math
import sys
import warnings

import numpy as np
import pandas as pd
from scipy.stats import ConstantInputWarning, false_discovery_control, spearmanr
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from stratonet.tables.columns import PLATE, WELL
from stratonet_sklearn.evaluation.comparison import name_wells
from stratonet_sklearn.report import figures, plates

COMPONENTS = 50
FEWEST, MOST = 15, 5000  # rows of a UMAP
TOP = 50  # thesis, figure 11
SIGNIFICANT = 0.05


def describe(page, sets, rows, labels, importance, seed):
    """Add the sections on variance, map and correlation to a page.

    Parameters
    ----------
    page : Page
    sets : list of FeatureTable
    rows : pandas.DataFrame
        Their metadata.
    labels : pandas.Series or None
    importance : dict
        Of `Evaluation`, empty if nothing was classified.
    seed : int
    """
    rng = np.random.default_rng(seed)
    drawn = (
        np.sort(rng.choice(len(rows), MOST, replace=False))
        if len(rows) > MOST
        else np.arange(len(rows))
    )
    variances, places, loadings = {}, {}, {}
    for one in sets:
        values = StandardScaler().fit_transform(one.frame[one.features])
        pca = PCA(min(COMPONENTS, len(values) - 1, values.shape[1]), random_state=seed)
        components = pca.fit_transform(values)
        variances[one.name] = pca.explained_variance_ratio_
        places[one.name] = _map(components[drawn], seed)
        loadings[one.name] = pd.Series(
            pca.explained_variance_[:3] @ pca.components_[:3] ** 2, one.features
        )
    page.section("How the features vary")
    page.numbers(
        "variance",
        pd.concat(
            pd.DataFrame(
                {
                    "features": name,
                    "component": np.arange(1, len(ratio) + 1),
                    "variance": ratio,
                }
            )
            for name, ratio in variances.items()
        ),
    )
    page.figure(
        "variance",
        figures.variance(variances),
        "The share of the variance that each principal component holds, and the first"
        " ones together. Features are scaled to unit variance.",
    )
    kind = (
        "UMAP of the principal components"
        if len(rows) >= FEWEST
        else "The first two principal components"
    )
    shown = rows.iloc[drawn].reset_index(drop=True)
    coloured = pd.Series("", rows.index) if labels is None else labels
    coloured = coloured.iloc[drawn].reset_index(drop=True)
    page.numbers(
        "map",
        pd.concat(
            pd.concat(
                [
                    shown[[PLATE, WELL]],
                    pd.DataFrame(
                        {
                            "label": coloured,
                            "features": name,
                            "x": xy[:, 0],
                            "y": xy[:, 1],
                        }
                    ),
                ],
                axis=1,
            )
            for name, xy in places.items()
        ),
    )
    page.figure(
        "map",
        plates.maps(places, coloured, shown[PLATE], shown[WELL]),
        f"{kind}: {len(shown):,} of {len(rows):,} rows, the same places coloured by"
        " class, by plate and by well position. Where plates or positions gather as"
        " the classes do, they may be what is seen.",
    )
    if len(sets) > 1:
        _correlate(page, sets[0], sets[1], rows, importance, loadings)


def _map(components, seed):
    if len(components) < FEWEST:
        return (
            components[:, :2]
            if components.shape[1] > 1
            else np.pad(components, ((0, 0), (0, 1)))
        )
    return _umap()(random_state=seed, n_jobs=1, init="pca").fit_transform(components)


def _umap():
    """umap's class.

    The package would import TensorFlow along with it, for a part that is not used here.
    """
    tensorflow = sys.modules.get("tensorflow")
    sys.modules["tensorflow"] = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImportWarning)
            from umap import UMAP
    finally:
        del sys.modules["tensorflow"]
        if tensorflow is not None:
            sys.modules["tensorflow"] = tensorflow
    return UMAP


def _correlate(page, first, second, rows, importance, loadings):
    """Rank correlations, over wells, of the features that matter most in two sets."""
    page.section(f"What {first.name} and {second.name} have in common")
    tops = [
        importance.get((one.name, "RF"), loadings[one.name])
        .nlargest(TOP)
        .index.tolist()
        for one in (first, second)
    ]
    values = [
        one.frame[top].groupby(name_wells(rows).to_numpy()).median().to_numpy()
        for one, top in zip((first, second), tops)
    ]
    n_wells = len(values[0])
    if n_wells < 4:
        page.text(f"{n_wells} wells are too few to correlate features.")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        found = spearmanr(np.hstack(values))
    here = np.s_[: len(tops[0]), len(tops[0]) :]
    # No order of so few wells is rarer than this; the approximation calls a perfect one impossible.
    rho, p = (
        found.statistic[here],
        np.maximum(found.pvalue[here], 2 / math.factorial(min(n_wells, 20))),
    )
    # A feature that is the same in all wells correlates with nothing.
    q = false_discovery_control(np.where(np.isnan(p), 1, p).ravel()).reshape(p.shape)
    matrix = pd.DataFrame(np.nan_to_num(rho), tops[0], tops[1])
    significant = pd.DataFrame(q < SIGNIFICANT, tops[0], tops[1])
    page.numbers(
        "correlation",
        pd.DataFrame(
            {
                "first": np.repeat(tops[0], len(tops[1])),
                "second": np.tile(tops[1], len(tops[0])),
                "rho": rho.ravel(),
                "p": p.ravel(),
                "q": q.ravel(),
                "significant": q.ravel() < SIGNIFICANT,
            }
        ),
    )
    chosen = (
        "most important to the random forest"
        if importance
        else "of most weight in the first three components"
    )
    page.figure(
        "correlation",
        figures.correlation(matrix, significant, first.name, second.name),
        f"Spearman's rank correlation over {n_wells} wells of the {len(tops[0])} and"
        f" {len(tops[1])} features {chosen}. Marked: significant at a false discovery"
        f" rate of {SIGNIFICANT:.0%} among all {q.size:,} pairs (Benjamini and"
        f" Hochberg): {significant.to_numpy().mean():.0%} of them."
        + " Features that tell the same classes apart go together through the classes."
        * bool(importance),
    )
