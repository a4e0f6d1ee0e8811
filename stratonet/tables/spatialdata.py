"""Convert features of objects to SpatialData tables, which annotate label images."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stratonet.extras import name_missing_extra
from stratonet.files.atomic import TEMPORARY
from stratonet.files.urls import is_url, redact_url
from stratonet.messages import count_things, suggest_name
from stratonet.tables.anndata import (
    ATTRIBUTES,
    INSTANCE_KEY,
    REGION_KEY,
    to_anndata,
)
from stratonet.tables.columns import ERROR, find_object_column
from stratonet.tables.index import keep_index
from stratonet.tables.parquet import read_features
from stratonet.tables.regions import Regions, name_regions

if TYPE_CHECKING:
    from anndata import AnnData

REGION = "region"
TABLES = "tables"
ELEMENTS = ("images", "labels", "points", "shapes", TABLES)


def to_spatialdata_table(
    features: pd.DataFrame | str | os.PathLike[str],
    region: Regions,
    region_key: str = "region",
) -> AnnData:
    """Turn features of objects into a table of SpatialData.

    Parameters
    ----------
    features : pandas.DataFrame, str or path
        A frame from `read_features`, or the location to read one from: features of
        objects, from ``stratonet extract`` or the CellProfiler module.
    region : str or pandas.DataFrame
        The label image (*region*) of the objects of each image set: the name of a
        single one; a name with columns in braces, such as ``"{Metadata_Well}_nuclei"``;
        or a frame with a row for each image set, a column called ``region_key``, and
        columns that ``features`` has, too, such as ``Metadata_Well``. For features that
        were measured in a SpatialData store, give ``"{Metadata_Region}"``.
    region_key : str
        Name of the column of regions.

    Returns
    -------
    anndata.AnnData
        As from `to_anndata`, with the region in ``obs``, the object's number
        (``Metadata_ObjectNumber`` or ``ObjectNumber``) as int64, and
        ``uns["spatialdata_attrs"]``. The package spatialdata is not needed.

    Raises
    ------
    ImportError
        anndata is not installed.
    ValueError
        Rows are not objects, lack a number, or are repeated; an image set has no
        region, or two share one; also as in `to_anndata`.

    Examples
    --------
    >>> frame = pd.DataFrame(
    ...     {
    ...         "Metadata_Well": ["A01", "A02"],
    ...         "Metadata_ObjectNumber": [7, 7],
    ...         "Metadata_StratoFeatures": "stratonet50-1.0.0-9b08ec5a4d6a",
    ...         "StratoFeatures_High0000_DNA": np.array([0.5, 0.25], np.float32),
    ...     }
    ... )
    >>> table = to_spatialdata_table(frame, "{Metadata_Well}_nuclei")
    >>> table.uns["spatialdata_attrs"]["region"]
    ['A01_nuclei', 'A02_nuclei']
    """
    is_frame = isinstance(features, pd.DataFrame)
    frame = keep_index(features) if is_frame else read_features(features)
    # Concatenated frames have repeated indices, but tables are joined by them.
    if not frame.index.is_unique:
        frame = frame.reset_index(drop=True)
    number_column = find_object_column(frame)
    if number_column is None:
        raise ValueError(
            "These are features of image sets. A table of SpatialData annotates objects"
            " of label images: give features of objects, from stratonet extract"
            " --labels or from the CellProfiler module."
        )
    numbers = _read_object_numbers(frame, number_column)
    regions = name_regions(frame, region, region_key)
    _check_no_repeats(regions, numbers)
    table = to_anndata(frame)
    table.obs[number_column] = numbers
    table.obs[region_key] = pd.Categorical(regions)
    names = regions.unique().tolist()
    table.uns[ATTRIBUTES] = {
        REGION: names if len(names) > 1 else names[0],
        REGION_KEY: region_key,
        INSTANCE_KEY: number_column,
    }
    return table


def _read_object_numbers(frame: pd.DataFrame, column: str) -> np.ndarray:
    """Read the numbers of objects, as int64."""
    if frame.empty:
        raise ValueError("The features have no rows: there is nothing to annotate.")
    numbers = pd.to_numeric(frame[column], errors="coerce")
    is_missing = numbers.isna().to_numpy()
    if is_missing.any():
        row = int(is_missing.argmax())
        reason = frame[ERROR].iloc[row] if ERROR in frame else None
        raise ValueError(
            f"{count_things(int(is_missing.sum()), 'row')} of {len(frame):,} have no"
            f" {column}, such as row {row + 1} (counted from 1)"
            f"{f': {reason}' if isinstance(reason, str) else ''}. Leave them out:"
            f" features[features.{column}.notna()]"
        )
    is_wrong = ((numbers < 1) | (numbers % 1 != 0)).to_numpy(bool)
    if is_wrong.any():
        row = int(is_wrong.argmax())
        raise ValueError(
            f"{column} must be a whole number from 1: 0 is the background of a label"
            f" image. Received: {frame[column].iloc[row]} in row {row + 1} (counted"
            " from 1)."
        )
    return numbers.to_numpy(np.int64)


def _check_no_repeats(regions: pd.Series, numbers: np.ndarray) -> None:
    """Refuse repeated objects."""
    objects = pd.DataFrame({"region": regions, "number": numbers})
    repeated = objects.duplicated().to_numpy()
    if repeated.any():
        region, number = objects.iloc[int(repeated.argmax())]
        raise ValueError(
            f"Object {number} of {region} occurs twice, and"
            f" {count_things(int(repeated.sum()), 'row')} of {len(objects):,} are"
            " repetitions. Leave them out, or give a `region` that tells their image"
            " sets apart."
        )


def write_spatialdata_table(
    table: AnnData, store: str | os.PathLike[str], name: str
) -> Path:
    """Write a table into a SpatialData store on a disk.

    It is written completely or not at all, and nothing else in the store changes.

    Parameters
    ----------
    table : anndata.AnnData
        A table from `to_spatialdata_table`.
    store : str or path
        A folder that spatialdata wrote.
    name : str
        Name of the table in the store.

    Returns
    -------
    pathlib.Path
        Folder of the table.

    Raises
    ------
    ImportError
        spatialdata is not installed.
    FileNotFoundError
        There is no such store.
    FileExistsError
        The store has a table or another element of this name. None is ever replaced.
    ValueError
        The table is not one of SpatialData, or annotates a label image or an object
        that the store does not have.

    Examples
    --------
    >>> table = to_spatialdata_table("features", "{Metadata_Region}")  # doctest: +SKIP
    >>> write_spatialdata_table(table, "plate.zarr", "stratonet")  # doctest: +SKIP
    PosixPath('plate.zarr/tables/stratonet')
    """
    folder = Path(_check_store(store))
    with name_missing_extra("Writing into a SpatialData store", "spatialdata"):
        import spatialdata
        from spatialdata.models import TableModel
    if ATTRIBUTES not in getattr(table, "uns", ()):
        raise ValueError(
            "The table does not say which objects it annotates: uns has no"
            f" {ATTRIBUTES!r}. Make it with to_spatialdata_table."
        )
    # AnnData's files turn a list into an array, but SpatialData wants the list.
    attributes = table.uns[ATTRIBUTES]
    if isinstance(attributes.get(REGION), np.ndarray):
        attributes[REGION] = attributes[REGION].tolist()
    TableModel.validate(table)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The table is annotating", UserWarning)
        warnings.filterwarnings("ignore", "SpatialData is not stored", UserWarning)
        table_store = spatialdata.SpatialData(tables={name: table})
        # The store's tables are not needed, and would be read completely.
        data = spatialdata.read_zarr(folder, selection=("labels", "shapes"))
    _list_unlisted_table(folder, name, data)
    _check_name_is_free(folder, name)
    _check_annotated(table, data, folder)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder) as temporary:
        # spatialdata writes an element in many steps, and a store with an incomplete
        # element cannot be read.
        unfinished = Path(temporary, "table.zarr")
        table_store.write(unfinished, **_choose_formats(folder))
        _move_into_store(unfinished / TABLES, folder / TABLES, name)
    if data.has_consolidated_metadata():
        data.write_consolidated_metadata()
    return folder / TABLES / name


def _check_store(store: str | os.PathLike[str]) -> str:
    """Return the path of a store; refuse anything but a store on a disk."""
    path = os.fspath(store)
    if is_url(path):
        raise ValueError(
            f"{redact_url(path)}: tables can only be written to a store on a disk. Copy"
            " the store to a disk, or write to a store there and copy the table's"
            " folder."
        )
    files = [os.path.join(path, file) for file in ("zarr.json", ".zgroup")]
    if not any(map(os.path.isfile, files)):
        raise FileNotFoundError(
            f"{path} is no SpatialData store: it has neither zarr.json nor .zgroup."
        )
    return path


def _list_unlisted_table(folder: Path, name: str, data: Any) -> None:
    """Add a table to the store's list if a process was killed after writing it."""
    import zarr

    if not (folder / TABLES / name).is_dir() or not data.has_consolidated_metadata():
        return
    root = zarr.open_group(folder, mode="r")
    if TABLES not in root or name not in root[TABLES]:
        data.write_consolidated_metadata()


