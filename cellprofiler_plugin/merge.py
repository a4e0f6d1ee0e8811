"""Merge what several CellProfiler processes wrote into what a single one would write.

Each process has run a part of the image sets. Tables of image sets and objects (CSV,
SQLite, our Parquet files) are concatenated. If each image set overwrites a file, such
as an image, the last part's file is taken. Paths in the folder of a part become paths
in the output folder.

All files are made beside the parts, which stay as they are, and then moved to the
output folder. So merging may be interrupted at any moment and started again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from cellprofiler_plugin.aggregates import write_statistics
from cellprofiler_plugin.merge_csv import PathReplacer, merge_csv, read_header
from cellprofiler_plugin.merge_sqlite import is_sqlite, keep_other_tables, merge_sqlite
from cellprofiler_plugin.placing import join_earlier
from cellprofiler_plugin.row_groups import SCREEN, read_row_groups, read_screen
from stratonet.files.atomic import move_file

if TYPE_CHECKING:
    # Takes the files of the parts, the file to write, and a `PathReplacer`.
    Merger = Callable[[Sequence[Path], Path, PathReplacer], None]

# Folders beside those of the parts: for the merged files, and for databases that were
# in the output folder before any merged file was moved there.
MERGED = "made"
EARLIER = "earlier"
# Larger files, in bytes, are not searched for paths.
LARGEST_TEXT = 2**24
# Files that each image set, or each group, overwrites: images, and what
# ExportToDatabase and UntangleWorms write beside tables.
REPLACED = {
    *(".bmp", ".gif", ".h5", ".jpeg", ".jpg", ".npy", ".png", ".tif", ".tiff"),
    *(".properties", ".workspace", ".xml"),
}
# The first line of ExportToSpreadsheet's table of the experiment.
EXPERIMENT = re.compile(rb'"?Key"?[,\t;]"?Value"?\r?\n')


def merge_parts(
    parts: Sequence[Path], output: Path, statistics: Mapping[str, float] | None = None
) -> None:
    """Merge the files of parts into a folder.

    Parameters
    ----------
    parts : sequence of pathlib.Path
        The folders of the parts, in the order of the image sets. They are in a folder
        of their own in ``output``, and stay as they are.
    output : pathlib.Path
        The output folder. Files of the same name there are replaced; a database keeps
        its other tables.
    statistics : mapping of str to float, optional
        Values for the tables of the experiment, see `aggregates.write_statistics`.

    Raises
    ------
    OSError
        A file cannot be written; the message names it.
    RuntimeError
        The parts' tables cannot be merged, or it is unclear what a single process would
        have written to a file; the message names the file. The other tables are
        written, and no other file is moved.
    """
    files = _list_files(parts)
    mergers = {name: _choose_merger(paths) for name, paths in files.items()}
    merged = parts[0].parent / MERGED
    # An interrupted merge leaves incomplete files behind.
    shutil.rmtree(merged, ignore_errors=True)
    earlier = _save_earlier(parts[0].parent / EARLIER, mergers, output)
    replace_paths = _make_path_replacer(parts, output)
    faults: list[str] = []
    for name, merge in mergers.items():
        (merged / name).parent.mkdir(parents=True, exist_ok=True)
        if merge is None:
            faults += _list_faults(name, files[name])
            continue
        try:
            merge(files[name], merged / name, replace_paths)
            _add_earlier(merged / name, merge, output / name, earlier / name)
        except (RuntimeError, sqlite3.Error, ValueError) as error:
            (merged / name).unlink(missing_ok=True)
            faults.append(f"{name} cannot be merged from {len(parts)} parts: {error}")
    for name, merge in mergers.items():
        if merge is None and not faults:
            _take_last(files[name], merged / name, replace_paths)
    write_statistics(
        statistics or {}, filter(Path.is_file, map(merged.joinpath, files))
    )
    _move_files(merged, output)
    if faults:
        raise RuntimeError(" ".join(faults))


def _add_earlier(merged: Path, merge: Merger, target: Path, earlier: Path) -> None:
    """Add to a table the rows that earlier runs wrote to the same file."""
    if merge is _merge_parquet:
        join_earlier(merged, target)
    if merge is merge_sqlite and earlier.exists():
        keep_other_tables(merged, earlier)


def _choose_merger(paths: Sequence[Path]) -> Merger | None:
    return next(filter(None, map(find_merger, paths)), None)


def _save_earlier(
    folder: Path, mergers: Mapping[Path, Merger | None], output: Path
) -> Path:
    """Keep the databases that existed before merging was first started."""
    if folder.exists():
        return folder
    unfinished = folder.with_name(f"{EARLIER}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    for name, merge in mergers.items():
        if merge is merge_sqlite and (output / name).is_file():
            (unfinished / name).parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(output / name, unfinished / name)
    return unfinished.rename(folder)


def _link_or_copy(path: Path, target: Path) -> None:
    try:
        os.link(path, target)
    except OSError:
        # A file system without links, such as that of a memory stick.
        shutil.copy2(path, target)


def _move_files(merged: Path, output: Path) -> None:
    for path in sorted(merged.rglob("*")):
        if path.is_file():
            target = output / path.relative_to(merged)
            target.parent.mkdir(parents=True, exist_ok=True)
            move_file(path, target)


def _make_path_replacer(parts: Sequence[Path], output: Path) -> PathReplacer:
    """Make the function that replaces paths of parts, in any of their spellings."""
    folders = [re.escape(str(part.relative_to(output))) for part in parts]
    # JSON and similar formats double backslashes.
    inner = "|".join(re.sub(r"/|\\\\", r"[/\\\\]+", folder) for folder in folders)
    start = "".join(map(_match_letter, str(output)))
    pattern = re.compile(rf"({start})[/\\]+(?:{inner})(?!\d)")
    # Most texts have no path of a part: this is the fast way to tell.
    marks = {part.relative_to(output).parts[0] for part in parts}

    def replace_paths(text: str) -> str:
        if not any(mark in text for mark in marks):
            return text
        # What remains is the output folder, in the spelling of the text.
        return pattern.sub(lambda match: match[1], text)

    return replace_paths


def _match_letter(letter: str) -> str:
    """Make a pattern for a letter of a path, plain or as URLs and JSON escape it."""
    if letter in "/\\":
        return r"[/\\]+"
    if re.fullmatch(r"[0-9A-Za-z_]", letter):
        return letter
    # quote leaves some letters as they are, which other programs escape.
    bytes_of_url = "".join(f"%{byte:02X}" for byte in letter.encode(errors="replace"))
    spellings = {letter, quote(letter, errors="replace"), bytes_of_url}
    spellings |= {bytes_of_url.lower(), json.dumps(letter)[1:-1]}
    return f"(?:{'|'.join(sorted(map(re.escape, spellings), key=len, reverse=True))})"


def _list_files(parts: Sequence[Path]) -> Mapping[Path, list[Path]]:
    """List the parts' files by their path relative to the part's folder."""
    files: dict[Path, list[Path]] = {}
    for part in parts:
        for path in sorted(part.rglob("*")):
            if path.is_file():
                files.setdefault(path.relative_to(part), []).append(path)
    return files


def _list_faults(name: Path, paths: Sequence[Path]) -> Iterator[str]:
    """Report a file for which the last part's may not be what one process leaves."""
    if name.suffix.lower() in REPLACED or len(paths) == 1:
        return
    contents = {path.read_bytes() for path in paths}
    if len(contents) > 1 and not all(map(EXPERIMENT.match, contents)):
        yield (
            f"{name} is written by {len(paths)} parts, and cannot be merged because it"
            " has no column of image numbers. The parts are kept. Make the file with"
            " cellprofiler -c -r, or leave out the module that writes it."
        )


