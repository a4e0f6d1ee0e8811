"""Plates of the cellpainting-gallery."""

import re

from stratonet.extraction.sources.imagesets import choose_channels, list_channels
from stratonet.extraction.sources.loaddata import read_loaddata

BUCKET = "s3://cellpainting-gallery"
GALLERY = "jump:"
LOAD_DATA = (
    "load_data_with_illum.parquet",
    "load_data_with_illum.csv",
    "load_data.csv.gz",
    "load_data.csv",
)


def read_gallery(name, storage, images, replace):
    """A plate of JUMP, whose tables name paths on the machines that they were made on."""
    match = re.fullmatch(rf"{GALLERY}(source_\w+)/([^/]+)/([^/]+)", name)
    if not match:
        raise ValueError(
            f"A plate of JUMP is named {GALLERY}<source>/<batch>/<plate>, for example"
            f" {GALLERY}source_8/J3/A1170384. Received: {name!r}"
        )
    source, batch, plate = match.groups()
    folder = f"{BUCKET}/cpg0016-jump/{source}/workspace/load_data_csv/{batch}/{plate}"
    table = next(
        (
            url
            for url in (f"{folder}/{file}" for file in LOAD_DATA)
            if storage.exists(url)
        ),
        None,
    )
    if table is None:
        raise FileNotFoundError(
            f"{name}: {folder} has none of {', '.join(LOAD_DATA)}. Is it the name of a"
            " plate?"
        )
    frame = read_loaddata(
        table, storage, images, [*replace, ("/home/ubuntu/bucket", BUCKET)]
    )
    for column, value in (("Metadata_Batch", batch), ("Metadata_Source", source)):
        if column not in frame:
            frame.insert(0, column, value)
    names = list_channels(frame)
    return choose_channels(
        frame, {_without_orig(name, names): name for name in names}, name
    )


def _without_orig(name, names):
    short = name.removeprefix("Orig")
    return name if short in names else short
