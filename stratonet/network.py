"""The shared trained network.

A weights file, opened once per process, that turns planes into features.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from stratonet import naming, preprocessing, signature
from stratonet.card import Card
from stratonet.parallel import count_cores, get_worker_pool, map_ahead

if TYPE_CHECKING:
    PathLike = str | os.PathLike[str]

Item = TypeVar("Item")

WEIGHTS = Path(__file__).parent / "weights"


class WeightsFile(NamedTuple):
    """A weights file in one state: another content has another time or size."""

    path: Path
    modified: int  # ns
    size: int  # bytes


def read_card(weights: PathLike = "stratonet50") -> Card:
    """Read the card of weights without opening the network.

    Parameters
    ----------
    weights : str or path
        A name or path, as in `StratoNet.load`.

    Returns
    -------
    Card

    Raises
    ------
    FileNotFoundError, ValueError
        As `StratoNet.load`.

    Examples
    --------
    >>> read_card("stratonet50").input_size
    224
    """
    return _read_card(_find_weights(weights))


def read_feature_set_id(weights: PathLike = "stratonet50") -> str:
    """Read the feature set id of weights without opening the network.

    Parameters
    ----------
    weights : str or path
        A name or path, as in `StratoNet.load`.

    Returns
    -------
    str
        See `StratoNet`.

    Raises
    ------
    FileNotFoundError, ValueError
        As `StratoNet.load`.

    Examples
    --------
    >>> read_feature_set_id("stratonet50")
    'stratonet50-1.0.0-9b08ec5a4d6a'
    """
    return _read_feature_set_id(_find_weights(weights))


class StratoNet:
    """A trained network that turns planes into features. Made by `StratoNet.load`.

    Attributes
    ----------
    card : Card
        What the weights file says of itself; its ``input_size`` is the one that was
        chosen.
    taps : tuple of Tap
        The taps that were chosen, in the order of the network.
    feature_set_id : str
        Name, version and a digest of the weights file, the card in it included; after
        them the side of the planes, where it is not the card's. Features with the same
        id can be compared, whether they come from CellProfiler, scikit-learn or the
        command line.
    provider : str
        The ONNX Runtime execution provider.

    Examples
    --------
    >>> import numpy as np
    >>> from stratonet import StratoNet
    >>> net = StratoNet.load(taps="low")
    >>> plane = np.arange(64 * 80, dtype=np.uint16).reshape(64, 80)
    >>> net.features(plane).shape
    (1, 512)
    >>> net.feature_names("DNA")[0]
    'StratoFeatures_Low0000_DNA'
    """

    def __init__(
        self,
        path: Path,
        taps: str | Sequence[str] | None,
        provider: str,
        size: int | None = None,
    ) -> None:
        # Heavier than all of the rest: not imported before it is used.
        import onnxruntime

        from stratonet import _onnx

        providers = onnxruntime.get_available_providers()
        if provider not in providers:
            raise ValueError(
                f"This ONNX Runtime has the providers {', '.join(providers)}. Received:"
                f" {provider!r}"
            )
        content = path.read_bytes()
        model, card = _parse_weights(content, path)
        self.card = card.choose_size(size)
        self.taps = self.card.choose_taps(taps)
        self.provider = provider
        self.feature_set_id = _make_feature_set_id(card, content)
        if self.card.input_size != card.input_size:
            self.feature_set_id += f"-{self.card.input_size}px"
        signature.check_layers(self.taps, _onnx.list_outputs(model), path)

        options = onnxruntime.SessionOptions()
        # One plane per thread is faster than one plane on all cores, and the numbers do
        # not depend on how many cores there are.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._outputs = [tap.layer for tap in self.taps]
        self._session = onnxruntime.InferenceSession(
            _onnx.cut_after(model, self._outputs), options, providers=[provider]
        )
        self._input = signature.check_input(self._session, self.card, path)
        signature.check_outputs(self._session, self.taps, path)

    @classmethod
    def load(
        cls,
        weights: PathLike = "stratonet50",
        taps: str | Sequence[str] | None = None,
        provider: str = "CPUExecutionProvider",
        size: int | None = None,
    ) -> StratoNet:
        """Open a weights file; the same arguments give the same object in a process.

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
        size : int, optional
            Side in pixels to which planes are resized, one of the card's
            ``allowed_sizes``. Another side makes another feature set. Default: the
            card's ``input_size``.

        Returns
        -------
        StratoNet

        Raises
        ------
        FileNotFoundError
            No such weights; the message lists those that ship.
        ValueError
            Not a weights file, an unknown tap or provider, a side that the network does
            not take, or a network that is not what its card says.

        Examples
        --------
        >>> StratoNet.load(taps=["low", "high"]).width
        1536
        """
        # Of threads that load at once, one opens the network and the others get it.
        with _loading:
            card = read_card(weights)
            layers = tuple(tap.layer for tap in card.choose_taps(taps))
            side = card.choose_size(size).input_size
            return _open_network(_find_weights(weights), layers, provider, side)

    def feature_names(self, channels: str | Sequence[str]) -> list[str]:
        """Names of the features of channels: all of the first, then all of the next.

        Parameters
        ----------
        channels : str or sequence of str
            One or several.

        Raises
        ------
        ValueError
            See `stratonet.naming.feature_names`.
        """
        return naming.feature_names(self.taps, channels)

    @property
    def width(self) -> int:
        """Number of features of one plane."""
        return sum(tap.width for tap in self.taps)

    def features(self, planes: np.ndarray | Iterable[np.ndarray]) -> np.ndarray:
        """Turn planes into features.

        Parameters
        ----------
        planes : array (height, width) or (n, height, width), or iterable of arrays
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
        if not rows:
            return np.empty((0, self.width), np.float32)
        return np.stack(rows)

    def stream(
        self,
        items: Iterable[Item],
        read: Callable[[Item], np.ndarray | None] | None = None,
        name: Callable[[Item], str] | None = None,
        prepared: bool = False,
    ) -> Iterator[np.ndarray]:
        """Yield the features of each item in order, computed ahead on all cores.

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

        Yields
        ------
        numpy.ndarray (width,), float32
            Or None, where ``read`` gives None.

        Raises
        ------
        TypeError, ValueError
            As `features`.
        """

        def embed(numbered: tuple[int, Item]) -> np.ndarray | None:
            number, item = numbered
            plane = read(item) if read else item
            if read and plane is None:
                return None
            if prepared:
                return self._embed(plane)
            try:
                grey = preprocessing.to_grey(plane, self.card)
            except (TypeError, ValueError) as error:
                called = name(item) if name else f"Plane {number}"
                raise type(error)(f"{called}: {error}") from None
            return self._embed(grey)

        cores = count_cores()
        pool = get_worker_pool(os.getpid(), cores)
        # Twice as many as cores: none waits for the one who takes the results.
        yield from map_ahead(pool, embed, enumerate(items), 2 * cores)

    def _embed(self, grey: np.ndarray) -> np.ndarray:
        inputs = {self._input: preprocessing.to_planes(grey, self.card)}
        outputs = self._session.run(self._outputs, inputs)
        return np.concatenate(outputs, axis=1)[0]


