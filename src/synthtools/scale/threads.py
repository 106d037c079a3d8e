"""Work in threads, with results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_context(function: Callable[..., _R]) -> Callable[..., _R]:
    """A function for another thread, with this thread's context variables: where remarks go, how errors
    name parameters."""
    context = copy_context()
    # A copy per call: several threads may run it at once.
    return lambda *arguments: context.copy().run(function, *arguments)


def in_order(items: Iterable[_T], function: Callable[[_T], _R], jobs: int) -> Iterator[_R]:
    """Like map, with ``jobs`` threads and some items ahead; results in the order of the items.

    The function gains from threads as far as it releases the interpreter lock.
    """
    if jobs <= 1:
        yield from map(function, items)
        return
    function = in_context(function)
    with ThreadPoolExecutor(jobs, thread_name_prefix="worker") as pool:
        yield from results((pool.submit(function, item) for item in items), jobs + 1)


def results(begun: Iterable[Future[_R]], ahead: int) -> Iterator[_R]:
    """The results of futures in order, with up to ``ahead`` started in advance."""
    pending: deque[Future[_R]] = deque()
    try:
        for future in begun:
            pending.append(future)
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
