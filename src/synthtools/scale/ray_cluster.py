"""A Ray cluster that the work of this run goes to: tasks in a bounded window, results in order."""

from __future__ import annotations

import itertools
import logging
import os
import pickle
import secrets
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from synthtools import __version__
from synthtools.errors import SynthError, UsageError, parameter
from synthtools.scale import orphans, ray_worker

_T = TypeVar("_T")
_R = TypeVar("_R")

LOCAL, AUTO = "local", "auto"
# A task whose node is lost is begun again elsewhere; one that ends every worker it is given to is not.
RETRIES = 5

_connected: dict[str, RayCluster] = {}


def connect(address: str, cores: int | None = None) -> RayCluster:
    """The cluster at an address; a process is connected to one, once.

    Args:
        address: ``HOST:PORT``, ``auto`` for the one that this machine belongs to, ``local`` to start
            one here for this run.
        cores: of a local one, None for all.

    Raises:
        UsageError: Ray is not installed.
        SynthError: no cluster answers, or it runs other versions.
    """
    if address not in _connected:
        disconnect()
        _connected[address] = RayCluster(address, cores)
    return _connected[address]


def disconnect() -> None:
    """Leaves the cluster; what still runs there for this process is ended."""
    while _connected:
        _connected.popitem()[1].close()


class RayCluster:
    """A connection to a Ray cluster.

    Attributes:
        cpus: logical CPUs of all nodes; gpus: their GPUs.
        pools: of actors, by the kind of their places (see ``actor_pool.held``).
    """

    def __init__(self, address: str, cores: int | None) -> None:
        if address not in (LOCAL, AUTO):
            _knock(address)
        self.ray = ray = _import()
        local = address == LOCAL
        where: dict[str, Any] = {"address": address} if not local else {"address": "local"}
        self._remains = None
        if local:
            where |= {"num_cpus": cores, "include_dashboard": False}
            self._remains = orphans.watch()
        try:
            with _own_signals(), _own_breakpoint():
                ray.init(
                    **where,
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                    configure_logging=True,
                )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            self._unwatched()
            raise SynthError(f"{parameter('ray')} {address}: {_why(address, error)}") from error
        total = ray.cluster_resources()
        self.cpus = max(1, int(total.get("CPU", 1)))
        self.gpus = int(total.get("GPU", 0))
        self.pools: dict[Hashable, Any] = {}

    def nodes(self) -> list[dict[str, Any]]:
        """Living nodes, as Ray describes them."""
        return [node for node in self.ray.nodes() if node["Alive"]]

    def close(self) -> None:
        with _own_signals():
            self.ray.shutdown()
        self._unwatched()

    def _unwatched(self) -> None:
        if self._remains is not None:
            self._remains.kill()
            self._remains.wait()

    def _job(self, function: Callable[[Any], Any]) -> ray_worker.RemoteJob:
        import cloudpickle

        reference = self.ray.put(cloudpickle.dumps(function))
        return ray_worker.RemoteJob(__version__, secrets.token_hex(8), (reference,))

    def in_order(self, items: Iterable[_T], function: Callable[[_T], _R]) -> Iterator[_R]:
        """Like map, each item a task; two a CPU ahead, results in the order of the items.

        Items and results go through this machine.

        Raises:
            what the function raises; SynthError where a task was lost for good.
        """
        job, task = self._job(function), self._task(ray_worker.one)
        pending: deque[Any] = deque()
        try:
            for item in items:
                pending.append(task.remote(job, item))
                if len(pending) > 2 * self.cpus:
                    yield self._result(pending.popleft())
            while pending:
                yield self._result(pending.popleft())
        finally:
            self._cancel(pending)

    def streams_in_order(
        self, items: Iterable[_T], function: Callable[[_T], Iterator[_R]], ahead: int
    ) -> Iterator[tuple[_T, Iterator[_R]]]:
        """Each item a task that yields: (item, what it yields), in the order of the items.

        Args:
            ahead: results of a task that may wait for being taken; the task then pauses.
        """
        job = self._job(function)
        task = self._task(
            ray_worker.stream, num_returns="streaming", _generator_backpressure_num_objects=ahead
        )
        pending: deque[tuple[_T, Any]] = deque()
        left = iter(items)
        try:
            while True:
                for item in itertools.islice(left, self.cpus + 2 - len(pending)):
                    pending.append((item, task.remote(job, item)))
                if not pending:
                    return
                item, results = pending[0]
                yield item, map(self._result, results)
                pending.popleft()
        finally:
            self._cancel(results for _, results in pending)

    def _task(self, function: Callable[..., Any], **more: Any) -> Any:
        return self.ray.remote(function).options(num_cpus=1, max_retries=RETRIES, **more)

    def _result(self, reference: Any) -> Any:
        return value_of(self.outcome(reference))

    def outcome(self, reference: Any) -> ray_worker.RemoteOutcome:
        """Waits for the outcome of a task or call.

        Raises:
            SynthError: it was lost for good.
        """
        try:
            outcome: ray_worker.RemoteOutcome = pickle.loads(self.ray.get(reference))  # noqa: S301 (our own)
            return outcome
        except self.ray.exceptions.RayError as error:
            raise lost(error) from error

    def _cancel(self, references: Iterable[Any]) -> None:
        for reference in references:
            try:
                self.ray.cancel(reference, recursive=False)
            except Exception:  # already done, or the connection is gone: nothing to cancel
                return


