import gzip
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from stratonet.extraction.sources.folders import READY_PATTERNS
from stratonet.extraction.sources.imagesets import ImageSource
from stratonet.extraction.sources.read import read_source
from stratonet.extraction.sources.tablefiles import read_image_set_table
from stratonet.files.storage import Storage

GUID = "64FBEEF7-F77C-4892-86F5-72D0160D4FB2"
HEAD = "Metadata_Plate,Metadata_Well,"


class Bucket(dict):
    """What sources need of a Storage, with the files in a dict of URLs."""

    read = dict.__getitem__
    exists = dict.__contains__

    def is_folder(self, url):
        return any(name.startswith(f"{url.rstrip('/')}/") for name in self)

    def list(self, url):
        return sorted(name for name in self if name.startswith(f"{url.rstrip('/')}/"))


def read(location, files=None, channels=None, **options):
    """The image sets of a location on a disk, or of a URL among ``files``."""
    source = ImageSource(location, **options)
    if files is not None:
        source = InBucket(location, files=files, **options)
    return read_source(source, channels)


@dataclass(frozen=True)
class InBucket(ImageSource):
    """A source whose files are in a dict."""

    files: dict = None
    storage = property(lambda self: Bucket(self.files))


@pytest.fixture
def table(tmp_path):
    """Reads a text as a table in a folder of its own."""

    def read_text(text, name="table.csv", **options):
        path = tmp_path / name
        path.write_bytes(
            gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
        )
        return read(path, **options).frame

    return read_text


@pytest.fixture
def folder(tmp_path):
    """Reads empty files of some names as a folder."""

    def read_names(*names, start="", **options):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return read(tmp_path / start, **options)

    return read_names


@pytest.mark.parametrize(
    "old, path, url",
    [
        (r"C:\Data", r"C:\Data\p", ""),
        (r"C:\Data", "c:/Data/p", ""),
        ("C:/Data/", r"c:\DATA\p", ""),
        (r"C:\Data", "", "file:///C:/Data/p/a.tif"),
        ("file:///C:/Data", "", r"C:\Data\p\a.tif"),
        (r"\\server\share", r"\\SERVER\share\p", ""),
        (r"\\server\share", "", "file://server/share/p/a.tif"),
        (r"raw\data", r"raw\data\p", ""),
        ("/mnt/data", "/mnt/data/p", ""),
    ],
)
def test_the_beginning_of_a_path_of_windows_is_replaced(table, old, path, url):
    frame = table(
        f"{HEAD}PathName_DNA,FileName_DNA,URL_DNA\nP,A01,{path},a.tif,{url}\n",
        replace=[(old, "s3://bucket")],
    )
    assert frame.URL_DNA.tolist() == ["s3://bucket/p/a.tif"]


def test_small_letters_of_other_systems_are_not_capitals(table):
    text = f"{HEAD}PathName_DNA,FileName_DNA\nP,A01,/DATA/p,a.tif\n"
    assert table(text, replace=[("/data", "/new")]).URL_DNA[0] == "/DATA/p/a.tif"


def test_metadata_keep_no_signature(table):
    frame = table(
        f"{HEAD}Metadata_FileLocation,URL_DNA\n"
        "P,A01,https://me:word@host/a.tif?X-Amz-Signature=1,/a.tif\n"
        "P,A02,,/b.tif\n"
    )
    assert frame.Metadata_FileLocation.tolist() == ["https://host/a.tif", None]


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_text_of_a_csv_stays_as_written(table, name):
    text = (
        "Image_Metadata_Plate,Metadata_Well,Metadata_Dose,Metadata_Name,"
        "Count_Nuclei,FileName_DNA\n"
    )
    frame = table(f"{text}0012,A01,1e-4,NA,7,a.tif\n24E10,B02,,None,8,\n", name)
    assert list(frame) == [
        "Metadata_Plate",
        "Metadata_Well",
        "Metadata_Dose",
        "Metadata_Name",
        "URL_DNA",
    ]
    assert frame.iloc[0, :4].tolist() == ["0012", "A01", "1e-4", "NA"]
    assert frame.iloc[1].tolist() == ["24E10", "B02", None, "None", None]


