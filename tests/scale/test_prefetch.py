"""Work in other threads: the same items in order, errors where they arise, and an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextvars import copy_context

import pytest

from synthtools.errors import KEYWORDS, parameter
from synthtools.lm.server.server_pool import DaemonThreads
from synthtools.scale.prefetch import overlapped, prefetched


def until(condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true within some seconds."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return False


class Threads:
    """The threads that began after this was made: one that another test left may end at any time."""

    def __init__(self) -> None:
        self.others = set(threading.enumerate())

    @property
    def count(self) -> int:
        return len(set(threading.enumerate()) - self.others)


class Source:
    """Counts, and tells how far it came and whether it was closed."""

    def __init__(self, length: int, fails_at: int | None = None) -> None:
        self.length = length
        self.fails_at = fails_at
        self.given = 0
        self.closed = False

    def __iter__(self) -> Iterator[int]:
        try:
            for number in range(self.length):
                if number == self.fails_at:
                    raise ValueError(f"item {number}")
                self.given = number + 1
                yield number
        finally:
            self.closed = True


@pytest.mark.parametrize("depth", [1, 2, 50])
@pytest.mark.parametrize("length", [0, 1, 2, 100])
def test_the_same_items_in_order(depth: int, length: int) -> None:
    assert list(prefetched(Source(length), depth)) == list(range(length))


def test_no_further_ahead_than_asked() -> None:
    source = Source(100)
    items = prefetched(source, 3)
    assert next(items) == 0
    # One taken, three waiting, one in hand that found no room.
    assert until(lambda: source.given == 5)
    time.sleep(0.3)
    assert source.given == 5
    items.close()


def test_an_error_comes_where_its_item_would() -> None:
    items = prefetched(Source(10, fails_at=3), 8)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="item 3"):
        next(items)
    with pytest.raises(StopIteration):
        next(items)


def test_even_an_interrupt_comes_through() -> None:
    def interrupted() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    items = prefetched(interrupted(), 2)
    assert next(items) == 1
    with pytest.raises(KeyboardInterrupt):
        next(items)


@pytest.mark.parametrize("end", ["close", "forget"])
def test_closing_early_stops_the_thread_and_closes_the_source(end: str) -> None:
    threads = Threads()
    source = Source(10**9)
    items = prefetched(source, 2)
    assert next(items) == 0
    assert threads.count == 1
    if end == "close":
        items.close()
    else:
        del items
    assert until(lambda: threads.count == 0)
    assert source.closed
    assert source.given < 10


def test_nothing_starts_before_it_is_asked_for() -> None:
    threads = Threads()
    source = Source(5)
    items = prefetched(source, 2)
    assert threads.count == 0
    del items
    assert source.given == 0


def test_stages_in_order() -> None:
    found = overlapped(Source(50), lambda n: n + 1, lambda n: n * n, str)
    assert list(found) == [str((n + 1) ** 2) for n in range(50)]
    assert list(overlapped(Source(3))) == [0, 1, 2]


def test_stages_run_side_by_side() -> None:
    # Each stage waits for the other to be at work at the same time; alone it would wait forever.
    meeting = threading.Barrier(2, timeout=10)

    def meet(number: int) -> int:
        if 0 < number < 4:
            meeting.wait()
        return number

    first = iter(overlapped(range(6), lambda n: meet(n), lambda n: meet(n + 1) - 1))
    assert list(first) == list(range(6))


@pytest.mark.parametrize("stage", [0, 1])
def test_an_error_in_a_stage_ends_all(stage: int) -> None:
    threads = Threads()
    source = Source(10**9)

    def work(number: int) -> int:
        if number == 5:
            raise ValueError("five")
        return number

    stages = [lambda n: n, lambda n: n]
    stages[stage] = work
    items = overlapped(source, *stages)
    found = []
    with pytest.raises(ValueError, match="five"):
        for item in items:
            found.append(item)
    assert found == [0, 1, 2, 3, 4]
    del items
    assert until(lambda: threads.count == 0)
    assert source.closed


def test_closing_early_ends_all_stages() -> None:
    threads = Threads()
    source = Source(10**9)
    items = overlapped(source, lambda n: n, lambda n: n)
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]
    assert until(lambda: threads.count == 0)
    assert source.closed
    assert source.given < 20


def test_threads_have_the_context_of_their_caller():
    """Else a program that calls the tools would see remarks on stderr and options in errors."""
    threads = DaemonThreads(2)

    def names(_: object = None) -> str:
        return parameter("top_p", 2)

    def called() -> list[str]:
        stages = overlapped(range(3), names, lambda name: [name, names()], at_once=2)
        return [name for pair in stages for name in pair] + [threads.submit(names).result()]

    assert set(called()) == {"--top-p 2"}
    context = copy_context()
    context.run(KEYWORDS.set, True)
    assert set(context.run(called)) == {"top_p 2"}
    threads.close()