def _find_weights(weights: PathLike) -> WeightsFile:
    """Find weights by name or path."""
    path = WEIGHTS / f"{weights}.onnx"
    if not path.exists():
        path = Path(weights)
    if not path.is_file():
        shipped = ", ".join(sorted(file.stem for file in WEIGHTS.glob("*.onnx")))
        raise FileNotFoundError(
            f"No weights {str(weights)!r}: give the path of an .onnx weights file, or"
            f" one of: {shipped}."
        )
    path = path.resolve()
    stat = path.stat()
    return WeightsFile(path, stat.st_mtime_ns, stat.st_size)


def _parse_weights(content: bytes, path: Path) -> tuple[Any, Card]:
    """Return the model of `stratonet._onnx`, and its card."""
    from google.protobuf.message import DecodeError

    from stratonet import _onnx

    try:
        model = _onnx.read_model(content)
        text = _onnx.read_metadata(model)[_onnx.CARD]
    except (DecodeError, KeyError):
        raise ValueError(
            f"{path} is not a StratoNet weights file (an .onnx file with a card in it)."
        ) from None
    return model, Card.from_json(text)


_loading = threading.Lock()


@cache
def _open_network(
    file: WeightsFile,
    layers: tuple[str, ...],
    provider: str,
    size: int,
) -> StratoNet:
    return StratoNet(file.path, layers, provider, size)


def _make_feature_set_id(card: Card, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    return f"{card.name}-{card.version}-{digest[:12]}"


@cache
def _read_feature_set_id(file: WeightsFile) -> str:
    content = file.path.read_bytes()
    _, card = _parse_weights(content, file.path)
    return _make_feature_set_id(card, content)


@cache
def _read_card(file: WeightsFile) -> Card:
    _, card = _parse_weights(file.path.read_bytes(), file.path)
    return card
