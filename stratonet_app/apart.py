"""A separate process that reads folders and images for the server.

A regular expression that never ends, a folder of millions of files or a file that
crashes a decoder must not stop the page: the process is ended, and another one takes
its place.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable
from multiprocessing.pool import Pool
from typing import Any, TypeVar

Result = TypeVar("Result")
# How long a page waits for an answer.
SECONDS = 60.0


class TookTooLong(RuntimeError):
    """Something could not be read in the time that a page waits."""


class Helper:
    """Calls functions in a separate process, one after the other.

    Parameters
    ----------
    seconds : float
        Time after which a call is given up.

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
        """Call a function in the process, and return its result.

        Parameters
        ----------
        function : callable
            A function of a module, whose arguments and result can be pickled.
        *arguments
            Passed to the function.

        Raises
        ------
        TookTooLong
            It did not finish in time, or its process died.
        Exception
            What the function raises.
        """
        # One call at a time: the time of a waiting call counts from its turn.
        with self._lock:
            if self._pool is None:
                # A fork would share the server's sockets and locks.
                context = multiprocessing.get_context("spawn")
                self._pool = context.Pool(1, _ignore_ctrl_c)
            result = self._pool.apply_async(function, arguments)
            try:
                return result.get(self._seconds)
            except multiprocessing.TimeoutError:
                self.close()
                raise TookTooLong(
                    f"There was no answer within {self._seconds:g} seconds, so the app"
                    " gave up. Choose a smaller folder, such as that of one plate, or,"
                    " if you have written a pattern, a simpler one."
                ) from None

    def close(self) -> None:
        """End the process, whatever it is doing."""
        # Without the lock, so as not to wait for a call whose result nobody needs.
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()


def _ignore_ctrl_c() -> None:
    """Leave Ctrl-C to the server, which then ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