def value_of(outcome: ray_worker.RemoteOutcome) -> Any:
    """What work gave. Raises what it raised."""
    if outcome.error is None:
        return outcome.value
    if outcome.trace:
        outcome.error.add_note(outcome.trace)
    raise outcome.error


def lost(error: BaseException) -> SynthError:
    """An error of Ray's own, in one line."""
    text = str(error)
    if "No module named 'synthtools'" in text:
        return SynthError(
            f"{parameter('ray')}: a worker has no synthtools; install the same version, with the same Python, on "
            "all nodes"
        )
    if type(error).__name__ == "OutOfMemoryError":
        return SynthError(
            f"{parameter('ray')}: a node has no memory left for the work; use fewer CPUs a node"
        )
    line = (text.strip().splitlines() or [""])[0][:200]
    return SynthError(
        f"{parameter('ray')}: work was lost {RETRIES + 1} times ({type(error).__name__}: {line}); see the "
        "logs of Ray on its nodes"
    )


def _knock(address: str) -> None:
    """Raises SynthError where nothing listens; Ray would try for minutes, and say so on stderr."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise UsageError(f"{parameter('ray')} {address}: use HOST:PORT, auto or local")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise SynthError(f"{parameter('ray')} {address}: {_why(address, error)}") from error


def _import() -> Any:
    # Read when Ray is imported; it reports its use to nobody, and what it has to say goes into
    # its own logs.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        with _own_signals():
            import ray
            import ray.exceptions
    except ImportError as error:
        raise UsageError(
            f"{parameter('ray')}: Ray is not installed; pip install 'synthtools[ray]'"
        ) from error
    # What Ray says of a lost worker it prints on stdout, whatever it is asked, among our records.
    ray._private.worker.print_to_stdstream = _say_nothing
    return ray


def _say_nothing(*_: Any, **__: Any) -> None:
    pass


@contextmanager
def _own_breakpoint() -> Iterator[None]:
    """Keeps Ray from making its debugger that of the whole program and of all that it starts."""
    name = "PYTHONBREAKPOINT"
    before = os.environ.get(name)
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keeps Ray from putting its handlers of signals in the place of ours, and lets it end what it is
    at: a start that is broken off in the middle leaves processes behind. A second signal breaks it
    off all the same."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    kept = {number: signal.signal(number, note) for number in numbers}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def _why(address: str, error: Exception) -> str:
    text = " ".join(str(error).split())
    if "ersion mismatch" in text:
        return f"runs other versions than this machine: {text[:200]}"
    if address == AUTO and ("Could not find any running" in text or "ray start" in text):
        return (
            "no Ray cluster runs on this machine; start one (ray start --head), name an address, or "
            f"use {parameter('ray', 'local')}"
        )
    return (
        "no Ray cluster answers there (HOST:PORT of ray start --head; auto; local starts one here): "
        f"{text[:120]}"
    )
