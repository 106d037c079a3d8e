"""A Ray cluster: tasks in a bounded window, results in order."""

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
# A task whose node is lost is restarted elsewhere, but not one that kills every worker.
RETRIES = 5

_connected: dict[str, RayCluster] = {}


def connect(address: str, cores: int | None = None) -> RayCluster:
    """The cluster at an address; a process connects to at most one, once.

    Args:
        address: ``HOST:PORT``, ``auto`` for the cluster of this machine, or ``local`` to start one for
            this run.
        cores: of a local cluster, None for all.

    Raises:
        UsageError: Ray is not installed.
        SynthError: no cluster answers, or it runs other versions.
    """
    if address not in _connected:
        disconnect()
        _connected[address] = RayCluster(address, cores)
    return _connected[address]


def disconnect() -> None:
    """Disconnects, and ends the work of this process on the cluster."""
    while _connected:
        _connected.popitem()[1].close()


class RayCluster:
    """A connection to a Ray cluster.

    Attributes:
        cpus: logical CPUs of all nodes; gpus: their GPUs.
        pools: pools of actors, by their places (see ``actor_pool.held``).
    """

    def __init__(self, address: str, cores: int | None) -> None:
        if address not in (LOCAL, AUTO):
            _check_listening(address)
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
            raise SynthError(
                f"{parameter('ray')} {address}: {_explanation(address, error)}"
            ) from error
        total = ray.cluster_resources()
        self.cpus = max(1, int(total.get("CPU", 1)))
        self.gpus = int(total.get("GPU", 0))
        self.pools: dict[Hashable, Any] = {}

    def nodes(self) -> list[dict[str, Any]]:
        """Live nodes, as described by Ray."""
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
        """Like map, one task per item; two per CPU ahead, results in the order of the items.

        Items and results pass through this machine.

        Raises:
            what the function raises; SynthError if a task was lost for good.
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
        """One generator task per item: (item, yielded value), in the order of the items.

        Args:
            ahead: values that a task may buffer before it pauses.
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
            raise ray_error(error) from error

    def _cancel(self, references: Iterable[Any]) -> None:
        for reference in references:
            try:
                self.ray.cancel(reference, recursive=False)
            except Exception:  # already done, or no connection: nothing to cancel
                return


def value_of(outcome: ray_worker.RemoteOutcome) -> Any:
    """The value of an outcome. Raises its error."""
    if outcome.error is None:
        return outcome.value
    if outcome.trace:
        outcome.error.add_note(outcome.trace)
    raise outcome.error


def ray_error(error: BaseException) -> SynthError:
    """An error of Ray itself, in one line."""
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


def _check_listening(address: str) -> None:
    """Raises SynthError if nothing listens; Ray would try for minutes, with messages on stderr."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise UsageError(f"{parameter('ray')} {address}: use HOST:PORT, auto or local")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise SynthError(f"{parameter('ray')} {address}: {_explanation(address, error)}") from error


def _import() -> Any:
    # Read by Ray on import: no usage statistics, and messages only in its own logs.
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
    # Ray prints messages about lost workers on stdout in any case, among our records.
    ray._private.worker.print_to_stdstream = _ignore
    return ray


def _ignore(*_: Any, **__: Any) -> None:
    pass


@contextmanager
def _own_breakpoint() -> Iterator[None]:
    """Keeps Ray from installing its debugger for the program and its child processes."""
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
    """Keeps Ray from replacing our signal handlers, and delays a first signal until it has started: an
    interrupted start would leave processes behind. A second signal interrupts it anyway."""
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


def _explanation(address: str, error: Exception) -> str:
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