def test_parquet_keeps_its_types_but_for_what_names_an_image_set(tmp_path):
    path = tmp_path / "table.parquet"
    table = pd.DataFrame(
        {
            "Metadata_Plate": [1170384, 2],
            "Metadata_Well": ["A01", "A02"],
            "Metadata_Site": [1.0, None],
        }
    )
    table["Metadata_Dose"], table["FileName_DNA"], table["Frame_DNA"] = (
        [0.5, 1],
        ["a.tif", None],
        [None, 3.0],
    )
    table.set_index("Metadata_Plate").to_parquet(path)
    frame = read(path).frame
    assert frame.Metadata_Plate.tolist() == [
        "1170384",
        "2",
    ] and frame.Metadata_Site.tolist() == ["1", None]
    assert frame.Metadata_Dose.dtype == float and frame.URL_DNA.tolist() == [
        str(tmp_path / "a.tif"),
        None,
    ]
    assert (
        frame.Frame_DNA.tolist() == [0, 3]
        and type(frame.to_dict("records")[0]["Frame_DNA"]) is int
    )


def test_an_index_of_evenly_spaced_numbers_is_read(tmp_path):
    path = tmp_path / "table.parquet"
    table = pd.DataFrame({"Metadata_Well": ["A01", "A02"], "FileName_DNA": ["a", "b"]})
    # pandas keeps such an index in the metadata of the file, not as a column.
    table.index = pd.RangeIndex(5, 9, 2, name="Metadata_Plate")
    table.to_parquet(path)
    assert read(path).frame.Metadata_Plate.tolist() == ["5", "7"]


@pytest.mark.parametrize(
    "path, file, url, expected",
    [
        ("/data/p", "a.tif", "", "/data/p/a.tif"),
        ("/data/p/", "a.tif", "", "/data/p/a.tif"),
        ("../p", "a.tif", "", "{up}/p/a.tif"),
        ("", "p/a.tif", "", "{here}/p/a.tif"),
        ("s3://bucket/p/", "a.tif", "", "s3://bucket/p/a.tif"),
        (
            "/data/p",
            "a.tif",
            "https://host/b.tif?sig=a/b",
            "https://host/b.tif?sig=a/b",
        ),
        ("/data/p", "a.tif", "file:///data/my%20p/%231.tif", "/data/my p/#1.tif"),
        ("", "", "file:/data/b.tif", "/data/b.tif"),
        # Paths of Windows, which are absolute on every system.
        ("", "", "file:///C:/My%20Data/b.tif", "C:/My Data/b.tif"),
        ("", "", "file://server/share/b.tif", "//server/share/b.tif"),
        ("c:/Data/p", "a.tif", "", "c:/Data/p/a.tif"),
        (r"C:\Data\p", "a.tif", "", "C:/Data/p/a.tif"),
        (r"\\server\share\p", "a.tif", "", "//server/share/p/a.tif"),
        (r"\\?\C:\Data\p", "a.tif", "", "C:/Data/p/a.tif"),
        ("", "", r"C:\Data\p\a.tif", "C:/Data/p/a.tif"),
        ("https://host/p", "a?#.tif", "", "https://host/p/a%3F#.tif"),
        ("/data/p", "", "", None),
    ],
)
def test_paths_and_urls(table, tmp_path, path, file, url, expected):
    frame = table(
        f"{HEAD}PathName_DNA,FileName_DNA,URL_DNA\nP,A01,{path},{file},{url}\n"
    )
    assert frame.URL_DNA[0] == (
        expected and expected.format(here=tmp_path, up=tmp_path.parent)
    )


@pytest.mark.parametrize(
    "path, options, expected",
    [
        ("p/../q", {"base": "s3://bucket/screen/"}, "s3://bucket/screen/q/a.tif"),
        ("../q", {"base": "/data/screen"}, "/data/q/a.tif"),
        (
            "p",
            {"replace": [("p", "s3://bucket")], "base": "/data"},
            "s3://bucket/a.tif",
        ),
        (
            "/home/b/p",
            {"replace": [("/home/b/", "s3://bucket/")]},
            "s3://bucket/p/a.tif",
        ),
        ("/home/b2/p", {"replace": [("/home/b", "s3://bucket")]}, "/home/b2/p/a.tif"),
        (
            "file:/home/b/p",
            {"replace": [("/home/b", "/mnt/"), ("/mnt", "/no")]},
            "/mnt/p/a.tif",
        ),
        ("D:\\x\\p", {"replace": [("D:\\x", "s3://bucket")]}, "s3://bucket/p/a.tif"),
    ],
)
def test_where_paths_start(table, path, options, expected):
    assert (
        table(
            f"{HEAD}PathName_DNA,FileName_DNA\nP,A01,{path},a.tif\n", **options
        ).URL_DNA[0]
        == expected
    )


