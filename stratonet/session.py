"""The open network: planes in, features out, in batches of a suitable size."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Sequence

import numpy as np

from stratonet.providers import AT_ONCE, CPU, open_session

# How many small squares go through the network at once, and up to which side: those of
# 96 x 96 pixels then take 9 % less time each, and have the same features. Larger ones
# take no less.
SMALL_AT_ONCE, SMALL_SIDE = 4, 160
# What ONNX Runtime and its providers say when memory runs out.
OUT_OF_MEMORY = ("alloc", "out of memory", "not enough memory")
# Features of another provider equal those of the processor up to rounding; with 8-bit
# integers, another rounding can change a value by a whole step.
TOLERANCE, TOLERANCE_INT8 = 1e-3, 2e-2


class NetworkSession:
    """A network that is open on an execution provider.

    Parameters
    ----------
    content : bytes
        Of an ``.onnx`` file.
    outputs : collection of str
        The outputs that are wanted.
    provider : str
        See `stratonet.providers.open_session`.
    batch : int, optional
        Planes at once, if the network takes several. Default: 1 on the processor, where
        more are slower; otherwise as many as fill a graphics card.

    Attributes
    ----------
    provider : str
        By ONNX Runtime's name.
    batch : int
        Planes at once. Halved if memory does not hold them.

    Raises
    ------
    ValueError
        See `stratonet.providers.open_session`.
    """

    def __init__(
        self,
        content: bytes,
        outputs: Collection[str],
        provider: str = CPU,
        batch: int | None = None,
    ) -> None:
        self.onnx, self.provider = open_session(content, provider)
        self._outputs = list(outputs)
        (self._input, *_) = self.onnx.get_inputs()
        # A graphics card runs one batch at a time; DirectML does not queue the others.
        is_card = self.provider in AT_ONCE
        self._lock = threading.Lock() if is_card else contextlib.nullcontext()
        self.batch = batch or AT_ONCE.get(self.provider, 1)
        self._small_batch = batch or max(self.batch, SMALL_AT_ONCE)
        # An exported network may be for one plane at a time.
        if self._input.shape and isinstance(self._input.shape[0], int):
            self.batch = self._small_batch = self._input.shape[0]

    def run(self, planes: np.ndarray) -> np.ndarray:
        """Run the network.

        Parameters
        ----------
        planes : numpy.ndarray (n, ...), float32
            As the network takes them, all of one size.

        Returns
        -------
        numpy.ndarray (n, width), float32
            The outputs side by side.

        Raises
        ------
        MemoryError
            Not even one plane fits into memory.
        ValueError
            The network does not give one row for each plane.
        """
        rows: list[np.ndarray] = []
        done = 0
        is_small = max(planes.shape[1:]) <= SMALL_SIDE
        while done < len(planes):
            at_once = self._small_batch if is_small else self.batch
            part = planes[done : done + at_once]
            try:
                rows.append(self._run_at_once(part))
                done += len(part)
            except MemoryError:
                if len(part) == 1:
                    raise
                # Another thread may have had less memory, and halved more.
                self._small_batch = min(self._small_batch, len(part) // 2)
                self.batch = min(self.batch, self._small_batch)
        return np.concatenate(rows)

    def _run_at_once(self, planes: np.ndarray) -> np.ndarray:
        try:
            with self._lock:
                outputs = self.onnx.run(self._outputs, {self._input.name: planes})
        # ONNX Runtime's exceptions have no common class.
        except Exception as error:
            if not any(words in str(error).lower() for words in OUT_OF_MEMORY):
                raise
            raise MemoryError(
                f"{self.provider} has no memory for {len(planes)} planes of"
                f" {planes.shape[1:]}: {error}"
            ) from None
        features = np.concatenate(outputs, axis=1)
        if len(features) != len(planes):
            raise ValueError(
                f"A network gives a row for each plane. Received: {len(features)} rows"
                f" for {len(planes)} planes"
            )
        return features


def check_same_numbers(
    first: NetworkSession, second: NetworkSession, shape: Sequence[int], integer: bool
) -> None:
    """Refuse a provider whose features differ from those of the processor.

    Parameters
    ----------
    first : NetworkSession
        On the provider.
    second : NetworkSession
        The same network on the processor.
    shape : sequence of int
        Of one plane as the network takes it, including the axis of planes.
    integer : bool
        Whether the network is one of 8-bit integers.

    Raises
    ------
    ValueError
        Their features differ by more than rounding.
    """
    plane = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    received, expected = first.run(plane), second.run(plane)
    difference = np.abs(received - expected).max() / np.abs(expected).max()
    if not difference <= (TOLERANCE_INT8 if integer else TOLERANCE):
        raise ValueError(
            f"{first.provider} gives other features than the processor here: they"
            f" differ by {difference:.1%} of the largest, perhaps because it rounds to"
            " half precision. They must not have the same id. Choose another provider"
        )
