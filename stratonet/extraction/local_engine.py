"""The engine that runs units of work on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from stratonet.extraction.measure import (
    READERS_PER_CORE,
    MeasuredImageSet,
    measure_unit,
    read_unit,
)
from stratonet.parallel import count_cores, map_ahead
from stratonet.resources import Monitor

if TYPE_CHECKING:
    from stratonet.extraction.destination import Destination
    from stratonet.extraction.outcome import Outcome
    from stratonet.extraction.units import Unit

T = TypeVar("T")
# While one well is being written or waits for its first image, the others keep the
# cores busy.
WELLS_AT_ONCE = 3


class LocalEngine:
    """Measures on this machine, on all its cores; see `Engine`.

    Attributes
    ----------
    name : str
        ``"local"``, in the table of runs.

    Examples
    --------
    >>> with LocalEngine() as engine:
    ...     engine.submit(max, 1, 2).result()
    2
    """

    name = "local"

    def __enter__(self) -> LocalEngine:
        self._monitor = Monitor()
        # One thread only: joining tables must not take cores from the network.
        self._background = ThreadPoolExecutor(1)
        self._monitor.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._background.shutdown()
        self._monitor.stop()

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Call a function in a thread, see `Engine.submit`."""
        return self._background.submit(function, *arguments)

    def report_resources(self) -> list[Mapping[str, Any]]:
        """Report time, CPU and memory, see `Engine.report_resources`."""
        return [self._monitor.report()]

    def measure_units(
        self,
        destination: Destination,
        units: Iterable[Unit],
        advance: Callable[[int], None],
    ) -> Iterator[tuple[Unit, Outcome]]:
        """Measure units and write them, see `Engine.measure_units`."""
        job = destination.job

        def measure_and_write(unit: Unit) -> tuple[Unit, Outcome]:
            image_sets = read_unit(job, unit, readers)
            measured = measure_unit(job, unit, image_sets)
            return unit, destination.write_unit(unit, count_image_sets(measured))

        def count_image_sets(
            measured: Iterable[MeasuredImageSet],
        ) -> Iterator[MeasuredImageSet]:
            for image_set in measured:
                yield image_set
                advance(1)

        with (
            ThreadPoolExecutor(READERS_PER_CORE * count_cores()) as readers,
            ThreadPoolExecutor(WELLS_AT_ONCE) as wells,
        ):
            yield from map_ahead(wells, measure_and_write, units, WELLS_AT_ONCE - 1)