def test_relative_paths_start_at_the_url_of_the_table():
    bucket = Bucket(
        {"s3://b/x/t.csv": f"{HEAD}FileName_DNA\nP,A01,../y/a.tif\n".encode()}
    )
    assert read("s3://b/x/t.csv", bucket).frame.URL_DNA[0] == "s3://b/y/a.tif"


@pytest.mark.parametrize(
    "illumination, channels, expected",
    [
        ("IllumDNA", ["OrigDNA"], ["URL_OrigDNA", "Illumination_OrigDNA"]),
        ("IllumDNA", ["ER", "DNA"], ["URL_ER", "URL_DNA", "Illumination_DNA"]),
        (
            "IllumOrigDNA",
            ["OrigDNA", "DNA"],
            ["URL_OrigDNA", "Illumination_OrigDNA", "URL_DNA"],
        ),
        (
            "IllumDNA",
            ["DNA", "OrigDNA"],
            ["URL_DNA", "URL_OrigDNA", "Illumination_OrigDNA"],
        ),
        ("IllumER", ["DNA"], ["URL_IllumER", "URL_DNA"]),
    ],
)
def test_illumination_functions_belong_to_channels(
    table, illumination, channels, expected
):
    names = [illumination, *channels]
    frame = table(
        f"{HEAD}{','.join(f'URL_{name}' for name in names)}\n"
        f"P,A01,{','.join(f'/{name}' for name in names)}\n"
    )
    assert list(frame)[2:] == expected
    assert all(
        frame[name][0] == f"/{illumination}"
        for name in expected
        if name.startswith("Illumination")
    )


def test_planes_and_label_images(table, tmp_path):
    head = (
        "Image_Frame_DNA,Image_URL_DNA,Series_DNA,Frame_Gone,"
        "ObjectsFileName_Cells,ObjectsPathName_Cells,"
    )
    frame = table(
        f"{HEAD}{head}Image_Objects_URL_Nuclei\nP,A01,2,/a.tif,,1,c.png,labels,/n.png\n"
    )
    expected = {"URL_DNA": "/a.tif", "Frame_DNA": 2, "Series_DNA": 0}
    expected |= {
        "Labels_Cells": str(tmp_path / "labels/c.png"),
        "Labels_Nuclei": "/n.png",
    }
    assert frame.iloc[0, 2:].to_dict() == expected and list(frame)[2:] == list(expected)


def test_channels_are_chosen_in_order_and_renamed(table):
    text = (
        f"{HEAD}URL_OrigER,URL_OrigDNA,Frame_OrigDNA,URL_IllumDNA,Objects_URL_N\n"
        "P,A01,/e,/d,1,/i,/n\n"
    )
    frame = table(text, channels={"Nuclei": "OrigDNA", "ER": "OrigER"})
    assert list(frame)[2:] == [
        "URL_Nuclei",
        "Frame_Nuclei",
        "Illumination_Nuclei",
        "URL_ER",
        "Labels_N",
    ]
    assert frame.iloc[0, 2:].tolist() == ["/d", 1, "/i", "/e", "/n"]
    with pytest.raises(
        ValueError, match=r"table.csv has the channels OrigER, OrigDNA. Received: DNA\."
    ):
        table(text, channels={"DNA": "DNA"})


