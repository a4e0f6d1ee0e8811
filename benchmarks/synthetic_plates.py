"""Count false and missed hits on synthetic plates, whose effects are known.

    .venv/bin/python benchmarks/synthetic_plates.py --output benchmarks/hits.csv

Each seed gives a plate of 384 wells with 48 negative and 16 positive controls, and 80
compounds in four wells each: 60 without an effect, one toxic, the others with effects
of known size. Wells at the edge differ from the others. Wells are placed at random, or
those of each compound lie in one column.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from stratonet.tables.wells import format_well
from stratonet_sklearn.evaluation.hits import list_hits
from stratonet_sklearn.evaluation.positions import warn_of_positions
from stratonet_sklearn.evaluation.screen import Screen, read_screen

N_ROWS, N_COLUMNS = 16, 24
N_FEATURES = 200
# Number of features that an effect changes, and that the edge changes.
N_CHANGED, N_EDGE = 40, 60
N_NEGATIVE, N_POSITIVE, N_REPLICATES = 48, 16, 4
# Shifts of features, in standard deviations between wells, and how many compounds have
# each.
EFFECTS = {0.0: 60, 0.5: 5, 1.0: 5, 1.5: 4, 2.0: 5}
TOXIC_EFFECT, TOXIC_COUNT = 3.0, 0.2
POSITIVE_EFFECT = 3.0
N_CELLS = 200
COMPOUND = "Metadata_Compound"
# Layout, shift of wells at the edge, and whether compounds have effects.
CASES = (
    ("random", 0.0, True),
    ("random", 1.0, True),
    ("random", 1.0, False),
    ("columns", 1.0, True),
    ("columns", 1.0, False),
)


@dataclass(frozen=True)
class Plate:
    """A plate whose effects are known.

    Attributes
    ----------
    metadata : pandas.DataFrame (384)
        ``Metadata_Plate``, ``Metadata_Well``, ``Metadata_Compound``, ``Metadata_Role``.
    features : pandas.DataFrame (384, n features)
    counts : numpy.ndarray (384,)
        Number of objects in each well.
    effects : dict of str to float
        The shift that each compound causes; 0 for those without an effect.
    """

    metadata: pd.DataFrame
    features: pd.DataFrame
    counts: np.ndarray
    effects: dict[str, float]


def make_plate(
    seed: int, layout: str = "random", edge: float = 1.0, active: bool = True
) -> Plate:
    """Make a plate.

    Parameters
    ----------
    seed : int
        The same seed gives the same plate.
    layout : {"random", "columns"}
        Wells are placed at random, or each compound in one column and controls in the
        two columns at either side.
    edge : float
        Shift of wells at the edge, in standard deviations.
    active : bool
        Whether any compound has an effect: if not, every hit is false.
    """
    rng = np.random.default_rng(seed)
    effects = {"toxic": TOXIC_EFFECT}
    for shift, n_compounds in EFFECTS.items():
        for number in range(n_compounds):
            effects[f"shift {shift} no {number}"] = shift
    if not active:
        effects = dict.fromkeys(effects, 0.0)
    compounds = list(rng.permutation(list(effects)))
    metadata = _place_wells(compounds, layout, rng)
    values = _draw_noise(len(metadata), rng)
    directions = {name: _draw_direction(N_CHANGED, rng) for name in compounds}
    names = metadata[COMPOUND].to_numpy()
    for name, shift in effects.items():
        values[names == name] += shift * directions[name]
    is_positive = (metadata["Metadata_Role"] == "poscon").to_numpy()
    values[is_positive] += POSITIVE_EFFECT * _draw_direction(N_CHANGED, rng)
    values[_find_edge(metadata)] += edge * _draw_direction(N_EDGE, rng)
    is_toxic = (names == "toxic") & active
    expected = np.where(is_toxic, TOXIC_COUNT, 1.0) * N_CELLS
    features = pd.DataFrame(values, columns=[f"f{n}" for n in range(N_FEATURES)])
    return Plate(metadata, features, rng.poisson(expected), effects)


def _place_wells(
    compounds: list[str], layout: str, rng: np.random.Generator
) -> pd.DataFrame:
    wells = [
        format_well(row, column)
        for column in _order_columns(layout)
        for row in range(N_ROWS)
    ]
    treated = np.repeat(compounds, N_REPLICATES)
    contents = ["DMSO"] * N_NEGATIVE + ["known"] * N_POSITIVE + list(treated)
    roles = ["negcon"] * N_NEGATIVE + ["poscon"] * N_POSITIVE + ["trt"] * len(treated)
    order = np.arange(len(wells))
    if layout == "random":
        order = rng.permutation(order)
    return pd.DataFrame(
        {
            "Metadata_Plate": "P1",
            "Metadata_Well": [wells[number] for number in order],
            COMPOUND: contents,
            "Metadata_Role": roles,
        }
    )


def _order_columns(layout: str) -> list[int]:
    """Return the columns in the order in which they are filled: controls first."""
    if layout == "random":
        return list(range(N_COLUMNS))
    sides = [0, 1, N_COLUMNS - 2, N_COLUMNS - 1]
    return [*sides, *range(2, N_COLUMNS - 2)]


def _draw_noise(n_wells: int, rng: np.random.Generator) -> np.ndarray:
    """Draw wells whose features are correlated, as those of images are."""
    common = rng.normal(size=(n_wells, 10)) @ rng.normal(size=(10, N_FEATURES))
    values = common / np.sqrt(10) + rng.normal(size=(n_wells, N_FEATURES))
    return values / np.sqrt(2)


def _draw_direction(n_changed: int, rng: np.random.Generator) -> np.ndarray:
    direction = np.zeros(N_FEATURES)
    changed = rng.choice(N_FEATURES, n_changed, replace=False)
    direction[changed] = rng.choice([-1, 1], n_changed)
    return direction


def _find_edge(metadata: pd.DataFrame) -> np.ndarray:
    wells = metadata["Metadata_Well"]
    return (wells.str[0].isin(["A", "P"]) | wells.str[1:].isin(["01", "24"])).to_numpy()


def read_plate(plate: Plate, seed: int = 0) -> Screen:
    """Evaluate a plate, as `stratonet evaluate` does."""
    role = plate.metadata["Metadata_Role"]
    return read_screen(
        plate.metadata,
        plate.features,
        role == "negcon",
        role == "poscon",
        COMPOUND,
        counts=plate.counts,
        seed=seed,
    )


def judge_hits(plate: Plate, hits: pd.DataFrame) -> dict[str, float]:
    """Compare the hits of a plate with its known effects.

    Returns
    -------
    dict of str to float
        ``hits``, their number; ``false``, the share of false ones among the hits (0 if
        there are none); ``power <shift>``, the share of compounds with this effect that
        are hits.
    """
    treated = hits[hits["role"] == "treatment"]
    effects = treated["compound"].map(plate.effects)
    active = treated["active"].to_numpy(bool)
    is_false = active & (effects == 0).to_numpy()
    judged = {
        "hits": float(active.sum()),
        "false": is_false.sum() / max(active.sum(), 1),
    }
    for shift in sorted(set(plate.effects.values()) - {0.0}):
        judged[f"power {shift}"] = float(active[(effects == shift).to_numpy()].mean())
    return judged


def judge_seed(seed: int, layout: str, edge: float, active: bool) -> dict[str, object]:
    plate = make_plate(seed, layout, edge, active)
    wells = read_plate(plate).wells
    hits = list_hits(wells)
    toxic = hits.loc[hits["compound"] == "toxic", "relative_count"]
    warnings = warn_of_positions(hits, wells)
    is_warned = any("cannot be separated" in text for text in warnings)
    return {
        "layout": layout,
        "edge": edge,
        "effects": "known" if active else "none",
        "seed": seed,
        **judge_hits(plate, hits),
        "toxic count": float(toxic.iloc[0]),
        "position is said": is_warned,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--output")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    judged = Parallel(options.jobs)(
        delayed(judge_seed)(seed, *case)
        for case in CASES
        for seed in range(options.seeds)
    )
    frame = pd.DataFrame(judged).drop(columns="seed")
    means = frame.groupby(["layout", "edge", "effects"]).mean().reset_index()
    means.insert(3, "plates", options.seeds)
    print(means.round(3).T.to_string(header=False))
    if options.output:
        means.to_csv(options.output, index=False, float_format="%.4f")


if __name__ == "__main__":
    main()
