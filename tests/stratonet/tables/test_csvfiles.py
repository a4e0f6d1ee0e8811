"""CSV files as people save them."""

import gzip

import numpy as np
import pytest

from stratonet.tables.csvfiles import decode_csv

TABLE = "Metadata_Well,Metadata_Dose_µM,Area\nA01,1,0.5\nA02,NA,1.5\n"
RECORDS = [
    {"Metadata_Well": "A01", "Metadata_Dose_µM": "1", "Area": 0.5},
    {"Metadata_Well": "A02", "Metadata_Dose_µM": "NA", "Area": 1.5},
]


def decode(content):
    table = decode_csv(content, "t.csv", lambda name: name.startswith("Metadata_"))
    return table.to_dict("records")


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode(),
        TABLE.encode("utf-8-sig"),
        TABLE.encode("utf-16"),
        TABLE.replace(",", "\t").encode("utf-16"),
        TABLE.replace(",", ";").encode(),
        TABLE.replace(",", "\t").encode(),
        TABLE.replace("\n", "\r\n").encode(),
        TABLE.replace("\n", ",\n").encode(),
        TABLE.replace("5\n", "5,,\n").encode(),
        f"{TABLE},,\n\n,,\n".encode(),
        f"sep=;\n{TABLE.replace(',', ';')}".encode(),
        TABLE.replace("Metadata_Well", " Metadata_Well ").encode(),
        gzip.compress(TABLE.encode(), mtime=0),
    ],
)
def test_what_is_plain_is_read(content):
    assert decode(content) == RECORDS


@pytest.mark.parametrize(
    "content, told",
    [
        (TABLE.encode("cp1252"), "line 1 has the byte 0xb5.*UTF-8.*ANSI"),
        (f"Area\n1\n{TABLE}".encode("cp1252"), "line 3 has the byte"),
        (TABLE.encode("utf-16-le"), "zero bytes.*UTF-16"),
        (b"Area,Area\n1,2\n", "Area twice"),
        (b"A,B\n1,2\n1,2,3\n", "line 3 has more fields than the header .2.*commas"),
        (b"A,B\n" + 200 * b"1,2\n" + b"1,2,3\n", "line 202 has 3 fields"),
        (b"A;B\n1;2;3\n", "line 2 has more fields .*semicolons"),
        (b"A,B;C\n1,2;3\n", "separated by commas or semicolons"),
        (b"", "it is empty"),
        (b'A,B\n"1,2\n3,4\n', "damaged"),
    ],
)
def test_what_is_not_plain_is_refused_by_name(content, told):
    with pytest.raises(
        ValueError, match=f"(?s)^t.csv cannot be read as a table.*{told}"
    ):
        decode(content)


def test_semicolons_with_commas_in_the_fields():
    assert decode(b"Metadata_A;B, C;D\nx;1,5;2\n") == [
        {"Metadata_A": "x", "B, C": "1,5", "D": 2}
    ]


@pytest.mark.parametrize("text", ["None", "NA", "NULL", "nan", "n/a", "#N/A"])
def test_text_is_text_and_no_number_is_none(text):
    content = f"Metadata_Gene,Area\n{text},1\nTP53,{text}\n,3\n".encode()
    table = decode_csv(content, "t.csv", lambda name: name.startswith("Metadata_"))
    assert table["Metadata_Gene"].tolist() == [text, "TP53", None]
    np.testing.assert_array_equal(table["Area"], [1, np.nan, 3])


def test_two_header_rows():
    content = (
        b"Image,Image,Nuclei,Nuclei,Cells\n"
        b"ImageNumber,Metadata_Well,ObjectNumber,AreaShape_Area,AreaShape_Area\n"
        b"1,A01,1,10,20\n"
    )
    assert decode(content) == [
        {
            "ImageNumber": 1,
            "Metadata_Well": "A01",
            "ObjectNumber": 1,
            "Nuclei_AreaShape_Area": 10,
            "Cells_AreaShape_Area": 20,
        }
    ]
