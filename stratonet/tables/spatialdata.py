"""Features of objects as tables of SpatialData, whose rows annotate label images."""

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
        A frame of `read_features`, or where to read one: features of objects, of
        ``stratonet extract`` or of the CellProfiler module.
    region : str or pandas.DataFrame
        Which label image (*region*) the objects of each image set are in: the name of
        one; a name with columns in braces, such as ``"{Metadata_Well}_nuclei"``; or a
        frame with a row for each image set, whose columns ``features`` has, too, such
        as ``Metadata_Well``, but for one called as ``region_key``. Features that were
        measured in a store of SpatialData say it: ``"{Metadata_Region}"``.
    region_key : str
        What the column of these names is called.

    Returns
    -------
    anndata.AnnData
        As `to_anndata` makes it, with the region in ``obs``, the object's number
        (``Metadata_ObjectNumber`` or ``ObjectNumber``) as int64, and
        ``uns["spatialdata_attrs"]``. spatialdata itself is not needed for it.

    Raises
    ------
    ImportError
        anndata is not installed.
    ValueError
        Rows are no objects, lack a number, or are there twice; an image set has no
        region, or two have one; else as `to_anndata`.

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
    # Frames that were put one below the other; tables are joined by names of rows.
    if not frame.index.is_unique:
        frame = frame.reset_index(drop=True)
    number_column = find_object_column(frame)
    if number_column is None:
        raise ValueError(
            "These are features of image sets. A table of SpatialData annotates objects"
            " of label images: give features of objects, of stratonet extract --labels"
            " or of the CellProfiler module."
        )
    numbers = _read_object_numbers(frame, number_column)
    regions = name_regions(frame, region, region_key)
    _check_different(regions, numbers)
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
    """The numbers of objects, int64."""
    if frame.empty:
        raise ValueError("The features have no rows: there is nothing to annotate.")
    numbers = pd.to_numeric(frame[column], errors="coerce")
    lacking = numbers.isna().to_numpy()
    if lacking.any():
        row = int(lacking.argmax())
        reason = frame[ERROR].iloc[row] if ERROR in frame else None
        raise ValueError(
            f"{count_things(int(lacking.sum()), 'row')} of {len(frame):,} have no"
            f" {column}, such as row {row + 1} (counted from 1)"
            f"{f': {reason}' if isinstance(reason, str) else ''}. Leave them out:"
            f" features[features.{column}.notna()]"
        )
    wrong = ((numbers < 1) | (numbers % 1 != 0)).to_numpy(bool)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{column} is a whole number from 1: 0 is the background of a label image."
            f" Received: {frame[column].iloc[row]} in row {row + 1} (counted from 1)."
        )
    return numbers.to_numpy(np.int64)


def _check_different(regions: pd.Series, numbers: np.ndarray) -> None:
    """Refuse an object that is there twice."""
    objects = pd.DataFrame({"region": regions, "number": numbers})
    repeated = objects.duplicated().to_numpy()
    if repeated.any():
        region, number = objects.iloc[int(repeated.argmax())]
        raise ValueError(
            f"Object {number} of {region} is there twice, and"
            f" {count_things(int(repeated.sum()), 'row')} of {len(objects):,} are too"
            " many. Leave them out, or give a `region` that tells their image sets"
            " apart."
        )


