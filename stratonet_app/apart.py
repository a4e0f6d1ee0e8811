"""A process beside the server, which reads folders and images for it.

A regular expression that never ends, a folder of millions of files or a file on which a
decoder crashes must not take the page with it: the process is ended, and another one
takes its place.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable
from multiprocessing.pool import Pool
from typing import Any, TypeVar

Result = TypeVar("Result")
# Nobody waits longer for a page.
SECONDS = 60.0


class TookTooLong(RuntimeError):
    """Something was not read in the time that a page has."""


class Helper:
    """Calls functions in a process of its own, one after the other.

    Parameters
    ----------
    seconds : float
        After which a call is given up.

    Examples
    --------
    >>> helper = Helper()
    >>> helper.call(abs, -3)
    3
    >>> helper.close()
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._pool: Pool | None = None

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function there, and return what it returns.

        Parameters
        ----------
        function : callable
            Of a module, with arguments and a result that can be pickled.
        *arguments
            Handed on.

        Raises
        ------
        TookTooLong
            It has not come to its end in time, or its process has died.
        Exception
            What the function raises.
        """
        # One call at a time: whoever waits has all of the time when it is his turn.
        with self._lock:
            if self._pool is None:
                # A fork would share the server's sockets and locks.
                context = multiprocessing.get_context("spawn")
                self._pool = context.Pool(1, _ignore_ctrl_c)
            waiting = self._pool.apply_async(function, arguments)
            try:
                return waiting.get(self._seconds)
            except multiprocessing.TimeoutError:
                self.close()
                raise TookTooLong(
                    f"Nothing came back within {self._seconds:g} seconds, and it was"
                    " given up. Choose a smaller folder, such as that of one plate; or,"
                    " if you have written a pattern, a simpler one."
                ) from None

    def close(self) -> None:
        """End the process, whatever it does."""
        # Without the lock: nobody waits for a call that nobody waits for.
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()


def _ignore_ctrl_c() -> None:
    """Leave Ctrl-C to the server, which then ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
