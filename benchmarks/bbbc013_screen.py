"""Evaluate BBBC013 as a screen, and compare with its own readout: nucleus to ring.

    .venv/bin/python benchmarks/bbbc013_screen.py RESULTS --output FILE

RESULTS is the folder that `make results` has written. The plate's assay is the
translocation of a protein into the nucleus. Its own readout is the mean intensity of
GFP in nuclei divided by that in rings around them (CellProfiler, `bbbc013.cppipe`). Z'
and EC50 of features and readout are from the same wells, and curves are fitted in the
same way. FILE is `benchmarks/bbbc013_screen.csv`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from stratonet.tables.reading import read_feature_table
from stratonet_sklearn.evaluation.controls import compare_controls
from stratonet_sklearn.evaluation.doses import fit_doses
from stratonet_sklearn.evaluation.screen import Screen, read_screen

TABLES = {
    "StratoNet": "stratonet",
    "Version 1": "whole224",
    "ResNet-50": "resnet50",
    "Untrained": "untrained",
}
INTENSITY = "Intensity_MeanIntensity_GFP_FKHR"
COMPOUNDS = ("wortmannin", "LY294002")


def measure_ratio(folder: Path) -> pd.Series:
    """Compute the ratio of the mean intensity of nuclei to that of rings, by well."""
    columns = ["ImageNumber", INTENSITY]
    means = {
        name: pd.read_csv(folder / f"{name}.csv", usecols=columns)
        .groupby("ImageNumber")[INTENSITY]
        .mean()
        for name in ("Nuclei", "Cytoplasm")
    }
    images = pd.read_csv(
        folder / "Image.csv", usecols=["ImageNumber", "Metadata_Well"]
    ).set_index("ImageNumber")
    ratio = means["Nuclei"] / means["Cytoplasm"]
    return ratio.set_axis(images["Metadata_Well"].loc[ratio.index])


def read_plate(path: Path) -> Screen:
    table = read_feature_table(path)
    role = table.frame["Metadata_Role"]
    return read_screen(
        table.frame,
        table.frame[table.features],
        role == "negcon",
        role == "poscon",
        "Metadata_Compound",
        "Metadata_Dose",
    )


def describe(
    name: str, controls: dict[str, float], doses: pd.DataFrame, active: str
) -> dict[str, object]:
    row: dict[str, object] = {"response": name}
    for number in ("z_prime", "low", "high", "robust_z_prime", "ssmd"):
        row[number] = controls[number]
    curves = doses.set_index("compound")
    for compound in COMPOUNDS:
        for number in ("ec50", "low", "high"):
            row[f"{compound} {number}"] = curves.loc[compound, number]
    return {**row, "active": active}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    folder = options.results / "features" / "bbbc013"
    rows = []
    for name, path in TABLES.items():
        screen = read_plate(folder / path)
        compounds = screen.compounds.query("active")["compound"]
        plate = screen.controls.plates.iloc[0].to_dict()
        doses = screen.doses[screen.doses["response"] == screen.dose_response]
        rows.append(describe(name, plate, doses, " ".join(sorted(compounds))))
    wells = screen.wells
    ratio = measure_ratio(folder / "cellprofiler")
    ratio = ratio.reindex(wells.rows["well"]).to_numpy()
    treated, negative = wells.treated, wells.negative
    doses = fit_doses(
        wells.rows.loc[treated, "compound"].to_numpy(),
        wells.rows.loc[treated, "dose"].to_numpy(),
        {"ratio": ratio[treated]},
        {"ratio": ratio[negative]},
    )
    controls = compare_controls(ratio[negative], ratio[wells.positive])
    rows.append(describe("nucleus/ring", controls, doses, ""))
    frame = pd.DataFrame(rows)
    print(frame.set_index("response").T.to_string(float_format="{:.3g}".format))
    ratio_row = frame.iloc[-1]
    for compound in COMPOUNDS:
        factor = frame[f"{compound} ec50"] / ratio_row[f"{compound} ec50"]
        print(f"{compound}, relative to the ratio:", *np.round(factor.astype(float), 2))
    if options.output:
        frame.to_csv(options.output, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