@pytest.mark.parametrize(
    "text, told",
    [
        (
            "Metadata_Plate,FileName_DNA\nP,a.tif\n",
            "lacks Metadata_Well. Received the columns Metadata_Plate, FileName",
        ),
        (
            f"{HEAD}PathName_DNA\nP,A01,/d\n",
            "lacks FileName_<channel> or URL_<channel>. Received",
        ),
        (f"{HEAD}FileName_DNA\n", "has no rows"),
        (
            f"{HEAD}FileName_DNA\nP,A01,a.tif\nP,,b.tif\n",
            "row 2 .* has no Metadata_Plate or Metadata_Well",
        ),
        (
            f"{HEAD}Image_Metadata_Well,FileName_DNA\nP,A01,A01,a.tif\n",
            "two columns Metadata_Well",
        ),
        (
            f"{HEAD}FileName_DNA,Frame_DNA\nP,A01,a.tif,\nP,A02,b.tif,1.5\n",
            "Frame_DNA counts from 0.*'1.5' in row 2",
        ),
        (
            f"{HEAD}URL_A,URL_B\nP,A01,/a,\nP,A02,/a,/b\nP,A03,,\nP,A04,,\nP,A05,/a,\n",
            "twice: rows 1 and 5 ",
        ),
        (
            f"{HEAD}FileName_DNA\nP,A01,a.tif,7\n",
            "table.csv cannot be read as a table.*line 2 has more fields",
        ),
        (
            f"{HEAD}FileName_DNA\nP,A01,a.tif\nP,A01,a.tif,7\n",
            "table.csv cannot be read as a table",
        ),
        ("", "table.csv cannot be read as a table"),
    ],
)
def test_a_table_of_no_image_sets_is_refused(table, text, told):
    with pytest.raises(ValueError, match=told):
        table(text)


@pytest.mark.parametrize("first, second", [("a.tif,0", "a.tif,1"), (",", ",")])
def test_planes_of_one_stack_and_lost_images_are_different_image_sets(
    table, first, second
):
    assert (
        len(table(f"{HEAD}FileName_DNA,Frame_DNA\nP,A01,{first}\nP,A02,{second}\n"))
        == 2
    )


@pytest.mark.parametrize("name", ["half.csv.gz", "half.parquet"])
def test_a_damaged_table_is_named(tmp_path, name):
    path = tmp_path / name
    frame = pd.DataFrame({"Metadata_Plate": [str(number) for number in range(500)]})
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_csv(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=f"{name} cannot be read as a table"):
        read(path)


@pytest.mark.parametrize(
    "name, error, told",
    [
        ("gone.csv", FileNotFoundError, "gone.csv is not there"),
        (
            "plate.xlsx",
            ValueError,
            r"tables are .csv, .* and .parquet files. Received: 'plate.xlsx'",
        ),
        (
            "jump:J3/A1170384",
            ValueError,
            r"jump:<source>/<batch>/<plate>.*Received: 'jump:J3/A1170384'",
        ),
        (
            "jump:source_8/J3/A1",
            FileNotFoundError,
            "load_data_csv/J3/A1 has none of load_data_with_illum.parquet",
        ),
    ],
)
def test_what_is_no_source_is_refused(tmp_path, name, error, told):
    (tmp_path / "plate.xlsx").touch()
    with pytest.raises(error, match=told):
        if name.startswith("jump:"):
            read(name, files={})
        else:
            read(tmp_path / name)


def test_a_large_table_is_read_fast(table):
    row = "P,A01," + ",".join(
        f"/home/b/p{channel},{{0}}_{channel}.tif,/home/b/i,{channel}.npy"
        for channel in range(5)
    )
    head = ",".join(
        f"PathName_{c},FileName_{c},PathName_Illum{c},FileName_Illum{c}"
        for c in range(5)
    )
    rows = "\n".join(row.format(number) for number in range(20_000))
    start = time.perf_counter()
    frame = table(f"{HEAD}{head}\n{rows}\n", replace=[("/home/b", "s3://bucket")])
    assert time.perf_counter() - start < 3  # 0.3 s on two quiet cores
    assert (
        frame.URL_3.iloc[-1] == "s3://bucket/p3/19999_3.tif"
        and frame.Illumination_4[0] == "s3://bucket/i/4.npy"
    )


