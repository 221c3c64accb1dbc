"""Work on several paths at once: numpy lets other threads run while it is busy with large columns."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

MOST_THREADS = 2
"""Each needs memory for its path."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """What `work` makes of each item, in order. An exception of any of them is raised."""
    waiting = list(items)
    threads = min(os.cpu_count() or 1, MOST_THREADS, len(waiting))
    if threads < 2:
        return [work(item) for item in waiting]
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(pool.map(work, waiting))
