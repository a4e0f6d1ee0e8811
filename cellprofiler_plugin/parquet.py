"""Features of image sets, measured one by one in any process, as Parquet files.

Each image set is first kept as a small file of its own, so that a run that stops keeps
what it has measured. At the end `gather_image_sets` makes one Parquet file of them. A
Parquet file of one row and 12,800 columns is 85 times the size of its content, hence
``.npz`` for the image sets.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stratonet.files.atomic import write_arrays_atomically
from stratonet.tables.columns import IMAGE_NUMBER

if TYPE_CHECKING:
    import pyarrow as pa

    from stratonet.tables.trained import Wells

# Rows that are held in memory and written together.
ROWS = 4096
FEATURES = "features"


def write_image_set(
    folder: str | os.PathLike[str],
    object_name: str,
    number: int,
    keys: Mapping[str, Any],
    features: np.ndarray,
) -> None:
    """Keep the features of one image set.

    Parameters
    ----------
    folder : path
        Of this run; made if missing.
    object_name : str
        ``Image`` or the name of the objects.
    number : int
        ImageNumber.
    keys : mapping of str to str, int, float or array (n,)
        What the rows are keyed by, ImageNumber among them.
    features : numpy.ndarray (n, n features), float32
        All images' features, in the order of the columns.
    """
    # With leading zeros, the order of names is that of numbers.
    path = Path(folder) / object_name / f"{number:08d}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {FEATURES: features}
    for name, value in keys.items():
        arrays[name] = np.broadcast_to(value, len(features))
    write_arrays_atomically(path, arrays)


def gather_image_sets(
    folder: str | os.PathLike[str],
    object_name: str,
    names: Sequence[str],
    ids: Mapping[str, str],
    path: str | os.PathLike[str],
    trained_wells: Wells | None = None,
) -> int:
    """Write all image sets to one Parquet file, by ImageNumber, and remove them.

    Parameters
    ----------
    folder : path
        See `write_image_set`.
    object_name : str
        See `write_image_set`.
    names : sequence of str
        Of the features.
    ids : mapping of str to str
        Columns with the same value in each row, such as ``Metadata_StratoFeatures``
        with the feature set id.
    path : path
        Written whole or not at all, over an older file.
    trained_wells : mapping of str to collection of str, optional
        The wells that the network was fine-tuned on, by plate.

    Returns
    -------
    int
        Number of rows. 0 where there is no image set; nothing is written then.

    Raises
    ------
    OSError
        The file cannot be written. The image sets stay.

    Examples
    --------
    >>> import os, tempfile
    >>> from pyarrow import parquet
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     features = np.array([[0.5]], dtype=np.float32)
    ...     for number in (2, 1):
    ...         keys = {"ImageNumber": number, "Metadata_Well": f"A0{number}"}
    ...         write_image_set(folder, "Image", number, keys, features)
    ...     path = os.path.join(folder, "Image.parquet")
    ...     names = ["StratoFeatures_High0000_DNA"]
    ...     gather_image_sets(folder, "Image", names, {}, path)
    ...     parquet.read_table(path)["Metadata_Well"].to_pylist()
    2
    ['A01', 'A02']
    """
    from stratonet.tables.writing import write_wide_table

    image_sets = sorted((Path(folder) / object_name).glob("*.npz"))
    if not image_sets:
        return 0
    keys = _read_keys(image_sets)
    count = len(keys[IMAGE_NUMBER])
    keys.update({name: [value] * count for name, value in ids.items()})
    tables = _make_tables(image_sets, keys, names)
    write_wide_table(path, tables, trained_wells=trained_wells)
    shutil.rmtree(Path(folder) / object_name)
    return count


def _read_keys(image_sets: Sequence[Path]) -> dict[str, list[Any]]:
    """Read what the rows are keyed by: for each column the values of all rows."""
    keys: dict[str, list[Any]] = {}
    count = 0
    for path in image_sets:
        with np.load(path) as content:
            own = {
                name: content[name].tolist()
                for name in content.files
                if name != FEATURES
            }
        rows = len(own[IMAGE_NUMBER])
        # Metadata that a module has written for some image sets only are empty for the
        # others.
        for name in {**keys, **own}:
            column = keys.setdefault(name, [None] * count)
            column.extend(own.get(name, [None] * rows))
        count += rows
    return {name: _unify_types(values) for name, values in keys.items()}


def _unify_types(values: list[Any]) -> list[Any]:
    """Turn a column of numbers and words into one of words, as Parquet has one type."""
    types = {type(value) for value in values if value is not None}
    if len(types) < 2:
        return values
    return [None if value is None else str(value) for value in values]


def _make_tables(
    image_sets: Sequence[Path], keys: Mapping[str, list[Any]], names: Sequence[str]
) -> Iterator[pa.Table]:
    """Tables of at least `ROWS` rows, all with the same columns."""
    import pyarrow as pa

    key_table = pa.table(keys)
    fields = [*key_table.schema, *(pa.field(name, pa.float32()) for name in names)]
    # All tables need the same types, also where an image set has no objects.
    schema = pa.schema(fields)
    start = 0
    pending: list[np.ndarray] = []
    for path in image_sets:
        with np.load(path) as content:
            pending.append(content[FEATURES])
        # A table per image set would make row groups of one row, slow to read.
        is_last = path is image_sets[-1]
        if is_last or sum(map(len, pending)) >= ROWS:
            features = np.concatenate(pending)
            own_keys = key_table.slice(start, len(features))
            columns = [*own_keys.columns, *map(pa.array, features.T)]
            yield pa.table(columns, schema=schema)
            start += len(features)
            pending = []