@pytest.mark.parametrize(
    "name",
    ["load_data_with_illum.parquet", "load_data_with_illum.csv", "load_data.csv.gz"],
)
def test_a_plate_of_jump_by_its_name(data, tmp_path, name):
    shape = pd.read_csv(
        data / "jump_metadata" / "example_load_data.csv", dtype=str
    ).drop(columns="Metadata_Batch")
    for channel in ("DNA", "ER"):
        shape[f"FileName_Illum{channel}"] = f"BR_Illum{channel}.npy"
        shape[f"PathName_Illum{channel}"] = "/home/ubuntu/bucket/illum"
    path = tmp_path / name
    (
        shape.to_parquet(path)
        if name.endswith("parquet")
        else shape.to_csv(path, index=False)
    )
    url = "s3://cellpainting-gallery/cpg0016-jump/source_4/workspace/load_data_csv/2021_B1/BR00117035"
    bucket = Bucket(
        {f"{url}/{name}": path.read_bytes(), f"{url}/load_data.csv": b"not this"}
    )
    frame = read("jump:source_4/2021_B1/BR00117035", bucket).frame
    assert [name for name in frame if name.startswith("URL_")] == [
        f"URL_{x}" for x in ("AGP", "DNA", "ER", "Mito", "RNA")
    ]
    assert frame.Metadata_Batch.unique() == [
        "2021_B1"
    ] and frame.Metadata_Source.unique() == ["source_4"]
    assert frame.shape == (216, 5 + 5 + 2) and frame.Metadata_Site.iloc[-1] == "9"
    assert (
        frame.Illumination_DNA[0] == "s3://cellpainting-gallery/illum/BR_IllumDNA.npy"
    )
    assert frame.URL_DNA[0].startswith(
        "s3://cellpainting-gallery/cpg0016-jump/source_4/images/2021_04_26_Batch1/images/"
    )
    chosen = read(
        "jump:source_4/2021_B1/BR00117035",
        bucket,
        channels={"Nuclei": "DNA"},
        replace=[("/home", "/mnt")],
    ).frame
    assert list(chosen)[5:] == ["URL_Nuclei", "Illumination_Nuclei"]
    assert chosen.Illumination_Nuclei[0] == "/mnt/ubuntu/bucket/illum/BR_IllumDNA.npy"


def test_the_tables_of_bbbc021(data):
    source = data / "bbbc021_metadata" / "BBBC021_v1_image.csv.gz"
    frame = read(source, base="s3://bucket/bbbc021").frame
    names = (
        "Plate",
        "Well",
        "Batch",
        "Site",
        "Replicate",
        "Compound",
        "Concentration",
        "MoA",
    )
    assert list(frame) == [f"Metadata_{name}" for name in names] + [
        "URL_DAPI",
        "URL_Tubulin",
        "URL_Actin",
    ]
    assert (
        len(frame) == 13_200
        and frame.Metadata_Plate.nunique() == 55
        and frame.Metadata_Batch.nunique() == 10
    )
    annotated = frame.dropna(subset="Metadata_MoA")
    treatments = annotated.groupby(
        ["Metadata_Compound", annotated.Metadata_Concentration.astype(float)]
    ).Metadata_MoA
    assert (
        treatments.ngroups == 103 + 1 and (treatments.nunique() == 1).all()
    )  # and DMSO
    assert annotated.Metadata_MoA.nunique() == 12 + 1
    emetine = frame[
        (frame.Metadata_Compound == "emetine") & (frame.Metadata_Concentration == "0.3")
    ]
    assert set(emetine.Metadata_MoA) == {"Protein synthesis"}
    first = ["Week4_27481", "G10", "Week4", "1", "1", "5-fluorouracil", "0.003", None]
    assert frame.iloc[0, :8].tolist() == first
    file = "G10_s1_w1BEDC2073-A983-4B98-95E9-84466707A25D.tif"
    assert frame.URL_DAPI[0] == f"s3://bucket/bbbc021/Week4/Week4_27481/{file}"
    alone = read("s3://b/t.csv.gz", {"s3://b/t.csv.gz": source.read_bytes()}).frame
    assert "Metadata_MoA" not in alone and len(alone) == 13_200


def test_an_imagexpress_folder(data):
    image_sets = read(data / "bbbc022")
    frame = image_sets.frame
    assert list(frame)[:3] == ["Metadata_Plate", "Metadata_Well", "Metadata_Site"]
    assert list(frame)[3:] == [f"URL_w{number}" for number in range(1, 6)]
    assert (
        len(frame) == 12
        and frame.Metadata_Well.nunique() == 6
        and image_sets.skipped == ()
    )
    labels = pd.read_csv(data / "bbbc022" / "labels.csv")
    assert [Path(url).name for url in frame.URL_w4] == labels.file_Ph_golgi.tolist()
    assert (
        set(frame.Metadata_Plate) == {"bbbc022"}
        and frame.Metadata_Well.tolist() == labels.well.tolist()
    )


