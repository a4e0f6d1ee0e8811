"""Files that hold several images: their planes are those that the libraries read."""

import json
import shutil
import sys
import tracemalloc

import numpy as np
import pytest
import tifffile
from microscope_files import (
    CHANNELS,
    stack,
    write_czi,
    write_lif,
    write_nd2,
    write_ome_tiff,
    write_zarr_image,
)

from stratonet.files.images import read_plane
from stratonet.files.microscopes.opening import list_scenes, read_scene_plane
from stratonet.files.storage import Storage

zarr = pytest.importorskip("zarr")
nd2 = pytest.importorskip("nd2")
liffile = pytest.importorskip("liffile")
czi = pytest.importorskip("pylibCZIrw.czi")

IS_ZARR_3 = not zarr.__version__.startswith("2")
# What each library reads of a whole file, as (scene, time, z, channel, height, width).
LIBRARIES = {
    "nd2": lambda path: nd2.imread(str(path))[None, None],
    "czi": None,
    "lif": lambda path: np.array(
        [image.asarray()[None] for image in liffile.LifFile(path).images]
    ),
    "ome.tif": lambda path: np.array(
        [
            series.asarray()[None]
            for series in tifffile.TiffFile(path, _multifile=False).series
        ]
    ),
    "zarr": lambda path: np.array(
        [zarr.open(str(path / "0"), mode="r")[...].transpose(0, 2, 1, 3, 4)]
    ),
}
KINDS = tuple(LIBRARIES)


def read_czi(path):
    with czi.open_czi(str(path)) as file:
        return np.array(
            [
                [
                    [
                        [
                            file.read(scene=s, plane={"T": 0, "Z": z, "C": c})[..., 0]
                            for c in range(2)
                        ]
                        for z in range(3)
                    ]
                ]
                for s in file.scenes_bounding_rectangle
            ]
        )


LIBRARIES["czi"] = read_czi


def write_file(kind, folder, scenes):
    """A file of a kind; of OME-Zarr, of the first scene alone. Return its URL."""
    path = folder / f"plate.{kind}"
    if kind == "nd2":
        write_nd2(path, scenes)
    elif kind == "czi":
        write_czi(path, scenes)
    elif kind == "lif":
        write_lif(path, scenes, [f"Image {n}" for n in range(len(scenes))])
    elif kind == "ome.tif":
        write_ome_tiff(path, scenes, order="XYCZT")
    else:
        write_zarr_image(path, scenes[0])
        return path, str(path / ".zattrs")
    return path, str(path)


