"""The contract of engines, which run units of work; and the shards of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from stratonet.extraction.destination import Destination
    from stratonet.extraction.outcome import Outcome
    from stratonet.extraction.units import Unit

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """One part of a run: every ``count``-th well, from the ``number``-th on.

    Shards share a destination and run independently of each other.

    Attributes
    ----------
    number : int
        Number of this part, from 1.
    count : int
        Number of parts.

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
        """Return whether a well is in this part.

        Parameters
        ----------
        index : int
            Position of the well among all wells, from 0.
        """
        # Every n-th well, not a block of wells, so that all parts take equally long.
        return index % self.count == self.number - 1

    def __str__(self) -> str:
        # As in --shard and in the tables of runs.
        return f"{self.number}/{self.count}"


class Engine(Protocol):
    """Runs units of work: the contract of an engine.

    An engine is a context manager. Leaving it releases the machines, also after an
    error, and it can be entered again.
    `stratonet.extraction.checks.check_engine` checks an engine.

    Attributes
    ----------
    name : str
        Its name in the table of runs.
    """

    name: str

    def __enter__(self) -> Engine:
        """Prepare the machines, and start monitoring their resources."""
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
    ) -> Iterator[tuple[Unit, Outcome]]:
        """Measure units and write them to the destination.

        Parameters
        ----------
        destination : Destination
            Where to write; it includes the job. It can be pickled for other machines.
        units : iterable of Unit
            Taken as needed: a screen of thousands of plates is never in memory at once.
        advance : callable
            Called with the number of image sets that have been measured since the last
            call.

        Yields
        ------
        (Unit, Outcome)
            Each unit once it is at the destination, in any order, and how many of its
            image sets could not be measured completely, and why.

        Raises
        ------
        OSError, ValueError
            An error that stops the run, on whichever machine it occurs. It has the type
            and text with which `stratonet.extraction.measure` raised it.
        """
        ...

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Call a function while units are measured, on this or another machine.

        Parameters
        ----------
        function : callable
            It can be pickled, and so can its arguments.
        *arguments
            Its arguments.

        Returns
        -------
        concurrent.futures.Future
            Gives what the function returns. If the function raises an OSError or
            ValueError, the future raises it with the same type and text.
        """
        ...

    def report_resources(self) -> list[Mapping[str, Any]]:
        """Report the time, CPU and memory that the run has used.

        Returns
        -------
        list of dict
            The `stratonet.resources.Monitor.report` of each machine that still runs.
        """
        ...
