"""Outputs of batches: stdout, one file, or a resumable directory of shards."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

from synthtools.errors import OutputClosed, SynthError, UsageError, parameter
from synthtools.records.atomic_files import atomic_file, open_special_file, write_errors
from synthtools.records.batch import Batch
from synthtools.records.encoders import FORMATS, encoder
from synthtools.records.inputs import Shard
from synthtools.records.remote_paths import RemotePath, path_of
from synthtools.records.same_file import refuse_input_as_output, refuse_open_input
from synthtools.records.shard_directory import DirectorySink
from synthtools.records.shard_size import ShardSize
from synthtools.records.sink import RecordSink, Sink

_LINES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "tsv"}
_SUFFIXES = {
    **_LINES,
    **{suffix + ".gz": form + ".gz" for suffix, form in _LINES.items()},
    **{suffix + end: form + ".zst" for suffix, form in _LINES.items() for end in (".zst", ".zstd")},
    ".parquet": "parquet",
    **dict.fromkeys((".arrow", ".feather", ".ipc"), "arrow"),
}
_PIPE_BYTES = 1 << 20  # as many as Linux lets anyone have
_ARRAY = re.compile(r"\.json(?=$|\.gz$|\.zstd?$)", re.IGNORECASE)


def open_sink(
    output: str | RecordSink | None,
    form: str | None,
    *,
    shards: Iterable[Shard],
    force: bool,
    resume: bool,
    shard_size: ShardSize,
    job: dict[str, Any],
    option: str = "-o",
    nan: str = "null",
    further: bool = False,
    journaled: bool = False,
) -> Sink:
    """The sink for ``-o`` and ``--format``.

    Args:
        output: None or ``-`` for stdout, a sink for the calling program, a file name, or a directory (it exists, ends in ``/``, or
            has no suffix).
        form: one of ``FORMATS``; by default the file's suffix, the first input's form in a
            directory, JSONL on stdout.
        shards: the inputs, which must not be overwritten.
        job: what determines the output's bytes (tool, arguments, inputs), stored with resumable shards.
        option: the option that named the output.
        nan: ``keep``, ``null`` or ``fail``, see ``Nonfinite``.
        further: a second output of the run, rewritten when it is resumed.
        journaled: the caller keeps its values in a ``ValueJournal``, so that a file can be resumed.

    Raises:
        UsageError: options that do not fit together.
        SynthError: the output is an input, already exists, or cannot be written.
    """
    shards = list(shards)
    if form is not None and form not in FORMATS:
        raise UsageError(f"{parameter('format', form)}: unknown; use one of {', '.join(FORMATS)}")
    if output == "":
        raise UsageError(f"{option} was given an empty name")
    if isinstance(output, RecordSink):
        output.nonfinite.policy = nan
        return output
    if resume and force:
        raise UsageError(
            f"{parameter('resume')} continues, {parameter('force')} starts over: give one of them"
        )
    if output is None or output == "-":
        if sys.stdout is None:
            raise SynthError("<stdout>: is closed; write to a file with -o")
        refuse_open_input(shards, os.fstat(sys.stdout.fileno()), "<stdout>")
        if resume and not further:
            where = "an output: -o FILE" if journaled else "a directory: -o DIR/"
            raise UsageError(f"{parameter('resume')} needs {where}")
        return StreamSink(sys.stdout.fileno(), "<stdout>", form or "jsonl", nan)
    path = path_of(output)
    if isinstance(path, RemotePath) and path.single:
        raise UsageError(f"{option} {output}: over HTTP files are read, not written")
    if _is_directory(output, path):
        return DirectorySink(
            path, form or _form_of(shards), force, resume, shard_size, job, shards, nan
        )
    if resume and (not (further or journaled) or isinstance(path, RemotePath)):
        raise UsageError(
            f"{parameter('resume')} needs a directory, not the file {output}: {option} DIR/"
        )
    refuse_input_as_output(shards, output)
    with write_errors(output):
        descriptor = open_special_file(path) if isinstance(path, Path) else None
    if descriptor is not None:
        return StreamSink(descriptor, output, form or "jsonl", nan)
    return FileSink(
        path, form or form_by_suffix(output, option), force, nan, same=resume and further
    )


def _is_directory(output: str, path: Path | RemotePath) -> bool:
    if isinstance(path, RemotePath):
        with write_errors(output):
            return output.endswith("/") or "." not in path.name or path.is_dir()
    if output.endswith("/") or os.path.isdir(output):
        return True
    return not os.path.exists(output) and "." not in os.path.basename(output).lstrip(".")


def form_by_suffix(output: str, option: str = "-o") -> str:
    """The format by a file's suffix.

    Raises:
        UsageError: the suffix is unknown, or that of one JSON value.
    """
    form = _named_form(output)
    if _ARRAY.search(output):
        raise UsageError(
            f"{option} {output}: a .json file is one value, and records are written as lines: name it "
            f"{_ARRAY.sub('.jsonl', output)}, or give {parameter('format', form)}"
        )
    if form is not None:
        return form
    raise UsageError(
        f"{option} {output}: the suffix says no format; use .jsonl, .jsonl.gz, .jsonl.zst, .parquet, "
        f".arrow, .csv or .tsv, or give {parameter('format')}"
    )


def _named_form(name: str) -> str | None:
    name = os.path.basename(name).lower()
    fitting = [suffix for suffix in _SUFFIXES if name.endswith(suffix)]
    return _SUFFIXES[max(fitting, key=len)] if fitting else None


def _form_of(shards: list[Shard]) -> str:
    return (_named_form(shards[0].name) if shards else None) or "jsonl"


# ---------------------------------------------------------------- stdout and special files


class StreamSink(Sink):
    """A pipe, a terminal or a device: JSONL is flushed at once, Parquet and Arrow by row group (see
    ``encoders``)."""

    def __init__(self, descriptor: int, name: str, form: str, nan: str) -> None:
        super().__init__(nan)
        self._name = name
        self.pipe = descriptor if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else None
        if self.pipe is not None:
            _enlarge(self.pipe)
        self._file: BinaryIO = open(descriptor, "wb", closefd=False)
        form = "arrow-stream" if form == "arrow" else form
        self._form = form
        self._encoder = encoder(form, SimpleNamespace(file=self._file), self.nonfinite)

    def write(self, batch: Batch) -> None:
        batch = self._sound(batch, self._form)
        self.pipe = None
        with _sent(self._name):
            self._encoder.write(batch)
            self._file.flush()
        self._count(batch)

    def finish(self) -> None:
        self.pipe = None
        with _sent(self._name):
            self._encoder.close()
            self._file.flush()

    def abort(self) -> None:
        self.pipe = None
        self._encoder.abandon()
        # Only complete records were written; a last flush may fail for the reason of the abort.
        try:
            self._file.close()
        except OSError:
            pass


def _enlarge(pipe: int) -> None:
    """A pipe that holds a batch, if the system allows it: fewer waits for the tool behind it."""
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (AttributeError, OSError):
        pass  # not Linux, or the user's pipes hold as much as they may


@contextmanager
def _sent(name: str) -> Iterator[None]:
    """Like ``write_errors``, with a closed pipe as ``OutputClosed``."""
    with write_errors(name):
        try:
            yield
        except BrokenPipeError as error:
            raise OutputClosed from error


# ---------------------------------------------------------------- one file


class FileSink(Sink):
    """One file, renamed into place when complete; ``same``: see ``AtomicFile``.

    Attributes:
        path: its name.
        leftovers: functions that remove the run's other files, called when the output is complete.
    """

    def __init__(
        self, path: Path | RemotePath, form: str, force: bool, nan: str, same: bool = False
    ) -> None:
        super().__init__(nan)
        self._file = atomic_file(path, force, same=same)
        self.path = path
        self.leftovers: list[Callable[[], None]] = []
        self._form = form
        self._encoder = encoder(form, self._file, self.nonfinite)
        self._settled = False

    def write(self, batch: Batch) -> None:
        batch = self._sound(batch, self._form)
        with write_errors(self._file.path):
            self._encoder.write(batch)
            self._file.send_ahead()
        self._count(batch)

    def settle(self) -> None:
        if self._settled:
            return
        with write_errors(self._file.path):
            self._encoder.close()
        self._file.settle()
        self._settled = True

    def finish(self) -> None:
        self.settle()
        self._file.commit()
        for remove in self.leftovers:
            remove()

    def abort(self) -> None:
        self._encoder.abandon()
        self._file.abort()
