"""Actors of a cluster that hold the same objects (models), with load balancing.

Calls of a lost actor go to the others; it is replaced when the cluster has room.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from synthtools import __version__
from synthtools.closeable import Closeable
from synthtools.errors import SynthError, parameter
from synthtools.scale import ray_worker
from synthtools.scale.ray_cluster import RayCluster, ray_error, value_of
from synthtools.scale.threads import in_context, results

# Calls per actor: one running, one queued.
_CALLS = 2
# Neither a call that has killed so many actors is retried, nor a place where so many died while opening.
_TRIES = 4
# Seconds that a pool without actors waits for room on the cluster.
PATIENCE = 120.0


@dataclass(eq=False)
class _Actor:
    """An actor.

    Attributes:
        where: Ray's resource options.
        hello: reference of its first reply, None once it has started.
        deaths: of its predecessors, while opening an object.
        opening: objects being opened, by Ray reference; holds: open objects.
        calls: by Ray reference.
    """

    handle: Any
    where: dict[str, Any]
    hello: Any
    deaths: int = 0
    opening: dict[Any, HeldObject] = field(default_factory=dict)
    holds: set[HeldObject] = field(default_factory=set)
    calls: dict[Any, _Call] = field(default_factory=dict)


@dataclass(eq=False)
class _Call:
    holding: HeldObject
    method: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: Future[Any] = field(default_factory=Future)
    tries: int = 0


@dataclass(eq=False)
class HeldObject(Closeable):
    """An object that every actor of a pool holds (see ``open_on_actors``).

    Attributes:
        words: pickled functions that open and describe it; key: its name on the actors.
        tell: receives remarks.
        ready: its description, from the first actor that has opened it.
    """

    pool: ActorPool
    words: bytes
    tell: Callable[[str], None]
    key: str = field(default_factory=lambda: secrets.token_hex(8))
    ready: Future[Any] = field(default_factory=Future)

    @property
    def description(self) -> Any:
        """The result of ``describe``."""
        return self.ready.result()

    def submit(self, method: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Calls function(object, arguments) on the next available actor."""
        return self.pool.submit(_Call(self, method, arguments))

    def in_order(
        self, method: Callable[..., Any], items: Iterable[Any], *more: Any
    ) -> Iterator[Any]:
        """Like map over the actors, two calls per actor ahead; results in the order of the items."""
        return results(
            (self.submit(method, item, *more) for item in items), _CALLS * self.pool.size
        )

    def close(self) -> None:
        """Releases the object and aborts its calls; actors without objects end."""
        self.pool.release(self)


