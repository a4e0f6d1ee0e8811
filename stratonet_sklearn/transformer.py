"""A scikit-learn transformer from images to StratoNet features."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils import Tags
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_is_fitted,
    validate_data,
)

from stratonet import Recipe, StratoNet
from stratonet.limits import (
    GreyRange,
    PlateLimits,
    apply_grey_range,
    read_grey_range,
    take_channels,
)
from stratonet.naming import feature_names
from stratonet.preprocessing import PreparedPlane
from stratonet.recipe import OF_PLANE, OF_PLATE
from stratonet.weights_file import read_card
from stratonet_sklearn.cache import find_folder
from stratonet_sklearn.images import (
    Plane,
    check_paths,
    list_planes,
    prepare_image,
    read_images,
    take_images,
    word_reasons,
)
from stratonet_sklearn.measuring import Measuring, measure_planes, open_measuring


class StratoFeatureTransformer(TransformerMixin, BaseEstimator):
    """Turn fluorescence images into StratoNet features.

    Every channel goes through the network alone, so each has its own columns, named by
    channel, tap and number: ``StratoFeatures_High0012_DNA``. Nothing is learnt from the
    data: `fit` notes the channels.

    Parameters
    ----------
    weights : str or path-like, default="stratonet50"
        The name of weights that ship with StratoNet (``"stratonet50-int8"`` is faster),
        or the path of an ``.onnx`` weights file.

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

    pixel_size : float or None, default=None
        Micrometres per pixel, for a recipe in micrometres, such as
        ``"tiles224-75um/mean+sd"``. Change it for images of another magnification: it
        is not part of the feature set.

    provider : str, default="CPUExecutionProvider"
        What runs the network: ``"cpu"``, ``"cuda"``, ..., or ``"auto"``, see
        `stratonet.StratoNet.load`.

    on_error : {"raise", "nan"}, default="raise"
        What happens to an image that is missing or cannot be measured: ``"raise"``
        stops `transform` at the first one; ``"nan"`` makes its features NaN, and a
        warning lists the first ten with their causes. A disk or server that cannot be
        reached always stops it.

    cache : {None, "auto"}, str or path-like, default=None
        Where features are kept on disk, so that no plane is measured twice, however
        often folds and searches ask for it: None keeps nothing, ``"auto"`` uses the
        folder where the system keeps a user's caches, and a path names another folder.
        A cache holds the features of all taps, takes 10 GB at most, and can be shared
        by many processes.

    verbose : bool, default=False
        Show a progress bar.

    Attributes
    ----------
    channels_ : list of str
        Names of the channels, as in the names of the features.

    n_features_in_ : int
        Number of channels seen during `fit`.

    feature_names_in_ : ndarray of shape (n_channels,)
        Names of the columns seen during `fit`, if X had column names.

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
        "pixel_size": [Real, None],
        "provider": [str],
        "on_error": [StrOptions({"raise", "nan"})],
        "cache": [str, os.PathLike, None],
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
        pixel_size: float | None = None,
        provider: str = "CPUExecutionProvider",
        on_error: str = "raise",
        cache: str | os.PathLike[str] | None = None,
        verbose: bool = False,
    ) -> None:
        self.weights = weights
        self.taps = taps
        self.channels = channels
        self.recipe = recipe
        self.grey_range = grey_range
        self.pixel_size = pixel_size
        self.provider = provider
        self.on_error = on_error
        self.cache = cache
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
        if self.cache is not None:
            find_folder(self.cache)
        X = take_images(X)
        images, n_channels = self._image_sets(X)
        check_paths(X, images, may_lack=self.on_error == "nan")
        # This stores column names; its checks of values are for tables of numbers.
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
            - paths or URLs: a list or column for one channel; a DataFrame (of pandas,
              polars or Arrow) or 2-D array with one row per image set and one column
              per channel.

        Returns
        -------
        ndarray of shape (n, n_channels * features of one channel), float32
            All features of the first channel, then all of the next.

        Raises
        ------
        ValueError, TypeError, OSError
            The images do not match those that `fit` saw, or cannot be measured; the
            message gives the file, or the number of the image. Or the weights are not
            those of `fit`.
        """
        features, reasons = self._measure(X, self.on_error)
        if (reasons != "").any():
            warnings.warn(word_reasons(reasons, self.channels_), stacklevel=2)
        return features

    def transform_with_reasons(self, X: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Turn images into features, and say which could not be measured, and why.

        Parameters
        ----------
        X : array, list or DataFrame
            See `transform`.

        Returns
        -------
        features : ndarray of shape (n, n_channels * features of one channel), float32
            NaN where an image could not be measured, whatever ``on_error`` is.
        reasons : ndarray of shape (n, n_channels), object
            Why each image could not be measured, with its path or number; ``""`` where
            it was.

        Raises
        ------
        ValueError, OSError
            The images do not match those that `fit` saw, a disk or server cannot be
            reached, or the weights are not those of `fit`.

        Examples
        --------
        >>> import numpy as np
        >>> images = np.random.default_rng(0).random((3, 32, 32))
        >>> images[1, 5, 5] = np.nan
        >>> transformer = StratoFeatureTransformer(taps="conv2_block1_out").fit(images)
        >>> features, reasons = transformer.transform_with_reasons(images)
        >>> features[(reasons == "").all(axis=1)].shape
        (2, 512)
        """
        return self._measure(X, "nan")

    def _measure(self, X: ArrayLike, on_error: str) -> tuple[np.ndarray, np.ndarray]:
        """Return features, and reasons where there are none."""
        check_is_fitted(self)
        X = take_images(X)
        images, n_channels = self._image_sets(X)
        check_paths(X, images, may_lack=on_error == "nan")
        validate_data(self, X, reset=False, skip_check_array=True, ensure_2d=False)
        if n_channels != self.n_features_in_:
            # The wording of scikit-learn, which its checks look for.
            raise ValueError(
                f"X has {n_channels} features, but {type(self).__name__} is expecting"
                f" {self.n_features_in_} features as input: one per channel."
            )
        # It may have been changed since `fit`.
        self.recipe_.check_pixel_size(self.pixel_size)
        net = self._load_fitted_network()
        with open_measuring(net, self.weights, self.cache) as measuring:
            features, reasons = measure_planes(
                measuring,
                list_planes(images, n_channels),
                partial(self._prepare, measuring),
                on_error,
                bool(self.verbose),
            )
        n_features = n_channels * net.width
        return features.reshape(-1, n_features), reasons.reshape(-1, n_channels)

    def _prepare(self, measuring: Measuring, plane: Plane) -> PreparedPlane:
        channel = self.channels_[plane.channel]
        limits = None if self.limits_ is None else self.limits_[channel]
        return prepare_image(
            plane,
            lambda pixels: measuring.prepare(pixels, limits, self.pixel_size),
        )

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
        names = self._load_fitted_network().feature_names(self.channels_)
        return np.asarray(names, dtype=object)

    def _name_channels(self, n_channels: int) -> list[str]:
        channels = self.channels
        if channels is None:
            numbers = range(1, n_channels + 1)
            numbered = [f"Channel{number}" for number in numbers]
            # The names that `validate_data` stored for a DataFrame.
            channels = getattr(self, "feature_names_in_", numbered)
        if len(channels) != n_channels:
            raise ValueError(
                f"channels names {len(channels)} channels: {list(channels)}. Received"
                f" images with {n_channels}."
            )
        return list(channels)

    def _choose_recipe(self, channels: Sequence[str]) -> None:
        """Set the recipe, and the limits of grey values if there are any."""
        if self.grey_range == OF_PLATE:
            raise ValueError(
                f"grey_range={OF_PLATE!r} needs the limits of a plate: give their file."
            )
        grey_range = read_grey_range(self.grey_range)
        recipe = read_card(self.weights).choose_recipe(self.recipe)
        recipe.check_pixel_size(self.pixel_size)
        self.recipe_ = apply_grey_range(recipe, grey_range, channels)
        if isinstance(grey_range, PlateLimits):
            grey_range = grey_range.choose()
        self.limits_ = None
        if not isinstance(grey_range, str):
            self.limits_ = take_channels(grey_range, channels)

    @staticmethod
    def _image_sets(X: ArrayLike) -> tuple[Sequence[np.ndarray], int]:
        return read_images(X)

    def _load_network(self) -> StratoNet:
        # Cached within a process, and not an attribute: dumps stay small.
        return StratoNet.load(self.weights, self.taps, self.provider, self.recipe_)

    def _load_fitted_network(self) -> StratoNet:
        """Load the network of `fit`, and refuse another that took its place."""
        net = self._load_network()
        if net.feature_set_id != self.feature_set_id_:
            raise ValueError(
                f"This {type(self).__name__} was fitted with the weights of"
                f" {self.feature_set_id_}, but {str(self.weights)!r} now holds those of"
                f" {net.feature_set_id}, whose features cannot be compared. Restore the"
                " weights (those that ship: install that version of stratonet), or fit"
                " this object again, and everything that was fitted to its features."
            )
        return net

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        # Features are float32, whatever the pixels are.
        tags.transformer_tags.preserves_dtype = []
        return tags
