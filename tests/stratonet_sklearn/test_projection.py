import json

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

import stratonet_cli
from stratonet import StratoNet
from stratonet.naming import feature_columns
from stratonet.projection import Projection
from stratonet.tables import read_features
from stratonet.tables.reading import feature_parts
from stratonet.weights_file import read_feature_set_id
from stratonet_sklearn import fit_projection

ID = "net-1-abc"


def frame(rng, rows=40, channels=("DNA", "ER"), taps=(("Low", 12), ("High", 20))):
    names = [
        f"StratoFeatures_{tap}{n:04d}_{channel}"
        for channel in channels
        for tap, width in taps
        for n in range(width)
    ]
    values = rng.normal(5, 1, (rows, 4)) @ rng.normal(
        size=(4, len(names))
    ) + 0.1 * rng.normal(size=(rows, len(names)))
    made = pd.DataFrame(values.astype(np.float32), columns=names)
    made.insert(0, "Metadata_StratoFeatures", ID)
    return made


def test_components_are_those_of_scikit_learn_channel_by_channel(rng):
    table = frame(rng)
    table["StratoFeatures_Low0003_ER"] = 1.0
    table.loc[[7, 9], "StratoFeatures_High0001_DNA"] = np.nan
    made = fit_projection(table, 5)
    assert (
        made.feature_set_id == ID and made.rows == 38 and made.channels == ["DNA", "ER"]
    )
    assert made.taps == (("Low", 12), ("High", 20))
    for channel in made.channels:
        values = table.filter(regex=f"_{channel}$").drop([7, 9]).to_numpy(float)
        scaled = StandardScaler().fit_transform(values)
        expected = PCA(5).fit(scaled)
        received = made.transform(values.astype("f4"), channel)
        assert received.dtype == np.float32
        np.testing.assert_allclose(
            np.abs(received), np.abs(expected.transform(scaled)), atol=1e-3
        )
        np.testing.assert_allclose(
            made.explained[channel], expected.explained_variance_ratio_, rtol=1e-4
        )
    assert np.isnan(made.transform(table.filter(regex="_DNA$").loc[7:8], "DNA")).all(
        axis=1
    ).tolist() == [True, False]


def test_a_channel_is_the_same_whatever_is_beside_it(rng):
    table = frame(rng)
    both, alone = (
        fit_projection(table, 3),
        fit_projection(table.filter(regex="Metadata|_ER$"), 3),
    )
    np.testing.assert_array_equal(both.components["ER"], alone.components["ER"])
    assert both.id != alone.id


def test_the_file_is_the_projection(rng, tmp_path):
    table = frame(rng)
    made = fit_projection(table, 3)
    made.save(tmp_path / "a.npz")
    loaded = Projection.load(tmp_path / "a.npz")
    fit_projection(table, 3).save(tmp_path / "again" / "a.npz")
    assert (tmp_path / "again" / "a.npz").read_bytes() == (
        tmp_path / "a.npz"
    ).read_bytes()
    assert loaded.id == made.id == fit_projection(table, 3).id and made.id.startswith(
        "pca3-"
    )
    assert loaded.rows == 40 and loaded.channels == ["DNA", "ER"] and loaded.width == 3
    values = table.filter(regex="_ER$")
    np.testing.assert_array_equal(
        loaded.transform(values, "ER"), made.transform(values, "ER")
    )
    assert Projection.load(tmp_path / "a.npz") is loaded
    fit_projection(table, 4).save(tmp_path / "a.npz")
    assert Projection.load(tmp_path / "a.npz").width == 4
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [
        "a.npz",
        "a.npz",
    ]


@pytest.mark.parametrize(
    "write",
    [
        lambda file: None,
        lambda file: file.write(b"no file"),
        lambda file: np.save(file, np.zeros(3)),
        lambda file: np.savez(file, about=np.array(json.dumps({"feature_set_id": ID}))),
        lambda file: np.savez(file, about=np.array(json.dumps([ID]))),
    ],
)
def test_what_is_no_projection_is_refused(write, tmp_path):
    path = tmp_path / "a.npz"
    with open(path, "wb") as file:
        write(file)
    with pytest.raises(
        ValueError, match="a.npz is not a projection. stratonet project makes one"
    ):
        Projection.load(path)
    with pytest.raises(FileNotFoundError, match="No projection file"):
        Projection.load(tmp_path / "b.npz")


