"""Units of work on this machine."""

from concurrent.futures import ThreadPoolExecutor

from stratonet.extraction.measure import READERS_PER_CORE
from stratonet.parallel import count_cores, map_ahead
from stratonet.resources import Monitor

# While one well is written, or waits for its first image, the others keep the cores busy.
WELLS_AT_ONCE = 3


class Local:
    """This machine: a context manager, which watches its resources meanwhile."""

    def __init__(self, _address=None):
        self._monitor = Monitor()
        self._beside = ThreadPoolExecutor(1)

    def __enter__(self):
        self._monitor.start()
        return self

    def __exit__(self, *failure):
        self._beside.shutdown()
        self._monitor.stop()

    def submit(self, function, *arguments):
        """Call a function beside the measuring: a `concurrent.futures.Future`."""
        return self._beside.submit(function, *arguments)

    def reports(self):
        """What the run takes of the machine, see `stratonet.resources.Monitor.report`.

        A list of one.
        """
        return [self._monitor.report()]

    def measure(self, destination, units, advance):
        """Measure units and write them.

        Parameters
        ----------
        destination : Destination
        units : iterable of Unit
            Drawn as needed.
        advance : callable
            Called for each image set.

        Yields
        ------
        (Unit, int)
            The unit, and how many of its image sets could not be measured whole.
        """
        recipe = destination.recipe

        def do(unit):
            return unit, destination.write(
                unit, counted(recipe.measure(unit, recipe.read(unit, readers)))
            )

        def counted(measured):
            for one in measured:
                yield one
                advance(1)

        with (
            ThreadPoolExecutor(READERS_PER_CORE * count_cores()) as readers,
            ThreadPoolExecutor(WELLS_AT_ONCE) as wells,
        ):
            yield from map_ahead(wells, do, units, WELLS_AT_ONCE - 1)
