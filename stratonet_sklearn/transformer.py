"""A scikit-learn transformer from images to StratoNet features."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils import Tags
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_array,
    check_is_fitted,
    validate_data,
)
from tqdm.auto import tqdm

from stratonet import Recipe, StratoNet
from stratonet.axes import check_axes
from stratonet.files.images import read_plane
from stratonet.files.urls import redact_url
from stratonet.limits import (
    GreyRange,
    PlateLimits,
    apply_grey_range,
    read_grey_range,
    take_channels,
)
from stratonet.naming import feature_names
from stratonet.recipe import OF_PLANE, OF_PLATE
from stratonet.weights_file import read_card


class StratoFeatureTransformer(TransformerMixin, BaseEstimator):
    """Turn fluorescence images into StratoNet features.

    Every channel goes through the network alone, so each has its own columns, named by
    channel, tap and number: ``StratoFeatures_High0012_DNA``. Nothing is learnt from the
    data: `fit` notes the channels.

    Parameters
    ----------
    weights : str or path-like, default="stratonet50"
        The name of weights that ship with StratoNet, or the path of an ``.onnx``
        weights file.

    taps : str, list of str or None, default=None
        Where features are taken: ``"low"``, ``"medium"``, ``"high"`` or layer names;
        ``"intensity"`` is the brightness of images. None takes the first three.

    channels : list of str or None, default=None
        Names of the channels. None takes the column names of a DataFrame, and
        ``Channel1``, ``Channel2``, ... for anything else.

    recipe : str, Recipe or None, default=None
        How images become features: a name in the card of the weights, such as
        ``"cells"``, a text such as ``"tiles224/mean+sd"``, or a `stratonet.Recipe`.
        None takes what the card recommends.

    grey_range : "plane", dict, str, path-like or PlateLimits, default="plane"
        Which grey values become black and white:

        - ``"plane"``: the 0.1 and 99.9 percentiles of each image;
        - dict: limits for each channel, such as ``{"DNA": (100, 4000)}``, in the units
          of the images;
        - the path of a file (or `stratonet.limits.PlateLimits`) of one plate, as
          ``stratonet extract --grey-range plate`` keeps them in ``_grey_limits``.

    provider : str, default="CPUExecutionProvider"
        The ONNX Runtime execution provider.

    verbose : bool, default=False
        Show a progress bar.

    Attributes
    ----------
    channels_ : list of str
        Names of the channels, as in the names of the features.

    n_features_in_ : int
        Number of channels seen during `fit`.

    feature_names_in_ : ndarray of shape (n_channels,)
        Names of the columns seen during `fit`, when it was given a DataFrame.

    feature_set_id_ : str
        Which network and preprocessing the features come from, see
        `stratonet.StratoNet`.

    recipe_ : Recipe
        How images become features.

    limits_ : dict of str to (float, float), or None
        By channel, the grey values that become black and white; None where each image
        has its own.

    See Also
    --------
    stratonet.StratoNet : The network, for planes and without scikit-learn.

    References
    ----------
    van Elswijk, M. (2024). StratoNet, a deep learning approach to high content
    screening feature extraction. Master's thesis, Leiden University.

    Examples
    --------
    Two image sets of one channel; the earliest layer is the quickest:

    >>> import numpy as np
    >>> from stratonet_sklearn import StratoFeatureTransformer
    >>> rng = np.random.default_rng(0)
    >>> images = rng.integers(0, 4096, (2, 32, 32), dtype=np.uint16)
    >>> transformer = StratoFeatureTransformer(
    ...     taps="conv2_block1_out", channels=["DNA"]
    ... )
    >>> features = transformer.fit_transform(images)
    >>> features.shape, features.dtype
    ((2, 512), dtype('float32'))
    >>> transformer.get_feature_names_out()[0]
    'StratoFeatures_Conv2Block10000_DNA'
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "weights": [str, os.PathLike],
        "taps": [str, list, tuple, None],
        "channels": [list, tuple, None],
        "recipe": [str, Recipe, None],
        "grey_range": [str, os.PathLike, dict, PlateLimits],
        "provider": [str],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        weights: str | os.PathLike[str] = "stratonet50",
        taps: str | Sequence[str] | None = None,
        channels: Sequence[str] | None = None,
        recipe: str | Recipe | None = None,
        grey_range: GreyRange | os.PathLike[str] = OF_PLANE,
        provider: str = "CPUExecutionProvider",
        verbose: bool = False,
    ) -> None:
        self.weights = weights
        self.taps = taps
        self.channels = channels
        self.recipe = recipe
        self.grey_range = grey_range
        self.provider = provider
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: object = None) -> StratoFeatureTransformer:
        """Note the channels, and check them and the parameters. No pixel is read.

        Parameters
        ----------
        X : array, list or DataFrame
            See `transform`.
        y : None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, FileNotFoundError
            X holds no images, or a parameter does not suit them.
        """
        _, n_channels = self._image_sets(X)
        # It notes names of columns; its checks of values are for tables of numbers.
        validate_data(self, X, reset=True, skip_check_array=True, ensure_2d=False)
        channels = self._name_channels(n_channels)
        self._choose_recipe(channels)
        net = self._load_network()
        # Refuses names that no column can have.
        feature_names(net.blocks, channels)
        self.channels_ = channels
        self.n_features_in_ = n_channels
        self.feature_set_id_ = net.feature_set_id
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Turn images into features.

        Parameters
        ----------
        X : array, list or DataFrame
            - array (n, height, width): one channel; array (n, height, width, channels);
            - list of n such images without the first axis, of any sizes;
            - DataFrame or 2-D object array of paths or URLs, one row per image set, one
              column per channel.

        Returns
        -------
        ndarray of shape (n, n_channels * features of one channel), float32
            All features of the first channel, then all of the next.

        Raises
        ------
        ValueError, TypeError, OSError
            Images that are not what `fit` has seen or cannot be measured; the message
            names the file, or the image by its number.
        """
        check_is_fitted(self)
        images, n_channels = self._image_sets(X)
        validate_data(self, X, reset=False, skip_check_array=True, ensure_2d=False)
        if n_channels != self.n_features_in_:
            # scikit-learn's own words, which its checks look for.
            raise ValueError(
                f"X has {n_channels} features, but {type(self).__name__} is expecting"
                f" {self.n_features_in_} features as input: one per channel."
            )
        net = self._load_network()
        n_planes = len(images) * n_channels
        # Filled as they come: stacked at the end, they would be in memory twice.
        features = np.empty((n_planes, net.width), np.float32)
        rows = net.stream(
            _list_planes(images, n_channels),
            read=_read_pixels,
            name=_name_plane,
            choose_limits=self._choose_limits,
        )
        progress = tqdm(rows, total=n_planes, disable=not self.verbose, unit="plane")
        for number, row in enumerate(progress):
            features[number] = row
        return features.reshape(len(images), n_channels * net.width)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Get the names of the features: all of the first channel, then of the next.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only used to validate feature names with the names seen in `fit`.

        Returns
        -------
        ndarray of str objects
        """
        check_is_fitted(self)
        _check_feature_names_in(self, input_features, generate_names=False)
        names = self._load_network().feature_names(self.channels_)
        return np.asarray(names, dtype=object)

    def _name_channels(self, n_channels: int) -> list[str]:
        channels = self.channels
        if channels is None:
            numbers = range(1, n_channels + 1)
            numbered = [f"Channel{number}" for number in numbers]
            # What `validate_data` has noted of a DataFrame.
            channels = getattr(self, "feature_names_in_", numbered)
        if len(channels) != n_channels:
            raise ValueError(
                f"channels names {len(channels)} channels: {list(channels)}. Received"
                f" images with {n_channels}."
            )
        return list(channels)

    def _choose_recipe(self, channels: Sequence[str]) -> None:
        """Note the recipe, and the limits of grey values that are given."""
        if self.grey_range == OF_PLATE:
            raise ValueError(
                f"grey_range={OF_PLATE!r} is for plates: give the file of its limits."
            )
        grey_range = read_grey_range(self.grey_range)
        recipe = read_card(self.weights).choose_recipe(self.recipe)
        self.recipe_ = apply_grey_range(recipe, grey_range, channels)
        if isinstance(grey_range, PlateLimits):
            grey_range = grey_range.choose()
        self.limits_ = None
        if not isinstance(grey_range, str):
            self.limits_ = take_channels(grey_range, channels)

    def _choose_limits(self, plane: _Plane) -> tuple[float, float] | None:
        channel = self.channels_[plane.channel]
        return None if self.limits_ is None else self.limits_[channel]

    @staticmethod
    def _image_sets(X: ArrayLike) -> tuple[Sequence[np.ndarray], int]:
        """Return the images of X, and how many channels they have.

        Images are (height, width) or (height, width, channels) pixels, or (channels,)
        paths.
        """
        received = type(X).__name__
        if not isinstance(X, (list, tuple)):
            # Of scikit-learn's checks only what holds for images too: no sparse
            # matrix, no complex numbers.
            X = check_array(
                X,
                dtype=None,
                ensure_2d=False,
                allow_nd=True,
                ensure_all_finite=False,
                ensure_min_samples=0,
            )
            received += f" of shape {X.shape} and dtype {X.dtype}"
            X = np.atleast_1d(X)
        if len(X) == 0:
            raise ValueError(
                "Found array with 0 sample(s) while a minimum of 1 is required."
                f" Received: {received}."
            )
        if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "OU":
            _check_paths(X)
            return X, X.shape[1]
        images = [np.asarray(image) for image in X]
        return images, _count_channels(images, received)

    def _load_network(self) -> StratoNet:
        # Cached within a process, and not an attribute: dumps stay small.
        return StratoNet.load(self.weights, self.taps, self.provider, self.recipe_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        # Features are float32, whatever the pixels are.
        tags.transformer_tags.preserves_dtype = []
        return tags


_EXPECTED = (
    "X is an array (n, height, width) or (n, height, width, channels), a list of images"
    " (height, width) or (height, width, channels), or a DataFrame or 2-D object array"
    " of image paths with one column per channel. Reshape your data with X[np.newaxis]"
    " if it is one sample, a single image."
)


@dataclass(frozen=True)
class _Plane:
    """A channel of an image set: where its pixels are, and how a message names it."""

    number: int
    channel: int
    image: np.ndarray

    @property
    def is_path(self) -> bool:
        """Whether the image is a row of paths, not pixels."""
        return self.image.ndim == 1


def _check_paths(paths: np.ndarray) -> None:
    # Before any image is read: an empty cell (NaN) may be in the last row, hours later.
    for (row, column), path in np.ndenumerate(paths):
        if not isinstance(path, (str, os.PathLike)):
            raise ValueError(
                f"Image paths are strings. Received in row {row}, column {column}:"
                f" {path!r}"
            )


def _count_channels(images: Sequence[np.ndarray], received: str) -> int:
    """Count the channels of pixels, which all images share."""
    for number, image in enumerate(images):
        if image.ndim not in (2, 3):
            raise ValueError(
                f"{_EXPECTED} Received: {received}, image {number} of shape"
                f" {image.shape} and dtype {image.dtype}."
            )
        if image.size:
            check_axes(image.shape, f"Image {number}")
    # An image (height, width) is one of one channel.
    counts = set()
    for image in images:
        counts.add(image.shape[2] if image.ndim == 3 else 1)
    if len(counts) > 1 or 0 in counts:
        raise ValueError(
            "All images need the same channels. Received images with"
            f" {sorted(counts)} channels."
        )
    return counts.pop()


def _list_planes(images: Sequence[np.ndarray], n_channels: int) -> Iterator[_Plane]:
    """List planes in the order of the features: the channels of an image together."""
    for number, image in enumerate(images):
        for channel in range(n_channels):
            yield _Plane(number, channel, image)


def _read_pixels(plane: _Plane) -> np.ndarray:
    """Read the pixels, (height, width)."""
    if plane.is_path:
        return read_plane(plane.image[plane.channel])
    return plane.image if plane.image.ndim == 2 else plane.image[..., plane.channel]


def _name_plane(plane: _Plane) -> str:
    if plane.is_path:
        return redact_url(plane.image[plane.channel])
    return f"Image {plane.number}, channel {plane.channel}"
