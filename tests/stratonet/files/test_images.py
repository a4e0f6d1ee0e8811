import os
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from stratonet.files.images import decode_plane, read_plane
from stratonet.files.urls import is_url

pytestmark = pytest.mark.stock_cellprofiler


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 65536, (37, 53), np.uint16)


def save(path, pixels, quantize=None, **options):
    image = Image.fromarray(pixels)
    if quantize:
        image = image.quantize(quantize)
    image.save(path, **options)


@pytest.mark.parametrize(
    "dtype", [bool, np.uint8, np.uint16, np.int16, np.uint32, np.float32, np.float64]
)
def test_tiff_keeps_dtype(tmp_path, pixels, dtype):
    expected = (pixels % 200).astype(dtype) if dtype is not bool else pixels > 30_000
    # Of bits, tifffile makes a file whose zero is white, unless it is told not to.
    tifffile.imwrite(tmp_path / "plane.tif", expected, photometric="minisblack")
    plane = read_plane(tmp_path / "plane.tif")
    assert plane.dtype == dtype
    np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True, "rowsperstrip": 5},
        {"compression": "zlib", "tile": (16, 16)},
        {"tile": (16, 16)},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"imagej": True},
        {"ome": True},
    ],
    ids=lambda options: "-".join(options),
)
def test_kinds_of_tiff(tmp_path, pixels, options):
    path = tmp_path / ("plane.ome.tif" if "ome" in options else "plane.TIFF")
    tifffile.imwrite(path, pixels, **options)
    plane = read_plane(str(path))
    assert plane.dtype == np.uint16
    np.testing.assert_array_equal(plane, pixels)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_deflate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiff_compressed_by_another_program(tmp_path, pixels, compression, dtype):
    expected = (pixels % 251).astype(dtype)
    save(tmp_path / "plane.tif", expected, compression=compression)
    plane = read_plane(tmp_path / "plane.tif")
    assert plane.dtype == dtype
    np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16])
def test_png_keeps_dtype(tmp_path, pixels, dtype):
    expected = (pixels % 256).astype(dtype) if dtype is not bool else pixels > 30_000
    save(tmp_path / "plane.png", expected)
    plane = read_plane(tmp_path / "plane.png")
    assert plane.dtype == dtype
    np.testing.assert_array_equal(plane, expected)


def test_grey_jpeg(tmp_path):
    ramp = np.tile(np.arange(0, 250, 2, dtype=np.uint8), (80, 1))
    save(tmp_path / "plane.JPG", ramp, quality=95)
    plane = read_plane(tmp_path / "plane.JPG")
    assert plane.dtype == np.uint8
    np.testing.assert_allclose(plane.astype(int), ramp, atol=3)


def test_real_plane(data):
    path = data / "bbbc013" / "Channel1-01-A-01.tif"
    plane = read_plane(path)
    with Image.open(path) as image:
        np.testing.assert_array_equal(plane, np.asarray(image))
    assert (plane.shape, plane.dtype) == ((640, 640), np.uint8)


