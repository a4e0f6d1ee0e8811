"""A run: from sources of image sets to feature tables."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, Union

import pandas as pd

from stratonet import __version__
from stratonet.extraction.destination import Destination
from stratonet.extraction.engine import Engine, Shard
from stratonet.extraction.illumination import METHODS
from stratonet.extraction.job import (
    Job,
    Objects,
    ObjectsFromCenters,
    WholeImages,
)
from stratonet.extraction.layouts import Layout, PlateLayout
from stratonet.extraction.local_engine import LocalEngine
from stratonet.extraction.plan import Plan
from stratonet.extraction.sources.imagesets import ImageSource, list_channels
from stratonet.extraction.sources.read import read_source
from stratonet.extraction.summary import Summary
from stratonet.extraction.units import read_centers
from stratonet.limits import GreyRange, PlateLimits, apply_grey_range, take_channels
from stratonet.recipe import OF_PLANE, Limits, Recipe
from stratonet.resources import format_resources_csv, summarize_resources
from stratonet.weights_file import read_card

AnySource = Union[ImageSource, str, "os.PathLike[str]"]


def extract(
    sources: AnySource | Sequence[AnySource],
    output: str | os.PathLike[str],
    *,
    channels: str | Sequence[str] | Mapping[str, str] | None = None,
    taps: str | Sequence[str] | None = None,
    weights: str | os.PathLike[str] = "stratonet50",
    provider: str = "CPUExecutionProvider",
    objects: Objects | None = None,
    recipe: str | Recipe | None = None,
    grey_range: GreyRange = OF_PLANE,
    illumination: str | None = None,
    strict: bool = False,
    crops: bool = False,
    layout: Layout | None = None,
    shard: Shard | None = None,
    engine: Engine | None = None,
    progress: bool = True,
) -> Summary:
    r"""Measure image sets and write their features.

    Image sets that the destination already holds are not measured again: if a run is
    interrupted, the same call resumes it.

    Parameters
    ----------
    sources : ImageSource, str or path, or a list of them
        Where the images are. A string or path stands for ``ImageSource(location)``. All
        sources must have the same ``endpoint``, ``region`` and ``anonymous``, which are
        also used for the destination.
    output : str or path
        Folder or S3 prefix, see `stratonet.extraction.destination`.
    channels : str, list of str or mapping of str to str, optional
        Channels to measure. A mapping renames them: names in the features to names in
        the source. Default: all.
    taps, weights, provider
        See `stratonet.StratoNet.load`.
    objects : WholeImages, ObjectsFromLabels or ObjectsFromCenters, optional
        What is measured. Default: whole images.
    recipe : str or Recipe, optional
        How planes become features, see `stratonet.StratoNet.load`. Default: what the
        card of the weights recommends for whole images, or for objects.
    grey_range : {"plane", "plate"}, mapping or PlateLimits
        Which grey values become black and white: percentiles of each plane, or of its
        channel on the plate, see `stratonet.extraction.grey_limits`; or fixed limits
        for each channel, such as ``{"DNA": (100, 4000)}``, in the units of the files,
        or of the corrected images if they are corrected. `stratonet.limits.PlateLimits`
        holds fixed limits for each plate.
    illumination : {"divide", "subtract"}, optional
        Correct each image by the illumination function that the table names, as
        CellProfiler does.
    strict : bool
        Stop at the first image that cannot be measured, instead of writing NaN and the
        reason.
    crops : bool
        Also write a picture of each object or site, see
        `stratonet.extraction.thumbnails`.
    layout : PlateLayout or GalleryLayout, optional
        How feature tables are laid out. Default: one table per plate.
    shard : Shard, optional
        Measure only this part of the wells. Default: all.
    engine : LocalEngine or RayEngine, optional
        Where the work is done, see `stratonet.extraction.engine.Engine`. Default: on
        this machine.
    progress : bool
        Show a progress bar; without it, one line per plate is printed.

    Returns
    -------
    Summary
        What was measured, and how fast.

    Raises
    ------
    ValueError
        A source, an option or the destination is wrong; the message says what to do.
    FileNotFoundError
        A source does not exist, or none of its images does.
    Unreachable
        The images or the destination cannot be reached. Wells measured so far are kept,
        as after any other error.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import tifffile
    >>> folder = Path(tempfile.mkdtemp())
    >>> plane = np.random.default_rng(0).integers(0, 2000, (64, 64), np.uint16)
    >>> tifffile.imwrite(folder / "1.tif", plane)
    >>> table = "Metadata_Plate,Metadata_Well,FileName_DNA\nP1,A01,1.tif\n"
    >>> _ = (folder / "load_data.csv").write_text(table)
    >>> output = folder / "features"
    >>> summary = extract(folder / "load_data.csv", output, taps="low", progress=False)
    P1: 1 well, 0 incomplete image sets so far
    >>> summary.image_sets, summary.complete_plates
    (1, ['P1'])
    >>> from stratonet.tables import feature_columns, read_features
    >>> len(feature_columns(read_features(output)))
    1024
    """
    image_sources = _list_sources(sources)
    renamed_channels = _name_channels(channels)
    _check_illumination(illumination)
    # The first source is read now: its channels determine what is measured.
    first_image_sets = read_source(image_sources[0], renamed_channels)
    channel_names = tuple(renamed_channels or list_channels(first_image_sets.frame))
    objects = objects or WholeImages()
    chosen_recipe = read_card(weights).choose_recipe(recipe, objects.size)
    job = Job(
        image_sources[0].storage,
        channel_names,
        apply_grey_range(chosen_recipe, grey_range, channel_names),
        str(weights),
        _name_taps(taps),
        provider,
        objects,
        _name_limits(grey_range, channel_names),
        illumination,
        strict,
        project=image_sources[0].project,
        crops=crops,
    )
    layout = layout or PlateLayout()
    destination = Destination(layout.locate(str(output), job), job, layout)
    shard = shard or Shard()
    engine = engine or LocalEngine()
    plan = Plan(
        image_sources,
        first_image_sets,
        renamed_channels,
        destination,
        _read_centers(job),
        shard,
        engine,
        progress,
    )
    # Nothing is written before sources, options and images have been checked.
    destination.open()
    return _run_plan(plan, destination, shard, engine)


def _list_sources(sources: AnySource | Sequence[AnySource]) -> list[ImageSource]:
    if isinstance(sources, (ImageSource, str, os.PathLike)):
        sources = [sources]
    image_sources = []
    for source in sources:
        if not isinstance(source, ImageSource):
            source = ImageSource(os.fspath(source))
        image_sources.append(source)
    if not image_sources:
        raise ValueError(
            "`sources` is empty: give a table, a folder or the name of a plate."
        )
    # One storage reads all images and writes the features, on every machine.
    if any(source.storage != image_sources[0].storage for source in image_sources):
        raise ValueError(
            "All `sources` of a run must have the same endpoint, region and anonymous."
            " Extract them one after the other."
        )
    if len({source.project for source in image_sources}) > 1:
        raise ValueError(
            "All `sources` of a run must have the same project: features of different"
            " projections cannot be compared."
        )
    return image_sources


def _name_channels(
    channels: str | Sequence[str] | Mapping[str, str] | None,
) -> dict[str, str] | None:
    """Map names in the features to names in the source; None for all channels."""
    if channels is None:
        return None
    if isinstance(channels, Mapping):
        return dict(channels)
    # A string is one channel, not a sequence of letters.
    channels = [channels] if isinstance(channels, str) else channels
    return {name: name for name in channels}


def _name_taps(taps: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if taps is None:
        return None
    return (taps,) if isinstance(taps, str) else tuple(taps)


def _name_limits(
    grey_range: GreyRange, channels: Sequence[str]
) -> PlateLimits | Limits | None:
    """Return the limits of grey values that the user gives; None if there are none."""
    if isinstance(grey_range, str):
        return None
    if isinstance(grey_range, PlateLimits):
        return grey_range
    return take_channels(grey_range, channels)


def _read_centers(job: Job) -> pd.DataFrame | None:
    if isinstance(job.objects, ObjectsFromCenters):
        return read_centers(job.objects.table, job.storage)
    return None


def _check_illumination(illumination: str | None) -> None:
    if illumination is not None and illumination not in METHODS:
        raise ValueError(
            f"`illumination` is one of {', '.join(METHODS)}. Received: {illumination!r}"
        )


def _run_plan(
    plan: Plan, destination: Destination, shard: Shard, engine: Engine
) -> Summary:
    start_time = datetime.now(timezone.utc)
    with engine, plan:
        finished_units = engine.measure_units(
            destination, plan.list_units(), plan.advance
        )
        for unit, outcome in finished_units:
            plan.finish_unit(unit, outcome)
        # Before leaving the engine, which gathers the tables.
        plan.wait_for_tables()
        plan.count_lost_objects()
        reports = engine.report_resources()
    destination.tidy()
    seconds = (datetime.now(timezone.utc) - start_time).total_seconds()
    resources = summarize_resources(reports)
    summary = replace(plan.summary, seconds=seconds, resources=resources)
    run = {
        "started": start_time.isoformat(timespec="seconds"),
        "engine": engine.name,
        "shard": str(shard),
        "feature_set": summary.feature_set_id,
        "version": __version__,
        "image_sets": summary.image_sets,
        "images": summary.images,
        "images_per_second": summary.images / seconds,
    }
    # If two machines start a run in the same microsecond, shard or process id differ.
    start_text = f"{start_time:%Y%m%dT%H%M%S.%f}"
    shard_name = f"{shard.number}of{shard.count}"
    name = f"{start_text}-{shard_name}-{os.getpid()}.csv"
    rows: list[dict[str, Any]] = [{**run, **report} for report in reports]
    destination.add_run(name, format_resources_csv(rows))
    return summary
