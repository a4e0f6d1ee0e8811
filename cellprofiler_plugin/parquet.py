"""Write the features of image sets, measured one by one in any process, to Parquet.

Each image set is first saved to a small file of its own, so that a run that stops early
keeps what it has measured. At the end `gather_image_sets` makes one Parquet file of
them. The files of image sets are ``.npz``, because a Parquet file of one row and 12,800
columns is 85 times the size of its content.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellprofiler_plugin.placing import write_table
from cellprofiler_plugin.row_groups import SCREEN
from stratonet.files.atomic import (
    write_arrays_atomically,
    write_atomically,
)
from stratonet.tables.columns import ERROR, IMAGE_NUMBER

if TYPE_CHECKING:
    import pyarrow as pa

# How many numbers are held in memory and written together: 64 MB of float32.
NUMBERS = 2**24
FEATURES = "features"
# Suffix of folders of image sets that have not been made into a Parquet file yet.
UNFINISHED = ".unfinished"
# File beside the image sets of a table that describes what its rows have in common.
DESCRIPTION = "table.json"


@dataclass(frozen=True)
class TableDescription:
    """What the rows of a Parquet file have in common.

    Attributes
    ----------
    names : list of str
        Names of the features.
    ids : dict of str to str
        Columns with the same value in each row, such as ``Metadata_StratoFeatures``
        with the feature set id.
    trained_wells : dict of str to list of str
        The wells that the network was fine-tuned on, by plate.
    screen : str
        Digest of all image sets that are to be measured. Files of jobs with the same
        screen can be merged.
    """

    names: list[str]
    ids: dict[str, str] = field(default_factory=dict)
    trained_wells: dict[str, list[str]] = field(default_factory=dict)
    screen: str = ""

    def save(self, folder: Path) -> None:
        """Save it beside the image sets, for `gather_image_sets` in another process.

        Parameters
        ----------
        folder : pathlib.Path
            Folder of the image sets of the table.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with write_atomically(folder / DESCRIPTION) as unfinished:
            unfinished.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, folder: Path) -> TableDescription:
        """Load what `save` wrote.

        Parameters
        ----------
        folder : pathlib.Path
            Folder of the image sets of the table.

        Raises
        ------
        OSError, ValueError
            The file is missing or damaged.
        """
        return cls(**json.loads((folder / DESCRIPTION).read_text()))


def write_image_set(
    folder: str | os.PathLike[str],
    table: str,
    number: int,
    keys: Mapping[str, Any],
    features: np.ndarray,
) -> None:
    """Save the features of one image set.

    Parameters
    ----------
    folder : path
        Folder of this run; made if missing.
    table : str
        Name of the Parquet file, without its suffix.
    number : int
        ImageNumber.
    keys : mapping of str to str, int, float or array (n,)
        Columns that identify the rows, such as ImageNumber; and ``Metadata_Error`` if
        some features are missing.
    features : numpy.ndarray (n, n features), float32
        Features of all images, in the order of the columns.
    """
    # With leading zeros, names sort in the order of numbers.
    path = Path(folder) / table / f"{number:08d}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {FEATURES: features}
    for name, value in keys.items():
        arrays[name] = np.broadcast_to(value, len(features))
    write_arrays_atomically(path, arrays)


def gather_image_sets(
    folder: str | os.PathLike[str],
    table: str,
    path: str | os.PathLike[str],
    attempted: Collection[int] = (),
) -> int:
    """Write all image sets to one Parquet file, by ImageNumber, and remove them.

    If the file exists, it keeps image sets of the same screen that this run was not to
    measure: another job has measured them.

    Parameters
    ----------
    folder : path
        See `write_image_set`; with a `TableDescription` beside the image sets.
    table : str
        See `write_image_set`.
    path : path
        The Parquet file, which is written completely or not at all.
    attempted : collection of int
        Further image sets that this run was to measure.

    Returns
    -------
    int
        Number of rows of this run. 0 if there is no image set.

    Raises
    ------
    OSError
        The file cannot be written. The image sets stay.
    ValueError
        There is a file of another screen. It stays, and so do the image sets.

    Examples
    --------
    >>> import os, tempfile
    >>> from pyarrow import parquet
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     names = ["StratoFeatures_High0000_DNA"]
    ...     TableDescription(names).save(Path(folder, "Image"))
    ...     features = np.array([[0.5]], dtype=np.float32)
    ...     for number in (2, 1):
    ...         keys = {"ImageNumber": number, "Metadata_Well": f"A0{number}"}
    ...         write_image_set(folder, "Image", number, keys, features)
    ...     path = os.path.join(folder, "Image.parquet")
    ...     gather_image_sets(folder, "Image", path)
    ...     parquet.read_table(path)["Metadata_Well"].to_pylist()
    2
    ['A01', 'A02']
    """
    from stratonet.tables.writing import write_wide_table

    table_folder = Path(folder) / table
    image_sets = sorted(table_folder.glob("*.npz"))
    if not image_sets:
        return 0
    description = TableDescription.load(table_folder)
    keys = _read_keys(image_sets)
    count = len(keys[IMAGE_NUMBER])
    errors = keys.pop(ERROR, [None] * count)
    keys.update({name: [value] * count for name, value in description.ids.items()})
    # Always present, and last, so that files of parts and jobs have the same columns.
    keys[ERROR] = errors
    table_path = table_folder / "table.parquet"
    write_wide_table(
        table_path,
        _make_tables(image_sets, keys, description.names),
        trained_wells=description.trained_wells,
        notes={SCREEN: description.screen.encode()},
    )
    measured = {int(image_set.stem) for image_set in image_sets}
    write_table(table_path, Path(path), measured.union(attempted), description.screen)
    shutil.rmtree(table_folder)
    return count