@pytest.mark.parametrize(
    "name, write, received",
    [
        (
            "rgb.tif",
            lambda path, grey: tifffile.imwrite(
                path, np.dstack([grey] * 3), photometric="rgb"
            ),
            "colour.*3",
        ),
        (
            "planar.tif",
            lambda path, grey: tifffile.imwrite(
                path, np.stack([grey] * 3), photometric="rgb", planarconfig="separate"
            ),
            "colour.*3",
        ),
        (
            "stack.tif",
            lambda path, grey: tifffile.imwrite(
                path, np.stack([grey] * 5), photometric="minisblack"
            ),
            r"a stack .*\(5, 37, 53\), 5 planes",
        ),
        (
            "imagej.tif",
            lambda path, grey: tifffile.imwrite(
                path, np.stack([grey] * 2), imagej=True
            ),
            "a stack .*37",
        ),
        (
            "sizes.tif",
            lambda path, grey: [
                tifffile.imwrite(path, part, append=True)
                for part in (grey, grey[:9, :9])
            ],
            r"2 images .*\(37, 53\), uint8 of shape \(9, 9\)",
        ),
        (
            "rgb.png",
            lambda path, grey: save(path, np.dstack([grey] * 3)),
            "colour.*RGB",
        ),
        (
            "rgba.png",
            lambda path, grey: save(path, np.dstack([grey] * 4)),
            "colour.*RGBA",
        ),
        (
            "palette.png",
            lambda path, grey: save(path, np.dstack([grey] * 3), quantize=8),
            "colour.*mode P: indices into a palette",
        ),
        (
            "rgb.jpg",
            lambda path, grey: save(path, np.dstack([grey] * 3)),
            "colour.*RGB",
        ),
        (
            "frames.png",
            lambda path, grey: Image.fromarray(grey).save(
                path, save_all=True, append_images=[Image.fromarray(255 - grey)]
            ),
            "a stack of 2 frames",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value[-5:] else "",
)
def test_colours_and_stacks_are_refused(tmp_path, pixels, name, write, received):
    path = tmp_path / name
    write(path, (pixels >> 8).astype(np.uint8))
    with pytest.raises(ValueError, match=f"{path}: .*{received}.* Give one"):
        read_plane(path)


@pytest.mark.parametrize("frame", [None, 0, 1])
def test_an_axis_of_one_is_no_stack(tmp_path, pixels, frame):
    for number, image in enumerate((pixels[..., None], pixels[None], pixels)):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, image)
        if frame == 1:
            with pytest.raises(ValueError, match=rf"{path}: frame 1 .* file holds 1"):
                decode_plane(path.read_bytes(), str(path), frame)
            continue
        plane = decode_plane(path.read_bytes(), str(path), frame)
        np.testing.assert_array_equal(plane, pixels)


def test_series_of_a_tiff_file(tmp_path, pixels):
    tifffile.imwrite(tmp_path / "x.tif", pixels)
    content = (tmp_path / "x.tif").read_bytes()
    np.testing.assert_array_equal(decode_plane(content, "x.tif", 0, 0), pixels)
    with pytest.raises(ValueError, match=r"x\.tif: series 1 .* file holds 1"):
        decode_plane(content, "x.tif", 0, 1)


@pytest.mark.parametrize("part", [0.2, 0.98])
@pytest.mark.parametrize(
    "name, write",
    [
        ("raw.tif", tifffile.imwrite),
        ("tiles.tif", partial(tifffile.imwrite, tile=(16, 16))),
        ("zlib.tif", partial(tifffile.imwrite, compression="zlib")),
        ("strips.tif", partial(tifffile.imwrite, compression="zlib", rowsperstrip=4)),
        ("lzw.tif", partial(save, compression="tiff_lzw")),
        ("raw.png", save),
        ("raw.jpeg", lambda path, pixels: save(path, pixels.astype(np.uint8))),
    ],
)
def test_half_copied_file_is_refused(tmp_path, rng, name, write, part):
    path = tmp_path / name
    write(path, rng.integers(0, 65536, (200, 300), np.uint16))
    content = path.read_bytes()[: int(part * path.stat().st_size)]
    path.write_bytes(content)
    with pytest.raises(
        ValueError,
        match=rf"{path}: cannot be read .*Received: {len(content)} bytes.*damaged",
    ):
        read_plane(path)


@pytest.mark.parametrize("name", ["plane.tif", "plane.png", "plane.jpg"])
@pytest.mark.parametrize(
    "content", [b"", b"Plate,Well\nP1,A01\n"], ids=["empty", "text"]
)
def test_what_is_no_image_is_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"{path}: cannot be read .*Received: {len(content)} bytes"
    ):
        read_plane(path)


@pytest.mark.parametrize(
    "name, extension",
    [("a.vsi", ".vsi"), ("plane", ""), ("s3://b/a.czi?v=1.tif", ".czi")],
)
def test_unknown_extension_is_refused(name, extension):
    with pytest.raises(
        ValueError, match=rf"\.tif, .*\.jpeg files\. Received: '{extension}'"
    ):
        read_plane(name)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.tif"):
        read_plane(tmp_path / "none.tif")


@pytest.mark.parametrize("path", [None, float("nan"), 7, b"plane.tif", ["plane.tif"]])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(TypeError, match=rf"Received: .*\({type(path).__name__}\)"):
        read_plane(path)


@pytest.mark.parametrize(
    "path, url",
    [
        ("s3://b/x.tif", True),
        ("https://h/x.tif", True),
        ("/d/x.tif", False),
        (Path("d:x.tif"), False),
    ],
)
def test_is_url(path, url):
    assert is_url(path) is url


@pytest.fixture
def web(tmp_path):
    """The address of a web server for ``tmp_path``."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.everything
def test_web(tmp_path, pixels, web):
    pytest.importorskip("fsspec", reason="reading URLs needs fsspec")
    pytest.importorskip("aiohttp", reason="reading http:// needs aiohttp")
    tifffile.imwrite(tmp_path / "x.tif", pixels)
    np.testing.assert_array_equal(read_plane(f"{web}/x.tif"), pixels)
    np.testing.assert_array_equal(read_plane(f"{web}/x.tif?token=a.b"), pixels)
    with pytest.raises(FileNotFoundError, match="none.tif"):
        read_plane(f"{web}/none.tif")


@pytest.mark.everything
def test_s3(tmp_path, pixels, monkeypatch):
    s3fs = pytest.importorskip("s3fs", reason="reading s3:// needs s3fs")
    moto = pytest.importorskip(
        "moto.server", reason="the S3 server of this test is moto's"
    )
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        monkeypatch.setenv(
            "AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port())
        )
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        bucket = s3fs.S3FileSystem()
        bucket.mkdir("images")
        tifffile.imwrite(tmp_path / "x.tif", pixels)
        bucket.put(os.fspath(tmp_path / "x.tif"), "images/plate/x.tif")
        np.testing.assert_array_equal(read_plane("s3://images/plate/x.tif"), pixels)
        with pytest.raises(FileNotFoundError, match="none.tif"):
            read_plane("s3://images/plate/none.tif")
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        server.stop()


def test_url_without_fsspec_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(
        ImportError, match=r"s3://b/x\.tif: .*stratonet\[(sklearn|extract)\]"
    ):
        read_plane("s3://b/x.tif")