def find_merger(path: Path) -> Merger | None:
    """Find the function that concatenates tables like this file.

    Parameters
    ----------
    path : pathlib.Path
        A file that CellProfiler has written for a part.

    Returns
    -------
    callable, optional
        Takes the parts' files, the file to write, and a function that replaces paths in
        a text. None if this is not a table of image sets or objects.
    """
    if path.suffix == ".parquet":
        return _merge_parquet
    if is_sqlite(path):
        return merge_sqlite
    return merge_csv if read_header(path) else None


def _merge_parquet(
    paths: Sequence[Path], target: Path, replace_paths: PathReplacer
) -> None:
    from pyarrow import parquet

    from stratonet.tables.trained import read_trained_wells
    from stratonet.tables.writing import write_wide_table

    # In a part without rows, the types of columns are unknown.
    filled = [path for path in paths if parquet.read_metadata(path).num_rows]
    footers = [parquet.read_metadata(path) for path in paths]
    write_wide_table(
        target,
        read_row_groups(filled or paths[:1], replace_paths),
        trained_wells=read_trained_wells(footer.metadata for footer in footers),
        notes={SCREEN: (read_screen(paths[0]) or "").encode()},
    )


def _take_last(
    paths: Sequence[Path], target: Path, replace_paths: PathReplacer
) -> None:
    text = _read_text(paths[-1])
    new_text = None if text is None else replace_paths(text)
    if new_text is not None and new_text != text:
        target.write_bytes(new_text.encode())
    else:
        _link_or_copy(paths[-1], target)


def _read_text(path: Path) -> str | None:
    """Return the text of a small text file, with its own line breaks; else None."""
    if path.stat().st_size >= LARGEST_TEXT:
        return None
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError:
        return None
