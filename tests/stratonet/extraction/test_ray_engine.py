"""The same units of work on a Ray cluster of three nodes, one of which is lost."""

import threading
import time

import pandas as pd
import pytest
from microscope_files import stack, write_nd2
from pandas.testing import assert_frame_equal
from pyarrow import parquet
from screen_images import TAP, screen, values, write

ray = pytest.importorskip("ray", reason="the engine needs stratonet[ray]")

from stratonet.extraction import RayEngine, extract  # noqa: E402
from stratonet.extraction.checks import check_engine  # noqa: E402
from stratonet.tables import feature_columns, read_features  # noqa: E402

# What all its tests share takes long.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    memory = {"object_store_memory": 100_000_000}
    # A lost node is noticed within some ten seconds, not in half a minute.
    quick = {
        "health_check_initial_delay_ms": 1000,
        "health_check_period_ms": 1000,
        "health_check_timeout_ms": 3000,
        "health_check_failure_threshold": 5,
    }
    head = {"num_cpus": 1, **memory, "_system_config": quick}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.lost = cluster.add_node(num_cpus=1, **memory)
    cluster.add_node(num_cpus=1, **memory)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def read_crops(folder):
    keys = ("Metadata_Plate", "Metadata_Well", "Metadata_Site")
    return parquet.read_table(folder).sort_by([(key, "ascending") for key in keys])


def test_a_lost_node_takes_nothing_with_it(cluster, tmp_path):
    files, table = screen(wells=[f"A{number:02d}" for number in range(1, 13)])
    del files["images/P1/Images/HTS_A02_s1_w1.tif"]
    write(tmp_path, files)
    table.to_csv(tmp_path / "load_data.csv", index=False)
    out = tmp_path / "out"

    def lose():
        while len(list((out / "_units").rglob("*.parquet"))) < 4:
            time.sleep(0.05)
        cluster.remove_node(cluster.lost, allow_graceful=False)

    losing = threading.Thread(target=lose)
    losing.start()
    options = {"taps": TAP, "progress": False, "crops": True}
    done = extract(tmp_path / "load_data.csv", out, engine=RayEngine(), **options)
    losing.join()
    assert done.image_sets == 48 and done.incomplete == 1
    assert len(done.complete_plates) == 2

    again = extract(tmp_path / "load_data.csv", out, engine=RayEngine(), **options)
    assert again.image_sets == 0 and again.wells_before == 24

    extract(tmp_path / "load_data.csv", tmp_path / "local", **options)
    crops = [read_crops(folder / "_crops") for folder in (out, tmp_path / "local")]
    assert crops[0].equals(crops[1])
    ray_features, local_features = (
        values(read_features(folder)) for folder in (out, tmp_path / "local")
    )
    assert len(ray_features) == len(table)
    assert_frame_equal(
        ray_features, local_features, check_exact=False, rtol=0, atol=1e-6
    )
    assert ray_features[feature_columns(ray_features)].isna().any(axis=1).sum() == 1
    first, _ = (pd.read_csv(path) for path in sorted((out / "_runs").glob("*.csv")))
    assert first.engine.tolist() == [
        "ray",
        "ray",
    ], "one line for each node that is left"
    assert first.image_sets.tolist() == [48, 48]


def test_the_ray_engine_keeps_its_contract(cluster, tmp_path):
    check_engine(RayEngine(), tmp_path)


def test_limits_of_plates_are_found_on_the_cluster(cluster, tmp_path):
    """Tiles in micrometres, limits of the plate, projections of stacks: as here."""
    files, table = screen(plates=("P1",), wells=("A01", "A02"), sites=1)
    write(tmp_path, files)
    # Two wells more, in a file of stacks.
    table = pd.concat([table, table.replace({"A01": "A03", "A02": "A04"})])
    table["Metadata_PixelSize"] = [0.65, 0.325, 0.65, 0.65]
    table["Metadata_StackProjection"] = [None, None, "max", "mean"]
    write_nd2(tmp_path / "p.nd2", [stack(0, n_z=3), stack(1, n_z=3)])
    for channel, name in enumerate(("OrigDNA", "OrigER")):
        table[f"Frame_{name}"] = [0, 0, channel, channel]
        table[f"Series_{name}"] = [0, 0, 0, 1]
        table[f"FileName_{name}"] = [*table[f"FileName_{name}"][:2], "p.nd2", "p.nd2"]
        paths = table[f"PathName_{name}"]
        table[f"PathName_{name}"] = [*paths[:2], str(tmp_path), str(tmp_path)]
    table.to_csv(tmp_path / "load_data.csv", index=False)
    options = {"recipe": "whole48+tiles32-20um/mean+sd", "grey_range": "plate"}
    options.update(taps=[TAP, "intensity"], progress=False)
    for name, engine in (("there", RayEngine()), ("here", None)):
        extract(tmp_path / "load_data.csv", tmp_path / name, engine=engine, **options)
    ray_features, local_features = (
        values(read_features(tmp_path / name)) for name in ("there", "here")
    )
    assert_frame_equal(
        ray_features, local_features, check_exact=False, rtol=1e-6, atol=1e-6
    )
    assert ray_features["Metadata_Error"].isna().all()
    stored_limits = [
        [file.read_text() for file in sorted(folder.rglob("*.json"))]
        for folder in (tmp_path / "there/_grey_limits", tmp_path / "here/_grey_limits")
    ]
    assert stored_limits[0] == stored_limits[1] and len(stored_limits[0]) == 1

    for path in (tmp_path / "images/P1/Images").glob("*_w2.tif"):
        path.write_bytes(b"nothing")
    (tmp_path / "p.nd2").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="^Plate source_8/J3/P1 has no limits"):
        extract(
            tmp_path / "load_data.csv", tmp_path / "none", engine=RayEngine(), **options
        )
