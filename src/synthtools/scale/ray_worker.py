"""Code that runs on the cluster's nodes.

Errors are returned as values, so that they arrive as the same one line as without a cluster, and Ray does not
handle them as failures. Outcomes are returned pickled: arrays that Ray serialises are read-only and occupy its
store as long as they live.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from synthtools import __version__


class RemoteJob(NamedTuple):
    """A function for many tasks.

    Attributes:
        version: of the sender's package.
        key: identifies the job.
        reference: ``(ref,)`` of the pickled function in Ray's store, not fetched with each task.
    """

    version: str
    key: str
    reference: tuple[Any]


class RemoteOutcome(NamedTuple):
    """The outcome of a task.

    Attributes:
        value: its result; error: or its error; trace: the traceback as text.
        remarks: for the user, during the work.
    """

    value: Any = None
    error: BaseException | None = None
    trace: str = ""
    remarks: tuple[str, ...] = ()


_functions: dict[str, Callable[[Any], Any]] = {}


def _function(job: RemoteJob) -> Callable[[Any], Any]:
    """The job's function, cached for its other tasks in this process."""
    if job.key not in _functions:
        check_version(job.version)
        import cloudpickle
        import ray

        while len(_functions) >= 4:
            del _functions[next(iter(_functions))]
        _functions[job.key] = cloudpickle.loads(ray.get(job.reference[0]))
    return _functions[job.key]


def check_version(version: str) -> None:
    """Raises SynthError if this node has another version of the package than the sender."""
    if version != __version__:
        from synthtools.errors import SynthError, parameter

        raise SynthError(
            f"{parameter('ray')}: a worker has synthtools {__version__}, this machine {version}; install the "
            "same on all nodes"
        )


def failed(error: BaseException, remarks: tuple[str, ...] = ()) -> RemoteOutcome:
    """The outcome of work that raised an error."""
    trace = "".join(traceback.format_exception(error))
    error.__cause__ = error.__context__ = None
    error = error.with_traceback(None)
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    except Exception:  # an error that cannot be pickled
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return RemoteOutcome(error=error, trace=trace, remarks=remarks)


def one(job: RemoteJob, item: Any) -> bytes:
    """The outcome of the job's function on an item."""
    try:
        return pickle.dumps(RemoteOutcome(_function(job)(item)))
    except Exception as error:
        return pickle.dumps(failed(error))


def stream(job: RemoteJob, item: Any) -> Iterator[bytes]:
    """The outcomes that the job's generator yields for an item."""
    try:
        for value in _function(job)(item):
            yield pickle.dumps(RemoteOutcome(value))
    except Exception as error:
        yield pickle.dumps(failed(error))


class ActorHolder:
    """An actor that holds objects that are opened once, such as models.

    Args:
        version: of the sender's package.
    """

    def __init__(self, version: str) -> None:
        self._version = version
        self._held: dict[str, Any] = {}
        self._remarks: list[str] = []

    def here(self) -> bytes:
        """Replies once the actor has been placed."""
        return pickle.dumps(RemoteOutcome())

    def open(self, key: str, words: bytes) -> bytes:
        """Opens an object; returns its description.

        Args:
            words: pickled functions that open it (given one for remarks) and describe it.
        """
        import cloudpickle

        def act() -> Any:
            check_version(self._version)
            opener, describe = cloudpickle.loads(words)
            self._held[key] = opener(self._remarks.append)
            return describe(self._held[key])

        return self._outcome(act)

    def call(self, key: str, method: Callable[..., Any], *arguments: Any) -> bytes:
        """The outcome of method(object, arguments)."""
        return self._outcome(lambda: method(self._held[key], *arguments))

    def release(self, key: str) -> None:
        """Closes an object."""
        close = getattr(self._held.pop(key, None), "close", None)
        if close is not None:
            close()

    def _outcome(self, act: Callable[[], Any]) -> bytes:
        try:
            return pickle.dumps(RemoteOutcome(act(), remarks=self._remarks_of_call()))
        except Exception as error:
            return pickle.dumps(failed(error, self._remarks_of_call()))

    def _remarks_of_call(self) -> tuple[str, ...]:
        remarks = tuple(self._remarks)
        self._remarks.clear()
        return remarks
