"""Image sets of files that hold several images: wells, sites and channels by name."""

import shutil
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import tifffile
from columbus_files import write_columbus
from microscope_files import (
    plane,
    stack,
    write_array,
    write_czi,
    write_lif,
    write_nd2,
    write_ome_tiff,
    write_zarr_plate,
)
from s3_server import S3Server

from stratonet.extraction.checks import check_source
from stratonet.extraction.sources.columbus import ColumbusSource
from stratonet.extraction.sources.folders import FolderSource
from stratonet.extraction.sources.imagesets import ImageSource, read_image
from stratonet.extraction.sources.microscopes import MicroscopeSource
from stratonet.extraction.sources.read import read_source

PLACES = ["Metadata_Plate", "Metadata_Well", "Metadata_Site"]


def list_sites(frame):
    """Plate, well and site of each image set, as one text."""
    return [" ".join(row) for row in frame[PLACES].itertuples(index=False)]


def read_all(source):
    """The planes of all image sets: image set, channel, height, width."""
    frame = read_source(source).frame
    channels = [name[4:] for name in frame if name.startswith("URL_")]
    return np.array(
        [
            [read_image(row, channel, source.storage) for channel in channels]
            for row in frame.to_dict("records")
        ]
    )


def test_a_plate_of_ome_zarr(tmp_path):
    planes = write_zarr_plate(tmp_path / "p.ome.zarr", wells=("A/1", "B/12"))
    source = ImageSource(tmp_path / "p.ome.zarr")
    check_source(MicroscopeSource(), source, [ImageSource(tmp_path)])
    frame = read_source(source).frame
    assert list_sites(frame) == [
        f"Plate 7 {well} {site}" for well in ("A01", "B12") for site in "01"
    ]
    assert list(frame)[3:] == [
        f"{prefix}_{channel}"
        for channel in ("DAPI", "GFP")
        for prefix in ("URL", "Frame", "Series")
    ]
    expected = np.array([image[0, 0] for image in planes.values()])
    np.testing.assert_array_equal(read_all(source), expected)
    # A plate is one, and no folder of them.
    with pytest.raises(ValueError, match=r"holds OME-Zarr.* each as a source"):
        read_source(ImageSource(tmp_path))
    with pytest.raises(ValueError, match="a well was received. Give the folder of its"):
        shutil.copytree(tmp_path / "p.ome.zarr" / "A" / "1", tmp_path / "A.zarr")
        read_source(ImageSource(tmp_path / "A.zarr"))
    shutil.rmtree(tmp_path / "p.ome.zarr" / "B" / "12" / "1")
    with pytest.raises(
        ValueError, match="names well B/12, .* Is it only partly copied"
    ):
        read_source(source)
    (tmp_path / "x.zarr").mkdir()
    for name in ("x.zarr", "none.zarr"):
        with pytest.raises(
            FileNotFoundError, match=f"{name} is not an OME-Zarr folder"
        ):
            read_source(ImageSource(tmp_path / name))


