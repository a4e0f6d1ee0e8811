"""The shared trained network.

A weights file, opened once a process, that turns planes into features.
"""

import hashlib
import os
import threading
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from stratonet import naming, preprocessing
from stratonet.card import Card
from stratonet.parallel import count_cores, get_worker_pool, map_ahead

WEIGHTS = Path(__file__).parent / "weights"


def read_card(weights="stratonet50"):
    """The card of weights, by name or path as in `StratoNet.load`, without opening the network."""
    return _read_card(*_find_weights(weights))


def read_feature_set_id(weights="stratonet50"):
    """The feature set id of weights, by name or path, without opening the network.

    See `StratoNet`.
    """
    return _read_feature_set_id(*_find_weights(weights))


class StratoNet:
    """A trained network that turns planes into features. Made by `StratoNet.load`.

    Attributes
    ----------
    card : Card
        What the weights file says of itself.
    taps : tuple of Tap
        The taps that were chosen, in the order of the network.
    feature_set_id : str
        Name, version and a digest of the weights file, the card in it included.
        Features with the same id, from whichever door, can be compared.
    provider : str
        The ONNX Runtime execution provider.
    """

    def __init__(self, path, taps, provider):
        import onnxruntime  # heavier than all of the rest: not before it is used

        from stratonet import _onnx

        there = onnxruntime.get_available_providers()
        if provider not in there:
            raise ValueError(
                f"This ONNX Runtime has the providers {', '.join(there)}. Received:"
                f" {provider!r}"
            )
        content = path.read_bytes()
        model, self.card = _parse_weights(content, path)
        self.taps = self.card.choose_taps(taps)
        self.provider = provider
        self.feature_set_id = _make_feature_set_id(self.card, content)

        options = onnxruntime.SessionOptions()
        # One plane a thread: faster than a plane on all cores, and the numbers do not depend on how many there are.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._outputs = [tap.layer for tap in self.taps]
        self._session = onnxruntime.InferenceSession(
            _onnx.cut_after(model, self._outputs), options, providers=[provider]
        )
        (self._input,) = (value.name for value in self._session.get_inputs())

    @classmethod
    def load(cls, weights="stratonet50", taps=None, provider="CPUExecutionProvider"):
        """Open a weights file; the same arguments give the same object within a process.

        Parameters
        ----------
        weights : str or path
            A name that ships with the package (``"stratonet50"``), or the path of an
            ``.onnx`` weights file.
        taps : str or sequence of str, optional
            Aliases (``"low"``, ``"medium"``, ``"high"``) or layer names. Default: every
            tap with an alias. The network is cut behind the last of them, so that low
            alone is cheaper than all.
        provider : str
            Any execution provider of the installed ONNX Runtime.

        Returns
        -------
        StratoNet

        Raises
        ------
        FileNotFoundError
            No such weights; the message lists those that ship.
        ValueError
            Not a weights file, an unknown tap or an unknown provider.
        """
        with _loading:
            layers = tuple(tap.layer for tap in read_card(weights).choose_taps(taps))
            return _open_network(cls, *_find_weights(weights), layers, provider)

    def feature_names(self, channels):
        """Names of the features of ``channels`` (one or several), see `stratonet.naming.feature_names`."""
        return naming.feature_names(self.taps, channels)

    @property
    def width(self):
        """Number of features of one plane."""
        return sum(tap.width for tap in self.taps)

    def features(self, planes):
        """Turn planes into features.

        Parameters
        ----------
        ---------- planes : array (height, width) or (n, height, width), or iterable of
        arrays (height, width)
            bool, integer or float, of any size; those of an iterable may differ in size
            and type.

        Returns
        -------
        numpy.ndarray (n, width), float32
            The same plane gives the same row, whatever stands beside it.

        Raises
        ------
        TypeError, ValueError
            A plane is not 2-D, is empty, or has NaN or infinite pixels; the message
            says which plane.
        """
        if isinstance(planes, np.ndarray):
            if planes.size == 0:
                raise ValueError(
                    f"There are no pixels to measure. Received: shape {planes.shape}"
                )
            if planes.ndim < 3:
                planes = [planes]
        rows = list(self.stream(planes))
        return np.stack(rows) if rows else np.empty((0, self.width), np.float32)

    def stream(self, items, read=None, name=None, prepared=False):
        """Yield the features of each item in order, (width,), float32; read, scale and embed in parallel ahead.

        Parameters
        ----------
        items : iterable
            Planes, or what ``read`` takes. Drawn as needed: only a few are held at a
            time.
        read : callable, optional
            Turns an item into a plane, in a thread; or into None, which is passed on as
            its features. Errors are passed on too.
        name : callable, optional
            Turns an item into what an error calls its plane. Default: its number.
        prepared : bool
            The planes come from `stratonet.preprocessing.to_grey`.
        """

        def embed(numbered):
            number, item = numbered
            plane = read(item) if read else item
            if read and plane is None:
                return None
            try:
                grey = plane if prepared else preprocessing.to_grey(plane, self.card)
            except (TypeError, ValueError) as error:
                raise type(error)(
                    f"{name(item) if name else f'Plane {number}'}: {error}"
                ) from None
            return self._embed(grey)

        workers = count_cores()
        yield from map_ahead(
            get_worker_pool(os.getpid(), workers), embed, enumerate(items), 2 * workers
        )

    def _embed(self, grey):
        inputs = {self._input: preprocessing.to_planes(grey, self.card)}
        return np.concatenate(self._session.run(self._outputs, inputs), axis=1)[0]


def _find_weights(weights):
    """The path of weights, with what tells one state of the file from another."""
    path = WEIGHTS / f"{weights}.onnx"
    if not path.exists():
        path = Path(weights)
    if not path.is_file():
        shipped = ", ".join(sorted(file.stem for file in WEIGHTS.glob("*.onnx")))
        raise FileNotFoundError(
            f"No weights {str(weights)!r}: give the path of an .onnx weights file, or"
            f" one of: {shipped}."
        )
    path, stat = path.resolve(), path.stat()
    return path, stat.st_mtime_ns, stat.st_size


def _parse_weights(content, path):
    from google.protobuf.message import DecodeError

    from stratonet import _onnx

    try:
        model = _onnx.read_model(content)
        return model, Card.from_json(_onnx.read_metadata(model)["card"])
    except (DecodeError, KeyError):
        raise ValueError(
            f"{path} is not a StratoNet weights file (an .onnx file with a card in it)."
        ) from None


_loading = threading.Lock()


@cache
def _open_network(cls, path, _modified, _size, layers, provider):
    return cls(path, layers, provider)


def _make_feature_set_id(card, content):
    return f"{card.name}-{card.version}-{hashlib.sha256(content).hexdigest()[:12]}"


@cache
def _read_feature_set_id(path, _modified, _size):
    content = path.read_bytes()
    return _make_feature_set_id(_parse_weights(content, path)[1], content)


@cache
def _read_card(path, _modified, _size):
    return _parse_weights(path.read_bytes(), path)[1]