def test_features_that_it_does_not_take_are_refused(rng):
    made = fit_projection(frame(rng), 3)
    for shape in ((4, 1), (4, 33), (32,)):
        with pytest.raises(
            ValueError,
            match=r"takes \(n, 32\) features, of the taps Low \(12\), High \(20\)",
        ):
            made.transform(np.zeros(shape), "DNA")
    with pytest.raises(ValueError, match="has the channels DNA, ER. Received: 'AGP'"):
        made.transform(np.zeros((4, 32)), "AGP")


@pytest.mark.parametrize(
    ("change", "components", "told"),
    [
        (lambda table: table, 40, "has 40 rows without NaN"),
        (lambda table: table, 33, "no more than 32 features"),
        (lambda table: table, 0, "Received: 0. "),
        (
            lambda table: table.drop(columns="StratoFeatures_Low0003_ER"),
            3,
            "not hold all features of Low",
        ),
        (
            lambda table: table.drop(columns=table.filter(regex="Low.*ER")),
            3,
            "has different taps for DNA, ER",
        ),
        (
            lambda table: table[["Metadata_StratoFeatures"]],
            3,
            "no features of StratoNet",
        ),
        (
            lambda table: table.assign(Metadata_StratoProjection="pca9-1"),
            3,
            "already holds components of pca9-1",
        ),
        (
            lambda table: table.assign(Metadata_StratoFeatures=[ID, "net-2"] * 20),
            3,
            f"features of {ID}, net-2",
        ),
        (
            lambda table: table.iloc[[0, 1, 2, 3] * 10],
            5,
            "vary in 3, for DNA. Give more rows",
        ),
    ],
)
def test_tables_that_cannot_be_projected_are_refused(change, components, told, rng):
    with pytest.raises(ValueError, match=told):
        fit_projection(change(frame(rng)), components)


@pytest.mark.slow
def test_the_command_makes_a_file_that_fits_the_network(rng, tmp_path, capsys):
    # Narrow taps: components of 3,072 features take seconds.
    net = StratoNet.load(taps=("intensity", "low"))
    names = net.feature_names(["DNA"])
    table = pd.DataFrame(rng.random((30, len(names)), np.float32), columns=names)
    table.insert(0, "Metadata_StratoFeatures", net.feature_set_id)
    table.loc[[3, 5], names[7]] = np.nan
    table.to_parquet(tmp_path / "pilot.parquet")
    command = [
        "project",
        str(tmp_path / "pilot.parquet"),
        "--components",
        "10",
        "--output",
        str(tmp_path / "p.npz"),
    ]
    assert stratonet_cli.main(command) == 0
    made = Projection.load(tmp_path / "p.npz")
    said = capsys.readouterr().out
    assert made.id in said and "10 of each channel" in said
    assert f"28 rows of {net.feature_set_id}; 2 with NaN are left out" in said
    made.check(read_feature_set_id(), net.blocks, ["DNA"])
    with pytest.raises(ValueError, match="and the network makes other-1"):
        made.check("other-1", net.taps, ["DNA"])
    command[1] = str(tmp_path / "none.parquet")
    assert stratonet_cli.main(command) == 1


def test_components_of_different_projections_are_not_mixed(rng, tmp_path):
    for number in (1, 2):
        table = pd.DataFrame(
            rng.random((4, 2), np.float32),
            columns=["StratoFeatures_PC0001_DNA", "StratoFeatures_PC0002_DNA"],
        )
        table.insert(0, "Metadata_StratoFeatures", ID)
        table.insert(0, "Metadata_StratoProjection", f"pca2-{number}")
        table.to_parquet(tmp_path / f"{number}.parquet")
    read = read_features(tmp_path / "1.parquet")
    assert feature_parts(feature_columns(read)).to_numpy().tolist() == [
        ["DNA", "PC", 1],
        ["DNA", "PC", 2],
    ]
    with pytest.raises(
        ValueError,
        match="different projections, which cannot be compared: pca2-1, pca2-2",
    ):
        read_features(tmp_path)
