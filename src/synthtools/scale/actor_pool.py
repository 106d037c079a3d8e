"""Actors of a cluster that each hold the same thing, a model, and are called as they have room.

A call whose actor is lost goes to another. An actor that is lost is replaced where the cluster has
room for it; the calls go on with those that are left.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from synthtools import __version__
from synthtools.closeable import Closeable
from synthtools.errors import SynthError, parameter
from synthtools.scale import ray_worker
from synthtools.scale.ray_cluster import RayCluster, lost, value_of
from synthtools.scale.threads import in_context, results

_T = TypeVar("_T")

# Calls that an actor has: one that it works on, one that waits beside it.
_CALLS = 2
# A call that has ended so many actors is not given to another; nor is a place another actor where so
# many have ended before they were open.
_TRIES = 4
# Seconds for which a pool without any actor waits for the cluster to have room for one.
PATIENCE = 120.0


@dataclass
class _Actor:
    """An actor.

    Attributes:
        where: options of Ray.
        hello: the reference of its first word, None once it is there.
        opening: the reference of its start, None once it is open.
        deaths: of those before it in its place that never were open.
        calls: by reference of Ray.
    """

    handle: Any
    where: dict[str, Any]
    hello: Any
    opening: Any
    deaths: int = 0
    calls: dict[Any, _Call] = field(default_factory=dict)


@dataclass
class _Call:
    method: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: Future[Any]
    tries: int = 0


class ActorPool(Closeable):
    """Actors that hold what ``opener`` opens.

    Args:
        places: options of Ray for each actor (``num_cpus``, ``num_gpus``, …).
        opener: given a function for remarks, opens what an actor holds; runs there.
        describe: of what is held; runs there.
        tell: given the actors' remarks, each once.
        patience: seconds to wait for room for an actor where there is none.

    Attributes:
        description: what ``describe`` gave at the first actor that was ready.
        size: actors asked for.

    Raises:
        SynthError: what the opener raised at the first actor, or no actor starts.
    """

    def __init__(
        self,
        cluster: RayCluster,
        places: list[dict[str, Any]],
        opener: Callable[[Callable[[str], None]], Any],
        describe: Callable[[Any], Any],
        tell: Callable[[str], None],
        patience: float = PATIENCE,
    ) -> None:
        import cloudpickle

        self._cluster = cluster
        self._opener, self._describe = cloudpickle.dumps(opener), cloudpickle.dumps(describe)
        self._tell = tell
        self._told: set[str] = set()
        self._patience = patience
        self._waiting: deque[_Call] = deque()
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._closed = False
        self._alone_since = time.monotonic()
        self.size = len(places)
        self.description: Any = None
        self._kind = cluster.ray.remote(ray_worker.ActorHolder)
        self._actors = [self._started(where) for where in places]
        self._ready: Future[Any] = Future()
        self._thread = threading.Thread(target=in_context(self._run), name="pool", daemon=True)
        self._thread.start()
        try:
            self._ready.result()
        except BaseException:
            self.close()
            raise

    def _started(self, where: dict[str, Any], deaths: int = 0) -> _Actor:
        handle = self._kind.options(max_restarts=0, **where).remote(__version__, self._opener)
        hello, opening = handle.here.remote(), handle.open.remote(self._describe)
        return _Actor(handle, where, hello, opening, deaths)

    # ------------------------------------------------------------ for callers

    def submit(self, method: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Calls a function of (what an actor holds, arguments) on the next actor with room."""
        call = _Call(method, arguments, Future())
        with self._changed:
            if self._failure is not None:
                raise self._failure
            self._waiting.append(call)
            self._fill()
            self._changed.notify_all()
        return call.future

    def in_order(
        self, method: Callable[..., Any], items: Iterable[_T], *more: Any
    ) -> Iterator[Any]:
        """Like map over the actors, two calls an actor ahead; results in the order of the items."""
        return results((self.submit(method, item, *more) for item in items), _CALLS * self.size)

    def close(self) -> None:
        """Ends the actors, and breaks off the calls."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._fail(SynthError(f"{parameter('ray')}: the work was broken off"))
        if threading.current_thread() is not self._thread:
            self._thread.join()
        for actor in self._actors:
            self._end(actor)

    # ------------------------------------------------------------ the thread that watches

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    while not self._closed and not (watched := self._watched()):
                        self._changed.wait()
                    if self._closed:
                        return
                # A short time: calls that are sent meanwhile want to be watched too.
                done, _ = self._cluster.ray.wait(list(watched), num_returns=1, timeout=0.05)
                for reference in done:
                    self._take(watched[reference], reference)
                self._refuse_if_alone()
        except self._cluster.ray.exceptions.RayError as error:
            self._fail(lost(error))
        except BaseException as error:  # raised where calls are waited for
            self._fail(error)

    def _watched(self) -> dict[Any, _Actor]:
        found: dict[Any, _Actor] = {}
        for actor in self._actors:
            found |= dict.fromkeys(actor.calls, actor)
            found |= {r: actor for r in (actor.hello, actor.opening) if r is not None}
        return found

    def _take(self, actor: _Actor, reference: Any) -> None:
        """Takes what has come of a call."""
        try:
            outcome = self._cluster.outcome(reference)
        except SynthError as error:
            self._lose(actor, error)
            return
        for remark in outcome.remarks:
            if remark not in self._told:
                self._told.add(remark)
                self._tell(remark)
        if reference == actor.hello:
            actor.hello = None
        elif reference == actor.opening:
            self._opened(actor, outcome)
        else:
            self._settled(actor, reference, outcome)

    def _settled(self, actor: _Actor, reference: Any, outcome: ray_worker.RemoteOutcome) -> None:
        with self._changed:
            call = actor.calls.pop(reference, None)
            self._fill()
        if call is not None:
            _settle(call.future, outcome)

    def _opened(self, actor: _Actor, outcome: ray_worker.RemoteOutcome) -> None:
        if outcome.error is not None and self.description is not None:
            # This one cannot hold it; others do.
            self._tell(f"{parameter('ray')}: an actor is left out: {outcome.error}")
            with self._changed:
                self._actors.remove(actor)
            self._end(actor)
            return
        description = value_of(outcome)
        with self._changed:
            actor.opening = None
            self._fill()
        if self.description is None:
            self.description = description
            self._ready.set_result(None)

    def _lose(self, actor: _Actor, error: SynthError) -> None:
        """Gives the calls of an actor that is gone to others, and asks for another in its place."""
        with self._changed:
            if actor not in self._actors:
                return
            self._actors.remove(actor)
            for call in reversed(actor.calls.values()):
                call.tries += 1
                if call.tries == _TRIES:
                    _settle(call.future, ray_worker.RemoteOutcome(error=error))
                else:
                    self._waiting.appendleft(call)
            self._end(actor)
            deaths = 0 if actor.opening is None else actor.deaths + 1
            if deaths < _TRIES:
                self._actors.append(self._started(actor.where, deaths))
            elif not self._actors:
                raise error
            self._fill()

    def _refuse_if_alone(self) -> None:
        """Raises SynthError where there has been no room for any actor for long."""
        now = time.monotonic()
        if any(actor.hello is None for actor in self._actors):
            self._alone_since = now
        elif now - self._alone_since > self._patience:
            where = self._actors[0].where
            wanted = [f"{where[f'num_{kind.lower()}s']:g} {kind}" for kind in ("GPU", "CPU")
                      if where.get(f"num_{kind.lower()}s")]  # fmt: skip
            raise SynthError(
                f"{parameter('ray')}: no node has room for the model, which asks for {' and '.join(wanted)} "
                f"(waited {self._patience:g} s); add nodes, or end what runs there"
            )

    def _fill(self) -> None:
        """Sends waiting calls to actors that have room, the least busy first."""
        while self._waiting:
            open_ones = [actor for actor in self._actors if actor.opening is None]
            actor = min(open_ones, key=lambda a: len(a.calls), default=None)
            if actor is None or len(actor.calls) >= _CALLS:
                return
            call = self._waiting.popleft()
            if not call.tries and not call.future.set_running_or_notify_cancel():
                continue
            actor.calls[actor.handle.call.remote(call.method, *call.arguments)] = call

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._failure = self._failure or error
            calls = [*self._waiting, *(c for a in self._actors for c in a.calls.values())]
            self._waiting.clear()
            for actor in self._actors:
                actor.calls.clear()
            for call in calls:
                _settle(call.future, ray_worker.RemoteOutcome(error=self._failure))
            if not self._ready.done():
                self._ready.set_exception(self._failure)

    def _end(self, actor: _Actor) -> None:
        try:
            self._cluster.ray.kill(actor.handle)
        except Exception:  # gone already, or the connection is
            pass


def _settle(future: Future[Any], outcome: ray_worker.RemoteOutcome) -> None:
    if future.done():
        return
    try:
        future.set_result(value_of(outcome))
    except BaseException as error:  # raised where the result is asked for
        future.set_exception(error)


def actor_places(cluster: RayCluster, gpus: int, cores: int | None) -> list[dict[str, Any]]:
    """Where actors go: one to every ``gpus`` GPUs of a cluster; without, one to every node, with its
    cores.

    Args:
        gpus: of one actor, 0 for CPUs.
        cores: of an actor on CPUs, None for all of a node.
    """
    if gpus:
        return [{"num_cpus": 1, "num_gpus": gpus}] * max(1, cluster.gpus // gpus)
    nodes = [int(node["Resources"].get("CPU", 0)) for node in cluster.nodes()]
    if cores is None:
        found = [{"num_cpus": count} for count in sorted(nodes, reverse=True) if count]
    else:
        found = [{"num_cpus": cores} for count in nodes for _ in range(count // cores)]
    return found or [{"num_cpus": 1}]