class ActorPool:
    """Actors that hold the same objects; for the arguments see ``open_on_actors``.

    Attributes:
        failure: why it takes no more calls: a failure, or the end.
        size: number of actors requested.
    """

    def __init__(
        self, cluster: RayCluster, places: list[dict[str, Any]], patience: float = PATIENCE
    ) -> None:
        self._cluster = cluster
        self._patience = patience
        self._holdings: list[HeldObject] = []
        self._waiting: deque[_Call] = deque()
        self._changed = threading.Condition()
        self.failure: BaseException | None = None
        self._alone_since = time.monotonic()
        self.size = len(places)
        self._kind = cluster.ray.remote(ray_worker.ActorHolder)
        self._actors = [self._started(where) for where in places]
        self._thread = threading.Thread(target=in_context(self._run), name="pool", daemon=True)
        self._thread.start()

    def _started(self, where: dict[str, Any], deaths: int = 0) -> _Actor:
        handle = self._kind.options(max_restarts=0, **where).remote(__version__)
        actor = _Actor(handle, where, handle.here.remote(), deaths)
        for holding in self._holdings:
            self._open(actor, holding)
        return actor

    def _open(self, actor: _Actor, holding: HeldObject) -> None:
        actor.opening[actor.handle.open.remote(holding.key, holding.words)] = holding

    def hold(self, holding: HeldObject) -> None:
        """Makes every actor open an object."""
        with self._changed:
            self._holdings.append(holding)
            for actor in self._actors:
                self._open(actor, holding)
            self._changed.notify_all()

    def submit(self, call: _Call) -> Future[Any]:
        with self._changed:
            if self.failure is not None:
                raise self.failure
            self._waiting.append(call)
            self._fill()
            self._changed.notify_all()
        return call.future

    def release(self, holding: HeldObject) -> None:
        """Makes every actor release an object, and ends the actors after the last one."""
        with self._changed:
            if holding not in self._holdings:
                return
            self._break_off([holding], SynthError(f"{parameter('ray')}: the work was broken off"))
            self._holdings.remove(holding)
            for actor in self._actors:
                actor.holds.discard(holding)
                actor.handle.release.remote(holding.key)
            if self._holdings:
                return
            self.failure = self.failure or SynthError("the pool has ended")
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        for actor in self._actors:
            self._end(actor)

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    while self.failure is None and not (watched := self._watched()):
                        self._changed.wait()
                    if self.failure is not None:
                        return
                # A short timeout, since new calls have to be watched too.
                done, _ = self._cluster.ray.wait(list(watched), num_returns=1, timeout=0.05)
                for reference in done:
                    self._take(watched[reference], reference)
                self._refuse_if_alone()
        except BaseException as error:  # raised by the waiting callers
            of_ray = isinstance(error, self._cluster.ray.exceptions.RayError)
            self._fail(ray_error(error) if of_ray else error)

    def _watched(self) -> dict[Any, _Actor]:
        return {
            reference: actor
            for actor in self._actors
            for reference in (*actor.calls, *actor.opening, actor.hello)
            if reference is not None
        }

    def _take(self, actor: _Actor, reference: Any) -> None:
        """Handles the outcome of a call."""
        try:
            outcome = self._cluster.outcome(reference)
        except SynthError as error:
            self._lose(actor, error)
            return
        if reference == actor.hello:
            actor.hello = None
        elif reference in actor.opening:
            self._opened(actor, actor.opening.pop(reference), outcome)
        else:
            self._settled(actor, reference, outcome)

    def _settled(self, actor: _Actor, reference: Any, outcome: ray_worker.RemoteOutcome) -> None:
        with self._changed:
            call = actor.calls.pop(reference, None)
            self._fill()
        if call is not None:
            list(map(call.holding.tell, outcome.remarks))
            _settle(call.future, outcome)

    def _opened(
        self, actor: _Actor, holding: HeldObject, outcome: ray_worker.RemoteOutcome
    ) -> None:
        list(map(holding.tell, outcome.remarks))
        if outcome.error is None:
            with self._changed:
                actor.holds.add(holding)
                self._fill()
        elif holding.ready.done() and holding.ready.exception() is None:
            # This actor cannot open it; others have.
            self._remove(actor, outcome.error)
            if not self._actors:
                value_of(outcome)
            holding.tell(f"{parameter('ray')}: an actor is left out: {outcome.error}")
        _settle(holding.ready, outcome)

    def _remove(self, actor: _Actor, error: BaseException) -> None:
        """Passes the calls of an actor to others."""
        with self._changed:
            self._actors.remove(actor)
            for call in reversed(actor.calls.values()):
                call.tries += 1
                if call.tries == _TRIES:
                    _settle(call.future, ray_worker.RemoteOutcome(error=error))
                else:
                    self._waiting.appendleft(call)
            self._fill()
        self._end(actor)

    def _lose(self, actor: _Actor, error: SynthError) -> None:
        """Requests a replacement for a lost actor."""
        if actor not in self._actors:
            return
        self._remove(actor, error)
        deaths = actor.deaths + 1 if actor.opening else 0
        if deaths < _TRIES:
            with self._changed:
                self._actors.append(self._started(actor.where, deaths))
        elif not self._actors:
            raise error

    def _refuse_if_alone(self) -> None:
        """Raises SynthError if the cluster has had no room for any actor for too long."""
        now = time.monotonic()
        if any(actor.hello is None for actor in self._actors):
            self._alone_since = now
        elif now - self._alone_since > self._patience:
            asked = sorted(self._actors[0].where.items(), reverse=True)  # num_gpus, num_cpus
            wanted = " and ".join(f"{n:g} {name[4:-1].upper()}" for name, n in asked)
            raise SynthError(
                f"{parameter('ray')}: no node has room for the model, which asks for {wanted} (waited "
                f"{self._patience:g} s); add nodes, or end what runs there"
            )

    def _fill(self) -> None:
        """Sends queued calls to available actors, the least busy first."""
        left: deque[_Call] = deque()
        while self._waiting:
            call = self._waiting.popleft()
            able = [a for a in self._actors if call.holding in a.holds and len(a.calls) < _CALLS]
            if not able:
                left.append(call)
            elif call.tries or call.future.set_running_or_notify_cancel():
                actor = min(able, key=lambda a: len(a.calls))
                asked = actor.handle.call.remote(call.holding.key, call.method, *call.arguments)
                actor.calls[asked] = call
        self._waiting = left

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self.failure = self.failure or error
            self._break_off(self._holdings, self.failure)

    def _break_off(self, holdings: list[HeldObject], error: BaseException) -> None:
        """Ends the calls of some objects with an error."""
        ended = [call for call in self._waiting if call.holding in holdings]
        self._waiting = deque(call for call in self._waiting if call not in ended)
        for actor in self._actors:
            own = [r for r, call in actor.calls.items() if call.holding in holdings]
            ended += [actor.calls.pop(reference) for reference in own]
        for future in (*(call.future for call in ended), *(one.ready for one in holdings)):
            _settle(future, ray_worker.RemoteOutcome(error=error))

    def _end(self, actor: _Actor) -> None:
        with suppress(Exception):  # already gone, or no connection
            self._cluster.ray.kill(actor.handle)


def _settle(future: Future[Any], outcome: ray_worker.RemoteOutcome) -> None:
    if future.done():
        return
    try:
        future.set_result(value_of(outcome))
    except BaseException as error:  # raised when the result is requested
        future.set_exception(error)


def open_on_actors(
    cluster: RayCluster,
    kind: Hashable,
    places: list[dict[str, Any]],
    opener: Callable[[Callable[[str], None]], Any],
    describe: Callable[[Any], Any],
    tell: Callable[[str], None],
    patience: float = PATIENCE,
) -> HeldObject:
    """Opens an object on an actor in each place. Objects with the same places share their actors, since a
    place has room for only one; actors are replaced as nodes come and go.

    Args:
        places: Ray's options for each actor (``num_cpus``, ``num_gpus``, …).
        opener: remark → the object; runs on the actor.
        describe: the object → its description; runs on the actor.
        tell: receives the actors' remarks, each once.
        patience: seconds to wait for room if no actor runs.

    Raises:
        SynthError: the opener's error on the first actor, or no actor starts.
    """
    import cloudpickle

    pool = cluster.pools.get(kind)
    if pool is None or pool.failure is not None:
        pool = cluster.pools[kind] = ActorPool(cluster, places, patience)
    holding = HeldObject(pool, cloudpickle.dumps((opener, describe)), cache(tell))
    pool.hold(holding)
    try:
        holding.ready.result()
    except BaseException:
        holding.close()
        raise
    return holding
