"""Count the cores to use, and compute results before they are asked for."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import cache
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def count_cores() -> int:
    """Return the number of cores to use.

    Returns
    -------
    int
        ``OMP_NUM_THREADS`` where it is set (joblib sets it in its workers), else all
        cores that this process may use.
    """
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    # A cluster's scheduler may give a process only some of the machine's cores. macOS
    # and Windows do not tell which.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_ahead(
    pool: Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    count: int,
) -> Iterator[Result]:
    """Yield ``function(item)`` of each item in order, computed ahead by a pool.

    Parameters
    ----------
    pool : concurrent.futures.Executor
        Its threads or processes call the function.
    function : callable
        Called with one item.
    items : iterable
        Drawn as needed.
    count : int
        How many items, at most, are drawn ahead of the one that is yielded.

    Yields
    ------
    object
        What ``function`` returns. Its errors are raised in the item's turn.

    Examples
    --------
    >>> with ThreadPoolExecutor(2) as pool:
    ...     list(map_ahead(pool, abs, [-1, 2, -3], count=2))
    [1, 2, 3]
    """
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > count:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        # A caller that stops half-way does not wait for results that it will not take.
        for future in pending:
            future.cancel()


def group_items(items: Iterable[Item], count: int) -> Iterator[list[Item]]:
    """Yield items in lists of ``count``, the last one shorter.

    Parameters
    ----------
    items : iterable
        Drawn as needed.
    count : int
        1 or more.

    Examples
    --------
    >>> list(group_items("abc", 2))
    [['a', 'b'], ['c']]
    """
    iterator = iter(items)
    group = list(islice(iterator, count))
    while group:
        yield group
        group = list(islice(iterator, count))


@cache
def get_worker_pool(process: int, count: int) -> ThreadPoolExecutor:
    """Return the pool of threads that all streams of a process share.

    More threads than there are cores would hold each other up.

    Parameters
    ----------
    process : int
        Number of this process, ``os.getpid()``: threads do not survive a fork, so a
        child process needs its own pool.
    count : int
        Number of threads.
    """
    return ThreadPoolExecutor(count, thread_name_prefix="stratonet")
