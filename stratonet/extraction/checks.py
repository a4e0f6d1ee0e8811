"""Checks of the contracts, for developers who add a source or an engine.

A check raises an `AssertionError` that says what is wrong, so it can be used as a test.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from stratonet.extraction.destination import Destination
from stratonet.extraction.engine import Engine
from stratonet.extraction.job import Job
from stratonet.extraction.planes import DamagedImage
from stratonet.extraction.sources.imagesets import (
    ImageSets,
    ImageSource,
    NotMine,
    Source,
    list_channels,
    read_image,
)
from stratonet.extraction.sources.read import read_source
from stratonet.extraction.units import Unit, split_units
from stratonet.files.spelling import find_file
from stratonet.files.urls import is_url
from stratonet.naming import (
    FRAME,
    ILLUMINATION,
    LABELS,
    SERIES,
    URL,
    check_channel,
    feature_columns,
    image_column,
    list_image_channels,
    metadata_columns,
)
from stratonet.tables.columns import ERROR, PLATE, WELL
from stratonet.tables.reading import read_features
from stratonet.weights_file import read_card

# The keys of `stratonet.resources.Monitor.report`.
RESOURCES = {
    "cpu_percent_mean",
    "cpu_percent_max",
    "memory_percent_mean",
    "memory_percent_max",
    "process_memory_max_mb",
    "hours",
    "cores",
    "host",
}
# Features of the same plane may differ by this much between machines or devices, since
# float32 is rounded in another order.
TOLERANCE = 1e-4


def check_source(
    reader: Source, mine: ImageSource, others: Iterable[ImageSource] = ()
) -> None:
    """Check that a source fulfils the contract of `Source`.

    Parameters
    ----------
    reader : Source
        The source to check.
    mine : ImageSource
        Image sets that it reads; at least one of their files must exist.
    others : iterable of ImageSource
        Locations that it must leave to other sources. A path that does not exist is
        always checked, too.

    Raises
    ------
    AssertionError
        The contract is broken; the message says how.

    Examples
    --------
    >>> import tempfile
    >>> from stratonet.extraction.sources.folders import FolderSource
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "HTS_A01_s1_w1.tif").touch()
    >>> check_source(FolderSource(), ImageSource(str(folder)))
    """
    image_sets = reader.read(mine)
    _require(isinstance(image_sets, ImageSets), "read returns ImageSets")
    _require(isinstance(image_sets.skipped, tuple), "skipped is a tuple of names")
    check_normal_form(image_sets.frame)
    _check_image_exists(image_sets.frame, mine)
    second_reading = reader.read(mine)
    _require(
        second_reading.frame.equals(image_sets.frame)
        and second_reading.skipped == image_sets.skipped,
        "the same files give the same table again",
    )
    # Ray sends rows to other machines.
    pickle.dumps(image_sets)
    missing_source = ImageSource(os.path.join(os.getcwd(), "no such file or folder"))
    for other in (*others, missing_source):
        try:
            reader.read(other)
        except NotMine:
            continue
        raise AssertionError(
            f"A source raises NotMine for what it does not read: {other.location}"
        )


def check_normal_form(frame: pd.DataFrame) -> None:
    """Check that a table of image sets is in normal form.

    Parameters
    ----------
    frame : pandas.DataFrame
        See `stratonet.extraction.sources.imagesets`.

    Raises
    ------
    AssertionError
        The table is not in normal form; the message says why.

    Examples
    --------
    >>> check_normal_form(pd.DataFrame({"Metadata_Plate": ["P"], "URL_DNA": ["/1"]}))
    Traceback (most recent call last):
        ...
    AssertionError: Metadata_Well is missing
    """
    for name in (PLATE, WELL):
        _require(name in frame, f"{name} is missing")
        # Numbers would lose their leading zeros in the names of folders.
        is_text = [isinstance(value, str) and value != "" for value in frame[name]]
        _require(all(is_text), f"{name} is text in every row")
    channels = list_channels(frame)
    _require(len(frame) > 0, "there are image sets")
    _require(len(channels) > 0, "there are channels")
    _require(frame.index.is_unique, "the index tells rows apart")
    expected = _list_normal_columns(frame, channels)
    _require(list(frame) == expected, f"the columns are, in order, {expected}")
    for channel in channels:
        check_channel(channel)
        _check_locations(frame[image_column(URL, channel)])
    for prefix in (FRAME, SERIES):
        for channel in list_image_channels(frame, prefix):
            _check_frame_numbers(frame[image_column(prefix, channel)])
    for label in list_image_channels(frame, LABELS):
        _check_locations(frame[image_column(LABELS, label)])
    _check_planes_differ(frame, channels)


def check_engine(engine: Engine, folder: str | os.PathLike[str]) -> None:
    """Check that an engine fulfils the contract of `Engine`.

    The engine measures a few image sets, one of which lacks its file; then the missing
    file stops a strict run.

    Parameters
    ----------
    engine : Engine
        The engine to check.
    folder : str or path
        An empty folder that all machines of the engine can write to.

    Raises
    ------
    AssertionError
        The contract is broken; the message says how.
    """
    source = _write_screen(Path(folder))
    frame = read_source(source).frame
    units = split_units(frame)
    # This checks the engine, not the network: the earliest tap is enough.
    cheapest_tap = read_card().taps[0].layer
    recipe = read_card().choose_recipe()
    job = Job(source.storage, ("DNA",), recipe, taps=(cheapest_tap,))
    destination = Destination(os.path.join(folder, "features"), job)
    destination.open()
    _require(bool(engine.name), "an engine has a name")
    _check_run(engine, destination, units)
    _check_features(destination, frame)

    strict_job = replace(job, strict=True)
    strict_destination = Destination(os.path.join(folder, "strict"), strict_job)
    strict_destination.open()
    try:
        # The same engine again: it must be possible to enter it twice.
        with engine:
            list(
                engine.measure_units(
                    strict_destination, iter(units), lambda count: None
                )
            )
    except DamagedImage as error:
        text = str(error)
        keeps_text = "A01_2.tif" in text and "Traceback" not in text
        _require(keeps_text, "an error that stops keeps its text, and no more")
        _require(error.__cause__ is None, "an error that stops comes alone")
    else:
        raise AssertionError("An error that stops a run is raised, with its own type")


def _require(condition: bool, rule: str) -> None:
    if not condition:
        raise AssertionError(rule)


def _list_normal_columns(frame: pd.DataFrame, channels: list[str]) -> list[str]:
    """List the columns of normal form, in its order."""
    columns = list(metadata_columns(frame))
    for channel in channels:
        columns.append(image_column(URL, channel))
        for prefix in (FRAME, SERIES, ILLUMINATION):
            if image_column(prefix, channel) in frame:
                columns.append(image_column(prefix, channel))
    labels = list_image_channels(frame, LABELS)
    return columns + [image_column(LABELS, label) for label in labels]


def _check_locations(values: pd.Series) -> None:
    for value in values:
        is_absolute = value is None or is_url(value) or os.path.isabs(value)
        _require(is_absolute, f"{values.name} is an absolute path, a URL or None")


def _check_frame_numbers(values: pd.Series) -> None:
    is_count = values.dtype.kind in "iu" and bool((values >= 0).all())
    _require(is_count, f"{values.name} is whole numbers from 0")


def _check_planes_differ(frame: pd.DataFrame, channels: list[str]) -> None:
    urls = [image_column(URL, channel) for channel in channels]
    columns = list(urls)
    for prefix in (FRAME, SERIES):
        names = list_image_channels(frame, prefix)
        columns += [image_column(prefix, name) for name in names]
    # Image sets without any file cannot be told apart.
    has_image = frame[urls].notna().any(axis=1)
    planes = frame.loc[has_image, columns]
    _require(not planes.duplicated().any(), "no two rows name the same planes")


def _check_image_exists(frame: pd.DataFrame, source: ImageSource) -> None:
    for channel in list_channels(frame):
        for url in frame[image_column(URL, channel)].dropna():
            if find_file(url, source.storage):
                return
    raise AssertionError("at least one of the images is where the table says")


def _write_screen(folder: Path) -> ImageSource:
    """Write a plate of two wells with two sites each; one file is missing."""
    import tifffile

    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    rows = []
    for well in ("A01", "A02"):
        for site in ("1", "2"):
            name = f"{well}_{site}.tif"
            plane = generator.gamma(2, 300, (64, 64)).astype(np.uint16)
            tifffile.imwrite(folder / name, plane)
            rows.append({PLATE: "P1", WELL: well, "FileName_DNA": name})
    (folder / "A01_2.tif").unlink()
    pd.DataFrame(rows).to_csv(folder / "load_data.csv", index=False)
    return ImageSource(str(folder / "load_data.csv"))


def _check_run(engine: Engine, destination: Destination, units: list[Unit]) -> None:
    counts: list[int] = []
    names = [unit.name for unit in units]
    with engine:
        finished = list(engine.measure_units(destination, iter(units), counts.append))
        gathered = engine.submit(destination.gather_plate, units[0].plate, names)
        _require(gathered.result() is True, "submit calls the function")
        _check_error(engine.submit(_raise_error, "no limits"))
        reports = engine.report_resources()
    n_incomplete = {unit.name: outcome.n_incomplete for unit, outcome in finished}
    expected = {unit.name: int(unit.well == "A01") for unit in units}
    _require(
        n_incomplete == expected and len(finished) == len(units),
        "each unit comes once, with its number of incomplete image sets",
    )
    n_image_sets = sum(len(unit.rows) for unit in units)
    _require(sum(counts) == n_image_sets, "advance counts each image set once")
    _require(len(reports) > 0, "there is a report of each machine")
    for report in reports:
        _require(set(report) == RESOURCES, "reports are those of a Monitor")


def _raise_error(text: str) -> None:
    raise FileNotFoundError(text)


def _check_error(future: Future[None]) -> None:
    rule = "submit raises what the function raises, with its own type and text"
    try:
        future.result()
    except FileNotFoundError as error:
        _require(str(error) == "no limits", rule)
    else:
        raise AssertionError(rule)


def _check_features(destination: Destination, frame: pd.DataFrame) -> None:
    """Check that all rows exist, with the features that the network gives here."""
    features = read_features(destination.url)
    _require(len(features) == len(frame), "each image set has its row")
    names = feature_columns(features)
    for index, row in enumerate(frame.to_dict("records")):
        values = features.loc[index, names].to_numpy(float)
        if pd.notna(features.loc[index, ERROR]):
            _require(bool(np.isnan(values).all()), "what has no image has NaN")
            continue
        plane = read_image(row, "DNA", destination.storage)
        expected = destination.job.network.features(plane)[0]
        difference = float(np.abs(values - expected).max())
        _require(difference < TOLERANCE, "features are those of the network")
