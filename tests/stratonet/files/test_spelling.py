"""Names with every odd character, as tables, URLs and keys of S3 write them."""

import io
import unicodedata
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
import tifffile
from s3_server import S3Server

from stratonet.extraction.sources.imagesets import ImageSource, read_image
from stratonet.extraction.sources.read import read_source
from stratonet.files.images import read_plane
from stratonet.files.spelling import find_file, find_folder, list_spellings
from stratonet.files.storage import Storage

CHARACTERS = [*" +#%?&=;:@[]ü测", "::", "'", "(", "{", "~", "$", "!", ","]
PLANE = np.arange(64, dtype=np.uint16).reshape(8, 8)


def name_file(character):
    return f"p{character}1/a{character}b.tif"


def make_tiff(plane=PLANE):
    file = io.BytesIO()
    tifffile.imwrite(file, plane)
    return file.getvalue()


@pytest.fixture(scope="module")
def server():
    with S3Server() as server:
        server.put("plates", {name_file(one): make_tiff() for one in CHARACTERS})
        server.put("plates", {"Measurement 1/a b.tif": make_tiff()})
        yield server


@pytest.fixture
def s3(server, monkeypatch):
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    return server


@pytest.fixture
def local(tmp_path):
    for one in CHARACTERS:
        path = tmp_path / name_file(one)
        path.parent.mkdir()
        path.write_bytes(make_tiff())
    return tmp_path


@pytest.mark.parametrize("character", CHARACTERS)
def test_an_image_is_read_whatever_its_name(s3, local, character):
    name = name_file(character)
    addresses = [
        f"{local}/{name}",
        f"file://{quote(f'{local}/{name}')}",
        f"s3://plates/{name}",
        f"{s3.endpoint}/plates/{quote(name)}",
        f"{s3.endpoint}/plates/{quote(name)}?X-Amz-Signature=a%2Fb.c",
    ]
    # In a URL that is not encoded, a ? is the beginning of a query.
    if character != "?":
        addresses.append(f"{s3.endpoint}/plates/{name}")
    for address in addresses:
        assert np.array_equal(read_plane(address), PLANE), address


def test_a_query_in_the_name_of_an_image_is_told(s3):
    with pytest.raises(ValueError, match=r"in a file name, write it as %3F"):
        read_plane(f"{s3.endpoint}/plates/{name_file('?')}")


def test_a_table_names_images_with_every_character(s3, local):
    tables = [[] for _ in range(6)]
    for well, one in enumerate(CHARACTERS):
        folder, file = name_file(one).split("/")
        common = {"Metadata_Plate": "P", "Metadata_Well": f"A{well + 1}"}
        address = f"{s3.endpoint}/plates/{quote(folder)}"
        places = [
            {"PathName_DNA": str(local / folder), "FileName_DNA": file},
            {"PathName_DNA": folder, "FileName_DNA": file},
            {"URL_DNA": f"s3://plates/{folder}/{file}"},
            {"PathName_DNA": f"s3://plates/{folder}", "FileName_DNA": file},
            {"URL_DNA": f"{address}/{quote(file)}"},
        ]
        # The name of a file behind a URL of its folder is no URL, but for its %.
        if one != "%":
            places.append({"PathName_DNA": address, "FileName_DNA": file})
        for rows, place in zip(tables, places):
            rows.append({**common, **place})
    for number, rows in enumerate(tables):
        path = local / f"load_data_{number}.csv"
        pd.DataFrame(rows).to_csv(path, index=False)
        source = ImageSource(path)
        for row in read_source(source).frame.to_dict("records"):
            assert np.array_equal(read_image(row, "DNA", source.storage), PLANE), row


def test_a_plus_on_s3_is_a_plus_first_and_then_a_space(s3):
    url = "s3://plates/Measurement+1/a+b.tif"
    assert np.array_equal(read_plane(url), PLANE)
    assert find_folder("s3://plates/Measurement+1", Storage()) == (
        "s3://plates/Measurement 1"
    )
    # As CellProfiler and web pages encode it.
    assert np.array_equal(read_plane("s3://plates/Measurement%201/a%20b.tif"), PLANE)
    s3.put("plates", {"Measurement+1/a+b.tif": make_tiff(PLANE + 1)})
    assert np.array_equal(read_plane(url), PLANE + 1)
    with pytest.raises(FileNotFoundError, match=r"s3://plates/gone\+1.tif is not"):
        read_plane("s3://plates/gone+1.tif")


def test_a_backslash_is_a_backslash_first_and_then_a_slash(tmp_path):
    (tmp_path / "i").mkdir()
    tifffile.imwrite(tmp_path / "i" / "a.tif", PLANE)
    assert np.array_equal(read_plane(f"{tmp_path}\\i\\a.tif"), PLANE)
    tifffile.imwrite(tmp_path / "i\\a.tif", PLANE + 1)
    assert np.array_equal(read_plane(f"{tmp_path}/i\\a.tif"), PLANE + 1)
    with pytest.raises(FileNotFoundError, match="gone"):
        read_plane(f"{tmp_path}\\gone.tif")


@pytest.mark.parametrize("there, named", [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_name_of_a_mac_is_found(tmp_path, there, named):
    names = [unicodedata.normalize(form, "Zürich.tif") for form in (there, named)]
    tifffile.imwrite(tmp_path / names[0], PLANE)
    assert find_file(str(tmp_path / names[1]), Storage()) == str(tmp_path / names[0])
    assert np.array_equal(read_plane(tmp_path / names[1]), PLANE)


def test_a_destination_is_taken_as_it_is_written(s3):
    """Plates a+b and a b are two plates."""
    Storage().write("s3://plates/features/a b/1.json", b"{}")
    assert Storage().list("s3://plates/features/a+b") == []
    with pytest.raises(FileNotFoundError):
        Storage().read("s3://plates/features/a+b/1.json")


def test_web_addresses_have_one_spelling():
    url = "https://host/a+b%20c.tif"
    assert list_spellings(url) == [url]
