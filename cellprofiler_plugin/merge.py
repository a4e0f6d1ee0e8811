"""What several CellProfiler processes have written, made into what one would write.

Each process has run a part of the image sets. Tables of image sets and objects (CSV,
SQLite, our Parquet files) are put one below the other. Of a file that each image set
writes over, such as an image, the last part's is taken. Paths of files in the folder of
a part become paths in the output folder.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from cellprofiler_plugin.merge_csv import Move, merge_csv, read_header
from cellprofiler_plugin.merge_sqlite import is_sqlite, keep_other_tables, merge_sqlite
from cellprofiler_plugin.placing import join_earlier
from cellprofiler_plugin.row_groups import SCREEN, read_row_groups, read_screen
from stratonet.files.atomic import write_atomically

if TYPE_CHECKING:
    # From files of the parts to a file, with `Move`.
    Merger = Callable[[Sequence[Path], Path, Move], None]

# A file of more bytes is no text with paths in it.
LARGE = 2**24
# Files that each image set, or each group, writes over: images, and what
# ExportToDatabase and UntangleWorms write beside tables.
REPLACED = {
    *(".bmp", ".gif", ".h5", ".jpeg", ".jpg", ".npy", ".png", ".tif", ".tiff"),
    *(".properties", ".workspace", ".xml"),
}
# The first line of ExportToSpreadsheet's table of the experiment.
EXPERIMENT = re.compile(rb'"?Key"?[,\t;]"?Value"?\r?\n')


def merge_parts(parts: Sequence[Path], output: Path) -> None:
    """Merge the files of parts into a folder.

    Parameters
    ----------
    parts : sequence of pathlib.Path
        Their folders, in the order of the image sets, all of them in ``output``. Tables
        stay there, other files are moved once all tables are written.
    output : pathlib.Path
        Files of the same name there are replaced; a database keeps its other tables.

    Raises
    ------
    RuntimeError
        A table cannot be made of the parts' tables, or it cannot be known what a single
        process would leave of a file; the message names it. Nothing is moved then.
    """
    move = _make_move(parts, output)
    files = _list_files(parts)
    faults: list[str] = []
    others: list[Path] = []
    for name, paths in files.items():
        merge = next(filter(None, map(find_merger, paths)), None)
        if merge is None:
            others.append(name)
            faults += _list_faults(name, paths)
            continue
        target = output / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with write_atomically(target) as unfinished:
                merge(paths, unfinished, move)
                if merge is _merge_parquet:
                    join_earlier(unfinished, target)
                if merge is merge_sqlite and target.exists():
                    keep_other_tables(unfinished, target)
        except (RuntimeError, sqlite3.Error, ValueError) as error:
            faults.append(
                f"{name} cannot be put together from {len(parts)} parts: {error}"
            )
    if faults:
        raise RuntimeError(" ".join(faults))
    for name in others:
        _take_last(files[name], output / name, move)


def _make_move(parts: Sequence[Path], output: Path) -> Move:
    """Make the function that replaces paths of parts, however they are written."""
    folders = [re.escape(str(part.relative_to(output))) for part in parts]
    # Backslashes come doubled in JSON and its like.
    inner = "|".join(re.sub(r"/|\\\\", r"[/\\\\]+", folder) for folder in folders)
    start = "".join(map(_match_letter, str(output)))
    pattern = re.compile(rf"({start})[/\\]+(?:{inner})(?!\d)")
    # Most texts have no path of a part: these are found out fast.
    marks = {part.relative_to(output).parts[0] for part in parts}

    def move(text: str) -> str:
        if not any(mark in text for mark in marks):
            return text
        # What is left is the output folder, in its own spelling.
        return pattern.sub(lambda match: match[1], text)

    return move


def _match_letter(letter: str) -> str:
    """A pattern of a letter of a path: as it is, or as URLs and JSON escape it."""
    if letter in "/\\":
        return r"[/\\]+"
    if re.fullmatch(r"[0-9A-Za-z_]", letter):
        return letter
    # quote leaves some as they are; others escape these, too.
    bytes_of_url = "".join(f"%{byte:02X}" for byte in letter.encode(errors="replace"))
    spellings = {letter, quote(letter, errors="replace"), bytes_of_url}
    spellings |= {bytes_of_url.lower(), json.dumps(letter)[1:-1]}
    return f"(?:{'|'.join(sorted(map(re.escape, spellings), key=len, reverse=True))})"


def _list_files(parts: Sequence[Path]) -> Mapping[Path, list[Path]]:
    """The parts' files by their names, which are relative to the part's folder."""
    files: dict[Path, list[Path]] = {}
    for part in parts:
        for path in sorted(part.rglob("*")):
            if path.is_file():
                files.setdefault(path.relative_to(part), []).append(path)
    return files


def _list_faults(name: Path, paths: Sequence[Path]) -> Iterator[str]:
    """Say it where the last part's file may not be what a single process leaves."""
    if name.suffix.lower() in REPLACED or len(paths) == 1:
        return
    contents = {path.read_bytes() for path in paths}
    if len(contents) > 1 and not all(map(EXPERIMENT.match, contents)):
        yield (
            f"{name} is written by {len(paths)} parts, and has no column of image"
            " numbers by which it could be put together. The parts are kept. Make the"
            " file with cellprofiler -c -r, or leave out the module that writes it."
        )


def find_merger(path: Path) -> Merger | None:
    """Find the function that puts tables like this file one below the other.

    Parameters
    ----------
    path : pathlib.Path
        What CellProfiler has written for a part.

    Returns
    -------
    callable, optional
        Takes the parts' files, the file to write, and a function that replaces paths in
        a text. None if this is no table of image sets or objects.
    """
    if path.suffix == ".parquet":
        return _merge_parquet
    if is_sqlite(path):
        return merge_sqlite
    return merge_csv if read_header(path) else None


def _merge_parquet(paths: Sequence[Path], target: Path, move: Move) -> None:
    from pyarrow import parquet

    from stratonet.tables.trained import read_trained_wells
    from stratonet.tables.writing import write_wide_table

    # Columns of a part without rows have no type.
    filled = [path for path in paths if parquet.read_metadata(path).num_rows]
    footers = [parquet.read_metadata(path) for path in paths]
    write_wide_table(
        target,
        read_row_groups(filled or paths[:1], move),
        trained_wells=read_trained_wells(footer.metadata for footer in footers),
        notes={SCREEN: (read_screen(paths[0]) or "").encode()},
    )


def _take_last(paths: Sequence[Path], target: Path, move: Move) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # The earlier ones first: should this be killed, the next try takes no other file.
    for path in paths[:-1]:
        path.unlink()
    text = _read_text(paths[-1])
    moved = None if text is None else move(text)
    if moved is not None and moved != text:
        paths[-1].write_bytes(moved.encode())
    # Within one disk, as parts lie in the output folder: whole or not at all.
    paths[-1].replace(target)


def _read_text(path: Path) -> str | None:
    """The content of a small text file, with its own ends of lines; else None."""
    if path.stat().st_size >= LARGE:
        return None
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError:
        return None