def test_files_on_s3_are_read_in_parts(tmp_path, monkeypatch):
    planes = write_zarr_plate(tmp_path / "p.zarr", wells=("A/1",), fields=1, n_z=3)
    scenes = [stack(number) for number in range(3)]
    write_nd2(tmp_path / "p.nd2", scenes, ["A01", "A02", "B01"])
    write_lif(tmp_path / "p.lif", scenes[:1], ["A/1"])
    write_ome_tiff(tmp_path / "p.ome.tif", scenes, [(0, 0), (0, 1), (1, 0)])
    (tmp_path / "exported").mkdir()
    of_columbus = write_columbus(tmp_path / "exported")
    files = {
        str(path.relative_to(tmp_path)): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    with S3Server() as s3:
        for name, value in s3.env.items():
            monkeypatch.setenv(name, value)
        s3.put("plates", files)
        source = ImageSource("s3://plates/p.zarr", project="middle")
        s3.requests.clear()
        np.testing.assert_array_equal(read_all(source)[0], planes["A/1", 0][0, 1])
        chunks = [path for _, path, _ in s3.requests if "/0/0/" in path]
        # Two channels of one height, in four chunks each, once.
        requested_files = {path.partition("?")[0] for path in chunks}
        assert len([path for path in requested_files if path.count("/") > 8]) == 8, (
            requested_files
        )
        expected = np.array([scene[0, 0] for scene in scenes])
        for name in ("p.nd2", "p.ome.tif"):
            source = ImageSource(f"s3://plates/{name}")
            np.testing.assert_array_equal(read_all(source), expected)
        # In the same process, the file is replaced by another.
        write_nd2(tmp_path / "new.nd2", scenes[::-1], ["A01", "A02", "B01"])
        s3.put("plates", {"p.nd2": (tmp_path / "new.nd2").read_bytes()})
        source = ImageSource("s3://plates/p.nd2")
        np.testing.assert_array_equal(read_all(source), expected[::-1])
        read = read_all(ImageSource("s3://plates/exported"))
        np.testing.assert_array_equal(
            read, [planes[0] for planes in of_columbus.values()]
        )
        with pytest.raises(
            ValueError, match="p.lif: LIF files can only be read from a disk"
        ):
            read_source(ImageSource("s3://plates/p.lif"))
        for name in ("none.nd2", "none.ome.tif"):
            with pytest.raises(FileNotFoundError, match=f"{name} is not there"):
                read_source(ImageSource(f"s3://plates/{name}"))


def test_files_behind_a_web_server(tmp_path):
    planes = write_zarr_plate(tmp_path / "p.zarr", wells=("A/1",), fields=1)
    write_nd2(tmp_path / "p.nd2", [stack(0)], ["A01"])
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        read = read_all(ImageSource(f"{address}/p.zarr"))[0]
        np.testing.assert_array_equal(read, planes["A/1", 0][0, 0])
        # What signs a URL is in no table, and no part of a name.
        source = ImageSource(f"{address}/p.nd2?signature=secret")
        np.testing.assert_array_equal(read_all(source)[0], stack(0)[0, 0])
        assert list_sites(read_source(source).frame) == ["p A01 1"]
        with pytest.raises(ValueError, match="finds no well") as error:
            read_source(replace(source, pattern="(?P<Well>secret)"))
        assert "signature" not in str(error.value)
        server.shutdown()


def test_label_images_of_ome_zarr_are_those_of_objects(tmp_path):
    labels = np.zeros((48, 64), np.uint16)
    labels[5:15, 5:15], labels[20:30, 30:40] = 1, 7
    write_zarr_plate(tmp_path / "p.zarr", labels=[("nuclei", labels)])
    frame = read_source(ImageSource(tmp_path / "p.zarr")).frame
    assert list(frame)[-1] == "Labels_nuclei"
    from stratonet.extraction.objects import read_label_image

    row = frame.to_dict("records")[0]
    objects = read_label_image(row, "nuclei", ImageSource("").storage)
    assert list(objects.numbers) == [1, 7]
    np.testing.assert_allclose(objects.centers, [[9.5, 9.5], [24.5, 34.5]])
    # Labels of several heights are no image of objects, whatever becomes of the stack.
    folder = tmp_path / "p.zarr" / "A" / "1" / "0" / "labels" / "nuclei" / "0"
    shutil.rmtree(folder)
    write_array(folder, np.zeros((1, 1, 3, 48, 64), np.uint16), "0.4")
    with pytest.raises(
        ValueError, match="a label image must be one plane. .*3 planes in z"
    ):
        read_label_image(row, "nuclei", ImageSource("").storage)


def test_an_ome_tiff_plate_says_its_wells(tmp_path):
    scenes = [stack(number) for number in range(4)]
    path = tmp_path / "plate.ome.tiff"
    write_ome_tiff(path, scenes, [(0, 0), (0, 0), (1, 11), (26, 2)])
    source = ImageSource(path)
    check_source(MicroscopeSource(), source, [ImageSource(tmp_path)])
    assert list_sites(read_source(source).frame) == [
        "Plate 7 A01 1",
        "Plate 7 A01 2",
        "Plate 7 AA03 1",
        "Plate 7 B12 1",
    ]
    expected = np.array([scenes[n][0, 0] for n in (0, 1, 3, 2)])
    np.testing.assert_array_equal(read_all(source), expected)


@pytest.mark.parametrize("extension", ["nd2", "lif", "czi"])
def test_positions_and_scenes_that_are_named_as_wells(extension, tmp_path):
    scenes = [stack(number) for number in range(3)]
    path = tmp_path / f"Exp 1.{extension}"
    if extension == "nd2":
        write_nd2(path, scenes, ["B03_0001", "B03_0002", "C10_0001"])
    elif extension == "czi":
        write_czi(path, scenes, ["B3", "B3", "C10"])
    else:
        write_lif(path, scenes, ["TileScan 1/B/3/R1", "TileScan 1/B/3/R2", "X/C/10"])
    source = ImageSource(path)
    check_source(MicroscopeSource(), source)
    sites = {"nd2": ("0001", "0002", "0001")}.get(extension, "121")
    assert list_sites(read_source(source).frame) == [
        f"Exp 1 {well} {site}" for well, site in zip(("B03", "B03", "C10"), sites)
    ]
    expected = np.array([scene[0, 0] for scene in scenes])
    np.testing.assert_array_equal(read_all(source), expected)


@pytest.mark.parametrize(
    "name, position, expected",
    [
        ("WellB03_Seq0007.nd2", "", "B03 1"),
        ("x.xdce [Well B-3, Field #2].nd2", "", "B03 2"),
        ("a.nd2", "Point Well B3", "B03 1"),
        # Positions, regions and scenes have such names, too.
        *(
            (name, position, None)
            for name, position in (
                ("a.nd2", "P1"),
                ("a.nd2", "R2"),
                ("B03.nd2", ""),
                ("a.nd2", "#1 (B03)"),
            )
        ),
    ],
)
def test_no_well_is_guessed(name, position, expected, tmp_path):
    write_nd2(tmp_path / name, [stack(0)], [position])
    source = ImageSource(tmp_path / name)
    if expected:
        assert list_sites(read_source(source).frame)[0].endswith(expected)
        return
    with pytest.raises(
        ValueError, match=r"no well was found for 1 of 1 images.*pattern"
    ):
        read_source(source)
    # With a pattern it is found, in the file's name or in the position's.
    pattern = r"(?P<Well>B03)|(?P<Row>[PR])(?P<Column>\d)$"
    frame = read_source(ImageSource(tmp_path / name, pattern=pattern)).frame
    assert frame["Metadata_Well"][0] in ("B03", "P01", "R02")


def test_a_folder_of_files_has_wells_by_its_pattern(tmp_path):
    for number, name in enumerate(("day1_B03.nd2", "day1_C04.nd2", "day2_B03.nd2")):
        write_nd2(tmp_path / name, [stack(number)])
    pattern = r"(?P<Plate>day\d)_(?P<Well>[A-Z]\d\d)"
    source = ImageSource(tmp_path, pattern=pattern)
    check_source(FolderSource(), source)
    (tmp_path / "overview.png").write_bytes(b"")
    image_sets = read_source(source)
    assert list_sites(image_sets.frame) == ["day1 B03 1", "day1 C04 1", "day2 B03 1"]
    assert image_sets.skipped == ("overview.png",)
    # Whatever a name is written like, it is one well.
    shutil.copy(tmp_path / "day2_B03.nd2", tmp_path / "day2_b3.nd2")
    pattern = r"(?P<Plate>day\d)_(?P<Well>\w+)"
    frame = read_source(ImageSource(tmp_path, pattern=pattern)).frame
    assert list_sites(frame)[2:] == ["day2 B03 1", "day2 B03 2"]
    (tmp_path / "day2_b3.nd2").unlink()
    with pytest.raises(ValueError, match="finds no well for 1 of 3 images"):
        read_source(ImageSource(tmp_path, pattern=r"(?P<Well>B\d\d)"))
    with pytest.raises(ValueError, match="no regular expression|not a regular"):
        read_source(ImageSource(tmp_path, pattern="(?P<Well>"))
    with pytest.raises(ValueError, match="needs the named groups"):
        read_source(ImageSource(tmp_path, pattern=r"(?P<Site>\d)"))
    # Two files of one well and site are told.
    write_nd2(tmp_path / "X.nd2", [stack(0), stack(1)], ["B03_1", "B03_1"])
    with pytest.raises(ValueError, match="two images for X B03 1"):
        read_source(ImageSource(tmp_path / "X.nd2"))


def test_files_of_single_planes_are_read_by_name_as_before(tmp_path):
    for channel in (1, 2):
        name = f"r01c01f01p01-ch{channel}sk1fk1fl1.ome.tiff"
        write_ome_tiff(tmp_path / name, [stack(channel, n_channels=1)])
    frame = read_source(ImageSource(tmp_path)).frame
    assert "Frame_ch1" not in frame and list(frame["Metadata_Well"]) == ["A01"]
    # And files that name their channels, where no name fits.
    for file in tmp_path.iterdir():
        file.unlink()
    write_ome_tiff(tmp_path / "x [Well C3, Field 1].ome.tif", [stack(0)])
    (tmp_path / "overview.png").write_bytes(b"")
    image_sets = read_source(ImageSource(tmp_path))
    frame = image_sets.frame
    assert list(frame["Metadata_Well"]) == ["C03"] and "URL_GFP" in frame
    assert image_sets.skipped == ("overview.png",)
    # A file of a microscope may be called as an instrument calls its planes.
    (tmp_path / "x [Well C3, Field 1].ome.tif").unlink()
    write_nd2(tmp_path / "HTS_A01_s1_w1.nd2", [stack(0)], ["B02"])
    frame = read_source(ImageSource(tmp_path)).frame
    assert list(frame["Metadata_Well"]) == ["B02"]


@pytest.mark.parametrize("project", [None, "max"])
def test_stacks_need_a_projection(project, tmp_path):
    write_nd2(tmp_path / "a.nd2", [stack(0, n_z=3)], ["A01"])
    source = ImageSource(tmp_path / "a.nd2", project=project)
    if project is None:
        with pytest.raises(
            ValueError, match=r"a.nd2, .*3 planes in z.*48 x 64.*`project` is max, mean"
        ):
            read_source(source)
        return
    frame = read_source(source).frame
    assert list(frame["Metadata_StackProjection"]) == ["max"]
    np.testing.assert_array_equal(read_all(source)[0], stack(0, n_z=3)[0].max(axis=0))
    with pytest.raises(ValueError, match="`project` is one of max, mean, middle"):
        ImageSource("a", project="sum")


def test_time_series_are_refused_with_what_to_do(tmp_path):
    write_nd2(tmp_path / "a.nd2", [stack(0, n_times=2)], ["A01"])
    with pytest.raises(
        ValueError, match=r"time series .*2 time points.*Frame_<channel"
    ):
        read_source(ImageSource(tmp_path / "a.nd2"))
    # As the message says: one time point, by a table.
    table = "Metadata_Plate,Metadata_Well,FileName_DNA,Frame_DNA\nP,A01,a.nd2,3\n"
    (tmp_path / "t.csv").write_text(table)
    pixels = read_all(ImageSource(tmp_path / "t.csv"))[0, 0]
    np.testing.assert_array_equal(pixels, plane(0, 1, 0, 1))


def test_stacks_of_tiff_become_planes_too(tmp_path):
    planes = stack(0, n_channels=1, n_z=4)[0, :, 0]
    tifffile.imwrite(tmp_path / "P_A01_s1_w1.tif", planes, photometric="minisblack")
    tifffile.imwrite(
        tmp_path / "P_A02_s1_w1.tif", planes, imagej=True, metadata={"axes": "ZYX"}
    )
    with pytest.raises(ValueError, match="a stack was received.*`project`"):
        read_all(ImageSource(tmp_path))
    read = read_all(ImageSource(tmp_path, project="max"))[:, 0]
    np.testing.assert_array_equal(read, [planes.max(axis=0)] * 2)
    # Channels and times are no heights.
    for axes, words in (("CYX", "4 channels"), ("TYX", "4 time points")):
        tifffile.imwrite(
            tmp_path / "P_A01_s1_w1.tif", planes, imagej=True, metadata={"axes": axes}
        )
        with pytest.raises(ValueError, match=f"of {words}: they are no stack"):
            read_all(ImageSource(tmp_path, project="max"))


def test_planes_that_are_files_are_not_projected_in_silence(tmp_path):
    for z in (1, 2):
        name = f"r01c01f01p0{z}-ch1sk1fk1fl1.tiff"
        tifffile.imwrite(tmp_path / name, plane(z))
    with pytest.raises(ValueError, match="planes of a stack are separate files"):
        read_source(ImageSource(tmp_path, project="max"))


def test_channels_have_names_that_columns_can_carry(tmp_path):
    names = ("Alexa 488 (GFP)", "DAPI", "DAPI", "")
    write_nd2(tmp_path / "a.nd2", [stack(0, n_channels=4)], ["A01"], names)
    frame = read_source(ImageSource(tmp_path / "a.nd2")).frame
    channels = [name[4:] for name in frame if name.startswith("URL_")]
    assert channels == ["Alexa_488_GFP", "DAPI", "DAPI_3", "Channel4"]
    with pytest.raises(ValueError, match="has the channels Alexa_488_GFP.*dapi"):
        read_source(ImageSource(tmp_path / "a.nd2"), {"dapi": "dapi"})


def test_a_plate_that_columbus_has_exported(tmp_path):
    folder = tmp_path / "Screen 1[7]"
    folder.mkdir()
    planes = write_columbus(folder, n_z=2)
    source = ImageSource(folder)
    check_source(ColumbusSource(), source, [ImageSource(tmp_path)])
    frame = read_source(source).frame
    assert list(frame)[:5] == [*PLACES, "Metadata_Plane", "URL_DAPI_488"]
    assert list_sites(frame) == ["Plate 7 A01 1"] * 2 + ["Plate 7 B03 1"] * 2
    expected = np.concatenate(list(planes.values()))
    np.testing.assert_array_equal(read_all(source), expected)
    # The index by its name gives the same; a pattern goes by the names of files.
    index = folder / "ImageIndex.ColumbusIDX.xml"
    assert read_source(ImageSource(index)).frame.equals(frame)
    by_name = r"(?P<Row>\d{3})(?P<Column>\d{3})-(?P<Channel>\d)"
    assert len(read_source(ImageSource(folder, pattern=by_name)).frame) == 2
    with pytest.raises(ValueError, match="planes of a stack are separate files"):
        read_source(ImageSource(folder, project="max"))
    words = index.read_text()
    for wrong, told in (
        (words[:300], "cannot be read as XML .*partly copied"),
        (
            words.replace("FieldID", "Field"),
            "is not an index of images: .* lack FieldID",
        ),
        (words.replace("-1.tif", "-1.flex"), r"other formats \(.flex\). Export"),
        (words.replace('"2"', '"0"').replace("<PlaneID>2", "<PlaneID>1"), "two images"),
        ("<a/>", "it lists 0 images"),
    ):
        index.write_text(wrong)
        with pytest.raises(ValueError, match=told):
            read_source(source)
    index.unlink()
    with pytest.raises(FileNotFoundError, match="ColumbusIDX.xml is not there"):
        read_source(ImageSource(index))


def test_an_index_of_harmony_names_channels(tmp_path):
    write_columbus(tmp_path)
    words = (tmp_path / "ImageIndex.ColumbusIDX.xml").read_text()
    words = words.replace("perkinelmer.com/Columbus", "perkinelmer.com/PEHH/HarmonyV5")
    (tmp_path / "Index.idx.xml").write_text(words)
    frame = read_source(ImageSource(tmp_path / "Index.idx.xml")).frame
    assert "URL_GFP_488" in frame and len(frame) == 2
