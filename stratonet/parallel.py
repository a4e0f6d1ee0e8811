"""How many cores there are to use, and work done ahead of those who wait for it."""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache


def count_cores():
    """Cores to use.

    ``OMP_NUM_THREADS`` where it is set (joblib sets it in its workers), else all this
    process has.
    """
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    return (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count()
    )


def map_ahead(pool, function, items, count):
    """Yield ``function(item)`` of each item in order, computed by the pool up to ``count`` items ahead."""
    pending = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > count:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


@cache
def get_worker_pool(_process, count):
    """The threads that compute, the same for all streams of a process.

    More than there are cores hold each other up.
    """
    return ThreadPoolExecutor(count, thread_name_prefix="stratonet")
