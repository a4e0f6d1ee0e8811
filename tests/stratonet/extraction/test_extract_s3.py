"""`stratonet extract` from S3 to S3, over HTTP.

The bucket has the shape of the cellpainting-gallery's.
"""

import io
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from s3_server import DENIED, RESET, SECRETS, SLOW_DOWN, S3Server
from screen_images import TAP, screen, values, write

import stratonet_cli
from stratonet.extraction import ImageSource, extract
from stratonet.extraction.command import INCOMPLETE
from stratonet.tables import read_features

CHANNELS = ("AGP", "DNA", "ER", "Mito", "RNA")
GALLERY = "s3://cellpainting-gallery/"
LOAD_DATA = (
    "cpg0016-jump/source_8/workspace/load_data_csv/J3/{plate}/"
    "load_data_with_illum.parquet"
)
PLATES = [f"jump:source_8/J3/{plate}" for plate in ("P1", "P2")]


@pytest.fixture(scope="module")
def gallery():
    """The server, the bucket's files as a dict, and the two tables."""
    root = f"{GALLERY}cpg0016-jump/source_8/"
    files, table = screen(wells=("A01", "B02", "P24"), channels=CHANNELS, root=root)
    files = {
        f"cpg0016-jump/source_8/{name}": content for name, content in files.items()
    }
    table["FileName_IllumDNA"], table["PathName_IllumDNA"] = "illum.npy", root
    table = table.astype({"Metadata_Site": int})
    for plate, rows in table.groupby("Metadata_Plate"):
        file = io.BytesIO()
        rows.to_parquet(file)
        files[LOAD_DATA.format(plate=plate)] = file.getvalue()
    images = [name for name in files if name.endswith(".tif")]
    del files[images[7]]
    files[images[38]] = files[images[38]][:5000]
    with S3Server() as server:
        yield server, files, (images[7], images[38])


@pytest.fixture
def s3(gallery, monkeypatch):
    server, files, _ = gallery
    server.reset()
    server.put("cellpainting-gallery", files)
    server.put("features")
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    return server


def command(*arguments):
    return [
        sys.executable,
        "-m",
        "stratonet_cli",
        "extract",
        *map(str, arguments),
        "--taps",
        TAP,
        "--quiet",
    ]


def call(*arguments):
    return stratonet_cli.main(command(*arguments)[3:])


def take_pixels(crops):
    of_channels = crops.filter(like="Crop_").to_numpy().ravel()
    return [crop and crop["planes"][0]["pixels"].tolist() for crop in of_channels]


@pytest.mark.slow
def test_killed_and_continued_it_equals_the_same_plates_on_a_disk(
    gallery, s3, tmp_path
):
    _, files, damaged = gallery
    write(tmp_path, files)
    tables = [tmp_path / LOAD_DATA.format(plate=plate) for plate in ("P1", "P2")]
    names = {channel: f"Orig{channel}" for channel in CHANNELS}
    replace = [(GALLERY.rstrip("/"), str(tmp_path))]
    local_run = extract(
        [ImageSource(table, replace=replace) for table in tables],
        tmp_path / "here",
        channels=names,
        taps=TAP,
        crops=True,
        progress=False,
    )
    assert local_run.incomplete == 2

    arguments = (*PLATES, "--output", "s3://features/out", "--crops")
    process = subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL)
    while (
        process.poll() is None
        and sum(method == "PUT" and "_units" in path for method, path, _ in s3.requests)
        < 2
    ):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert call(*arguments) == INCOMPLETE
    measured = [
        path for method, path, _ in s3.requests if method == "PUT" and "_units" in path
    ]
    assert 6 <= len(measured) <= 6 + 3, (
        "what was at the destination is not measured again"
    )

    pixels = [
        take_pixels(values(pd.read_parquet(f"{folder}/_crops")))
        for folder in ("s3://features/out", tmp_path / "here")
    ]
    assert pixels[0] == pixels[1]
    assert len(pixels[0]) == 60 and pixels[0].count(None) == 2
    s3_features, local_features = (
        values(read_features("s3://features/out")),
        values(read_features(tmp_path / "here")),
    )
    assert_frame_equal(
        s3_features.drop(columns="Metadata_Error"),
        local_features.drop(columns="Metadata_Error"),
    )
    assert_frame_equal(values(pd.read_parquet("s3://features/out")), s3_features)
    reasons = s3_features.Metadata_Error.dropna().tolist()
    assert len(reasons) == 2
    assert all(any(name in text for text in reasons) for name in damaged)
    assert "is not there" in " ".join(reasons)
    assert "cannot be read as an image" in " ".join(reasons)
    assert s3_features.Metadata_Well.unique().tolist() == ["A01", "B02", "P24"]
    assert not s3.get("features", "out/_units/source_8/J3/P1/A01.parquet")


def test_the_bucket_is_public_and_connections_fail_for_a_moment(
    s3, tmp_path, monkeypatch, capsys
):
    s3.fail(DENIED, "/cellpainting-gallery", key_id=SECRETS[0])
    errors = [
        s3.fail(SLOW_DOWN, "HTS_A01_s2", times=3),
        s3.fail(RESET, "HTS_B02", times=2),
    ]
    assert call(PLATES[0], "--output", tmp_path / "out") == INCOMPLETE
    assert [error.happened for error in errors] == [3, 2]
    frame = read_features(tmp_path / "out")
    assert frame.Metadata_Error.notna().sum() == 1
    told = "".join(capsys.readouterr())
    content = "".join(
        path.read_bytes().decode("latin1")
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    )
    assert not any(secret in told + content for secret in SECRETS)


@pytest.mark.slow
def test_a_place_that_cannot_be_reached_stops_the_run_at_once_and_keeps_what_was_done(
    s3, tmp_path, capsys
):
    start_time = time.monotonic()
    for endpoint, source, output, expected_message in [
        ("http://127.0.0.1:9", PLATES[0], "s3://features/out", "cannot be reached"),
        (s3.endpoint, "jump:source_8/J3/P7", "s3://features/out", "has none of"),
        (s3.endpoint, PLATES[0], "s3://no-such-bucket/out", "NoSuchBucket"),
    ]:
        assert call(source, "--output", output, "--endpoint", endpoint) == 1
        told = capsys.readouterr().err
        assert expected_message in told and len(told.splitlines()) == 1
    assert time.monotonic() - start_time < 20

    s3.fail((403, "ExpiredToken"), "/P1/Images/HTS_P24")
    assert call(PLATES[0], "--output", tmp_path / "out") == 1
    told = capsys.readouterr().err
    assert "ExpiredToken" in told and "Renew" in told and len(told.splitlines()) == 1
    assert len(list((tmp_path / "out" / "_units").rglob("*.parquet"))) == 2
