"""Where batches go: stdout, one file, or a directory of shards that can be resumed."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

from synthtools.errors import OutputClosed, OutputExistsError, SynthError, UsageError
from synthtools.records.batch import Batch
from synthtools.records.claim import Claim, remove_partial
from synthtools.records.encoders import FORMATS, Encoder, encoder
from synthtools.records.files import AtomicFile, begun, special, told, write_whole
from synthtools.records.inputs import Shard
from synthtools.records.jobs import difference
from synthtools.records.jsonl import parse_value
from synthtools.records.places import Place, place_of
from synthtools.records.sink import RecordSink, Sink
from synthtools.records.size import Size, parts

MANIFEST = ".synth.json"

_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_SUFFIXES = {
    **dict.fromkeys(_JSON_SUFFIXES, "jsonl"),
    **{suffix + ".gz": "jsonl.gz" for suffix in _JSON_SUFFIXES},
    **{suffix + end: "jsonl.zst" for suffix in _JSON_SUFFIXES for end in (".zst", ".zstd")},
    ".parquet": "parquet",
    **dict.fromkeys((".arrow", ".feather", ".ipc"), "arrow"),
}
_ARRAY = re.compile(r"\.json(?=$|\.gz$|\.zstd?$)", re.IGNORECASE)


def open_sink(
    output: str | RecordSink | None,
    form: str | None,
    *,
    shards: Iterable[Shard],
    force: bool,
    resume: bool,
    shard_size: Size,
    job: dict[str, Any],
    option: str = "-o",
) -> Sink:
    """The sink that ``-o`` and ``--format`` ask for.

    Args:
        output: None or ``-`` for stdout, a sink for the calling program, a file name, or a directory (it exists, ends in ``/``, or
            has no suffix).
        form: one of ``FORMATS``; by default the file's suffix, the first input's form in a
            directory, JSONL on stdout.
        shards: the inputs, which must not be written over.
        job: what defines the output's bytes (tool, arguments, inputs), kept with resumable shards.
        option: that named the output.

    Raises:
        UsageError: options that do not fit together.
        SynthError: the output is one of the inputs, exists already, or cannot be written.
    """
    shards = list(shards)
    if form is not None and form not in FORMATS:
        raise UsageError(f"--format {form}: unknown; use one of {', '.join(FORMATS)}")
    if output == "":
        raise UsageError(f"{option} was given an empty name")
    if isinstance(output, RecordSink):
        return output
    if resume and force:
        raise UsageError("--resume goes on, --force begins anew: give one of them")
    if output is None or output == "-":
        if sys.stdout is None:
            raise SynthError("<stdout>: is closed; write to a file with -o")
        _refuse_input(shards, os.fstat(sys.stdout.fileno()), "<stdout>")
        if resume:
            raise UsageError("--resume needs a directory: -o DIR/")
        return StreamSink(sys.stdout.fileno(), "<stdout>", form or "jsonl")
    path = place_of(output)
    if _is_directory(output, path):
        return DirectorySink(path, form or _form_of(shards), force, resume, shard_size, job, shards)
    if resume:
        raise UsageError(f"--resume needs a directory, not the file {output}: -o DIR/")
    refuse_input_as_output(shards, output)
    with told(output):
        descriptor = special(path) if isinstance(path, Path) else None
    if descriptor is not None:
        return StreamSink(descriptor, output, form or "jsonl")
    return FileSink(path, form or form_by_suffix(output, option), force)


def _is_directory(output: str, path: Path | Place) -> bool:
    if isinstance(path, Place):
        with told(output):
            return output.endswith("/") or "." not in path.name or path.is_dir()
    if output.endswith("/") or os.path.isdir(output):
        return True
    return not os.path.exists(output) and "." not in os.path.basename(output).lstrip(".")


def form_by_suffix(output: str, option: str = "-o") -> str:
    """The format that a file's name asks for.

    Raises:
        UsageError: it asks for none, or for one array of records.
    """
    form = _named_form(output)
    if _ARRAY.search(output):
        raise UsageError(
            f"{option} {output}: a .json file is one value, and records are written as lines: name it "
            f"{_ARRAY.sub('.jsonl', output)}, or give --format {form}"
        )
    if form is not None:
        return form
    raise UsageError(
        f"{option} {output}: the suffix says no format; use .jsonl, .jsonl.gz, .jsonl.zst, .parquet or "
        ".arrow, or give --format"
    )


def _named_form(name: str) -> str | None:
    name = os.path.basename(name).lower()
    fitting = [suffix for suffix in _SUFFIXES if name.endswith(suffix)]
    return _SUFFIXES[max(fitting, key=len)] if fitting else None


def _form_of(shards: list[Shard]) -> str:
    return (_named_form(shards[0].name) if shards else None) or "jsonl"


def refuse_input_as_output(shards: Iterable[Shard], name: str) -> None:
    """Keeps a file that is read from being written over.

    Raises:
        SynthError: the name, a link to it perhaps, is one of the inputs.
    """
    place = place_of(name)
    if isinstance(place, Place):
        if any(shard.path == place for shard in shards):
            raise _both(name)
        return
    try:
        found = os.stat(name)
    except OSError:
        return  # nothing there, or what there is will be told when it is opened
    _refuse_input(shards, found, name)


def refuse_overlap(name: str, option: str, others: Iterable[str | None]) -> None:
    """Keeps a further output apart from others.

    Args:
        others: what else is written; None or ``-`` is stdout.

    Raises:
        UsageError: the name is one of theirs, or one is a directory that holds the other.
    """
    for other in others:
        ends = [_whereabouts(one) for one in (name, other)]
        if ends[0] == ends[1]:
            raise UsageError(f"{option} {name}: is an output already; name another")
        if any(a.startswith(b.rstrip("/") + "/") for a, b in (ends, ends[::-1])):
            raise UsageError(
                f"{option} {name}: whoever reads the directory would read both outputs; name one "
                f"outside of {other}"
            )


def _whereabouts(name: str | None) -> str:
    if name is None or name == "-":
        return "<stdout>"
    place = place_of(name)
    return os.path.realpath(name) if isinstance(place, Path) else str(place).rstrip("/")


def _both(name: str) -> SynthError:
    return SynthError(f"{name}: is both input and output; write to another file")


def _refuse_input(shards: Iterable[Shard], found: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        return
    for shard in shards:
        if isinstance(shard.path, Place) or (shard.path is None and sys.stdin is None):
            continue
        inputs = os.fstat(sys.stdin.fileno()) if shard.path is None else os.stat(shard.path)
        if os.path.samestat(found, inputs):
            raise _both(name)


# ---------------------------------------------------------------- stdout and special files


class StreamSink(Sink):
    """A pipe, a terminal or a device: JSONL is passed on as soon as it is there, rows of Parquet and
    Arrow by the group (see ``encoders``)."""

    def __init__(self, descriptor: int, name: str, form: str) -> None:
        super().__init__()
        self._name = name
        self._file: BinaryIO = open(descriptor, "wb", closefd=False)
        form = "arrow-stream" if form == "arrow" else form
        self._encoder = encoder(form, SimpleNamespace(file=self._file))

    def write(self, batch: Batch) -> None:
        with _sent(self._name):
            self._encoder.write(batch)
            self._file.flush()
        self._count(batch)

    def finish(self) -> None:
        with _sent(self._name):
            self._encoder.close()
            self._file.flush()

    def abort(self) -> None:
        self._encoder.abandon()
        # Whole records have gone out; a last flush may fail again for the reason of the abort.
        try:
            self._file.close()
        except OSError:
            pass


@contextmanager
def _sent(name: str) -> Iterator[None]:
    """Like ``told``, with a closed pipe as ``OutputClosed``."""
    with told(name):
        try:
            yield
        except BrokenPipeError as error:
            raise OutputClosed from error


# ---------------------------------------------------------------- one file


class FileSink(Sink):
    """One file, renamed into place when complete."""

    def __init__(self, path: Path | Place, form: str, force: bool) -> None:
        super().__init__()
        self._file = begun(path, force)
        self._encoder = encoder(form, self._file)
        self._settled = False

    def write(self, batch: Batch) -> None:
        with told(self._file.path):
            self._encoder.write(batch)
        self._count(batch)

    def settle(self) -> None:
        if self._settled:
            return
        with told(self._file.path):
            self._encoder.close()
        self._file.settle()
        self._settled = True

    def finish(self) -> None:
        self.settle()
        self._file.commit()

    def abort(self) -> None:
        self._encoder.abandon()
        self._file.abort()


# ---------------------------------------------------------------- a directory of shards


@dataclass
class _Finished:
    """A shard that stands, and how far the work had come when it was done."""

    name: str
    records: int
    end: int  # input records that are done with this shard
    totals: dict[str, int]


@dataclass
class _Manifest:
    job: dict[str, Any]
    shards: list[_Finished] = field(default_factory=list)
    complete: bool = False

    @classmethod
    def of(cls, found: Any) -> _Manifest:
        """Raises ValueError, KeyError or TypeError where a value is no manifest."""
        manifest = cls(found["job"], [_Finished(**s) for s in found["shards"]], found["complete"])
        kinds = {"name": str, "records": int, "end": int, "totals": dict}
        right = type(manifest.job) is dict and type(manifest.complete) is bool
        for shard in manifest.shards:
            right &= all(type(getattr(shard, name)) is kind for name, kind in kinds.items())
            right = right and min(shard.records, shard.end) >= 0
            right = right and all(type(n) is int for n in shard.totals.values())
        if not right:
            raise ValueError("a member is of another type")
        return manifest

    def save(self, folder: Path | Place) -> None:
        content = json.dumps(asdict(self), indent=1).encode() + b"\n"
        write_whole(folder / MANIFEST, content, claimed=True)


class DirectorySink(Sink):
    """Shards ``part-00000.…`` in a directory, with a manifest that lets a killed run go on.

    A record's shard depends on the records alone: the shards of a resumed run are those of an
    undisturbed one.

    Attributes:
        leftovers: functions that remove what else the run kept in the directory, called when all
            shards stand, while no other run may write there yet.
    """

    def __init__(
        self,
        folder: Path | Place,
        form: str,
        force: bool,
        resume: bool,
        size: Size,
        job: dict[str, Any],
        inputs: list[Shard],
    ) -> None:
        super().__init__()
        self.folder = folder
        self._form = form
        self._size = size
        self._refuse_inputs_inside(inputs)
        job = json.loads(json.dumps({**job, "format": form, "shard_size": asdict(size)}))
        self.leftovers: list[Callable[[], None]] = []
        with told(folder):
            folder.mkdir(parents=True, exist_ok=True)
            # By a URL there is none: a store knows no locks that die with their process.
            self._claim = Claim.of_folder(folder) if isinstance(folder, Path) else None
        try:
            with told(folder):
                for shard in self._shards_there():
                    refuse_input_as_output(inputs, str(shard))  # a link to it perhaps, or on stdin
                self._manifest = self._resumed(job) if resume else self._fresh(job, force)
        except BaseException:
            self._release()
            raise
        self.complete = self._manifest.complete
        if self._manifest.shards:
            last = self._manifest.shards[-1]
            self.resume_from = last.end
            self.records = sum(shard.records for shard in self._manifest.shards)
            self.totals = dict(last.totals)
        self._file: AtomicFile | None = None
        self._encoder: Encoder | None = None
        self._weight = 0
        self._shard_records = 0
        self._end = self.resume_from

    def _refuse_inputs_inside(self, inputs: list[Shard]) -> None:
        if isinstance(self.folder, Place):
            inside = [
                s for s in inputs if isinstance(s.path, Place) and s.path.parent == self.folder
            ]
            if inside:
                raise SynthError(
                    f"{self.folder}: holds the input {inside[0].name}; write to another directory"
                )
            return
        folder = os.path.realpath(self.folder)
        for shard in inputs:
            if (
                isinstance(shard.path, Path)
                and os.path.dirname(os.path.realpath(shard.path)) == folder
            ):
                raise SynthError(
                    f"{self.folder}: holds the input {shard.name}; write to another directory"
                )

    def _shards_there(self) -> list[Any]:
        pattern = re.compile(r"part-\d{5,}\.")
        return sorted(p for p in self.folder.iterdir() if pattern.match(p.name))

    def _fresh(self, job: dict[str, Any], force: bool) -> _Manifest:
        there = self._shards_there()
        if (there or (self.folder / MANIFEST).exists()) and not force:
            raise OutputExistsError(
                f"{self.folder}: holds shards already; --resume goes on with them, "
                "--force replaces them"
            )
        manifest = _Manifest(job)
        manifest.save(self.folder)
        self._remove(there)
        return manifest

    def _resumed(self, job: dict[str, Any]) -> _Manifest:
        path = self.folder / MANIFEST
        if not path.exists():
            if self._shards_there():
                raise OutputExistsError(
                    f"{self.folder}: its shards have no manifest, so they cannot be gone on with; "
                    "--force replaces them"
                )
            return self._fresh(job, force=False)
        try:
            manifest = _Manifest.of(parse_value(path.read_bytes()))
        except (ValueError, KeyError, TypeError) as error:
            raise SynthError(f"{path}: not a manifest of synth; --force begins anew") from error
        if manifest.job != job:
            raise SynthError(
                f"{self.folder}: was begun with other {difference(manifest.job, job)}; "
                "--force begins anew"
            )
        names = {shard.name for shard in manifest.shards}
        missing = sorted(names - {p.name for p in self._shards_there()})
        if missing:
            raise SynthError(f"{self.folder}: {missing[0]} is gone; --force begins anew")
        # A shard renamed into place just before a kill is not in the manifest yet: it is done anew.
        self._remove([p for p in self._shards_there() if p.name not in names])
        return manifest

    def _remove(self, shards: list[Any]) -> None:
        for path in shards:
            path.unlink(missing_ok=True)
        if isinstance(self.folder, Path):
            remove_partial(self.folder, rf"\.(part-\d+\..+|\.?{re.escape(MANIFEST)})")

    def _require_claim(self) -> None:
        """Raises SynthError where the directory is another than the one that the run began in."""
        if self._claim is not None and not self._claim.stands():
            raise SynthError(
                f"{self.folder}: was removed or replaced while it was written; run again"
            )

    def _require_shards(self) -> None:
        """Raises SynthError where a finished shard is gone."""
        self._require_claim()
        there = {path.name for path in self._shards_there()}
        gone = [shard.name for shard in self._manifest.shards if shard.name not in there]
        if gone:
            raise SynthError(
                f"{self.folder}: {gone[0]} was removed while the run went on; --force begins anew"
            )

    def _release(self) -> None:
        if self._claim is not None:
            self._claim.release()

    def write(self, batch: Batch) -> None:
        with told(self.folder):
            weights = self._size.weights(batch)
            for start, end, weight in parts(weights, self._weight, self._size.count):
                self._append(batch if end - start == len(batch) else batch.take(range(start, end)))
                self._weight = weight
                if weight >= self._size.count:
                    self._close_shard()

    def _append(self, part: Batch) -> None:
        if self._encoder is None:
            self._open_shard()
        assert self._encoder is not None
        self._encoder.write(part)
        self._shard_records += len(part)
        self._end = int(part.ordinals[-1]) + 1
        self._count(part)

    def _open_shard(self) -> None:
        self._require_claim()
        name = f"part-{len(self._manifest.shards):05d}.{self._form}"
        self._file = begun(self.folder / name, claimed=True)
        self._encoder = encoder(self._form, self._file)

    def _close_shard(self) -> None:
        assert self._encoder is not None and self._file is not None
        self._encoder.close()
        self._require_claim()
        self._file.commit()
        self._manifest.shards.append(
            _Finished(self._file.path.name, self._shard_records, self._end, dict(self.totals))
        )
        self._manifest.save(self.folder)
        self._encoder = self._file = None
        self._weight = self._shard_records = 0

    def finish(self) -> None:
        with told(self.folder):
            if self._encoder is None and not self._manifest.shards:
                self._open_shard()  # no records: an empty shard says so to whoever reads on
            if self._encoder is not None:
                self._close_shard()
            self._require_shards()
            self._manifest.complete = True
            self._manifest.save(self.folder)
        for remove in self.leftovers:
            remove()
        self._release()

    def abort(self) -> None:
        if self._encoder is not None:
            self._encoder.abandon()
        if self._file is not None:
            self._file.abort()
        self._release()


def is_unfinished(folder: Path | Place) -> bool:
    """Whether a directory holds the shards of a run that has not ended."""
    try:
        return parse_value((folder / MANIFEST).read_bytes())["complete"] is False
    except (OSError, ValueError, KeyError, TypeError):
        return False
