"""No credential and no signature of a URL is printed, logged, stored or shown.

Secrets are put into every kind of address, every error is provoked, and all that comes
of it is searched: the screen, logs, warnings, messages, tables, pages and file names.
"""

import io
import logging
import traceback
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tenacity
import tifffile
from s3_server import DENIED, RESET, SLOW_DOWN, TRUNCATED, S3Server
from s3_server import SECRETS as KEYS

import stratonet_cli
from stratonet import StratoNet
from stratonet.extraction import ImageSource
from stratonet.extraction.sources.imagesets import read_image
from stratonet.extraction.sources.read import read_source
from stratonet.files import remote
from stratonet.files.images import read_plane
from stratonet.tables import read_features
from stratonet.tables.reading import read_feature_table, read_metadata
from stratonet_sklearn import StratoFeatureTransformer

PASSWORD, SIGNATURE = "pass0word", "signature0x"
SECRETS = (PASSWORD, SIGNATURE, *KEYS)
QUERY = f"?X-Amz-Credential={KEYS[0]}%2Fus&X-Amz-Signature={SIGNATURE}"
USER = f"somebody:{PASSWORD}@"
TAP = "conv2_block1_out"
ERRORS = {
    "denied": DENIED,
    "slow": SLOW_DOWN,
    "reset": RESET,
    "truncated": TRUNCATED,
    "gone": (410, ""),
    "unauthorized": (401, ""),
}


def make_tiff(shape=(64, 64), seed=0):
    file = io.BytesIO()
    values = np.random.default_rng(seed).gamma(2, 300, shape)
    tifffile.imwrite(file, values.astype(np.uint16), photometric="minisblack")
    return file.getvalue()


@pytest.fixture(scope="module")
def server():
    files = {
        "good.tif": make_tiff(),
        "damaged.tif": make_tiff()[:1000],
        "page.tif": b"Sorry, this page could not be found.",
        "stack.tif": make_tiff((3, 64, 64)),
        "truncated.tif": make_tiff(),
        "table.csv": b"Metadata_Well,Mean\nA01,0.5\nA02,0.25\n",
        "empty.csv": b"",
        "text.parquet": b"no table",
        "image.nd2": b"no reader",
    }
    with S3Server() as server:
        server.put("plates", files)
        yield server


@pytest.fixture
def s3(server, monkeypatch):
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "WAIT", tenacity.wait_none())
    monkeypatch.setattr(remote._RemoteUrl, "attempts", 2)
    # The server is no part of what is searched.
    monkeypatch.setattr(logging.getLogger("werkzeug"), "level", logging.ERROR)
    server._failures.clear()
    for name, how in ERRORS.items():
        server.fail(how, name)
    return server


@pytest.fixture
def search(capfd, caplog, recwarn, tmp_path):
    """Looks for secrets in all that was said and written since the test began."""
    caplog.set_level(logging.INFO)
    warnings.simplefilter("always")

    def look(*texts):
        captured = capfd.readouterr()
        said = [captured.out, captured.err, caplog.text, *map(str, texts)]
        said += [str(warning.message) for warning in recwarn]
        for path in tmp_path.rglob("*"):
            said.append(str(path.relative_to(tmp_path)))
            # What the user has written is the user's.
            if path.is_file() and "mine" not in path.parts:
                said.append(path.read_bytes().decode("latin-1"))
        for text in said:
            found = [secret for secret in SECRETS if secret in text]
            assert not found, text[:2000]
        return captured

    return look


