"""Actors of a cluster that each hold the same things, models, and are called as they have room.

A call whose actor is lost goes to another. An actor that is lost is replaced where the cluster has
room for it; the calls go on with those that are left.
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
from synthtools.scale.ray_cluster import RayCluster, lost, value_of
from synthtools.scale.threads import in_context, results

# Calls that an actor has: one that it works on, one that waits beside it.
_CALLS = 2
# A call that has ended so many actors is not given to another; nor is a place another actor where so
# many have ended before they were open.
_TRIES = 4
# Seconds for which a pool without any actor waits for the cluster to have room for one.
PATIENCE = 120.0


@dataclass(eq=False)
class _Actor:
    """An actor.

    Attributes:
        where: options of Ray.
        hello: the reference of its first word, None once it is there.
        deaths: of those before it in its place that ended while they opened something.
        opening: what it opens, by reference of Ray; holds: what is open.
        calls: by reference of Ray.
    """

    handle: Any
    where: dict[str, Any]
    hello: Any
    deaths: int = 0
    opening: dict[Any, Holding] = field(default_factory=dict)
    holds: set[Holding] = field(default_factory=set)
    calls: dict[Any, _Call] = field(default_factory=dict)


@dataclass(eq=False)
class _Call:
    holding: Holding
    method: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: Future[Any] = field(default_factory=Future)
    tries: int = 0


@dataclass(eq=False)
class Holding(Closeable):
    """What every actor of a pool holds (see ``held``).

    Attributes:
        words: pickled, how it is opened and described; key: its name with the actors.
        tell: takes remarks.
        ready: what it is described as, where it is open first.
    """

    pool: ActorPool
    words: bytes
    tell: Callable[[str], None]
    key: str = field(default_factory=lambda: secrets.token_hex(8))
    ready: Future[Any] = field(default_factory=Future)

    @property
    def description(self) -> Any:
        """What ``describe`` gave."""
        return self.ready.result()

    def submit(self, method: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Calls a function of (what an actor holds, arguments) on the next actor with room."""
        return self.pool.submit(_Call(self, method, arguments))

    def in_order(
        self, method: Callable[..., Any], items: Iterable[Any], *more: Any
    ) -> Iterator[Any]:
        """Like map over the actors, two calls an actor ahead; results in the order of the items."""
        return results(
            (self.submit(method, item, *more) for item in items), _CALLS * self.pool.size
        )

    def close(self) -> None:
        """Lets go of it, and breaks off its calls; the actors end with the last that they hold."""
        self.pool.release(self)


class ActorPool:
    """Actors that hold the same things; for the arguments see ``held``.

    Attributes:
        failure: why no more is taken: it has failed, or ended.
        size: actors asked for.
    """

    def __init__(
        self, cluster: RayCluster, places: list[dict[str, Any]], patience: float = PATIENCE
    ) -> None:
        self._cluster = cluster
        self._patience = patience
        self._holdings: list[Holding] = []
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

    def _open(self, actor: _Actor, holding: Holding) -> None:
        actor.opening[actor.handle.open.remote(holding.key, holding.words)] = holding

    def hold(self, holding: Holding) -> None:
        """Has every actor open it."""
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

    def release(self, holding: Holding) -> None:
        """Has every actor let go of it; ends them where it was the last."""
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
                # A short time: calls that are sent meanwhile want to be watched too.
                done, _ = self._cluster.ray.wait(list(watched), num_returns=1, timeout=0.05)
                for reference in done:
                    self._take(watched[reference], reference)
                self._refuse_if_alone()
        except BaseException as error:  # raised where calls are waited for
            of_ray = isinstance(error, self._cluster.ray.exceptions.RayError)
            self._fail(lost(error) if of_ray else error)

    def _watched(self) -> dict[Any, _Actor]:
        return {
            reference: actor
            for actor in self._actors
            for reference in (*actor.calls, *actor.opening, actor.hello)
            if reference is not None
        }

    def _take(self, actor: _Actor, reference: Any) -> None:
        """Takes what has come of a call."""
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

    def _opened(self, actor: _Actor, holding: Holding, outcome: ray_worker.RemoteOutcome) -> None:
        list(map(holding.tell, outcome.remarks))
        if outcome.error is None:
            with self._changed:
                actor.holds.add(holding)
                self._fill()
        elif holding.ready.done() and holding.ready.exception() is None:
            # This one cannot hold it; others do.
            self._remove(actor, outcome.error)
            if not self._actors:
                value_of(outcome)
            holding.tell(f"{parameter('ray')}: an actor is left out: {outcome.error}")
        _settle(holding.ready, outcome)

    def _remove(self, actor: _Actor, error: BaseException) -> None:
        """Gives the calls of an actor to others."""
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
        """Asks for another actor in the place of one that is gone."""
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
        """Raises SynthError where there has been no room for any actor for long."""
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
        """Sends waiting calls to actors that have room, the least busy first."""
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

    def _break_off(self, holdings: list[Holding], error: BaseException) -> None:
        """Ends the calls of what is held."""
        ended = [call for call in self._waiting if call.holding in holdings]
        self._waiting = deque(call for call in self._waiting if call not in ended)
        for actor in self._actors:
            own = [r for r, call in actor.calls.items() if call.holding in holdings]
            ended += [actor.calls.pop(reference) for reference in own]
        for future in (*(call.future for call in ended), *(one.ready for one in holdings)):
            _settle(future, ray_worker.RemoteOutcome(error=error))

    def _end(self, actor: _Actor) -> None:
        with suppress(Exception):  # gone already, or the connection is
            self._cluster.ray.kill(actor.handle)


def _settle(future: Future[Any], outcome: ray_worker.RemoteOutcome) -> None:
    if future.done():
        return
    try:
        future.set_result(value_of(outcome))
    except BaseException as error:  # raised where the result is asked for
        future.set_exception(error)


def held(
    cluster: RayCluster,
    kind: Hashable,
    places: list[dict[str, Any]],
    opener: Callable[[Callable[[str], None]], Any],
    describe: Callable[[Any], Any],
    tell: Callable[[str], None],
    patience: float = PATIENCE,
) -> Holding:
    """Has an actor at each place open the same thing. Things of one kind of places are held by the same
    actors, for a place has room for one; these stay while nodes come and go.

    Args:
        places: options of Ray for each actor (``num_cpus``, ``num_gpus``, …).
        opener: given a function for remarks, opens what an actor holds; runs there.
        describe: of what is held; runs there.
        tell: given the actors' remarks, each once.
        patience: seconds to wait for room for an actor where there is none.

    Raises:
        SynthError: what the opener raised at the first actor, or no actor starts.
    """
    import cloudpickle

    pool = cluster.pools.get(kind)
    if pool is None or pool.failure is not None:
        pool = cluster.pools[kind] = ActorPool(cluster, places, patience)
    holding = Holding(pool, cloudpickle.dumps((opener, describe)), cache(tell))
    pool.hold(holding)
    try:
        holding.ready.result()
    except BaseException:
        holding.close()
        raise
    return holding
