"""Door one: a scikit-learn transformer from images to StratoNet features."""

import os

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_array,
    check_is_fitted,
    validate_data,
)
from tqdm.auto import tqdm

from stratonet import StratoNet
from stratonet.files.images import read_plane
from stratonet.naming import feature_names


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
        Where features are taken: ``"low"``, ``"medium"``, ``"high"`` or layer names.
        None takes those three.

    channels : list of str or None, default=None
        Names of the channels. None takes the column names of a DataFrame, and
        ``Channel1``, ``Channel2``, ... for anything else.

    provider : str, default="CPUExecutionProvider"
        The ONNX Runtime execution provider.

    verbose : bool, default=False
        Show a progress bar.

    Attributes
    ----------
    channels_ : list of str
        Names of the channels, as they stand in the names of the features.

    n_features_in_ : int
        Number of channels seen during `fit`.

    feature_names_in_ : ndarray of shape (n_channels,)
        Names of the columns seen during `fit`, when it was given a DataFrame.

    feature_set_id_ : str
        Which network and preprocessing made the features, see `stratonet.StratoNet`.

    See Also
    --------
    stratonet.StratoNet : The network, for planes and without scikit-learn.

    References
    ----------
    ---------- van Elswijk, M. (2024). StratoNet, a deep learning approach to high
    content screening feature extraction. Master's thesis, Leiden University.

    Examples
    --------
    >>> import numpy as np
    >>> from stratonet_sklearn import StratoFeatureTransformer
    >>> images = np.random.default_rng(0).integers(0, 4096, (2, 64, 64),
    dtype=np.uint16)
    >>> StratoFeatureTransformer(taps="low").fit_transform(images).shape
    (2, 512)
    """

    _parameter_constraints: dict = {
        "weights": [str, os.PathLike],
        "taps": [str, list, tuple, None],
        "channels": [list, tuple, None],
        "provider": [str],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        weights="stratonet50",
        taps=None,
        channels=None,
        provider="CPUExecutionProvider",
        verbose=False,
    ):
        self.weights = weights
        self.taps = taps
        self.channels = channels
        self.provider = provider
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Note the channels, and check that their names and the taps are sound. No pixel is read.

        Parameters
        ----------
        X : array, list or DataFrame
            See `transform`.
        y : None
            Ignored.

        Returns
        -------
        self : object
        """
        _, count = self._image_sets(X)
        validate_data(self, X, reset=True, skip_check_array=True, ensure_2d=False)
        named = self.channels
        if named is None:
            named = getattr(
                self,
                "feature_names_in_",
                [f"Channel{number}" for number in range(1, count + 1)],
            )
        if len(named) != count:
            raise ValueError(
                f"channels names {len(named)} channels: {list(named)}. Received images"
                f" with {count}."
            )
        net = self._net()
        feature_names(net.taps, named)
        self.channels_ = list(named)
        self.n_features_in_ = count
        self.feature_set_id_ = net.feature_set_id
        return self

    def transform(self, X):
        """Turn images into features.

        Parameters
        ----------
        X : array, list or DataFrame
            - array (n, height, width): one channel; array (n, height, width, channels);
            - list of n such images without the first axis, of any sizes;
            - DataFrame or 2-D object array of paths or URLs, one row an image set, one
              column a channel.

        Returns
        -------
        ndarray of shape (n, n_channels * features of one channel), float32

        Raises
        ------
        ValueError, TypeError, OSError
            Images that are not what `fit` has seen or cannot be measured; the message
            names the file or the place.
        """
        check_is_fitted(self)
        images, count = self._image_sets(X)
        validate_data(self, X, reset=False, skip_check_array=True, ensure_2d=False)
        if count != self.n_features_in_:
            raise ValueError(
                f"X has {count} features, but {type(self).__name__} is expecting"
                f" {self.n_features_in_} features as input: one a channel."
            )
        net = self._net()
        total = len(images) * count
        features = np.empty((total, net.width), np.float32)
        places = (
            (number, channel, image)
            for number, image in enumerate(images)
            for channel in range(count)
        )
        rows = net.stream(places, read=_read, name=_name)
        for number, row in enumerate(
            tqdm(rows, total=total, disable=not self.verbose, unit="plane")
        ):
            features[number] = row
        return features.reshape(len(images), count * net.width)

    def get_feature_names_out(self, input_features=None):
        """Names of the features: all of the first channel, then all of the next.

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
        return np.asarray(self._net().feature_names(self.channels_), dtype=object)

    @staticmethod
    def _image_sets(X):
        """The images of X, each (height, width), (height, width, channels) or (paths), and how many channels it has."""
        received = type(X).__name__
        if not isinstance(X, (list, tuple)):
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
            for (row, column), path in np.ndenumerate(X):
                if not isinstance(path, (str, os.PathLike)):
                    raise ValueError(
                        f"Image paths are strings. Received in row {row}, column"
                        f" {column}: {path!r}"
                    )
            return X, X.shape[1]
        images = [np.asarray(image) for image in X]
        for number, image in enumerate(images):
            if image.ndim not in (2, 3):
                raise ValueError(
                    f"{_EXPECTED} Received: {received}, image {number} of shape"
                    f" {image.shape} and dtype {image.dtype}."
                )
        counts = {image.shape[2] if image.ndim == 3 else 1 for image in images}
        if len(counts) > 1 or 0 in counts:
            raise ValueError(
                "All images need the same channels. Received images with"
                f" {sorted(counts)} channels."
            )
        return images, counts.pop()

    def _net(self):
        return StratoNet.load(self.weights, self.taps, self.provider)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags


_EXPECTED = (
    "X is an array (n, height, width) or (n, height, width, channels), a list of images"
    " (height, width) or (height, width, channels), or a DataFrame or 2-D object array"
    " of image paths with one column a channel. Reshape your data with X[np.newaxis] if"
    " it is one sample, a single image."
)


def _read(place):
    _, channel, image = place
    if image.ndim == 1:
        return read_plane(image[channel])
    return image if image.ndim == 2 else image[..., channel]


def _name(place):
    number, channel, image = place
    return image[channel] if image.ndim == 1 else f"Image {number}, channel {channel}"
