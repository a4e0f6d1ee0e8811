"""Principal components of features, for tables that cannot hold more columns.

A projection is fitted once, to a table of features (see
`stratonet_sklearn.fit_projection`), and stored in a file. Applying it only needs numpy.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

from stratonet.files.atomic import write_atomically

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from stratonet.recipe import FeatureBlock

# The arrays of a projection, by channel; in its file they are ``<name>/<channel>``.
ARRAYS = ("means", "components", "explained")


@dataclass(frozen=True, eq=False)
class Projection:
    """Principal components, of each channel separately.

    Attributes
    ----------
    feature_set_id : str
        Of the features that it was fitted to. It cannot project others.
    taps : tuple of (str, int)
        Label and width of each tap whose features it takes, in their order.
    means : mapping of str to numpy.ndarray (n features), float32
        By channel.
    components : mapping of str to numpy.ndarray (n components, n features), float32
        By channel; they include the scale of each feature.
    explained : mapping of str to numpy.ndarray (n components), float32
        By channel: the share of the variance of the scaled features in each component.
    rows : int
        Number of rows that it was fitted to.

    Examples
    --------
    >>> projection = Projection(
    ...     feature_set_id="stratonet50-1.0.0-9b08ec5a4d6a",
    ...     taps=(("High", 2),),
    ...     means={"DNA": np.array([1, 2], np.float32)},
    ...     components={"DNA": np.array([[0, 3]], np.float32)},
    ...     explained={"DNA": np.array([0.9], np.float32)},
    ...     rows=100,
    ... )
    >>> projection.transform([[1, 4]], "DNA")
    array([[6.]], dtype=float32)
    """

    feature_set_id: str
    taps: tuple[tuple[str, int], ...]
    means: Mapping[str, np.ndarray]
    components: Mapping[str, np.ndarray]
    explained: Mapping[str, np.ndarray]
    rows: int

    @property
    def channels(self) -> list[str]:
        """Names of the channels, in their order."""
        return list(self.components)

    @property
    def width(self) -> int:
        """Number of components of each channel."""
        first = next(iter(self.components.values()))
        return len(first)

    @cached_property
    def id(self) -> str:
        """Identity of its numbers, ``pca<n>-<digest>``.

        The digest covers the feature set id, the taps, the channels, means and
        components.
        """
        about = json.dumps([self.feature_set_id, self.taps, self.channels])
        digest = hashlib.sha256(about.encode())
        for channel in self.channels:
            digest.update(self.means[channel].tobytes())
            digest.update(self.components[channel].tobytes())
        return f"pca{self.width}-{digest.hexdigest()[:12]}"

    def transform(self, features: ArrayLike, channel: str) -> np.ndarray:
        """Turn features into components.

        Parameters
        ----------
        features : array (n, n features)
            Of the taps, in their order.
        channel : str
            One of ``channels``.

        Returns
        -------
        numpy.ndarray (n, n components), float32
            NaN where a feature is NaN.

        Raises
        ------
        ValueError
            The projection lacks the channel, or takes another number of features.
        """
        features = np.asarray(features, np.float64)
        if channel not in self.components:
            raise ValueError(
                f"The projection has the channels {', '.join(self.channels)}. Received:"
                f" {channel!r}."
            )
        width = len(self.means[channel])
        if features.ndim != 2 or features.shape[1] != width:
            raise ValueError(
                f"The projection takes (n, {width}) features, of the taps"
                f" {_list_taps(self.taps)}. Received: {features.shape}."
            )
        centred = features - self.means[channel]
        # Thousands of products are summed in float64, and rounded once.
        components = self.components[channel].astype(np.float64)
        return (centred @ components.T).astype(np.float32)

    def check(
        self,
        feature_set_id: str,
        blocks: Iterable[FeatureBlock],
        channels: Sequence[str],
    ) -> None:
        """Refuse features that the projection was not fitted to.

        Parameters
        ----------
        feature_set_id : str
            Of the network that measures.
        blocks : iterable of stratonet.recipe.FeatureBlock
            The blocks that are measured.
        channels : sequence of str
            The channels that are measured.

        Raises
        ------
        ValueError
            The id, the taps or the channels differ from those of the projection; the
            message names both.
        """
        wanted = tuple((block.label, block.width) for block in blocks)
        missing = [channel for channel in channels if channel not in self.components]
        if feature_set_id != self.feature_set_id:
            raise ValueError(
                f"The projection was fitted to features of {self.feature_set_id}, and"
                f" the network makes {feature_set_id}. Choose that network, or fit a"
                " projection to features of this one."
            )
        if wanted != self.taps:
            raise ValueError(
                f"The projection was fitted to the taps {_list_taps(self.taps)}."
                f" Received: {_list_taps(wanted)}. Select its taps."
            )
        if missing:
            raise ValueError(
                f"The projection has the channels {', '.join(self.channels)}. Received:"
                f" {', '.join(channels)}. Give images the names of its channels, or"
                " select others."
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the projection to a file, completely or not at all.

        Parameters
        ----------
        path : str or path
            Ends in ``.npz``. Its folder is made if missing.

        Raises
        ------
        OSError
            It cannot be written.
        """
        about = {
            "feature_set_id": self.feature_set_id,
            "taps": self.taps,
            "rows": self.rows,
            "channels": self.channels,
        }
        arrays = {"about": np.array(json.dumps(about))}
        for name in ARRAYS:
            for channel, values in getattr(self, name).items():
                arrays[f"{name}/{channel}"] = values
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as unfinished, open(unfinished, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Projection:
        """Read a file; the same file gives the same object within a process.

        Parameters
        ----------
        path : str or path
            Written by `save`.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            The file is not a projection.
        """
        shown = os.fspath(path)
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"No projection file {shown!r}. stratonet project makes one from a"
                " table of features."
            )
        stat = path.stat()
        return _load_projection(path.resolve(), stat.st_mtime_ns, stat.st_size)


# Time and size distinguish one state of the file from another.
@lru_cache(maxsize=4)
def _load_projection(path: Path, modified: int, size: int) -> Projection:
    try:
        return _read_projection(path)
    # The errors that other content can cause.
    except (
        AttributeError,
        BadZipFile,
        EOFError,
        KeyError,
        OSError,
        TypeError,
        ValueError,
    ):
        raise ValueError(
            f"{path} is not a projection. stratonet project makes one from a table of"
            " features."
        ) from None


def _read_projection(path: Path) -> Projection:
    with np.load(path) as file:
        about = json.loads(str(file["about"]))
        means, components, explained = (
            MappingProxyType(
                {channel: file[f"{name}/{channel}"] for channel in about["channels"]}
            )
            for name in ARRAYS
        )
    return Projection(
        about["feature_set_id"],
        tuple((label, width) for label, width in about["taps"]),
        means,
        components,
        explained,
        about["rows"],
    )


def _list_taps(taps: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{label} ({width})" for label, width in taps)