def write_spatialdata_table(
    table: AnnData, store: str | os.PathLike[str], name: str
) -> Path:
    """Write a table into a store of SpatialData on a disk.

    It is there whole or not at all, and nothing else of the store is changed.

    Parameters
    ----------
    table : anndata.AnnData
        As `to_spatialdata_table` makes it.
    store : str or path
        A folder that spatialdata has written.
    name : str
        What the table is called there.

    Returns
    -------
    pathlib.Path
        Its folder.

    Raises
    ------
    ImportError
        spatialdata is not installed.
    FileNotFoundError
        There is no such store.
    FileExistsError
        The store has a table of this name, or another element. None is ever replaced.
    ValueError
        The table is none of SpatialData, the store lacks a label image that it
        annotates, or that has no object of a number.

    Examples
    --------
    >>> table = to_spatialdata_table("features", "{Metadata_Region}")  # doctest: +SKIP
    >>> write_spatialdata_table(table, "plate.zarr", "stratonet")  # doctest: +SKIP
    PosixPath('plate.zarr/tables/stratonet')
    """
    folder = Path(_check_store(store))
    with name_missing_extra("Writing into a store of SpatialData", "spatialdata"):
        import spatialdata
        from spatialdata.models import TableModel
    if ATTRIBUTES not in getattr(table, "uns", ()):
        raise ValueError(
            f"The table says of no object which it is: uns has no {ATTRIBUTES!r}."
            " Make it with to_spatialdata_table."
        )
    # AnnData's own files make an array of a list, and SpatialData asks for the list.
    attributes = table.uns[ATTRIBUTES]
    if isinstance(attributes.get(REGION), np.ndarray):
        attributes[REGION] = attributes[REGION].tolist()
    TableModel.validate(table)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The table is annotating", UserWarning)
        warnings.filterwarnings("ignore", "SpatialData is not stored", UserWarning)
        alone = spatialdata.SpatialData(tables={name: table})
        # The tables of a store would be read whole, and are not needed.
        data = spatialdata.read_zarr(folder, selection=("labels", "shapes"))
    _show_unlisted(folder, name, data)
    _check_name_is_free(folder, name)
    _check_annotated(table, data, folder)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder) as temporary:
        # spatialdata writes an element bit by bit, and a store in which one is cut
        # short cannot be read.
        unfinished = Path(temporary, "table.zarr")
        alone.write(unfinished, **_choose_formats(folder))
        _put_in_place(unfinished / TABLES, folder / TABLES, name)
    if data.has_consolidated_metadata():
        data.write_consolidated_metadata()
    return folder / TABLES / name


def _check_store(store: str | os.PathLike[str]) -> str:
    """Refuse what is no store on a disk; return its path."""
    path = os.fspath(store)
    if is_url(path):
        raise ValueError(
            f"{redact_url(path)}: a table is written into a store on a disk. Copy the"
            " store, or write it there and copy the table's folder."
        )
    files = [os.path.join(path, file) for file in ("zarr.json", ".zgroup")]
    if not any(map(os.path.isfile, files)):
        raise FileNotFoundError(
            f"{path} is no store of SpatialData: it has neither zarr.json nor .zgroup."
        )
    return path


def _show_unlisted(folder: Path, name: str, data: Any) -> None:
    """List a table again, after whose writing a process was killed at once."""
    import zarr

    if not (folder / TABLES / name).is_dir() or not data.has_consolidated_metadata():
        return
    root = zarr.open_group(folder, mode="r")
    if TABLES not in root or name not in root[TABLES]:
        data.write_consolidated_metadata()


def _check_name_is_free(folder: Path, name: str) -> None:
    """Refuse the name of an element of the store: each has its own."""
    for group in ELEMENTS:
        for path in sorted((folder / group).glob("*")):
            # Names that differ in capitals alone are one to SpatialData.
            if path.name.lower() == name.lower():
                raise FileExistsError(
                    f"{path} is there already. Choose another name, or remove it:"
                    f" spatialdata.read_zarr({str(folder)!r})"
                    f".delete_element_from_disk({path.name!r})"
                )


def _check_annotated(table: AnnData, data: Any, folder: Path) -> None:
    """Refuse a table of label images, or of objects, that the store does not have."""
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
        known = of_region.isin(get_element_instances(elements[region]))
        if not known.all():
            raise ValueError(
                f"{folder}: {region} has no object {of_region[~known].iloc[0]}, and"
                f" lacks {(~known).sum():,} of {len(known):,} of the table. Were the"
                " features measured from another label image?"
            )


def _choose_formats(folder: Path) -> dict[str, Any]:
    """What the table is written as: as the store is, in Zarr 2 or in Zarr 3."""
    if (folder / "zarr.json").exists():
        return {}
    # spatialdata gives it no public name.
    from spatialdata._io.format import SpatialDataContainerFormatV01

    return {"sdata_formats": SpatialDataContainerFormatV01()}


def _put_in_place(written: Path, tables: Path, name: str) -> None:
    """Move a table into the store, unless one of its name has come there meanwhile."""
    try:
        if not tables.exists():
            with suppress(OSError):
                written.rename(tables)
                return
        (written / name).rename(tables / name)
    except OSError:
        _check_name_is_free(tables.parent, name)
        raise
