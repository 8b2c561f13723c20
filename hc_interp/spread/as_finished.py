"""`as_finished`: a function of your own on the workers of an executor, for work that keeps its results itself."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any, TypeVar

from hc_interp.records.pieces import Executor

Item = TypeVar("Item")
POLL = 0.2  # seconds between two looks at futures


def as_finished(
    executor: Executor, function: Callable[[Item], Any], items: Iterable[Item]
) -> Iterator[tuple[Item, Any]]:
    """Submit `function(item)` for all items, and yield each item with its future as soon as the future is done.

    `future.result()` is what the function returned, or raises what it or the executor raised. Nothing is kept or tried
    again. When the loop is left early, what no worker has begun is cancelled.
    """
    with getattr(executor, "batch", nullcontext)():
        futures = [(item, executor.submit(function, item)) for item in items]
    try:
        while futures:
            waiting = []
            for item, future in futures:
                if future.done():
                    yield item, future
                else:
                    waiting.append((item, future))
            if len(waiting) == len(futures):
                time.sleep(POLL)
            futures = waiting
    finally:
        for _, future in futures:
            future.cancel()
