"""The numbers on the results page are those of the reports."""

import re
from pathlib import Path

import pandas as pd
import pytest

RESULTS = Path(__file__).parents[2] / "docs" / "results"
PAGE = (RESULTS.with_suffix(".md")).read_text()
NUMBER = r"(\d\.\d{3}) \((\d\.\d{3}) to (\d\.\d{3})\)"


@pytest.mark.parametrize("data", ["bbbc013", "mitocheck", "hep2"])
def test_accuracies(data):
    scores = pd.read_csv(RESULTS / data / "scores.csv").query(
        "test == 'balanced' and metric == 'accuracy'"
    )
    section = PAGE.partition(f"results/{data}/scores.csv")[2]
    rows = re.findall(
        rf"\n\| ([\w -]+) \| {NUMBER} \| {NUMBER} \| {NUMBER} \|",
        section.partition("\n## ")[0],
    )
    rows = [row for row in rows if not row[0].startswith("StratoNet - ")]
    assert [row[0] for row in rows] == list(scores.features.unique())
    for name, *values in rows:
        of = (
            scores[scores.features == name]
            .set_index("classifier")
            .loc[["SVM", "RF", "MLP"]]
        )
        assert [
            f"{value:.3f}" for value in of[["value", "low", "high"]].to_numpy().ravel()
        ] == values


def test_seconds():
    seconds = pd.read_csv(RESULTS / "bbbc022" / "seconds.csv").mean()
    for name, value in seconds.items():
        assert f"| {name} | {value:.2f} |" in PAGE
