"""Tell folders of StratoNet's features from folders of CellProfiler's output."""

from __future__ import annotations

import re
from pathlib import Path

from stratonet.extras import name_missing_extra
from stratonet.messages import shorten_list
from stratonet.tables.columns import FEATURE_SET
from stratonet.tables.csvfiles import is_csv_name

PARQUET = ".parquet"
DATABASES = (".db", ".sqlite", ".sqlite3")
# CellProfiler's table of image sets, perhaps with an experiment's name as its prefix.
_IMAGES = re.compile(r"(?P<prefix>.*)Image\.(csv|tsv|txt)(\.gz)?", re.IGNORECASE)


def is_from_stratonet(path: Path) -> bool:
    """Whether `stratonet extract` or the CellProfiler module wrote a path.

    Parameters
    ----------
    path : pathlib.Path
        A file, or a folder, which is searched with all its subfolders.

    Raises
    ------
    ValueError
        The folder holds tables of CellProfiler, too. The message names both and says
        how to choose one.
    """
    if not path.is_dir():
        return _has_feature_set(path)
    tables = sorted(path.rglob(f"*{PARQUET}"))
    stratonet_tables = [
        table
        for table in tables
        if _is_visible(table, path) and _has_feature_set(table)
    ]
    cellprofiler_tables = list_image_tables(path)
    if stratonet_tables and cellprofiler_tables:
        raise ValueError(
            f"{path} holds features of StratoNet"
            f" ({_name_files(stratonet_tables, path)}) and tables of CellProfiler"
            f" ({_name_files(cellprofiler_tables, path)}). Give the one you mean:"
            f" {stratonet_tables[0]}, or {cellprofiler_tables[0]}, with which the"
            " tables of objects beside it are read."
        )
    return bool(tables) and not cellprofiler_tables


def list_image_tables(folder: Path) -> list[Path]:
    """List CellProfiler's tables of image sets in a folder.

    Parameters
    ----------
    folder : pathlib.Path
        A folder with ``Image.csv``, ``P1_Image.csv``, ...
    """
    return [path for path in sorted(folder.iterdir()) if _IMAGES.fullmatch(path.name)]


def is_image_table(path: Path) -> bool:
    """Whether a file is CellProfiler's table of image sets.

    Parameters
    ----------
    path : pathlib.Path
        Path of the file; only its name counts, which must end with ``Image.csv``.
    """
    return bool(_IMAGES.fullmatch(path.name))


def list_object_tables(images: Path) -> dict[str, Path]:
    """List the tables of the same experiment beside a table of image sets.

    Parameters
    ----------
    images : pathlib.Path
        Such as ``P1_Image.csv``, beside ``P1_Nuclei.csv``.

    Returns
    -------
    dict of str to pathlib.Path
        Paths by the part of the name that follows the prefix: ``Nuclei``.
    """
    match = _IMAGES.fullmatch(images.name)
    assert match is not None
    tables = {}
    for path in sorted(images.parent.iterdir()):
        is_other = is_csv_name(path.name) and path != images
        if is_other and path.name.startswith(match["prefix"]):
            name = path.name[len(match["prefix"]) :]
            tables[re.sub(r"(?i)\.\w{3}(\.gz)?$", "", name)] = path
    return tables


def list_other_tables(images: Path) -> list[Path]:
    """List the tables beside a table of image sets that are not read with it.

    Parameters
    ----------
    images : pathlib.Path
        Such as ``P1_Image.csv``.
    """
    used_paths = {images, *list_object_tables(images).values()}
    endings = (PARQUET, *DATABASES)
    return [
        path
        for path in sorted(images.parent.iterdir())
        if path not in used_paths
        and (is_csv_name(path.name) or path.name.lower().endswith(endings))
    ]


def _is_visible(path: Path, folder: Path) -> bool:
    # Files that a run keeps for itself are not results.
    return not any(
        part.startswith(("_", ".")) for part in path.relative_to(folder).parts
    )


def _has_feature_set(path: Path) -> bool:
    """Whether a Parquet file names a feature set."""
    if path.suffix.lower() != PARQUET or not path.is_file():
        return False
    with name_missing_extra("Parquet", "extract", "sklearn"):
        import pyarrow as pa
        from pyarrow import parquet
    try:
        return FEATURE_SET in parquet.read_schema(path).names
    except (pa.ArrowInvalid, OSError):
        return False  # the error is reported when it is read


def _name_files(paths: list[Path], folder: Path) -> str:
    return shorten_list([path.relative_to(folder) for path in paths], most=3)
