"""Tables of screens, as `make_profiles` takes them."""

from itertools import product

import numpy as np
import pandas as pd

WELLS = [
    f"{row}{column:02d}" for row, column in product("ABCDEFGHIJKLMNOP", range(1, 25))
]


def draw_sites(
    n_features=6, plates=2, controls=10, treated=20, sites=2, seed=6, columns="f{}"
):
    """Metadata, features and controls of sites, as tables give them."""
    rng = np.random.default_rng(seed)
    places = product(range(plates), range(controls + treated), range(sites))
    rows = [
        (f"P{plate}", WELLS[well], str(site), f"C{max(well - controls, -1) // 2}")
        for plate, well, site in places
    ]
    metadata = pd.DataFrame(
        rows,
        columns=[f"Metadata_{name}" for name in ("Plate", "Well", "Site", "Compound")],
    )
    values = rng.normal(5, 2, (len(rows), n_features)).astype(np.float32)
    features = pd.DataFrame(
        values, columns=[columns.format(number) for number in range(n_features)]
    )
    return (
        metadata,
        features,
        np.array(
            [
                well < controls
                for _, well, _ in product(
                    range(plates), range(controls + treated), range(sites)
                )
            ]
        ),
    )
