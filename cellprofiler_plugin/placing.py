"""Write Parquet files where other jobs or earlier runs may have written theirs.

Jobs of one screen (``cellprofiler -c -f ... -l ...``) add their rows to one file. A
file of another screen is never overwritten.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from cellprofiler_plugin.row_groups import SCREEN, read_row_groups, read_screen
from stratonet.files.atomic import explain_os_error, write_atomically
from stratonet.tables.columns import IMAGE_NUMBER


def check_target(path: str | os.PathLike[str], screen: str) -> None:
    """Refuse to overwrite anything but an earlier file of the same screen.

    Parameters
    ----------
    path : path
        Path of the Parquet file, which may exist already.
    screen : str
        See `parquet.TableDescription`.

    Raises
    ------
    OSError
        There is a folder of this name.
    ValueError
        There is a file with other image sets.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(
            f"{path} cannot be written: there is a folder of this name. Rename it, or"
            " choose another prefix or folder."
        )
    try:
        existing_screen = read_screen(Path(path))
    except FileNotFoundError:
        return
    if existing_screen != screen:
        raise ValueError(
            f"{path} exists already, with the image sets of another run. Move it away,"
            " or choose another prefix or folder."
        )


def write_table(
    table: Path, path: Path, replaced: Collection[int], screen: str
) -> None:
    """Write a table to its final path, with the rows that other jobs wrote there.

    Parameters
    ----------
    table : pathlib.Path
        The table, in a folder of its own.
    path : pathlib.Path
        The final path.
    replaced : collection of int
        Image sets whose rows in the existing file are dropped.
    screen : str
        See `parquet.TableDescription`.

    Raises
    ------
    OSError
        The table cannot be written; an existing file stays.
    ValueError
        There is a file of another screen.
    """
    joined = table
    # Files that an interrupted try had moved here.
    for earlier in table.parent.glob("earlier-*.parquet"):
        joined = _join_tables(joined, earlier, replaced)
    while True:
        # If several jobs end at once, one moves the file away and adds to it; the
        # others meanwhile find no file, or the one that the next job has written.
        check_target(path, screen)
        earlier = table.with_name(f"earlier-{uuid4().hex}.parquet")
        try:
            with suppress(FileNotFoundError):
                path.rename(earlier)
                joined = _join_tables(joined, earlier, replaced)
            with write_atomically(path, must_be_new=True) as unfinished:
                shutil.copyfile(joined, unfinished)
            return
        except FileExistsError:
            continue
        except OSError as error:
            if earlier.exists() and not path.exists():
                earlier.rename(path)
            raise explain_os_error(error, path, "cannot be written") from error


def _join_tables(table: Path, earlier: Path, replaced: Collection[int]) -> Path:
    """Join both tables if they have the same columns; otherwise return the first."""
    if not _have_same_features(table, earlier):
        return table
    other_numbers = set(_read_numbers(earlier)).difference(replaced)
    first = min(_read_numbers(table), default=0)
    lower_numbers = {number for number in other_numbers if number < first}
    sources: list[tuple[Path, Collection[int] | None]] = [
        (earlier, lower_numbers),
        (table, None),
        (earlier, other_numbers - lower_numbers),
    ]
    return _copy_rows(sources, table.with_name(f"joined-{uuid4().hex}.parquet"))


def join_earlier(table: Path, path: Path) -> None:
    """Add to a table the rows that other jobs of its screen wrote to its final path.

    Parameters
    ----------
    table : pathlib.Path
        The table.
    path : pathlib.Path
        Its final path, where there may be no file yet.
    """
    if path.is_file() and read_screen(path) == read_screen(table) != "":
        joined = _join_tables(table, path, set(_read_numbers(table)))
        joined.replace(table)


def remove_image_sets(
    path: str | os.PathLike[str], attempted: Collection[int], screen: str
) -> int:
    """Remove image sets that this run could not measure from an earlier run's file.

    Parameters
    ----------
    path : path
        Path of the Parquet file, which may not exist; one of another screen is left
        alone.
    attempted : collection of int
        Image sets that this run tried to measure.
    screen : str
        See `parquet.TableDescription`.

    Returns
    -------
    int
        Number of rows removed. A file with no rows left is deleted.
    """
    from pyarrow import parquet

    path = Path(path)
    if not path.is_file() or read_screen(path) != screen:
        return 0
    n_before = parquet.read_metadata(path).num_rows
    numbers = set(_read_numbers(path)).difference(attempted)
    if not numbers:
        path.unlink()
        return n_before
    with write_atomically(path) as unfinished:
        _copy_rows([(path, numbers)], unfinished)
    return n_before - parquet.read_metadata(path).num_rows


def _copy_rows(
    sources: Sequence[tuple[Path, Collection[int] | None]], target: Path
) -> Path:
    """Copy rows from one file after another: all, or those of some image sets."""
    from pyarrow import parquet

    from stratonet.tables.trained import read_trained_wells
    from stratonet.tables.writing import write_wide_table

    # Columns of a file without rows have no type.
    filled = [
        (path, numbers)
        for path, numbers in sources
        if parquet.read_metadata(path).num_rows and (numbers is None or numbers)
    ]
    paths = [path for path, _ in filled or sources[:1]]
    write_wide_table(
        target,
        read_row_groups(
            paths, image_sets=[numbers for _, numbers in filled or sources[:1]]
        ),
        trained_wells=read_trained_wells(
            parquet.read_metadata(path).metadata for path, _ in sources
        ),
        notes={SCREEN: (read_screen(paths[-1]) or "").encode()},
    )
    return target


def _have_same_features(table: Path, earlier: Path) -> bool:
    """Whether two tables have the same features and the same ids."""
    from pyarrow import parquet

    from stratonet.naming import PREFIX
    from stratonet.tables.columns import FEATURE_SET, PROJECTION

    descriptions = []
    for path in (table, earlier):
        names = parquet.read_schema(path).names
        ids = [name for name in (FEATURE_SET, PROJECTION) if name in names]
        values = parquet.read_table(path, columns=ids).slice(0, 1).to_pylist()
        features = [name for name in names if name.startswith(f"{PREFIX}_")]
        descriptions.append((features, values))
    return descriptions[0] == descriptions[1]


def _read_numbers(path: Path) -> list[int]:
    from pyarrow import parquet

    return parquet.read_table(path, columns=[IMAGE_NUMBER])[IMAGE_NUMBER].to_pylist()
