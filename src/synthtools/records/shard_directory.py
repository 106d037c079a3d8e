"""A directory of shards that a later run can resume."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from synthtools.errors import OutputExistsError, SynthError, parameter
from synthtools.records.atomic_files import AtomicFile, atomic_file, write_errors, write_whole
from synthtools.records.batch import Batch
from synthtools.records.encoders import Encoder, encoder
from synthtools.records.inputs import Shard
from synthtools.records.job_difference import difference
from synthtools.records.jsonl import parse_value
from synthtools.records.output_lock import OutputLock, remove_partial
from synthtools.records.remote_paths import RemotePath
from synthtools.records.same_file import refuse_input_as_output
from synthtools.records.shard_size import ShardSize, parts
from synthtools.records.sink import Sink

MANIFEST = ".synth.json"


@dataclass
class _Finished:
    """A finished shard, and the progress of the work at its end."""

    name: str
    records: int
    end: int  # input records done at the end of this shard
    totals: dict[str, int]


@dataclass
class _Manifest:
    job: dict[str, Any]
    shards: list[_Finished] = field(default_factory=list)
    complete: bool = False

    @classmethod
    def of(cls, content: Any) -> _Manifest:
        """Raises ValueError, KeyError or TypeError if a value is not a manifest."""
        manifest = cls(
            content["job"], [_Finished(**s) for s in content["shards"]], content["complete"]
        )
        kinds = {"name": str, "records": int, "end": int, "totals": dict}
        right = type(manifest.job) is dict and type(manifest.complete) is bool
        for shard in manifest.shards:
            right &= all(type(getattr(shard, name)) is kind for name, kind in kinds.items())
            right = right and min(shard.records, shard.end) >= 0
            right = right and all(type(n) is int for n in shard.totals.values())
        if not right:
            raise ValueError("a member is of another type")
        return manifest

    def save(self, folder: Path | RemotePath) -> None:
        content = json.dumps(asdict(self), indent=1).encode() + b"\n"
        write_whole(folder / MANIFEST, content, claimed=True)


class DirectorySink(Sink):
    """Shards ``part-00000.…`` in a directory, with a manifest for resuming a killed run.

    A record's shard depends only on the records: a resumed run writes the same shards as an
    uninterrupted one.

    Attributes:
        leftovers: functions that remove the run's other files in the directory, called when all
            shards are complete, before the claim is released.
    """

    def __init__(
        self,
        folder: Path | RemotePath,
        form: str,
        force: bool,
        resume: bool,
        size: ShardSize,
        job: dict[str, Any],
        inputs: list[Shard],
        nan: str = "null",
    ) -> None:
        super().__init__(nan)
        self.folder = folder
        self._form = form
        self._size = size
        self._refuse_inputs_inside(inputs)
        job = json.loads(json.dumps({**job, "format": form, "shard_size": asdict(size)}))
        self.leftovers: list[Callable[[], None]] = []
        with write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            # Not for URLs: object stores have no locks that end with their process.
            self._claim = OutputLock.of_folder(folder) if isinstance(folder, Path) else None
        try:
            with write_errors(folder):
                for shard in self._shards_there():
                    refuse_input_as_output(inputs, str(shard))  # also by a link, or on stdin
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
        folder = _resolved(self.folder)
        for shard in inputs:
            if shard.path is not None and _resolved(shard.path).parent == folder:
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
                f"{self.folder}: holds shards already; {parameter('resume')} continues with them, "
                f"{parameter('force')} replaces them"
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
                    f"{self.folder}: its shards have no manifest, so they cannot be resumed; "
                    f"{parameter('force')} replaces them"
                )
            return self._fresh(job, force=False)
        try:
            manifest = _Manifest.of(parse_value(path.read_bytes()))
        except (ValueError, KeyError, TypeError) as error:
            raise SynthError(
                f"{path}: not a manifest of synth; {parameter('force')} starts over"
            ) from error
        if manifest.job != job:
            raise SynthError(
                f"{self.folder}: was started with other {difference(manifest.job, job)}; "
                f"{parameter('force')} starts over"
            )
        names = {shard.name for shard in manifest.shards}
        missing = sorted(names - {p.name for p in self._shards_there()})
        if missing:
            raise SynthError(
                f"{self.folder}: {missing[0]} is gone; {parameter('force')} starts over"
            )
        # A shard renamed just before a kill is not in the manifest yet: it is written again.
        self._remove([p for p in self._shards_there() if p.name not in names])
        return manifest

    def _remove(self, shards: list[Any]) -> None:
        for path in shards:
            path.unlink(missing_ok=True)
        if isinstance(self.folder, Path):
            remove_partial(self.folder, rf"\.(part-\d+\..+|\.?{re.escape(MANIFEST)})")

    def _require_claim(self) -> None:
        """Raises SynthError if the directory is no longer the one in which the run started."""
        if self._claim is not None and not self._claim.stands():
            raise SynthError(
                f"{self.folder}: was removed or replaced while it was written; run again"
            )

    def _require_shards(self) -> None:
        """Raises SynthError if a finished shard is missing."""
        self._require_claim()
        there = {path.name for path in self._shards_there()}
        gone = [shard.name for shard in self._manifest.shards if shard.name not in there]
        if gone:
            raise SynthError(
                f"{self.folder}: {gone[0]} was removed while the run went on; {parameter('force')} starts over"
            )

    def _release(self) -> None:
        if self._claim is not None:
            self._claim.release()

    def write(self, batch: Batch) -> None:
        batch = self._sound(batch, self._form)
        if not len(batch):
            return
        with write_errors(self.folder):
            weights = self._size.weights(batch)
            for start, end, weight in parts(weights, self._weight, self._size.count):
                self._append(batch if end - start == len(batch) else batch.take(range(start, end)))
                self._weight = weight
                if weight >= self._size.count:
                    self._close_shard()

    def _append(self, part: Batch) -> None:
        if self._encoder is None:
            self._open_shard()
        assert self._encoder is not None and self._file is not None
        self._encoder.write(part)
        self._file.send_ahead()
        self._shard_records += len(part)
        self._end = int(part.ordinals[-1]) + 1
        self._count(part)

    def _open_shard(self) -> None:
        self._require_claim()
        name = f"part-{len(self._manifest.shards):05d}.{self._form}"
        self._file = atomic_file(self.folder / name, claimed=True)
        self._encoder = encoder(self._form, self._file, self.nonfinite)

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
        with write_errors(self.folder):
            if self._encoder is None and not self._manifest.shards:
                self._open_shard()  # no records: an empty shard for the next tool
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


def is_unfinished(folder: Path | RemotePath) -> bool:
    """Whether a directory holds the shards of an unfinished run."""
    try:
        return parse_value((folder / MANIFEST).read_bytes())["complete"] is False
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _resolved(place: Path | RemotePath) -> Path | RemotePath:
    return Path(os.path.realpath(place)) if isinstance(place, Path) else place
