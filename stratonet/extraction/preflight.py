"""Checks of the image sets of a source, before hours are spent measuring them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from stratonet.extraction.job import Job, ObjectsFromLabels
from stratonet.extraction.labelimages import check_label_image
from stratonet.extraction.layouts import Layout
from stratonet.extraction.sources.imagesets import (
    ImageSource,
    get_pixel_size,
    list_channels,
)
from stratonet.extraction.unittables import RESERVED_COLUMNS
from stratonet.files.spelling import find_file
from stratonet.files.urls import is_url, is_web_url, redact_url
from stratonet.messages import suggest_name
from stratonet.naming import ILLUMINATION, LABELS, URL, image_column
from stratonet.tables.columns import PIXEL_SIZE

# About how many image sets are tried.
N_PROBED = 10


def check_columns(
    frame: pd.DataFrame, source: ImageSource, job: Job, layout: Layout
) -> None:
    """Refuse image sets that lack what a job or a layout needs.

    Parameters
    ----------
    frame : pandas.DataFrame
        In normal form.
    source : ImageSource
        The source of the table, for the message.
    job : Job
        Names channels, illumination functions and label images.
    layout : PlateLayout or GalleryLayout
        Says which metadata it needs for the names of its folders.

    Raises
    ------
    ValueError
        Columns are missing, there are other channels, a column has a reserved name, or
        the recipe needs the size of pixels, which the table lacks.
    """
    location = redact_url(source.location)
    lacking = [name for name in _list_needed(job, layout) if name not in frame]
    if lacking:
        raise ValueError(
            f"{location} lacks {', '.join(lacking)}. It has: {', '.join(frame)}."
            f"{suggest_name(lacking[0], frame)}"
        )
    # A table of six channels and a table of five would not fit together.
    channels = list_channels(frame)
    if set(channels) != set(job.channels):
        raise ValueError(
            f"{location} has the channels {', '.join(channels)}, but"
            f" {', '.join(job.channels)} are to be measured. Name the `channels` to"
            " measure."
        )
    reserved_columns = [name for name in RESERVED_COLUMNS if name in frame]
    if reserved_columns:
        raise ValueError(
            f"{location} has {', '.join(reserved_columns)}: StratoNet writes a column"
            " of this name itself. Rename the column."
        )
    _check_pixel_sizes(frame, source, job)


def _check_pixel_sizes(frame: pd.DataFrame, source: ImageSource, job: Job) -> None:
    """Refuse sizes of pixels that are missing, implausible, or would not be used."""
    if not job.recipe.needs_pixel_size:
        job.recipe.check_pixel_size(source.pixel_size)
        return
    location = redact_url(source.location)
    if PIXEL_SIZE not in frame:
        frame = frame.assign(**{PIXEL_SIZE: None}).iloc[:1]
    for number, row in enumerate(frame[[PIXEL_SIZE]].to_dict("records"), start=1):
        try:
            job.recipe.check_pixel_size(get_pixel_size(row))
        except ValueError as error:
            raise ValueError(
                f"{location}, image set {number}: {error}. In a table, a column"
                f" {PIXEL_SIZE} can give it for each image set. Received there:"
                f" {row[PIXEL_SIZE]}"
            ) from None


def _list_needed(job: Job, layout: Layout) -> list[str]:
    needed = [image_column(URL, channel) for channel in job.channels]
    if job.illumination:
        for channel in job.channels:
            needed.append(image_column(ILLUMINATION, channel))
    if isinstance(job.objects, ObjectsFromLabels):
        needed.append(image_column(LABELS, job.objects.label))
    return [*needed, *layout.required_columns]


def check_reachable(frame: pd.DataFrame, job: Job, reached_servers: set[str]) -> None:
    """Stop at once if the servers or buckets of the images cannot be reached.

    Parameters
    ----------
    frame : pandas.DataFrame
        In normal form.
    job : Job
        Names the channels; the URLs of the first channel are used.
    reached_servers : set of str
        Servers and buckets that were reached before. New ones are added to it.

    Raises
    ------
    Unreachable
        A server or bucket cannot be reached.
    """
    for url in frame[image_column(URL, job.channels[0])].dropna():
        # s3://bucket or https://host
        server = "/".join(url.split("/")[:3])
        if is_url(url) and server not in reached_servers:
            job.storage.check(url)
            reached_servers.add(server)


def probe_images(frame: pd.DataFrame, channel: str, source: ImageSource) -> None:
    """Refuse a screen if no image is where the table says.

    Without this, a wrong folder would give thousands of rows of NaN.

    Parameters
    ----------
    frame : pandas.DataFrame
        In normal form.
    channel : str
        A few images of this channel, spread over the table, are tried.
    source : ImageSource
        The source of the table.

    Raises
    ------
    FileNotFoundError
        None of them exists.
    """
    step = max(1, len(frame) // N_PROBED)
    urls = frame.iloc[::step][image_column(URL, channel)]
    urls = [url for url in urls if url is not None]
    # One image is enough: some may be missing, and each try costs a request.
    if any(find_file(url, source.storage) for url in urls):
        return
    first_url = redact_url(urls[0]) if urls else "no name"
    raise FileNotFoundError(
        f"None of the {len(urls)} images that were tried exists; the first is"
        f" {first_url}. {_advise_on_paths(urls, source)}"
    )


def probe_labels(frame: pd.DataFrame, job: Job) -> None:
    """Refuse a screen if no label image fits its image.

    Without this, images and label images that do not belong together would give
    thousands of rows of NaN.

    Parameters
    ----------
    frame : pandas.DataFrame
        In normal form. A few image sets spread over it are tried.
    job : Job
        Names the label image, if there is one.

    Raises
    ------
    FileNotFoundError, PermissionError, ValueError
        All that were tried are wrong; this is the error of the first.
    """
    if not isinstance(job.objects, ObjectsFromLabels):
        return
    label = job.objects.label
    named_rows = frame[frame[image_column(LABELS, label)].notna()]
    first_error: Exception | None = None
    for row in named_rows.iloc[:: max(1, len(named_rows) // N_PROBED)].to_dict(
        "records"
    ):
        try:
            check_label_image(row, label, job.storage)
        except (FileNotFoundError, PermissionError, ValueError) as error:
            first_error = first_error or error
        else:
            return
    if first_error is not None:
        raise first_error


def _advise_on_paths(urls: Sequence[str], source: ImageSource) -> str:
    advice = [
        "Say where the images are with `base` (where relative paths start) or"
        " `replace`."
    ]
    for old, new in source.replace:
        if not any(url.startswith(new.rstrip("/\\")) for url in urls):
            advice.append(
                f"No path begins with {redact_url(old)}, so none was replaced."
            )
    if any("\\" in url for url in urls):
        advice.append("A backslash was tried as a slash, too.")
    if any("+" in url and is_url(url) and not is_web_url(url) for url in urls):
        advice.append("A + was tried as a space, too.")
    return " ".join(advice)
