import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pycytominer
import pytest

from stratonet import __version__

ROOT = Path(__file__).parents[1]


def stratonet(*arguments):
    command = [sys.executable, "-m", "stratonet_cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_version_and_help():
    assert stratonet("--version").stdout.strip() == __version__
    assert {"plugins-directory", "demo", "extract"} <= set(
        stratonet("--help").stdout.split()
    )


def test_plugins_directory_holds_the_module():
    folder = Path(stratonet("plugins-directory").stdout.strip())
    assert (folder / "measurestratofeatures.py").is_file()


def test_commands_import_nothing_before_they_are_called():
    code = (
        "import sys, stratonet_cli; print({'tensorflow', 'sklearn', 'pandas',"
        " 'onnxruntime'} & set(sys.modules))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True
        ).stdout.strip()
        == "set()"
    )


@pytest.mark.slow
def test_a_plate_that_cannot_be_is_refused_in_one_line(tmp_path):
    done = stratonet("demo", "--plate", tmp_path, "--output", tmp_path / "out")
    assert (
        done.returncode == 1
        and done.stderr.startswith("stratonet: ")
        and "labels.csv is missing" in done.stderr
    )
    assert len(done.stderr.splitlines()) == 1


def link_controls(source, folder):
    """Half the controls of a plate, rows A to D, and a treated well of each row."""
    labels = pd.read_csv(source / "labels.csv")
    rows = labels.well.str[0]
    labels = labels[rows.isin(list("ABCD"))]
    treated = labels[labels.role == "trt"].groupby(rows).head(1)
    kept = labels[labels.role != "trt"].index.union(treated.index)
    folder.mkdir()
    labels.loc[kept].to_csv(folder / "labels.csv", index=False)
    for name in labels.loc[kept].filter(like="file_").to_numpy().flat:
        (folder / name).symlink_to(source / name)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("real", [False, True], ids=["simulated", "BBBC013"])
def test_demo_gives_the_same_features_from_cellprofiler_and_scikit_learn(
    real, tmp_path, tmp_path_factory, request
):
    plate = []
    if real:
        bbbc013 = request.getfixturevalue("data") / "bbbc013"
        place = tmp_path_factory.mktemp("real")
        plate = ["--plate", link_controls(bbbc013, place / "bbbc013")]
    done = stratonet("demo", *plate, "--output", tmp_path)
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert ("real images from" if real else "a simulated plate") in done.stdout
    assert "balanced accuracy 1.00" in done.stdout
    assert (tmp_path / "plate.png").stat().st_size > 20_000
    profiles = pd.read_parquet(tmp_path / "StratoFeatures_Image.parquet")
    features = [name for name in profiles if name.startswith("StratoFeatures_")]
    metadata = [name for name in profiles if name.startswith("Metadata_")]
    normalized = pycytominer.normalize(
        profiles, features=features, meta_features=metadata
    )
    assert (
        len(normalized) == len(profiles)
        and abs(normalized[features].mean().mean()) < 1e-3
    )

    images = pd.read_csv(tmp_path / "load_data.csv", dtype=str).assign(
        Metadata_Plate="P"
    )
    images.to_csv(tmp_path / "plate.csv", index=False)
    done = stratonet(
        "extract", tmp_path / "plate.csv", "--output", tmp_path / "features", "--quiet"
    )
    assert done.returncode == 0, done.stderr
    extracted = pd.read_parquet(tmp_path / "features")
    assert extracted.Metadata_Well.tolist() == images.Metadata_Well.tolist()
    np.testing.assert_allclose(
        extracted[features], profiles[features], rtol=1e-5, atol=1e-6
    )