def list_frames(scene, kind):
    """The number of each plane, and what it is: time, z and channel."""
    n_channels = len(scene.channels)
    for place in np.ndindex(scene.n_times, scene.n_z, n_channels):
        t, z, c = place
        frame = (t * scene.n_z + z) * n_channels + c
        # Pages of TIFF files are counted over all scenes.
        yield place, frame + (scene.frames[0] if kind == "ome.tif" else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_each_plane_is_the_one_that_the_library_reads(kind, tmp_path):
    scenes = [stack(number, n_z=3) for number in range(2)]
    if kind in ("zarr", "nd2"):
        scenes = scenes[:1]
    path, url = write_file(kind, tmp_path, scenes)
    expected = LIBRARIES[kind](path)
    # What the library reads is what was written.
    np.testing.assert_array_equal(expected, np.array(scenes))
    listed = list_scenes(url, Storage())
    assert len(listed) == len(scenes)
    for number, scene in enumerate(listed):
        assert scene.channels == CHANNELS
        assert (scene.n_times, scene.n_z, scene.shape) == (1, 3, (48, 64))
        for place, frame in list_frames(scene, kind):
            plane = read_scene_plane(url, Storage(), scene.series, frame)
            np.testing.assert_array_equal(plane, expected[number][place])
            assert plane.dtype == np.uint16


def test_positions_and_times_of_an_nd2_file_are_told_apart(tmp_path):
    scenes = [stack(n, n_z=2, n_times=2) for n in range(3)]
    write_nd2(tmp_path / "a.nd2", scenes, ["A01", "A02", "B01"])
    # As the library sorts them: time, position, z, channel.
    whole = nd2.imread(tmp_path / "a.nd2")
    assert whole.shape == (2, 3, 2, 2, 48, 64)
    listed = list_scenes(str(tmp_path / "a.nd2"), Storage())
    assert [scene.name for scene in listed] == ["A01", "A02", "B01"]
    for scene in listed:
        for (t, z, c), frame in list_frames(scene, "nd2"):
            plane = read_scene_plane(scene.url, Storage(), scene.series, frame)
            np.testing.assert_array_equal(plane, whole[t, scene.series, z, c])


@pytest.mark.parametrize(
    "order, pyramid", [("XYZCT", True), ("XYTCZ", False), ("XYCTZ", False)]
)
def test_pages_of_ome_tiff_are_sorted_as_it_says(order, pyramid, tmp_path):
    scenes = [stack(n, n_z=3, n_times=2) for n in range(2)]
    path = tmp_path / "a.ome.tif"
    write_ome_tiff(path, scenes, order=order, pyramid=pyramid)
    for number, scene in enumerate(list_scenes(str(path), Storage())):
        for channel, frame in enumerate(scene.frames):
            plane = read_scene_plane(str(path), Storage(), 0, frame, "max")
            expected = scenes[number][0, :, channel].max(axis=0)
            np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_becomes_a_plane_as_it_was_asked(kind, tmp_path):
    scenes = [stack(0, n_z=4)]
    _, url = write_file(kind, tmp_path, scenes)
    of_gfp = scenes[0][0, :, 1].astype(float)
    read = {}
    for projection in ("max", "mean", "middle"):
        read[projection] = read_scene_plane(url, Storage(), 0, 1, projection)
    np.testing.assert_array_equal(read["max"], of_gfp.max(axis=0))
    np.testing.assert_allclose(read["mean"], of_gfp.mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(read["middle"], of_gfp[2])
    assert [plane.dtype for plane in read.values()] == ["uint16", "float32", "uint16"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_one_plane_is_read_as_an_image(kind, tmp_path):
    scenes = [stack(5, n_channels=1)]
    path, _ = write_file(kind, tmp_path, scenes)
    np.testing.assert_array_equal(read_plane(path), scenes[0][0, 0, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_several_planes_is_no_image(kind, tmp_path):
    _, url = write_file(kind, tmp_path, [stack(0, n_channels=1, n_z=3)])
    name = url.removesuffix("/.zattrs")
    with pytest.raises(ValueError, match=r"stack was received .*`project`") as error:
        read_plane(name)
    assert str(error.value).startswith(f"{name}: ")
    write_file(kind, tmp_path, [stack(0)])
    with pytest.raises(ValueError, match="stratonet extract|stack was received"):
        read_plane(name)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_named(kind, tmp_path):
    path, url = write_file(kind, tmp_path, [stack(0)])
    if kind == "zarr":
        # A chunk that is cut off, and an image of which no chunk is there.
        chunk = path / "0" / "0" / "0" / "0" / "0" / "0"
        chunk.write_bytes(chunk.read_bytes()[:50])
        with pytest.raises(ValueError, match=r"plate.zarr: cannot be read as OME-Zarr"):
            read_scene_plane(url, Storage(), 0, 0)
        shutil.rmtree(path / "0" / "0" / "1")
        with pytest.raises(ValueError, match="none of the chunks .* partly copied"):
            read_scene_plane(url, Storage(), 0, 1)
        path = path / ".zattrs"
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"x" * 5000):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"plate\.\w+") as error:
            list_scenes(url, Storage())
            read_scene_plane(url, Storage(), 0, 1)
        assert "damaged, or only partly copied" in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_there_is_told(kind, tmp_path):
    path, url = write_file(kind, tmp_path, [stack(0)])
    with pytest.raises(ValueError, match=r"frame 2 was asked for.* 2, counted from 0"):
        read_scene_plane(url, Storage(), 0, 2)
    with pytest.raises(ValueError, match="series 1 was asked for, but .* 1, counted"):
        read_scene_plane(url, Storage(), 1, 0)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(FileNotFoundError, match=r"plate\."):
        read_scene_plane(url, Storage(), 0, 0)


@pytest.mark.parametrize(
    "kind, package",
    [("nd2", "nd2"), ("czi", "pylibCZIrw"), ("lif", "liffile"), ("zarr", "zarr")],
)
def test_a_missing_library_says_what_to_install(kind, package, tmp_path, monkeypatch):
    _, url = write_file(kind, tmp_path, [stack(0)])
    for name in list(sys.modules):
        if name.startswith("stratonet.files.microscopes.") and "opening" not in name:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"{package}\. Install stratonet\[micros"):
        list_scenes(url, Storage())


def test_a_file_that_is_written_anew_is_opened_anew(tmp_path):
    for seed in range(2):
        scenes = [stack(seed, n_channels=1, shape=(48, 64 + seed))]
        _, url = write_file("nd2", tmp_path, scenes)
        np.testing.assert_array_equal(read_plane(url), scenes[0][0, 0, 0])


def test_colours_and_tiles_are_refused(tmp_path):
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        file.write(np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(ValueError, match="a.czi: a colour image"):
        list_scenes(str(tmp_path / "a.czi"), Storage())
    write_lif(tmp_path / "a.lif", [stack(0)], ["Tiles"], tiles=2)
    with pytest.raises(ValueError, match="merge tiles"):
        list_scenes(str(tmp_path / "a.lif"), Storage())
    tifffile.imwrite(
        tmp_path / "a.ome.tif", np.zeros((48, 64, 3), np.uint8), photometric="rgb"
    )
    with pytest.raises(ValueError, match="a colour image"):
        read_scene_plane(str(tmp_path / "a.ome.tif"), Storage(), 0, 0)


def test_frames_that_were_never_written_are_no_black_planes(tmp_path):
    scenes = [stack(0, n_z=2)]
    scenes[0][0, 1] = 0
    write_nd2(tmp_path / "a.nd2", scenes)
    with pytest.raises(ValueError, match="a.nd2: frame 1 is missing or empty"):
        read_scene_plane(str(tmp_path / "a.nd2"), Storage(), 0, 2)


def test_ome_tiff_of_several_files_is_refused(tmp_path):
    path = tmp_path / "a.ome.tif"
    write_ome_tiff(path, [stack(0)])
    words = path.read_bytes()
    element = b'PlaneCount="2"/></Pixels>'
    other = b'><UUID FileName="b">q</UUID></TiffData></Pixels>'
    # Longer words would move what lies behind them: a file is written anew.
    description = tifffile.TiffFile(path).pages[0].description
    description = description.replace(element.decode(), other.decode())
    assert element in words
    with tifffile.TiffWriter(path) as writer:
        for number, plane in enumerate(stack(0)[0, 0]):
            first = description if number == 0 else None
            writer.write(plane, description=first, metadata=None, contiguous=False)
    with pytest.raises(ValueError, match="its planes lie in other files, such as b"):
        list_scenes(str(path), Storage())


def test_zarr_3_is_read_where_it_can_be_and_else_refused_with_the_reason(tmp_path):
    planes = stack(3, n_z=2)
    if IS_ZARR_3:
        write_zarr_image(tmp_path / "a.zarr", planes, "0.5")
        url = str(tmp_path / "a.zarr" / "zarr.json")
        for c in range(2):
            np.testing.assert_array_equal(
                read_scene_plane(url, Storage(), 0, c, "max"),
                planes[0, :, c].max(axis=0),
            )
        return
    write_zarr_image(tmp_path / "a.zarr", planes, "0.4")
    folder = tmp_path / "a.zarr"
    metadata = json.loads((folder / ".zattrs").read_text())
    words = json.dumps({"attributes": {"ome": metadata}})
    (folder / "zarr.json").write_text(words)
    (folder / "0" / "zarr.json").write_text((folder / "0" / ".zarray").read_text())
    with pytest.raises(
        ValueError, match=r"Zarr 3, .* Python 3\.11 .* as OME-Zarr 0\.4"
    ):
        read_scene_plane(str(folder / "zarr.json"), Storage(), 0, 0)


@pytest.mark.parametrize("kind", ["nd2", "czi", "lif", "ome.tif"])
def test_a_plane_is_read_without_the_rest_of_its_file(kind, tmp_path):
    column = np.arange(24 * 512, dtype=np.uint16).reshape(1, 12, 2, 512, 1)
    scenes = [np.ascontiguousarray(np.broadcast_to(column, (1, 12, 2, 512, 512)))]
    path, url = write_file(kind, tmp_path, scenes)
    frame = list_scenes(url, Storage())[0].frames[1]
    tracemalloc.start()
    plane = read_scene_plane(url, Storage(), 0, frame, "max")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(plane, scenes[0][0, :, 1].max(axis=0))
    # Of 12.6 MB, the frames of two planes in z and the result.
    assert path.stat().st_size > 12e6 > 2 * peak, peak
