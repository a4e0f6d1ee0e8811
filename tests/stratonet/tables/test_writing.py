"""The one writer of wide tables: what its files hold, and that they are whole."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from stratonet.tables.writing import write_wide_table

FEATURES = [f"StratoFeatures_High{number:04d}_DNA" for number in range(40)]


def make_table(first, count=3):
    random = np.random.default_rng(first)
    keys = {
        "ImageNumber": pa.array(range(first, first + count)),
        "Metadata_Well": ["A01"] * count,
        "Metadata_Error": pa.array([None] * count, pa.string()),
        "Metadata_Empty": pa.nulls(count),
        "Location_Center_X": random.random(count),
    }
    values = random.random((len(FEATURES), count), np.float32)
    return pa.table({**keys, **dict(zip(FEATURES, values))})


def test_each_table_becomes_a_row_group_and_comes_back_as_it_was(tmp_path):
    tables = [make_table(1), make_table(4, 2), make_table(6)]
    write_wide_table(tmp_path / "Image.parquet", iter(tables))
    file = parquet.ParquetFile(tmp_path / "Image.parquet")
    rows = [file.metadata.row_group(number).num_rows for number in range(3)]
    assert rows == [3, 2, 3]
    assert file.schema_arrow == tables[0].schema
    assert file.read().equals(pa.concat_tables(tables))
    assert list(tmp_path.iterdir()) == [tmp_path / "Image.parquet"]
    frame = pd.read_parquet(tmp_path / "Image.parquet")
    assert frame.ImageNumber.tolist() == list(range(1, 9))
    assert (frame[FEATURES].dtypes == np.float32).all()


def test_features_have_neither_dictionaries_nor_statistics_nor_compression(tmp_path):
    write_wide_table(tmp_path / "Image.parquet", [make_table(1)])
    metadata = parquet.read_metadata(tmp_path / "Image.parquet")
    assert b"ARROW:schema" not in (metadata.metadata or {})
    group = metadata.row_group(0)
    for column in map(group.column, range(group.num_columns)):
        is_feature = column.path_in_schema in FEATURES
        assert column.compression == ("UNCOMPRESSED" if is_feature else "ZSTD")
        if is_feature:
            assert not column.has_dictionary_page and column.statistics is None
    assert group.column(0).statistics.max == 3
    assert group.column(1).has_dictionary_page


def test_a_schema_alone_makes_a_file_without_rows(tmp_path):
    schema = make_table(1).schema
    write_wide_table(tmp_path / "Image.parquet", [], schema)
    read = parquet.read_table(tmp_path / "Image.parquet")
    assert read.schema == schema and read.num_rows == 0


def test_neither_table_nor_schema(tmp_path):
    with pytest.raises(ValueError, match="needs a schema"):
        write_wide_table(tmp_path / "Image.parquet", [])
    assert not list(tmp_path.iterdir())


def test_what_goes_wrong_half_way_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "Image.parquet"
    write_wide_table(path, [make_table(1)])
    before = path.read_bytes()

    def break_off():
        yield make_table(1)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_wide_table(path, break_off())
    with pytest.raises(ValueError, match="schema"):
        write_wide_table(path, [make_table(1), make_table(4).drop(["ImageNumber"])])
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_missing_is_named(tmp_path):
    path = tmp_path / "missing" / "Image.parquet"
    with pytest.raises(OSError, match="Image.parquet cannot be written"):
        write_wide_table(path, [make_table(1)])