def test_a_folder_by_ones_own_pattern(data):
    pattern = r"Channel(?P<Channel>\d)-\d\d-(?P<Row>[A-H])-(?P<Column>\d\d)\.tif$"
    image_sets = read(
        data / "bbbc013", pattern=pattern, channels={"GFP": "1", "DNA": "2"}
    )
    frame = image_sets.frame
    labels = pd.read_csv(data / "bbbc013" / "labels.csv").sort_values("well")
    assert list(frame) == ["Metadata_Plate", "Metadata_Well", "URL_GFP", "URL_DNA"]
    assert frame.Metadata_Well.tolist() == labels.well.tolist()
    assert [
        Path(url).name for url in frame.URL_DNA
    ] == labels.file_DNA_DRAQ.tolist() and image_sets.skipped == ()


@pytest.mark.parametrize(
    "ready, name, expected",
    [
        (
            "imagexpress",
            f"X/P/TimePoint_1/ZStep_2/any_A01_s3_w1{GUID}.tif",
            "P A01 3 1 2 w1",
        ),
        ("imagexpress", f"P/G10_s1_w1{'0' + GUID[1:]}.tif", "P G10 1 w1"),
        ("imagexpress", f"P/G10_s1_w12{GUID}.tif", "P G10 1 w12"),
        ("imagexpress", "P/plate_B2_A01_s1_w12.TIF", "P A01 1 w12"),
        ("imagexpress", "P/TimePoint_3/plate_AF48_w2.tif", "P AF48 3 w2"),
        # As people write wells, and of one wavelength.
        ("imagexpress", "P/TimePoint_1/plate_A1_s1_w1.tif", "P A01 1 1 w1"),
        ("imagexpress", "P/plate_b-03_s1_w1.tif", "P B03 1 w1"),
        ("imagexpress", f"P/TimePoint_1/P_B05_s2{GUID}.tif", "P B05 2 1 w1"),
        ("imagexpress", f"P/TimePoint_1/P_B05{GUID}.tif", "P B05 1 w1"),
        ("imagexpress", "P/TimePoint_1/P_S05.TIF", "P S05 1 w1"),
        ("imagexpress", "P/any_B05_s2.tif", "P B05 2 w1"),
        ("imagexpress", "P/any_B05_w2.ome.tif", "P B05 w2"),
        ("imagexpress", "P/TimePoint_1/A01_s1_w1_z3.tif", "P A01 1 1 3 w1"),
        ("imagexpress", "P/A01_s001_w2_z003_t004.tif", "P A01 001 004 003 w2"),
        (
            "imagexpress",
            "P/experiment/timepoint1/n3_18T40670_t1_C05_s0_w0_z2.tif",
            "P C05 0 1 2 w0",
        ),
        (
            "imagexpress",
            "P/experiment_z_stack/timepoint0/P_t0_C05_s0_w0_z2.tif",
            "P C05 0 _z_stack 0 2 w0",
        ),
        ("imagexpress", "P/n3_t7_C05_s0_w0_z0.tif", "P C05 0 7 0 w0"),
        ("jump", f"A1170384/Images/HTS_P24_s9_w5{GUID}.tif", "A1170384 P24 9 w5"),
        (
            "phenix",
            "BR1__2021-05-02T16_02_51-Measurement1/Images/r01c01f02p03-ch2sk4fk1fl1.tiff",
            "BR1 A01 02 03 4 ch2",
        ),
        ("phenix", "BR1__x/r16c24f01p01-ch10sk1fk1fl1.tiff", "BR1__x P24 01 01 1 ch10"),
        ("phenix", "P/Images/r27c48f01p01-ch1sk1.tiff", "P AA48 01 01 1 ch1"),
        # From Harmony 5.3 on.
        (
            "phenix",
            "P__2025-01-03T16_48_34-Measurement 1/Images/r01c03f02p01-ch01t02.tiff",
            "P A03 02 01 02 ch01",
        ),
        ("phenix", "P/Images/r01c03/r01c03f02p01-ch01t01.tiff", "P A03 02 01 01 ch01"),
        (
            "phenix",
            "P/hs/55195c81-c4c6-4327-b7fc-b0b50de675b2/images/r03c07/"
            "r03c07f01p01-ch01t01.tiff",
            "P C07 01 01 01 ch01",
        ),
        ("phenix", "P/r01c03f01p01-ch1.tiff", "P A03 01 01 ch1"),
        (
            "cellvoyager",
            "P/AssayPlate_Greiner_#781896_A02_T0001F003L01A01Z02C04.tif",
            "P A02 003 0001 02 C04",
        ),
        (
            "cellvoyager",
            "P/X_A01.b2_T0001F001L01A01Z01C01.tif",
            "P A01.b2 001 0001 01 C01",
        ),
        ("cellvoyager", "P/P_J14_T0001F001L01A01Z01C01.png", "P J14 001 0001 01 C01"),
        ("incell", "P/A - 1(fld 2 wv 390 - Blue).tif", "P A01 2 390_Blue"),
        ("incell", "P/P1_HA41_B - 01(fld 01 wv Cy3 - Cy3).tif", "P B01 01 Cy3_Cy3"),
        ("incell", "P/C - 04(wv DAPI - DAPI).tif", "P C04 DAPI_DAPI"),
        ("incell", "P/B - 2(fld 1 wv Cy3 - Cy3 wix 1).tif", "P B02 1 Cy3_Cy3"),
        (
            "incell",
            "P/A - 01(fld 1 wv UV - DAPI z 3 time 2 - 2636ms).tif",
            "P A01 1 3 2 UV_DAPI",
        ),
        (
            "incell",
            "P/B - 02(fld 01 wv Blue - FITC - time 01 - 0 ms).tif",
            "P B02 01 01 Blue_FITC",
        ),
        ("incucyte", "P/VID1630_A1_1_00d00h00m.tif", "P A01 1 00d00h00m Image"),
        ("incucyte", "P/VID95_Phase_B3_2_01d02h30m.tif", "P B03 2 01d02h30m Phase"),
        ("incucyte", "P/green/VID95_B3_2_00d00h00m.tif", "P B03 2 00d00h00m green"),
        (
            "incucyte",
            "P/Red_C04_2_2026y10m05d_14h30m.tif",
            "P C04 2 2026y10m05d_14h30m Red",
        ),
        (
            "incucyte-archive",
            "ScanData/2401/15/1430/700/A1-1-Ph.tif",
            "700 A01 1 2401/15/1430 Ph",
        ),
        ("cellomics", "P/MFGTMP_140206180002_A01f02d1.TIF", "P A01 02 d1"),
        ("columbus", "P/016024-12-001002003.tif", "P P24 12 001 002 003"),
    ],
)
def test_ready_patterns(folder, ready, name, expected):
    for start in (
        "",
        name.rpartition("/")[0],
    ):  # the plate, or the folder that holds the images
        frame = folder(name, start=start).frame
        metadata = [
            value
            for column, value in frame.iloc[0].items()
            if column.startswith("Metadata_")
        ]
        assert [*metadata, list(frame)[-1].removeprefix("URL_")] == expected.split()
        assert frame.equals(
            folder(name, start=start, pattern=ready).frame
        ) and frame.iloc[0, -1].endswith(name)


