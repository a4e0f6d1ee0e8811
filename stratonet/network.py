"""The shared trained network.

A weights file, opened once per process, that turns planes into features.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from stratonet import naming, preprocessing, signature
from stratonet.axes import check_axes
from stratonet.embedding import PlaneEmbedder
from stratonet.parallel import (
    count_cores,
    get_worker_pool,
    group_items,
    map_ahead,
)
from stratonet.preprocessing import PreparedPlane
from stratonet.processor import read_instructions
from stratonet.providers import CPU
from stratonet.recipe import Recipe
from stratonet.session import SMALL_AT_ONCE, NetworkSession, check_same_numbers
from stratonet.tap import INTENSITY_TAP
from stratonet.weights_file import (
    WeightsFile,
    find_weights,
    make_weights_id,
    parse_weights,
    read_card,
)

if TYPE_CHECKING:
    PathLike = str | os.PathLike[str]

Item = TypeVar("Item")


class StratoNet:
    """A trained network that turns planes into features. Made by `StratoNet.load`.

    Attributes
    ----------
    card : Card
        What the weights file says about itself.
    taps : tuple of Tap
        The taps that were chosen, in the order of the network.
    recipe : Recipe
        How planes become features.
    blocks : tuple of FeatureBlock
        The parts that the features of a plane consist of, in order.
    feature_set_id : str
        Name, version and a digest of the weights file, including its card, followed by
        the recipe. Features with the same id can be compared, whether they come from
        CellProfiler, scikit-learn or the command line. Taps are not part of the id:
        they are in the names of features.
    provider : str
        The ONNX Runtime execution provider, by its full name.

    Examples
    --------
    >>> import numpy as np
    >>> from stratonet import StratoNet
    >>> net = StratoNet.load(taps="low")
    >>> plane = np.arange(64 * 80, dtype=np.uint16).reshape(64, 80)
    >>> net.features(plane).shape
    (1, 1024)
    >>> net.feature_names("DNA")[0]
    'StratoFeatures_Low0000_DNA'
    """

    def __init__(
        self,
        path: Path,
        taps: str | Sequence[str] | None,
        provider: str,
        recipe: Recipe,
        batch: int | None = None,
    ) -> None:
        from stratonet import _onnx

        content = path.read_bytes()
        model, self.card = parse_weights(content, path)
        self.taps = self.card.choose_taps(taps)
        self.recipe = recipe
        self.blocks = recipe.list_blocks(self.taps)
        self.feature_set_id = f"{make_weights_id(self.card, content)}-{recipe.id}"
        self._measures_intensity = INTENSITY_TAP in self.taps
        # In the order of the features. Each view needs the same outputs.
        self._outputs = {
            block.output: block.width for block in self.blocks if block.output
        }
        signature.check_layers(self._outputs, _onnx.list_outputs(model), path)
        # One output is kept even if only brightness is measured, for the input's sake.
        kept_outputs = self._outputs or _onnx.list_outputs(model)[:1]
        cut_model = _onnx.cut_after(model, kept_outputs)
        self._session = NetworkSession(cut_model, self._outputs, provider, batch)
        self.provider = self._session.provider
        self._embedder = PlaneEmbedder(
            self._session, self.card, recipe, bool(self._outputs)
        )
        signature.check_input(self._session.onnx, self.card, recipe, path)
        signature.check_outputs(self._session.onnx, self._outputs, path)
        if self.provider != CPU and self._outputs:
            self._check_provider(NetworkSession(cut_model, self._outputs))
        self._warn_of_processor()

    @classmethod
    def load(
        cls,
        weights: PathLike = "stratonet50",
        taps: str | Sequence[str] | None = None,
        provider: str = "CPUExecutionProvider",
        recipe: str | Recipe | None = None,
        crop: int | None = None,
        batch: int | None = None,
    ) -> StratoNet:
        """Open a weights file; in one process, equal arguments give the same object.

        Parameters
        ----------
        weights : str or path
            A name that ships with the package (``"stratonet50"``, or
            ``"stratonet50-int8"``, which is faster), or the path of an ``.onnx``
            weights file.
        taps : str or sequence of str, optional
            Aliases (``"low"``, ``"medium"``, ``"high"``) or layer names, and
            ``"intensity"`` for the brightness of planes. Default: every tap with an
            alias. The network is cut behind the last of them, so that low alone is
            cheaper than all.
        provider : str
            What runs the network: ``"cpu"``, ``"cuda"``, ``"tensorrt"``,
            ``"openvino"``, ``"directml"``, ``"coreml"``, any other execution provider
            of the installed ONNX Runtime by its full name, or ``"auto"`` for the first
            of these that works here.
        recipe : str or Recipe, optional
            How planes become features: a name among the card's ``recipes``, a text such
            as ``"tiles224/mean+sd"``, or a `stratonet.Recipe`. Default: what the card
            recommends, for whole images or for objects. Another recipe makes another
            feature set.
        crop : int, optional
            Planes are squares of this side in pixels, cut out around objects. Default:
            they are whole images.
        batch : int, optional
            Planes that go through the network at once. Default: one per core on the
            processor, and up to 64 on a graphics card, fewer if its memory does not
            hold them.

        Returns
        -------
        StratoNet

        Raises
        ------
        FileNotFoundError
            No such weights; the message lists those that ship.
        ValueError
            The file is not a weights file, a tap is unknown, the provider is missing or
            gives other numbers, the network cannot follow the recipe, or the network is
            not what its card says.

        Examples
        --------
        >>> StratoNet.load(taps=["low", "high"], recipe="whole224/mean").width
        1536
        """
        if batch is not None and batch < 1:
            raise ValueError(f"`batch` is 1 plane or more. Received: {batch}")
        # If several threads load at once, one opens the network for all of them.
        with _loading:
            card = read_card(weights)
            layers = tuple(tap.layer for tap in card.choose_taps(taps))
            chosen = card.choose_recipe(recipe, crop)
            file = find_weights(weights)
            return _open_network(file, layers, provider, chosen, batch)

    def feature_names(self, channels: str | Sequence[str]) -> list[str]:
        """Return the feature names of channels: all of the first, then of the next.

        Parameters
        ----------
        channels : str or sequence of str
            One or several.

        Raises
        ------
        ValueError
            See `stratonet.naming.feature_names`.
        """
        return naming.feature_names(self.blocks, channels)

    @property
    def width(self) -> int:
        """Number of features of one plane."""
        return sum(block.width for block in self.blocks)

    def features(
        self,
        planes: np.ndarray | Iterable[np.ndarray],
        limits: tuple[float, float] | None = None,
        pixel_size: float | None = None,
    ) -> np.ndarray:
        """Turn planes into features.

        Parameters
        ----------
        planes : array (height, width) or (n, height, width), or iterable of arrays
            bool, integer or float, of any size; those of an iterable may differ in size
            and type.
        limits : (float, float), optional
            The grey values that become black and white, for recipes that do not scale
            each plane by itself.
        pixel_size : float, optional
            Micrometres along the side of a pixel of these planes, for recipes in
            micrometres. It is not part of the feature set id: a tile covers the same
            area at every magnification.

        Returns
        -------
        numpy.ndarray (n, width), float32
            The same plane gives the same row, whatever the other planes are.

        Raises
        ------
        TypeError, ValueError
            A plane is not 2-D, is empty, or has NaN or infinite pixels; the message
            says which plane. Or an array looks like one image of several channels, or
            the pixel size is missing or unsuitable.
        """
        if isinstance(planes, np.ndarray):
            if planes.size == 0:
                raise ValueError(
                    f"There are no pixels to measure. Received: shape {planes.shape}"
                )
            if planes.ndim < 3:
                planes = [planes]
            elif planes.ndim == 3:
                check_axes(planes.shape[1:], "Plane 0")
        rows = list(
            self.stream(
                planes, choose_limits=lambda plane: limits, pixel_size=pixel_size
            )
        )
        if not rows:
            return np.empty((0, self.width), np.float32)
        return np.stack(rows)

    def prepare(
        self,
        plane: np.ndarray,
        limits: tuple[float, float] | None = None,
        pixel_size: float | None = None,
    ) -> PreparedPlane:
        """Turn a plane into what the network sees; see `prepare_plane`.

        Parameters
        ----------
        plane : array (height, width)
            bool, integer or float.
        limits : (float, float), optional
            The grey values that become black and white.
        pixel_size : float, optional
            Micrometres along the side of a pixel.
        """
        return preprocessing.prepare_plane(
            plane, self.card, self.recipe, limits, self._measures_intensity, pixel_size
        )

    def stream(
        self,
        items: Iterable[Item],
        read: Callable[[Item], np.ndarray | PreparedPlane | None] | None = None,
        name: Callable[[Item], str] | None = None,
        choose_limits: Callable[[Item], tuple[float, float] | None] | None = None,
        pixel_size: float | None = None,
    ) -> Iterator[np.ndarray]:
        """Yield the features of each item in order, computed ahead on all cores.

        Parameters
        ----------
        items : iterable
            Planes, or what ``read`` takes. Drawn as needed: only a few are in memory at
            a time.
        read : callable, optional
            Turns an item into a plane, or into the result of `prepare`, in a thread; or
            into None, which is yielded in place of features. Errors are passed on, too.
        name : callable, optional
            Turns an item into the name of its plane in errors. Default: its number.
        choose_limits : callable, optional
            Turns an item into the limits of grey values of its plane, see `prepare`.
        pixel_size : float, optional
            Of all planes, see `prepare`.

        Yields
        ------
        numpy.ndarray (width,), float32
            Or None, where ``read`` gives None.

        Raises
        ------
        TypeError, ValueError
            As `features`.
        """

        def prepare(numbered: tuple[int, Item]) -> PreparedPlane | None:
            number, item = numbered
            plane = read(item) if read else item
            if (read and plane is None) or isinstance(plane, PreparedPlane):
                return plane
            try:
                limits = choose_limits(item) if choose_limits else None
                return self.prepare(plane, limits, pixel_size)
            except (TypeError, ValueError) as error:
                plane_name = name(item) if name else f"Plane {number}"
                raise type(error)(f"{plane_name}: {error}") from None

        def embed(
            group: list[tuple[int, Item]],
        ) -> tuple[list[np.ndarray | None], Exception | None]:
            planes: list[PreparedPlane | None] = []
            try:
                for numbered in group:
                    planes.append(prepare(numbered))
            except Exception as error:
                # Raised in its turn, after the features of the planes before.
                return self._embedder.embed(planes), error
            return self._embedder.embed(planes), None

        cores = count_cores()
        pool = get_worker_pool(os.getpid(), cores)
        # Twice as many as cores, so that no core waits until results are taken.
        if self._session.batch == 1:
            count = SMALL_AT_ONCE if self.recipe.crop else 1
            groups = group_items(enumerate(items), count)
            for rows, error in map_ahead(pool, embed, groups, 2 * cores):
                yield from rows
                if error:
                    raise error
            return
        ahead = 2 * cores + self._session.batch
        prepared = map_ahead(pool, prepare, enumerate(items), ahead)
        yield from self._embedder.embed_together(prepared)

    def _check_provider(self, processor: NetworkSession) -> None:
        side = self.recipe.views[0].side
        grey = np.zeros((side, side), np.float32)
        shape = preprocessing.to_planes(grey, self.card).shape
        is_integer = bool(self.card.fast_on)
        check_same_numbers(self._session, processor, shape, is_integer)

    def _warn_of_processor(self) -> None:
        """Warn if a network of 8-bit integers is slow on this processor."""
        instructions = read_instructions()
        if (
            not instructions
            or self.provider != CPU
            or instructions & set(self.card.fast_on)
        ):
            return
        if self.card.fast_on:
            warnings.warn(
                f"{self.card.name} is made for processors with one of these"
                f" instructions: {', '.join(self.card.fast_on)}. This processor has"
                " none of them: the numbers are right, but the network that this one"
                " was made from may be faster here.",
                stacklevel=2,
            )


_loading = threading.Lock()


@cache
def _open_network(
    file: WeightsFile,
    layers: tuple[str, ...],
    provider: str,
    recipe: Recipe,
    batch: int | None,
) -> StratoNet:
    return StratoNet(file.path, layers, provider, recipe, batch)
