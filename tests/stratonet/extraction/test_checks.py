"""Every source and engine keeps its contract; what breaks it is told."""

import dataclasses
import io

import pandas as pd
import pytest
from columbus_files import write_columbus
from microscope_files import stack, write_nd2
from screen_images import screen, write

from stratonet.extraction import LocalEngine
from stratonet.extraction.checks import check_engine, check_normal_form, check_source
from stratonet.extraction.sources.imagesets import ImageSets, ImageSource
from stratonet.extraction.sources.read import SOURCES, read_source

PLATE = "s3://cellpainting-gallery/cpg0016-jump/source_8/workspace/load_data_csv/J3/P1"


class Bucket(dict):
    """What sources need of a Storage, with the files in a dict of URLs."""

    read = dict.__getitem__
    exists = dict.__contains__

    def is_folder(self, url):
        return False


@dataclasses.dataclass(frozen=True)
class InBucket(ImageSource):
    """A source whose files are in a dict."""

    files: dict = None
    storage = property(lambda self: Bucket(self.files))


@pytest.fixture
def sources_by_reader(tmp_path):
    """An image source for each reader, by its class."""
    files, table = screen(root=f"{tmp_path}/")
    write(tmp_path, files)
    table.to_csv(tmp_path / "load_data.csv", index=False)
    root = "s3://cellpainting-gallery/"
    files, table = screen(plates=("P1",), root=root)
    file = io.BytesIO()
    table.to_parquet(file)
    bucket = {f"{root}{name}": content for name, content in files.items()}
    bucket[f"{PLATE}/load_data_with_illum.parquet"] = file.getvalue()
    write_nd2(tmp_path / "plate.nd2", [stack(0), stack(1)], ["A01", "A02"])
    exported = tmp_path / "Screen 1[7]"
    exported.mkdir()
    write_columbus(exported)
    return {
        "ColumbusSource": ImageSource(exported),
        "GallerySource": InBucket("jump:source_8/J3/P1", files=bucket),
        "MicroscopeSource": ImageSource(tmp_path / "plate.nd2"),
        "FolderSource": ImageSource(tmp_path / "images"),
        "TableSource": ImageSource(tmp_path / "load_data.csv"),
    }


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: type(source).__name__)
def test_every_source_keeps_its_contract(source, sources_by_reader):
    name = type(source).__name__
    # Sources are asked in turn. One must leave what is a later one's, and never sees
    # what is an earlier one's.
    names = [type(other).__name__ for other in SOURCES]
    later = names[names.index(name) + 1 :]
    check_source(
        source, sources_by_reader[name], [sources_by_reader[other] for other in later]
    )


def make_frame(**columns):
    frame = {"Metadata_Plate": ["P"] * 2, "Metadata_Well": ["A01", "A02"]}
    frame["URL_DNA"] = ["/1.tif", "/2.tif"]
    return pd.DataFrame({**frame, **columns})


@pytest.mark.parametrize(
    "frame, expected_message",
    [
        (make_frame().drop(columns="Metadata_Plate"), "Metadata_Plate is missing"),
        (make_frame(Metadata_Well=["A01", None]), "Metadata_Well is text"),
        (make_frame(URL_DNA=["1.tif", "/2.tif"]), "URL_DNA is an absolute path"),
        (make_frame(URL_DNA=["/1.tif", "/1.tif"]), "same planes"),
        (make_frame(Frame_DNA=[0.5, 1]), "Frame_DNA is whole numbers"),
        (make_frame(Count=[1, 2]), "in order"),
        (make_frame(Frame_ER=[0, 1]), "in order"),
        (make_frame().drop(columns="URL_DNA"), "there are channels"),
        (make_frame().iloc[:0], "there are image sets"),
    ],
)
def test_a_table_that_is_not_in_normal_form_is_told(frame, expected_message):
    check_normal_form(make_frame())
    with pytest.raises(AssertionError, match=expected_message):
        check_normal_form(frame)


def test_a_source_that_takes_everything_is_told(sources_by_reader):
    class Greedy:
        def read(self, source):
            return read_source(sources_by_reader["TableSource"])

    with pytest.raises(AssertionError, match="raises NotMine"):
        check_source(Greedy(), sources_by_reader["TableSource"])


def test_a_source_that_changes_its_mind_is_told(sources_by_reader):
    class Forgetful:
        calls = 0

        def read(self, source):
            self.calls += 1
            frame = read_source(sources_by_reader["TableSource"]).frame
            return ImageSets(frame.iloc[self.calls :])

    with pytest.raises(AssertionError, match="same table again"):
        check_source(Forgetful(), sources_by_reader["TableSource"])


def test_the_local_engine_keeps_its_contract(tmp_path):
    check_engine(LocalEngine(), tmp_path)


def test_an_engine_that_loses_a_unit_is_told(tmp_path):
    class Lossy(LocalEngine):
        def measure_units(self, destination, units, advance):
            *finished, _ = super().measure_units(destination, units, advance)
            yield from finished

    with pytest.raises(AssertionError, match="each unit comes once"):
        check_engine(Lossy(), tmp_path)