def test_what_is_no_image_of_a_plate_is_ignored(folder, tmp_path):
    names = [
        f"p_A{well:02d}_s{site}_w{channel}.tif"
        for well in (1, 2)
        for site in (10, 9)
        for channel in (10, 9)
    ]
    image_sets = folder(
        *names[1:], "p_A01_s9_w9_thumb.tif", "notes.png", "._p_A01_s9_w9.tif", "p.HTD"
    )
    frame = image_sets.frame
    assert image_sets.skipped == ("notes.png",)
    assert list(frame)[-2:] == ["URL_w9", "URL_w10"]
    assert (
        frame.Metadata_Site.tolist() == ["9", "10"] * 2
        and frame.Metadata_Well.tolist() == ["A01"] * 2 + ["A02"] * 2
    )
    assert frame.URL_w10[1] is None and frame.URL_w9[1] == str(
        tmp_path / "p_A01_s10_w9.tif"
    )


def test_a_row_of_wells_without_zeros_is_whole(folder):
    names = [f"plate_A{well}_s1_w1.tif" for well in range(1, 13)]
    image_sets = folder(*names)
    wells = image_sets.frame.Metadata_Well.tolist()
    assert wells == [f"A{well:02d}" for well in range(1, 13)]
    assert image_sets.skipped == ()


