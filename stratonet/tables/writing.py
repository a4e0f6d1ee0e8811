"""Writing wide tables of features as Parquet files."""

from pyarrow import parquet


def write_wide_table(path, tables):
    tables = iter(tables)
    first = next(tables)
    texts = [name for name in first.schema.names if name.startswith("Metadata_")]
    with parquet.ParquetWriter(
        path,
        first.schema,
        compression="zstd",
        use_dictionary=texts,
        write_statistics=texts,
        store_schema=False,
    ) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)
