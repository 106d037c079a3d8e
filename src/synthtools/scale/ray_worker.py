"""What runs on the machines of a cluster: the work that it is sent, and how that ended.

Nothing is raised here: an error travels as a value, so that it arrives as the same one line as it
would be without a cluster, and Ray does not take it for a failure of its own. Outcomes travel
pickled: arrays that Ray has packed itself cannot be written to, and hold their place in its store for
as long as they live.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from synthtools import __version__


class RemoteJob(NamedTuple):
    """Work that many tasks do.

    Attributes:
        version: of the package that sent it.
        key: tells jobs apart.
        reference: ``(ref,)`` of the pickled function in Ray's store, not fetched with each task.
    """

    version: str
    key: str
    reference: tuple[Any]


class RemoteOutcome(NamedTuple):
    """How a piece of work ended.

    Attributes:
        value: what it gave; error: or why it failed; trace: where, as text.
        remarks: shown to the user while it runs.
    """

    value: Any = None
    error: BaseException | None = None
    trace: str = ""
    remarks: tuple[str, ...] = ()


_functions: dict[str, Callable[[Any], Any]] = {}


def _function(job: RemoteJob) -> Callable[[Any], Any]:
    """The job's function; this process keeps it for the job's other tasks."""
    if job.key not in _functions:
        check_version(job.version)
        import cloudpickle
        import ray

        while len(_functions) >= 4:
            del _functions[next(iter(_functions))]
        _functions[job.key] = cloudpickle.loads(ray.get(job.reference[0]))
    return _functions[job.key]


def check_version(version: str) -> None:
    """Raises SynthError where this machine has another version of the package than the sender."""
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
    except Exception:  # an error of some library that does not travel
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return RemoteOutcome(error=error, trace=trace, remarks=remarks)


def one(job: RemoteJob, item: Any) -> bytes:
    """The outcome of the job's function of an item."""
    try:
        return pickle.dumps(RemoteOutcome(_function(job)(item)))
    except Exception as error:
        return pickle.dumps(failed(error))


def stream(job: RemoteJob, item: Any) -> Iterator[bytes]:
    """The outcomes of what the job's function yields for an item, one after the other."""
    try:
        for value in _function(job)(item):
            yield pickle.dumps(RemoteOutcome(value))
    except Exception as error:
        yield pickle.dumps(failed(error))


class ActorHolder:
    """An actor that holds what is opened once, such as models.

    Args:
        version: of the package that sent it.
    """

    def __init__(self, version: str) -> None:
        self._version = version
        self._held: dict[str, Any] = {}
        self._remarks: list[str] = []

    def here(self) -> bytes:
        """Says that there is room for this actor."""
        return pickle.dumps(RemoteOutcome())

    def open(self, key: str, words: bytes) -> bytes:
        """Opens something; gives its description.

        Args:
            words: pickled; a function that opens it, given one for remarks, and one that describes it.
        """
        import cloudpickle

        def act() -> Any:
            check_version(self._version)
            opener, describe = cloudpickle.loads(words)
            self._held[key] = opener(self._remarks.append)
            return describe(self._held[key])

        return self._outcome(act)

    def call(self, key: str, method: Callable[..., Any], *arguments: Any) -> bytes:
        """A function of (what is held, arguments)."""
        return self._outcome(lambda: method(self._held[key], *arguments))

    def release(self, key: str) -> None:
        """Closes something."""
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