@pytest.mark.parametrize(
    "names, pattern, told",
    [
        # The same well and site by two names of one instrument.
        (["p_A1_s1_w1.tif", "p_A01_s1_w1.tif"], None, "p_A01_s1_w1.tif and .*p_A1_s1"),
        # Two names of a well by one's own pattern.
        (
            ["A1_1_x.tif", "A01_2_x.tif"],
            r"(?P<Well>A\d+)_(?P<Site>\d)_(?P<Channel>x)",
            "has one well under two names, A01 and A1",
        ),
    ],
)
def test_a_well_with_two_names_is_refused(folder, names, pattern, told):
    with pytest.raises(ValueError, match=told):
        folder(*names, pattern=pattern)


def test_a_name_that_only_ends_as_a_well_does_is_no_image(folder):
    with pytest.raises(ValueError, match="no image has a name that matches"):
        folder("x/overview_B05.tif", "x/scan-A1.png")


def test_what_is_missed_is_named_and_thumbnails_are_not_missed(folder):
    image_sets = folder(
        "P/p_A01_s1_w1.tif",
        "P/p_A02_s1_w1_mask.tif",
        "P/p_A03_s1_w1.nd2",
        "P/p_A04_s1_w1.C01",
        f"P/p_A01_s1_w1_thumb{GUID}.tif",
        "P/Thumbs/p_A01_s1_w1_t.jpg",
        "P/SC_BP445-45_40x_M10_CH01.tif",
        "P/p.HTD",
    )
    assert len(image_sets.frame) == 1
    assert image_sets.skipped == (
        "P/p_A02_s1_w1_mask.tif",
        "P/p_A03_s1_w1.nd2",
        "P/p_A04_s1_w1.C01",
    )


def test_a_prefix_and_a_path_relative_to_it():
    names = [
        f"s3://b/x/{plate}/DNA 1/{well}.png"
        for plate in ("P10", "P9")
        for well in ("B01", "A02")
    ]
    pattern = r"^(?P<Plate>\w+)/(?P<Channel>[^/]+)/(?P<Well>\w+)"
    frame = read("s3://b/x/", dict.fromkeys(names), pattern=pattern).frame
    assert frame.URL_DNA_1.tolist() == [names[3], names[2], names[1], names[0]]
    assert frame.Metadata_Plate.tolist() == ["P9", "P9", "P10", "P10"]


@pytest.mark.parametrize(
    "names, pattern, told",
    [
        (["a.txt"], None, r"holds no images \(.tif.*Received: a.txt"),
        (["a.vsi"], None, r"holds no images \(.tif.*Received: a.vsi"),
        ([".snapshot/P/p_A01_s1_w1.tif"], None, "Hidden folders are skipped"),
        (
            ["x/a.tif"],
            None,
            (
                rf"no image has a name that matches {' or '.join(READY_PATTERNS)}."
                r" Received: 1 images, such as x/a.tif"
            ),
        ),
        (["x/a.tif"], "phenix", "no image has a name that matches phenix"),
        (["a.tif"], "(?P<Channel>.)(", "is not a regular expression"),
        (
            ["a.tif"],
            "imagexpres",
            "the name of a ready one: jump, imagexpress.*Received: 'imagexpres'",
        ),
        (["a.tif"], "(?P<Channel>.)(?P<Row>.)", "or .*Row.* and .*Column"),
        (
            ["a0.tif"],
            r"(?P<Channel>(?P<Row>a))(?P<Column>.*)\.",
            "Received: 'a' and '0'",
        ),
        (
            ["A01_1_z1.tif", "A01_1_z2.tif"],
            "(?P<Well>A01)_(?P<Channel>.)",
            r"A01_1_z1.tif and .*A01_1_z2.tif.*\(\?P<Z>",
        ),
    ],
)
def test_a_folder_or_pattern_that_says_nothing_is_refused(folder, names, pattern, told):
    with pytest.raises(ValueError, match=told):
        folder(*names, pattern=pattern)


def test_other_tables_are_read_alike(tmp_path):
    (tmp_path / "centres.csv").write_text(
        "Image_Metadata_Well,Location_Center_X\nA01,012\n"
    )
    assert read_image_set_table(str(tmp_path / "centres.csv"), Storage()).to_dict(
        "list"
    ) == {
        "Metadata_Well": ["A01"],
        "Location_Center_X": ["012"],
    }
