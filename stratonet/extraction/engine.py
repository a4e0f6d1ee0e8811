"""What runs units of work: the contract of an engine, and shards of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from stratonet.extraction.destination import Destination
    from stratonet.extraction.units import Unit

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """One part of a run: every ``count``-th well, from the ``number``-th on.

    Shards share a destination and know nothing of each other.

    Attributes
    ----------
    number : int
        Of this part, from 1.
    count : int
        How many parts there are.

    Examples
    --------
    >>> Shard(3, 20).holds(2), Shard(3, 20).holds(3)
    (True, False)
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(
                "`shard` needs 1 ≤ number ≤ count. Received:"
                f" {self.number} of {self.count}"
            )

    def holds(self, index: int) -> bool:
        """Whether a well is in this part, by its position from 0."""
        # Every n-th, not a block: the parts of a plate take alike long.
        return index % self.count == self.number - 1

    def __str__(self) -> str:
        # As --shard takes it, and as the tables of runs have it.
        return f"{self.number}/{self.count}"


class Engine(Protocol):
    """Runs units of work: the contract of an engine.

    An engine is a context manager. It may be used again after it was left, and what it
    holds of its machines is released then, after an error too.
    `stratonet.extraction.checks.check_engine` checks one.

    Attributes
    ----------
    name : str
        What the table of runs calls it.
    """

    name: str

    def __enter__(self) -> Engine:
        """Get the machines ready, and watch their resources from now on."""
        ...

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release the machines."""
        ...

    def measure_units(
        self,
        destination: Destination,
        units: Iterable[Unit],
        advance: Callable[[int], None],
    ) -> Iterator[tuple[Unit, int]]:
        """Measure units and write them to the destination.

        Parameters
        ----------
        destination : Destination
            Where to, with the recipe. Pickled, it does the same on another machine.
        units : iterable of Unit
            Drawn as needed: a screen of thousands of plates never lies in memory.
        advance : callable
            Called with a number of image sets whenever so many more are measured.

        Yields
        ------
        (Unit, int)
            Each unit once it is at the destination, in any order, and how many of its
            image sets could not be measured whole.

        Raises
        ------
        OSError, ValueError
            What stops the run, as `stratonet.extraction.measure` raises it, with its
            own type and text, from whichever machine.
        """
        ...

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Call a function beside the measuring, here or on any machine.

        Parameters
        ----------
        function : callable
            With its arguments it can be pickled.
        *arguments
            What it is called with.

        Returns
        -------
        concurrent.futures.Future
        """
        ...

    def report_resources(self) -> list[Mapping[str, Any]]:
        """Report what the run took of its machines until now.

        Returns
        -------
        list of dict
            One `stratonet.resources.Monitor.report` per machine that is still there.
        """
        ...
