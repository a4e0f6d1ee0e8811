"""Measure time and memory for a screen of many plates: controls, hits, doses.

    .venv/bin/python benchmarks/large_screen.py --plates 40

Metadata are those of JUMP: plates of 384 wells with 64 negative controls (DMSO), two
wells of each of eight positive controls, and compounds at eight doses, each dose in one
well of four replicate plates. Features are drawn at random. ``--classify`` and
``--umap`` also time these other parts of the report, separately.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd

from stratonet.tables.wells import format_well
from stratonet_sklearn.evaluation.roles import find_roles
from stratonet_sklearn.evaluation.screen import read_screen

N_NEGATIVE = 64
POSITIVE = (
    "037716",
    "025848",
    "046054",
    "035095",
    "064022",
    "050797",
    "012818",
    "085227",
)
N_DOSES, N_REPLICATES = 8, 4
# Size of the variation that wells have in common.
COMMON = 0.25
# Share of compounds with an effect, its size at the highest dose, and its features.
ACTIVE, EFFECT, N_CHANGED = 0.2, 1.5, 400


def make_metadata(n_plates: int, seed: int = 0) -> pd.DataFrame:
    """Make the metadata of plates as in JUMP, four plates of each layout."""
    rng = np.random.default_rng(seed)
    wells = [format_well(number % 16, number // 16) for number in range(384)]
    frames = []
    for first in range(0, n_plates, N_REPLICATES):
        compounds, doses = _fill_plate(first, len(wells))
        order = rng.permutation(len(wells))
        for plate in range(first, min(first + N_REPLICATES, n_plates)):
            frames.append(
                pd.DataFrame(
                    {
                        "Metadata_Source": "source_4",
                        "Metadata_Batch": "2021_04_26_Batch1",
                        "Metadata_Plate": f"BR{117000 + plate:08d}",
                        "Metadata_Well": wells,
                        "Metadata_JCP2022": np.array(compounds)[order],
                        "Metadata_Concentration_uM": np.array(doses)[order],
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def _fill_plate(first: int, n_wells: int) -> tuple[list[str], list[str]]:
    """Return the compound and the dose of each well of a layout."""
    compounds = ["JCP2022_033924"] * N_NEGATIVE
    compounds += [f"JCP2022_{number}" for number in POSITIVE for _ in range(2)]
    doses = [""] * N_NEGATIVE + ["5"] * (2 * len(POSITIVE))
    n_remaining = n_wells - len(compounds)
    for number in range(n_remaining // N_DOSES):
        compounds += [f"JCP2022_{100000 + first * 100 + number}"] * N_DOSES
        doses += [f"{10 / 3**step:.3g}" for step in range(N_DOSES)]
    return compounds, doses


def draw_features(metadata: pd.DataFrame, n_features: int, seed: int = 0) -> np.ndarray:
    """Draw features: compounds shift some of them, more at higher doses."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((len(metadata), n_features), np.float32)
    # Features vary together between wells; plates differ as a whole, see below.
    common = rng.standard_normal((8, n_features), np.float32) * COMMON
    values += rng.standard_normal((len(metadata), 8), np.float32) @ common
    compounds = metadata["Metadata_JCP2022"]
    doses = pd.to_numeric(
        metadata["Metadata_Concentration_uM"], errors="coerce"
    ).fillna(0)
    share = (doses / (doses + 1)).to_numpy(np.float32)
    positive = np.zeros(n_features, np.float32)
    positive[:N_CHANGED] = EFFECT
    for name, rows in compounds.groupby(compounds).indices.items():
        if name.removeprefix("JCP2022_") in POSITIVE:
            values[rows] += positive
        elif name != "JCP2022_033924" and rng.random() < ACTIVE:
            shift = np.zeros(n_features, np.float32)
            shift[rng.choice(n_features, N_CHANGED, replace=False)] = EFFECT
            values[rows] += 2 * share[rows][:, None] * shift
    plates = metadata["Metadata_Plate"]
    for rows in plates.groupby(plates).indices.values():
        values[rows] += rng.standard_normal(n_features, np.float32)
    return values


@contextmanager
def time_step(name: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{name}: {time.perf_counter() - begin:.1f} s, {memory:.2f} GB at most so far"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plates", type=int, default=40)
    parser.add_argument("--features", type=int, default=2560)
    parser.add_argument("--umap", action="store_true")
    parser.add_argument("--classify", action="store_true")
    options = parser.parse_args()
    with time_step("drawn"):
        metadata = make_metadata(options.plates)
        values = draw_features(metadata, options.features)
        names = [
            f"StratoFeatures_Low{number:04d}_DNA" for number in range(options.features)
        ]
        features = pd.DataFrame(values, columns=names)
    roles = find_roles(metadata)
    print(*roles.notes, sep="\n")
    with time_step("read"):
        screen = read_screen(
            metadata,
            features,
            roles.negative,
            roles.positive,
            "Metadata_JCP2022",
            "Metadata_Concentration_uM",
        )
    for part in ("controls", "hits", "doses", "warnings", "headline", "likeness"):
        with time_step(part):
            result = getattr(screen, part)
        if part in ("headline", "warnings"):
            print(result)
    if options.umap:
        _time_umap(features)
    if options.classify:
        _time_classification(features, metadata, roles.positive)


def _time_umap(features: pd.DataFrame) -> None:
    from stratonet_sklearn.evaluation.components import (
        choose_rows,
        compute_components,
        compute_map,
    )

    with time_step("principal components and UMAP, of as many wells as are drawn"):
        positions = compute_components(features).positions
        compute_map(positions[choose_rows(len(positions))])


def _time_classification(
    features: pd.DataFrame, metadata: pd.DataFrame, positive: np.ndarray
) -> None:
    from stratonet_sklearn.evaluation import evaluate

    with time_step("classification, positive controls against all else"):
        evaluate(features, positive, groups=metadata["Metadata_Plate"])


if __name__ == "__main__":
    main()