def list_addresses(s3):
    """Addresses with secrets: of every scheme, with every error."""
    host = s3.endpoint.replace("http://", f"http://{USER}")
    names = ["none", *ERRORS, "damaged", "page", "stack"]
    addresses = [f"{host}/plates/{name}.tif{QUERY}" for name in names]
    addresses += [f"{host}/plates/image.nd2{QUERY}", f"{host}/plates{QUERY}"]
    addresses += [f"s3://plates/{name}.tif{QUERY}" for name in names]
    addresses += [f"s3://{USER}plates/a.tif", f"s3://{KEYS[0]}:{KEYS[1]}@plates/a.tif"]
    for scheme in ("http", "https", "HTTPS", "ftp", "sftp", "gs", "abfs", "git+https"):
        addresses.append(f"{scheme}://{USER}127.0.0.1:9/a.tif{QUERY}")
    # No valid URLs, and what pathlib makes of one.
    addresses += [
        f"http://{USER}host:port/a.tif{QUERY}",
        f"http://some/body:{PASSWORD}@127.0.0.1:9/a.tif",
        f"http://somebody:#{PASSWORD}@127.0.0.1:9/a.tif",
        f"http://somebody:?{PASSWORD}@127.0.0.1:9/a.tif",
        f"http://somebody:a/{PASSWORD}@127.0.0.1:9/a.tif",
        f"http://some body:{PASSWORD}@127.0.0.1:9/a.tif",
        f"http://127.0.0.1:9/a.tif#access_token={SIGNATURE}",
        f"file://{USER}host/a.tif",
        Path(f"http://{USER}127.0.0.1:9/a.tif{QUERY}"),
    ]
    return addresses


def provoke(call, address):
    """The error, with its traceback as Python prints it."""
    try:
        call(address)
    except (OSError, ValueError, TypeError) as error:
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        return f"{error!r} {''.join(lines)}"
    raise AssertionError(f"nothing was refused: {address}")


def measure_by_transformer(address):
    transformer = StratoFeatureTransformer(taps=TAP)
    transformer.fit_transform(np.array([[str(address)]], object))


def measure_by_table(address):
    source = ImageSource(address)
    frame = read_source(source).frame
    repr(source)
    read_image(frame.iloc[0], "DNA", source.storage)


@pytest.mark.parametrize(
    "call",
    [
        read_plane,
        measure_by_transformer,
        measure_by_table,
        read_features,
        read_feature_table,
        read_metadata,
        StratoNet.load,
    ],
)
def test_no_error_tells_a_secret(s3, search, call):
    for address in list_addresses(s3):
        search(provoke(call, address))


@pytest.mark.parametrize("name", ["empty.csv", "text.parquet", "none.csv", "slow.csv"])
def test_no_error_of_a_table_tells_a_secret(s3, search, name):
    host = s3.endpoint.replace("http://", f"http://{USER}")
    for address in (f"{host}/plates/{name}{QUERY}", f"s3://plates/{name}{QUERY}"):
        for call in (read_feature_table, read_metadata, read_features, read_source):
            if call is read_source:
                search(provoke(lambda one: read_source(ImageSource(one)), address))
            else:
                text = provoke(call, address)
                search(text)
                assert name in text


def test_the_table_of_a_url_is_read_and_named_without_its_secrets(s3):
    host = s3.endpoint.replace("http://", f"http://{USER}")
    table = read_feature_table(f"{host}/plates/table.csv{QUERY}")
    assert table.source == f"{s3.endpoint}/plates/table.csv"
    assert (table.name, len(table.frame), table.features) == ("table", 2, ["Mean"])
    assert len(read_metadata("s3://plates/table.csv")) == 2
    assert len(read_feature_table("s3://plates/table.csv").frame) == 2
    with pytest.raises(FileNotFoundError, match="/plates/none.csv is not there"):
        read_feature_table(f"{s3.endpoint}/plates/none.csv")


def call(*arguments):
    return stratonet_cli.main([*map(str, arguments), "--quiet"])