def _check_name_is_free(folder: Path, name: str) -> None:
    """Refuse a name that an element of the store has already."""
    for group in ELEMENTS:
        for path in sorted((folder / group).glob("*")):
            # SpatialData takes names that only differ in case for the same.
            if path.name.lower() == name.lower():
                raise FileExistsError(
                    f"{path} is there already. Choose another name, or remove it:"
                    f" spatialdata.read_zarr({str(folder)!r})"
                    f".delete_element_from_disk({path.name!r})"
                )


def _check_annotated(table: AnnData, data: Any, folder: Path) -> None:
    """Refuse a table that annotates label images or objects missing from the store."""
    from spatialdata import get_element_instances

    attributes = table.uns[ATTRIBUTES]
    elements: Mapping[str, Any] = {**data.labels, **data.shapes}
    regions = table.obs[attributes[REGION_KEY]]
    numbers = table.obs[attributes[INSTANCE_KEY]]
    for region in regions.unique():
        if region not in elements:
            raise ValueError(
                f"{folder} has no label image {region!r}, which the table annotates."
                f" It has: {', '.join(elements) or 'none'}."
                f"{suggest_name(region, elements)}"
            )
        of_region = numbers[regions == region]
        is_known = of_region.isin(get_element_instances(elements[region]))
        if not is_known.all():
            raise ValueError(
                f"{folder}: {region} has no object {of_region[~is_known].iloc[0]}, and"
                f" lacks {(~is_known).sum():,} of {len(is_known):,} objects of the"
                " table. Were the features measured with another label image?"
            )


def _choose_formats(folder: Path) -> dict[str, Any]:
    """Choose the format of the table: that of the store, Zarr 2 or Zarr 3."""
    if (folder / "zarr.json").exists():
        return {}
    # It has no public name in spatialdata.
    from spatialdata._io.format import SpatialDataContainerFormatV01

    return {"sdata_formats": SpatialDataContainerFormatV01()}


def _move_into_store(source: Path, tables: Path, name: str) -> None:
    """Move a table into the store, unless one of its name has been added meanwhile."""
    try:
        if not tables.exists():
            with suppress(OSError):
                source.rename(tables)
                return
        (source / name).rename(tables / name)
    except OSError:
        _check_name_is_free(tables.parent, name)
        raise
