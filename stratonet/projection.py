"""Principal components of features: few columns that can still be used, for tables that hold no more.

A projection is fitted once, to a table of features (see
`stratonet_sklearn.fit_projection`), and kept in a file. numpy is enough to apply it.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Mapping, Tuple
from zipfile import BadZipFile

import numpy as np

from stratonet.files.atomic import write_atomically


@dataclass(frozen=True, eq=False)
class Projection:
    """Principal components, of each channel for itself.

    Attributes
    ----------
    feature_set_id : str
        Of the features that it was fitted to. Others cannot be projected by it.
    taps : tuple of (str, int)
        Label and width of each tap whose features it takes, in their order.
    means : mapping of str to numpy.ndarray (n features), float32
        By channel.
    components : mapping of str to numpy.ndarray (n components, n features), float32
        By channel; the scale of each feature is in them.
    explained : mapping of str to numpy.ndarray (n components), float32
        By channel: share of the variance of the scaled features in each component.
    rows : int
        How many it was fitted to.
    """

    feature_set_id: str
    taps: Tuple[Tuple[str, int], ...]
    means: Mapping[str, np.ndarray]
    components: Mapping[str, np.ndarray]
    explained: Mapping[str, np.ndarray]
    rows: int

    @property
    def channels(self):
        return list(self.components)

    @property
    def width(self):
        """Number of components of each channel."""
        return len(next(iter(self.components.values())))

    @cached_property
    def id(self):
        """``pca<n>-<digest>``.

        The digest covers the feature set id, the taps, the channels, means and
        components.
        """
        digest = hashlib.sha256(
            json.dumps([self.feature_set_id, self.taps, self.channels]).encode()
        )
        for channel in self.channels:
            digest.update(
                self.means[channel].tobytes() + self.components[channel].tobytes()
            )
        return f"pca{self.width}-{digest.hexdigest()[:12]}"

    def transform(self, features, channel):
        """Components of features.

        Parameters
        ----------
        features : array (n, n features)
            Of the taps, in their order.
        channel : str

        Returns
        -------
        numpy.ndarray (n, n components), float32
            NaN where a feature is NaN.

        Raises
        ------
        ValueError
            It does not have the channel, or takes another number of features.
        """
        features = np.asarray(features, np.float64)
        if channel not in self.components:
            raise ValueError(
                f"The projection has the channels {', '.join(self.channels)}. Received:"
                f" {channel!r}."
            )
        if features.ndim != 2 or features.shape[1] != len(self.means[channel]):
            raise ValueError(
                f"The projection takes (n, {len(self.means[channel])}) features, of the"
                f" taps {_list_taps(self.taps)}. Received: {features.shape}."
            )
        centred = features - self.means[channel]
        return (centred @ self.components[channel].T.astype(np.float64)).astype(
            np.float32
        )

    def check(self, feature_set_id, taps, channels):
        """Refuse features that it was not fitted to.

        Parameters
        ----------
        feature_set_id : str
        taps : sequence of stratonet.card.Tap
        channels : sequence of str

        Raises
        ------
        ValueError
            Features of another id, other taps, or channels that it does not have; both
            sides are named.
        """
        wanted = tuple((tap.label, tap.width) for tap in taps)
        lacking = [channel for channel in channels if channel not in self.components]
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
        if lacking:
            raise ValueError(
                f"The projection has the channels {', '.join(self.channels)}. Received:"
                f" {', '.join(channels)}. Give images the names of its channels, or"
                " select others."
            )

    def save(self, path):
        """Write it to a file, whole or not at all. Its folder is made if missing."""
        about = {
            "feature_set_id": self.feature_set_id,
            "taps": self.taps,
            "rows": self.rows,
            "channels": self.channels,
        }
        arrays = {"about": np.array(json.dumps(about))}
        for name in ("means", "components", "explained"):
            arrays.update(
                {
                    f"{name}/{channel}": values
                    for channel, values in getattr(self, name).items()
                }
            )
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as partial, open(partial, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path):
        """Read a file; the same file gives the same object within a process.

        Raises
        ------
        FileNotFoundError
        ValueError
            Not a projection.
        """
        given, path = os.fspath(path), Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"No projection file {given!r}. stratonet project makes one from a"
                " table of features."
            )
        stat = path.stat()
        return _load_projection(cls, path.resolve(), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def _load_projection(cls, path, _modified, _size):
    try:
        with np.load(path) as file:
            about = json.loads(str(file["about"]))
            parts = {
                name: MappingProxyType(
                    {
                        channel: file[f"{name}/{channel}"]
                        for channel in about["channels"]
                    }
                )
                for name in ("means", "components", "explained")
            }
        return cls(
            about["feature_set_id"],
            tuple(map(tuple, about["taps"])),
            rows=about["rows"],
            **parts,
        )
    except (
        BadZipFile,
        EOFError,
        KeyError,
        ValueError,
        OSError,
        TypeError,
        AttributeError,
    ):  # any other content
        raise ValueError(
            f"{path} is not a projection. stratonet project makes one from a table of"
            " features."
        ) from None


def _list_taps(taps):
    return ", ".join(f"{label} ({width})" for label, width in taps)