def test_a_run_tells_and_stores_no_secret(s3, search, tmp_path):
    host = s3.endpoint.replace("http://", f"http://{USER}")
    names = ["good", "none", "gone", "unauthorized", "damaged", "page", "stack"]
    rows = [
        {
            "Metadata_Plate": "P",
            "Metadata_Well": f"A{number:02d}",
            "Metadata_FileLocation": f"{host}/plates/{name}.tif{QUERY}",
            "URL_DNA": f"{host}/plates/{name}.tif{QUERY}",
        }
        for number, name in enumerate(names, start=1)
    ]
    mine = tmp_path / "mine"
    mine.mkdir()
    pd.DataFrame(rows).to_csv(mine / "table.csv", index=False)
    options = ("--output", tmp_path / "out", "--taps", TAP)
    assert call("extract", mine / "table.csv", *options) == 3
    captured = search()
    assert "damaged.tif: cannot be read as an image" in captured.out
    frame = read_features(tmp_path / "out")
    search(frame.select_dtypes("object").to_csv())
    assert frame.Metadata_Error.notna().sum() == 6


@pytest.mark.slow
def test_a_page_shows_no_secret(s3, search, tmp_path):
    host = s3.endpoint.replace("http://", f"http://{USER}")
    wells = [f"A{number:02d}" for number in range(1, 9)]
    keys = {"Metadata_Plate": "P", "Metadata_Well": wells}
    values = np.random.default_rng(0).normal(size=(8, 3))
    profiles = pd.DataFrame(values, columns=["x", "y", "z"])
    profiles = profiles.assign(**keys, Metadata_Label=["a", "b"] * 4)
    s3.put("plates", {"profiles.csv": profiles.to_csv(index=False).encode()})
    mine = tmp_path / "mine"
    mine.mkdir()
    places = [f"{host}/plates/damaged.tif{QUERY}&number={well}" for well in wells]
    pd.DataFrame({**keys, "URL_DNA": places}).to_csv(mine / "table.csv", index=False)
    table = f"Mine={host}/plates/profiles.csv{QUERY}"
    options = ("--label", "label", "--folds", 2, "--output", tmp_path / "report")
    images = ("--images", mine / "table.csv")
    assert call("evaluate", table, *options, *images) == 0
    search()
    page = (tmp_path / "report" / "report.html").read_text()
    assert "damaged.tif: cannot be read as an image" in page
    assert f"from {s3.endpoint}/plates/profiles.csv" in page


@pytest.mark.parametrize(
    "arguments",
    [
        ("extract", "{url}", "--output", "{out}"),
        ("extract", "{mine}", "--output", "{url}"),
        ("extract", "{mine}", "--output", "{out}", "--centres", "{url}"),
        ("extract", "{mine}", "--output", "{out}", "--images", "{url}"),
        ("extract", "{mine}", "--output", "{out}", "--weights", "{url}"),
        ("extract", "{mine}", "--output", "{out}", "--grey-range", "{url}.json"),
        ("extract", "{mine}", "--output", "{out}", "--endpoint", "{url}"),
        ("extract", "{mine}", "--output", "{out}", "--replace-path", "{url}=/x"),
        ("extract", "jump:{url}", "--output", "{out}"),
        ("evaluate", "{url}", "--output", "{out}"),
        ("evaluate", "A={url}", "--output", "{out}"),
        ("evaluate", "{mine}", "--output", "{url}"),
        ("evaluate", "{mine}", "--output", "{out}", "--metadata", "{url}"),
        ("card", "{url}"),
    ],
)
@pytest.mark.parametrize("url", ["http://{user}127.0.0.1:9/a.csv{query}", "s3"])
def test_no_command_tells_a_secret(s3, search, tmp_path, arguments, url):
    (tmp_path / "mine").mkdir()
    mine = tmp_path / "mine" / "table.csv"
    mine.write_text("Metadata_Plate,Metadata_Well,URL_DNA,Mean\nP,A01,a.tif,0.5\n")
    url = f"s3://{USER}plates/a.csv" if url == "s3" else url
    url = url.format(user=USER, query=QUERY)
    out = tmp_path / "out"
    words = [text.format(url=url, out=out, mine=mine) for text in arguments]
    try:
        status = stratonet_cli.main(words)
    except SystemExit as ended:
        status = ended.code
    assert status in (1, 2)
    assert search().err.startswith("stratonet: ") or status == 2
