"""Identify the images of a folder without reading them."""

from __future__ import annotations

import os
from pathlib import Path

from training.layouts import list_files
from training.shards import identify_shards, is_shard_folder, read_index

SPLITS = ("train", "val")


def identify_images(data: str | os.PathLike[str]) -> str:
    """Return the digest by which `input.open_images` identifies a folder's images.

    Parameters
    ----------
    data : str or path
        Images, as `input.open_images` takes them.

    Returns
    -------
    str
        `Images.identity`.

    Raises
    ------
    FileNotFoundError, ValueError
        As `input.open_images`, except for errors that only reading reveals.
    """
    folder = Path(data)
    if is_shard_folder(folder):
        return identify_shards(read_index(folder))
    return list_files(folder, SPLITS).identify()
