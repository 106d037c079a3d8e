"""Items computed ahead in another thread, so that tokenising, the model and writing overlap."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

from synthtools.scale.threads import in_context, in_order

_T = TypeVar("_T")


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def prefetched(items: Iterable[_T], depth: int) -> Generator[_T, None, None]:
    """The same items, computed up to ``depth`` ahead in another thread.

    An exception is raised in place of the item. Closing the iterator stops the thread after its current item;
    so does the end of the program, which waits for that item, because killing a thread inside torch or a
    tokenizer would abort the process.
    """
    filled: queue.Queue[Any] = queue.Queue(maxsize=depth)
    stop = threading.Event()
    program = threading.main_thread()

    def put(item: Any) -> bool:
        while not stop.is_set() and program.is_alive():
            try:
                filled.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        error: BaseException | None = None
        iterator = iter(items)
        try:
            for item in iterator:
                if not put(item):
                    return
        except BaseException as raised:  # of any type: it is raised in the consumer
            error = raised
        finally:
            _close(iterator)
            put(_End(error))

    # Not a daemon thread: those are killed in the middle of their work.
    threading.Thread(target=in_context(work), name="prefetch", daemon=False).start()
    try:
        while True:
            item = filled.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stop.set()


def overlapped(
    items: Iterable[Any], *stages: Callable[[Any], Any], at_once: int = 1
) -> Iterator[Any]:
    """Items through a pipeline of stages, one thread each, in order.

    Args:
        at_once: items that the last stage works on at once, one thread each.
    """
    for number, stage in enumerate(stages, 1):
        items = prefetched(_through(stage, iter(items), at_once if number == len(stages) else 1), 1)
    return iter(items)


def _through(stage: Callable[[Any], Any], items: Iterator[Any], at_once: int) -> Iterator[Any]:
    # Like map, but closing it closes the stage before it.
    try:
        yield from in_order(items, stage, at_once)
    finally:
        _close(items)


def _close(items: Iterator[Any]) -> None:
    close = getattr(items, "close", None)
    if close is not None:
        close()


def gathered(items: Iterable[_T], size: Callable[[_T], int], least: int) -> Iterator[list[_T]]:
    """Groups of consecutive items with a total size of at least ``least``."""
    run: list[_T] = []
    total = 0
    for item in items:
        run.append(item)
        total += size(item)
        if total >= least:
            yield run
            run, total = [], 0
    if run:
        yield run
