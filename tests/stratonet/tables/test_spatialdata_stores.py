"""Tables in stores: what spatialdata makes of them, with the newest libraries."""

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from killed_work import kill_at_file
from screen_images import TAP
from spatial_stores import (
    CHANNELS,
    FIELDS,
    NUMBERS,
    OLD_VERSIONS,
    field,
    labels,
    unpack_stores,
    write_fields,
    write_stack,
)

from stratonet import StratoNet
from stratonet.crops import crop_square
from stratonet.tables import (
    feature_columns,
    read_features,
    to_spatialdata_table,
    write_spatialdata_table,
)
from stratonet.tables.reading import read_feature_table

# Where it is there and cannot be imported, the tests fail.
if find_spec("spatialdata") is None:
    reason = "spatialdata is in the environment of the newest libraries alone"
    pytest.skip(reason, allow_module_level=True)
anndata, spatialdata = map(import_module, ("anndata", "spatialdata"))

SIZE = 32
N_OBJECTS = len(FIELDS) * len(NUMBERS)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A store of fields as spatialdata writes it, and what extract measured in it."""
    folder = tmp_path_factory.mktemp("written")
    write_fields(folder / "fields.zarr")
    return folder / "fields.zarr", measure(folder / "fields.zarr", folder / "features")


def measure(source, out, **how):
    from stratonet.extraction import ImageSource, ObjectsFromLabels, extract

    objects = ObjectsFromLabels("nuclei", SIZE)
    source = ImageSource(source, **how)
    done = extract(source, out, objects=objects, taps=TAP, progress=False)
    assert done.incomplete == 0
    return read_features(out)


@pytest.fixture
def store(written, tmp_path):
    """A copy of the store, to write into, and the features."""
    shutil.copytree(written[0], tmp_path / "fields.zarr")
    return tmp_path / "fields.zarr", written[1]


def measure_squares(planes, label_image, numbers):
    """Features of the squares around objects, one row each, without extract."""
    net = StratoNet.load(taps=TAP, crop=SIZE)
    rows = []
    for number in numbers:
        center = np.argwhere(label_image == number).mean(axis=0)
        squares = [crop_square(one, center, SIZE) for one in planes]
        rows.append(net.features(squares).ravel())
    return np.array(rows)


def test_features_are_those_of_the_squares_around_objects(written):
    _, features = written
    assert len(features) == N_OBJECTS
    names = feature_columns(features)
    assert [name.split("_", 2)[2] for name in names[:: len(names) // 2]] == [
        "DAPI",
        "Alexa_488",
    ]
    for seed in FIELDS.values():
        rows = features[features.Metadata_Region == f"s{seed}_nuclei"]
        assert rows.Metadata_ObjectNumber.tolist() == list(NUMBERS)
        expected = measure_squares(field(seed), labels(seed), NUMBERS)
        np.testing.assert_allclose(rows[names], expected, rtol=0, atol=1e-6)


def test_a_written_table_is_joined_to_its_labels(store):
    path, features = store
    before = read_files(path)
    # In no order: rows are told apart by region and number alone.
    features = features.sample(frac=1, random_state=0)
    table = to_spatialdata_table(features, "{Metadata_Region}")
    where = write_spatialdata_table(table, path, "stratonet")
    assert where == path / "tables" / "stratonet" and where.is_dir()
    # Nothing else was touched, and nothing is left.
    after = read_files(path)
    changed = {name for name in after if before.get(name) != after[name]}
    assert {name for name in changed if not name.startswith("tables/")} == {"zarr.json"}
    assert set(before) <= set(after) and list(path.glob(".*")) == []

    read = read_feature_table(where)
    np.testing.assert_array_equal(read.frame[read.features], features[read.features])
    assert read.features == feature_columns(features)

    data = spatialdata.read_zarr(path)
    assert data.has_consolidated_metadata()
    spatialdata.models.TableModel.validate(data["stratonet"])
    for seed in FIELDS.values():
        region = f"s{seed}_nuclei"
        # By the numbers in the label image that spatialdata has read.
        whole = data[region] if seed == 1 else data[region]["scale0"]["image"]
        pixels = whole.to_numpy()
        expected = measure_squares(field(seed), pixels, NUMBERS)
        matched = spatialdata.match_table_to_element(data, region, "stratonet")
        _, joined = spatialdata.join_spatialelement_table(
            sdata=data,
            spatial_element_names=region,
            table_name="stratonet",
            how="left",
            match_rows="left",
        )
        for rows in (matched, joined):
            assert rows.obs["Metadata_ObjectNumber"].tolist() == list(NUMBERS)
            np.testing.assert_allclose(rows.X, expected, rtol=0, atol=1e-6)
        values = spatialdata.get_values(
            list(table.var_names),
            sdata=data,
            element_name=region,
            table_name="stratonet",
        )
        found = values.loc[list(NUMBERS)]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def read_files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("version", [*OLD_VERSIONS, "container 0.1"])
def test_stores_of_zarr_2_get_tables_of_zarr_2(version, tmp_path):
    path = tmp_path / "fields.zarr"
    if version in OLD_VERSIONS:
        unpack_stores(version, tmp_path)
    else:
        from spatialdata._io.format import SpatialDataContainerFormatV01

        write_fields(path, sdata_formats=SpatialDataContainerFormatV01())
    table = to_spatialdata_table(
        measure(path, tmp_path / "features"), "{Metadata_Region}"
    )
    where = write_spatialdata_table(table, path, "stratonet")
    assert (where / ".zattrs").is_file() and not list(path.rglob("zarr.json"))
    data = spatialdata.read_zarr(path)
    matched = spatialdata.match_table_to_element(data, "s2_nuclei", "stratonet")
    expected = measure_squares(field(2), labels(2), NUMBERS)
    np.testing.assert_allclose(matched.X, expected, rtol=0, atol=1e-6)


def test_a_stack_of_today(tmp_path):
    stack = write_stack(tmp_path / "stack.zarr")
    with pytest.raises(ValueError, match="3 planes in z.*`project` is max"):
        measure(tmp_path / "stack.zarr", tmp_path / "out")
    for project in ("max", "middle"):
        features = measure(tmp_path / "stack.zarr", tmp_path / project, project=project)
        planes = stack.max(axis=1) if project == "max" else stack[:, 1]
        expected = measure_squares(planes, labels(3), NUMBERS)
        found = features[feature_columns(features)]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_labels_that_spatialdata_has_moved(store, tmp_path):
    from spatialdata.transformations import Affine, Scale, Sequence, set_transformation

    path, _ = store
    data = spatialdata.read_zarr(path)
    turned = Affine(
        [[0, 1, 3], [1, 0, 4], [0, 0, 1]], input_axes=("x", "y"), output_axes=("x", "y")
    )
    moved = Sequence([Scale([2, 2], axes=("x", "y")), turned])

    def move(transformation, *names):
        for name in names:
            set_transformation(data[name], transformation, write_to_sdata=data)

    move(moved, "s1_nuclei", "s2_nuclei")
    with pytest.raises(ValueError, match=r"does not lie on the image.*0.0, 2.0, 4"):
        measure(path, tmp_path / "out")
    # In one place again.
    move(moved, "s1_image", "s2_image")
    measure(path, tmp_path / "out")


def test_a_store_behind_a_web_server(written, tmp_path):
    """Its elements are known where spatialdata has gathered their metadata."""
    unpack_stores(OLD_VERSIONS[-1], tmp_path)
    os.symlink(written[0], tmp_path / "today.zarr")
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        features = measure(f"{address}/today.zarr", tmp_path / "out")
        with pytest.raises(ValueError, match="fields.zarr cannot be listed"):
            measure(f"{address}/fields.zarr", tmp_path / "out2")
        server.shutdown()
    names = feature_columns(features)
    np.testing.assert_array_equal(features[names], written[1][names])


def refuse_to_write(table, path, name, said, error=ValueError):
    before = read_files(path)
    with pytest.raises(error, match=said):
        write_spatialdata_table(table, path, name)
    assert read_files(path) == before


def test_what_does_not_fit_is_refused(store):
    path, features = store
    table = to_spatialdata_table(features, "{Metadata_Region}")
    # Of another store, or of other objects.
    other = to_spatialdata_table(features, "{Metadata_Region}_2")
    refuse_to_write(
        other, path, "t", "no label image 's1_nuclei_2'.*has: s1_nuclei, s2_nuclei"
    )
    of_images = to_spatialdata_table(features, "{Metadata_Image}")
    refuse_to_write(of_images, path, "t", "no label image 's1_image'")
    renumbered = features.replace({"Metadata_ObjectNumber": {7: 8}})
    other = to_spatialdata_table(renumbered, "{Metadata_Region}")
    refuse_to_write(other, path, "t", "s1_nuclei has no object 8, and lacks 1 of 3")
    # Tables that say less than they must.
    bare = table.copy()
    del bare.obs["Metadata_ObjectNumber"]
    refuse_to_write(bare, path, "t", "Metadata_ObjectNumber")
    bare = table.copy()
    del bare.uns["spatialdata_attrs"]
    refuse_to_write(bare, path, "t", "Make it with to_spatialdata_table")
    # Names that are none, or taken, whatever by.
    refuse_to_write(table, path, "a/b", "alphanumeric")
    refuse_to_write(table, path, "", "empty")
    for name in ("s1_image", "S1_nuclei"):
        refuse_to_write(table, path, name, "is there already", FileExistsError)
    write_spatialdata_table(table, path, "stratonet")
    for name in ("stratonet", "StratoNet"):
        said = r"tables/stratonet is there already.*delete_element_from_disk\('strat"
        refuse_to_write(table, path, name, said, FileExistsError)
    # As the message says.
    spatialdata.read_zarr(path).delete_element_from_disk("stratonet")
    write_spatialdata_table(table, path, "stratonet")


def test_two_tables_at_once(store):
    path, features = store
    table = to_spatialdata_table(features, "{Metadata_Region}")
    names = ["one", "one", "two"]

    def write(name):
        try:
            write_spatialdata_table(table.copy(), path, name)
        except FileExistsError as error:
            return str(error)

    with ThreadPoolExecutor(3) as pool:
        said = list(pool.map(write, names))
    assert sum(one is None for one in said[:2]) == 1 and said[2] is None
    assert set(spatialdata.read_zarr(path).tables) == {"one", "two"}


def test_killed_at_any_moment_a_store_stays_whole(store, tmp_path):
    path, features = store
    table = to_spatialdata_table(features, "{Metadata_Region}")
    table.write_h5ad(tmp_path / "table.h5ad")
    moment = 0
    while kill_at_file(partial(write_saved, tmp_path, path), path, moment):
        data = spatialdata.read_zarr(path)
        assert set(data.labels) == {"s1_nuclei", "s2_nuclei"}
        if "stratonet" in data.tables:
            np.testing.assert_array_equal(data["stratonet"].X, table.X)
            break
        moment = 3 * moment + 1
    assert moment > 30
    assert set(spatialdata.read_zarr(path).tables) == {"stratonet"}


@pytest.mark.parametrize("has_tables", [False, True])
def test_killed_before_it_is_listed_a_table_is_seen_later(has_tables, store):
    path, features = store
    table = to_spatialdata_table(features, "{Metadata_Region}")
    if has_tables:
        write_spatialdata_table(table, path, "first")
    before = (path / "zarr.json").read_bytes()
    write_spatialdata_table(table, path, "stratonet")
    (path / "zarr.json").write_bytes(before)
    assert "stratonet" not in spatialdata.read_zarr(path).tables
    with pytest.raises(FileExistsError, match="is there already"):
        write_spatialdata_table(table, path, "stratonet")
    assert "stratonet" in spatialdata.read_zarr(path).tables


def write_saved(folder, path):
    table = anndata.read_h5ad(folder / "table.h5ad")
    write_spatialdata_table(table, path, "stratonet")


def test_the_code_of_the_page_runs(tmp_path, monkeypatch):
    """What the page takes for granted: a store with a table, and features of it."""
    from pages import read_blocks
    from spatialdata.models import Image2DModel, Labels2DModel, TableModel

    numbers = [40, 9, 1]
    own = pd.DataFrame({"label": numbers, "region": "A01_nuclei"})
    monkeypatch.chdir(tmp_path)
    spatialdata.SpatialData(
        images={"A01": Image2DModel.parse(field(1), dims="cyx", c_coords=CHANNELS)},
        labels={"A01_nuclei": Labels2DModel.parse(labels(1), dims="yx")},
        tables={
            "table": TableModel.parse(
                anndata.AnnData(obs=own),
                region="A01_nuclei",
                region_key="region",
                instance_key="label",
            )
        },
    ).write("plate.zarr")
    features = measure("plate.zarr", "features")
    names = {}
    for block in read_blocks("docs/spatialdata.md"):
        if block.language == "python":
            exec(compile(block.code, "docs/spatialdata.md", "exec"), names)
    expected = features.set_index("Metadata_ObjectNumber")[feature_columns(features)]
    np.testing.assert_array_equal(names["of_nuclei"].X, expected)
    own = names["own"].obsm["StratoFeatures"]
    np.testing.assert_array_equal(own, expected.reindex(numbers))
    assert np.isnan(own[1]).all()
