"""Parquet files in their place, where other jobs and earlier runs may have put some.

Jobs of one screen (``cellprofiler -c -f ... -l ...``) add to one file. What is none of
their screen is never written over.
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


def check_place(path: str | os.PathLike[str], screen: str) -> None:
    """Refuse to write over what is no earlier file of the same screen.

    Parameters
    ----------
    path : path
        Of a Parquet file that may be there.
    screen : str
        See `parquet.TableDescription`.

    Raises
    ------
    OSError
        There is a folder of this name.
    ValueError
        There is a file of other image sets.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(
            f"{path} cannot be written: there is a folder of this name. Rename it, or"
            " choose another prefix or folder."
        )
    try:
        there = read_screen(Path(path))
    except FileNotFoundError:
        return
    if there != screen:
        raise ValueError(
            f"{path} is there already, with the image sets of another run. Move it"
            " away, or choose another prefix or folder."
        )


def place_table(own: Path, path: Path, replaced: Collection[int], screen: str) -> None:
    """Put a table to its place, together with what other jobs have put there.

    Parameters
    ----------
    own : pathlib.Path
        The table, in a folder of its own.
    path : pathlib.Path
        The place.
    replaced : collection of int
        Image sets of which rows that are there already are dropped.
    screen : str
        See `parquet.TableDescription`.

    Raises
    ------
    OSError
        It cannot be written; what was there stays.
    ValueError
        There is a file of another screen.
    """
    made = own
    # What a try that was killed has taken away.
    for earlier in own.parent.glob("earlier-*.parquet"):
        made = _join_tables(made, earlier, replaced)
    while True:
        # Of several jobs that end at once, one takes the file away and adds to it; the
        # others meanwhile find none, or that of the next.
        check_place(path, screen)
        earlier = own.with_name(f"earlier-{uuid4().hex}.parquet")
        try:
            with suppress(FileNotFoundError):
                path.rename(earlier)
                made = _join_tables(made, earlier, replaced)
            with write_atomically(path, must_be_new=True) as unfinished:
                shutil.copyfile(made, unfinished)
            return
        except FileExistsError:
            continue
        except OSError as error:
            if earlier.exists() and not path.exists():
                earlier.rename(path)
            raise explain_os_error(error, path, "cannot be written") from error


def _join_tables(own: Path, earlier: Path, replaced: Collection[int]) -> Path:
    """Make a table of both; rows of the same columns only can be put together."""
    if not _have_same_features(own, earlier):
        return own
    others = set(_read_numbers(earlier)).difference(replaced)
    first = min(_read_numbers(own), default=0)
    below = {number for number in others if number < first}
    sources: list[tuple[Path, Collection[int] | None]] = [
        (earlier, below),
        (own, None),
        (earlier, others - below),
    ]
    return _copy_rows(sources, own.with_name(f"joined-{uuid4().hex}.parquet"))


def join_earlier(made: Path, path: Path) -> None:
    """Add to a table what other jobs of its screen have put to its place.

    Parameters
    ----------
    made : pathlib.Path
        The table.
    path : pathlib.Path
        Where it will be; there may be nothing yet.
    """
    if path.is_file() and read_screen(path) == read_screen(made) != "":
        joined = _join_tables(made, path, set(_read_numbers(made)))
        joined.replace(made)


def remove_image_sets(
    path: str | os.PathLike[str], attempted: Collection[int], screen: str
) -> int:
    """Remove from an earlier run's file what this run could not measure.

    Parameters
    ----------
    path : path
        Of a Parquet file that may be there; one of another screen is left alone.
    attempted : collection of int
        Image sets that this run was to measure.
    screen : str
        See `parquet.TableDescription`.

    Returns
    -------
    int
        Number of rows removed. A file without any row left is removed.
    """
    from pyarrow import parquet

    path = Path(path)
    if not path.is_file() or read_screen(path) != screen:
        return 0
    before = parquet.read_metadata(path).num_rows
    numbers = set(_read_numbers(path)).difference(attempted)
    if not numbers:
        path.unlink()
        return before
    with write_atomically(path) as unfinished:
        _copy_rows([(path, numbers)], unfinished)
    return before - parquet.read_metadata(path).num_rows


def _copy_rows(
    sources: Sequence[tuple[Path, Collection[int] | None]], target: Path
) -> Path:
    """Copy the rows of some image sets, or of all, from one file after the other."""
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
        read_row_groups(paths, kept=[numbers for _, numbers in filled or sources[:1]]),
        trained_wells=read_trained_wells(
            parquet.read_metadata(path).metadata for path, _ in sources
        ),
        notes={SCREEN: (read_screen(paths[-1]) or "").encode()},
    )
    return target


def _have_same_features(own: Path, earlier: Path) -> bool:
    """Whether two tables were measured alike: the same features, of the same ids."""
    from pyarrow import parquet

    from stratonet.naming import PREFIX
    from stratonet.tables.columns import FEATURE_SET, PROJECTION

    found = []
    for path in (own, earlier):
        names = parquet.read_schema(path).names
        ids = [name for name in (FEATURE_SET, PROJECTION) if name in names]
        values = parquet.read_table(path, columns=ids).slice(0, 1).to_pylist()
        features = [name for name in names if name.startswith(f"{PREFIX}_")]
        found.append((features, values))
    return found[0] == found[1]


def _read_numbers(path: Path) -> list[int]:
    from pyarrow import parquet

    return parquet.read_table(path, columns=[IMAGE_NUMBER])[IMAGE_NUMBER].to_pylist()