def gather_folder(folder: str | os.PathLike[str]) -> dict[Path, int]:
    """Make the Parquet files of runs that ended early.

    Parameters
    ----------
    folder : path
        Folder that contains folders of image sets, whose names end in ``.unfinished``.

    Returns
    -------
    dict of pathlib.Path to int
        Number of rows of each file. Empty if there is nothing to gather.

    Raises
    ------
    OSError, ValueError
        See `gather_image_sets`.
    """
    from pyarrow import parquet

    rows: dict[Path, int] = {}
    for run in sorted(Path(folder).iterdir()):
        if run.suffix != UNFINISHED or not run.is_dir():
            continue
        for image_sets in sorted(path for path in run.iterdir() if path.is_dir()):
            path = run.parent / f"{image_sets.name}.parquet"
            if gather_image_sets(run, image_sets.name, path):
                # Count the file's rows: several stopped runs may have measured the same
                # image sets.
                rows[path] = parquet.read_metadata(path).num_rows
            # A run killed before its first image set leaves only incomplete files.
            shutil.rmtree(image_sets, ignore_errors=True)
        with suppress(OSError):
            run.rmdir()
    return rows


def _read_keys(image_sets: Sequence[Path]) -> dict[str, list[Any]]:
    """Read the columns that identify the rows, with the values of all rows."""
    keys: dict[str, list[Any]] = {}
    count = 0
    for path in image_sets:
        with np.load(path) as content:
            image_set_keys = {
                name: content[name].tolist()
                for name in content.files
                if name != FEATURES
            }
        rows = len(image_set_keys[IMAGE_NUMBER])
        # Metadata that a module has written only for some image sets are empty for the
        # others.
        for name in {**keys, **image_set_keys}:
            column = keys.setdefault(name, [None] * count)
            column.extend(image_set_keys.get(name, [None] * rows))
        count += rows
    return {name: _unify_types(values) for name, values in keys.items()}


def _unify_types(values: list[Any]) -> list[Any]:
    """Turn mixed numbers and text into text: Parquet has one type per column."""
    types = {type(value) for value in values if value is not None}
    if len(types) < 2:
        return values
    return [None if value is None else str(value) for value in values]


def _make_tables(
    image_sets: Sequence[Path], keys: Mapping[str, list[Any]], names: Sequence[str]
) -> Iterator[pa.Table]:
    """Yield tables of at least `NUMBERS` features, all with the same columns."""
    import pyarrow as pa

    from stratonet.tables.writing import split_columns

    key_table = pa.table({**keys, ERROR: pa.array(keys[ERROR], pa.string())})
    fields = [*key_table.schema, *(pa.field(name, pa.float32()) for name in names)]
    # All tables need the same types, even those of image sets without objects.
    schema = pa.schema(fields)
    start = 0
    pending: list[np.ndarray] = []
    for path in image_sets:
        with np.load(path) as content:
            pending.append(content[FEATURES])
        # A table per image set would make row groups of one row, slow to read.
        is_last = path is image_sets[-1]
        if is_last or sum(array.size for array in pending) >= NUMBERS:
            features = np.concatenate(pending)
            own_keys = key_table.slice(start, len(features))
            columns = [*own_keys.columns, *split_columns(features)]
            yield pa.table(columns, schema=schema)
            start += len(features)
            pending = []
