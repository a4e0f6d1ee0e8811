"""Pictures of wells: the most typical of each class, and the most mistaken."""

import numpy as np
from PIL import Image

from stratonet.extraction.sources.imagesets import (
    ImageSource,
    list_channels,
    read_image,
)
from stratonet.extraction.sources.read import read_source
from stratonet.files.storage import Storage
from stratonet.tables.columns import PLATE, SITE, WELL

EACH = 3
SIDE = 200  # pixels
# Colours of one, two and three channels, which those who cannot tell red from green see apart.
COLOURS = {
    1: [(1, 1, 1)],
    2: [(0, 1, 0), (1, 0, 1)],
    3: [(0, 1, 1), (1, 0, 1), (1, 1, 0)],
}


def pictures(source, rows, labels, shares, others=None):
    """The image sets to look at.

    Parameters
    ----------
    source : path
        A source of images as ``stratonet extract`` takes it.
    rows : pandas.DataFrame (n rows)
        Metadata of the image sets or wells that were classified.
    labels : numpy.ndarray (n,)
    shares : pandas.DataFrame (n rows, classes)
        For each class its share of votes.
    others : dict of str to numpy.ndarray (n,), optional
        The classes as told by other sets of features, to say which of them are right
        where this one is not.

    Returns
    -------
    list of dict
        For each class ``title``, ``typical`` and ``mistaken``: lists of (uint8 (height,
        width, 3), caption). Up to three channels in colours, each with one scale for
        all pictures.

    Raises
    ------
    ValueError
        A row has no image, or one that cannot be read.
    """
    storage = Storage()
    images = read_source(ImageSource(source)).frame
    channels = list_channels(images)[:3]
    keys = [key for key in (PLATE, WELL, SITE) if key in rows and key in images]
    if PLATE in images and images[PLATE].nunique() == 1 and rows[PLATE].nunique() == 1:
        keys.remove(PLATE)  # one plate may have no name in one of the tables
    files = (
        images.astype({key: str for key in keys}).drop_duplicates(keys).set_index(keys)
    )
    told = shares.to_numpy().argmax(axis=1)
    chosen = []
    for number, name in enumerate(shares):
        of_class, right = labels == name, told == number
        own = shares[name]
        chosen.append(
            {
                "title": name,
                "typical": own[of_class & right].nlargest(EACH).index.tolist(),
                "mistaken": own[of_class & ~right].nsmallest(EACH).index.tolist(),
            }
        )
    wanted = sorted(
        {row for one in chosen for kind in ("typical", "mistaken") for row in one[kind]}
    )
    planes = {
        row: [
            _plane(files, storage, rows.loc[row, keys], name, source)
            for name in channels
        ]
        for row in wanted
    }
    limits = [
        np.percentile(
            np.concatenate([stack[number].ravel() for stack in planes.values()]),
            (0.1, 99.9),
        )
        for number in range(len(channels))
    ]
    return [
        {
            "title": one["title"],
            "typical": [
                (_coloured(planes[row], limits), _where(rows.loc[row]))
                for row in one["typical"]
            ],
            "mistaken": [
                (
                    _coloured(planes[row], limits),
                    f"{_where(rows.loc[row])}: {shares.columns[told[row]]}"
                    + _right(others or {}, row, one["title"]),
                )
                for row in one["mistaken"]
            ],
        }
        for one in chosen
    ]


def _plane(files, storage, keys, channel, source):
    where = tuple(keys) if len(keys) > 1 else keys.iloc[0]
    if where not in files.index:
        raise ValueError(
            f"{source} has no image of {', '.join(keys)}, which a table of features"
            " has."
        )
    row = files.loc[where]
    plane = read_image(row, channel, storage)
    shown = Image.fromarray(plane.astype(np.float32))
    shown.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(shown)


def _coloured(planes, limits):
    colours = np.array(COLOURS[len(planes)], np.float32)
    light = [
        np.clip((plane - low) / max(high - low, 1e-6), 0, 1)
        for plane, (low, high) in zip(planes, limits)
    ]
    return (
        255 * np.clip(np.tensordot(np.stack(light, axis=-1), colours, 1), 0, 1)
    ).astype(np.uint8)


def _right(others, row, label):
    right = [name for name, told in others.items() if told[row] == label]
    return f": right by {', '.join(right)}" if right else ""


def _where(row):
    site = f" site {row[SITE]}" if SITE in row else ""
    return f"{row[PLATE]} {row[WELL]}{site}"
