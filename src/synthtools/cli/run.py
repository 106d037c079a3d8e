"""One run of a tool: what goes in, what comes out, what is told, and what is left when it breaks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from synthtools.cli import quantities, terminal
from synthtools.cli.options import ARGUMENTS, NOT_DEFINING, Inputs, Jobs, Output
from synthtools.cli.publish import check_plot, draw
from synthtools.cli.remarked_rejects import REMARKED, RemarkedRejects
from synthtools.cli.run_progress import RunProgress
from synthtools.cli.text_shape import ShapedText
from synthtools.environment import rank_and_size
from synthtools.errors import SynthError, UsageError
from synthtools.records.atomic_files import AtomicFile
from synthtools.records.batch import Batch
from synthtools.records.field_paths import read_along
from synthtools.records.first_records import look
from synthtools.records.inputs import (
    STDIN,
    STDIN_NAME,
    Shard,
    find_shards,
    part_of,
)
from synthtools.records.outputs import form_by_suffix, open_sink
from synthtools.records.overlap import refuse_overlap
from synthtools.records.reader import read
from synthtools.records.record_faults import require_text
from synthtools.records.record_keys import ID_FIELD, RecordKeys
from synthtools.records.rejects import Rejects
from synthtools.records.remote_paths import path_of
from synthtools.records.same_file import refuse_repeated, repeated, same_file_message
from synthtools.records.shard_directory import DirectorySink, is_unfinished
from synthtools.records.shard_file import rereadable
from synthtools.records.sink import Sink
from synthtools.reports import document

if TYPE_CHECKING:
    from synthtools.records.map_threads import BlockResult
    from synthtools.records.reread_records import RereadRecords
    from synthtools.records.text_buffer import TextBuffer

_R = TypeVar("_R")
_T = TypeVar("_T")


class Run:
    """One run of a tool, as a context: on any error nothing half-written is left.

        with Run("ppl", reading, writing, text_field="text") as run:
            run.write(annotate(run.batches(), model))
            run.finish()

    Args:
        tool: its name.
        reading: inputs and the fate of bad records.
        writing: the output; None for tools that only report.
        text_field: the field that every record needs; None where no text is needed.
        also_needed: further text fields, each with the option that names it.
        beside: other files or directories whose records are read along with the inputs.
        apart: the inputs stand for themselves (corpora that are compared): one file may be in two.
        bar: show how much has been read; not for tools whose time goes elsewhere.
        inputs: whether the tool has inputs besides; else not even stdin is one.
        plot: the picture of the report that ``finish`` draws, None for none.
        further: where more records go, and the option that names it; it stands when the output does.
        check: given the first record of each input before any output is opened, to raise what is
            wrong with it; by default the needed fields are asked for. ``check_beside``: likewise of
            what lies beside.

    Attributes:
        arguments: of the command line, by option name.
        done: nothing is left to do (a resumed run that had ended).
        sink, further: the outputs, None where there is none.
        model: what the report says of the language model.
        progress: what the bar shows.
    """

    def __init__(
        self,
        tool: str,
        reading: Inputs,
        writing: Output | None = None,
        text_field: str | None = None,
        also_needed: tuple[tuple[str, str], ...] = (),
        beside: Sequence[str] = (),
        apart: bool = False,
        bar: bool = True,
        inputs: bool = True,
        plot: str | None = None,
        further: tuple[str, str] | None = None,
        check: Callable[[Batch], object] | None = None,
        check_beside: Callable[[Batch], object] | None = None,
    ) -> None:
        self.tool = tool
        self.model: dict[str, Any] | None = None
        self.units: dict[str, int] = {}
        self._reading = reading
        self._writing = writing
        self._needed = also_needed
        self._named_field = text_field
        self.arguments = ARGUMENTS.get({})
        self._start = time.monotonic()
        self.progress = RunProgress()
        self._read: Counter[str] = Counter()
        self._empty: set[str] = set()
        self._stack = ExitStack()
        self.sink: Sink | None = None
        self.further: Sink | None = None
        self.rejects = Rejects()
        self._further = further
        self._beside = beside
        self._apart = apart
        self._bar = bar
        self._reads = inputs
        self._plot = plot
        self._check = check or self._require
        self._check_beside = check_beside

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def _open(self) -> None:
        reading, writing = self._reading, self._writing
        if reading.rejects and reading.on_error != "skip":
            raise UsageError("--rejects needs --on-error skip")
        if self._plot is not None:
            check_plot(self._plot)
        if self._further is not None:
            self._check_further(*self._further)
        self.shards = find_shards(reading.files) if self._reads else []
        if reading.shard:
            self.shards = part_of(self.shards, *quantities.part(reading.shard))
        self._named = list(self.shards)
        self._check_repeated()
        self.shards_beside = find_shards(list(self._beside)) if self._beside else []
        for name in reading.files or []:
            if not reading.quiet and is_unfinished(path_of(name)):
                terminal.remark(f"{name}: the run that writes it has not ended; reading its shards")
        if reading.on_error == "fail":
            look(self.shards, self._check)
            if self._check_beside is not None:
                look(self.shards_beside, self._check_beside)
        # First: to open a directory with --force empties it.
        self.rejects = self._open_rejects()
        if writing is not None:
            size = quantities.shard_size(writing.shard_size)
            self.sink = open_sink(
                writing.output,
                writing.format,
                shards=self.shards,
                force=writing.force,
                resume=writing.resume,
                shard_size=size,
                job=self.job() if writing.resume or writing.output else {},
                nan=writing.nan,
            )
        if self._further is not None:
            self.further = self._open_further(*self._further)
        for sink in self._sinks():
            sink.rejects = self.rejects
        report = self.arguments.get("report")
        if report and not Path(report).absolute().parent.is_dir():
            raise SynthError(f"--report {report}: there is no directory {Path(report).parent}")
        self.progress.shards = self.shards
        hidden = reading.quiet or not self._bar
        self._stack.enter_context(
            terminal.progress(f"synth {self.tool}", hidden, self.progress.state)
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        if error is None:
            return
        for sink in self._sinks():
            sink.abort()
        if self.rejects.file is not None:
            self.rejects.file.abort()

    def _sinks(self) -> list[Sink]:
        return [sink for sink in (self.sink, self.further) if sink is not None]

    def _open_further(self, output: str, option: str) -> Sink:
        """One more place for records; its suffix decides the format, else ``--format`` does."""
        writing = self._writing
        assert writing is not None
        form = writing.format
        try:
            form_by_suffix(output)
            form = None
        except UsageError:
            pass  # a directory, or a file whose format must be given
        return open_sink(
            output,
            form,
            shards=self.shards,
            force=writing.force,
            resume=False,
            shard_size=quantities.shard_size(writing.shard_size),
            job=self.job(),
            option=option,
            nan=writing.nan,
        )

    def _check_further(self, output: str, option: str) -> None:
        """Raises UsageError where a further output is another output's place."""
        assert self._writing is not None
        if self._writing.resume:
            raise UsageError(f"{option} does not go with --resume")
        files = [name for name in (self._writing.report, self._reading.rejects) if name is not None]
        refuse_overlap(output, option, [self._writing.output, *files])

    @cached_property
    def text_field(self) -> str | None:
        """The field with the text, or where the text stands in chats and instructions."""
        shaped = self._named_field and isinstance(self._reading, ShapedText)
        return self._reading.text_of(self.shards) if shaped else self._named_field

    @property
    def quiet(self) -> bool:
        """Whether nothing but errors is to be told."""
        return self._reading.quiet

    @property
    def resuming(self) -> bool:
        """Whether an earlier run may have done a part."""
        return self._writing is not None and self._writing.resume

    @property
    def done(self) -> bool:
        return isinstance(self.sink, DirectorySink) and self.sink.complete

    def _open_rejects(self) -> Rejects:
        reading = self._reading
        if reading.on_error == "fail":
            return Rejects()
        if rank_and_size()[0] > 0:  # the first process of all tells and keeps them
            return Rejects(skip=True)
        if reading.rejects is None:
            return RemarkedRejects(skip=True)
        return Rejects(skip=True, file=AtomicFile(Path(reading.rejects), force=True))

    def job(self) -> dict[str, Any]:
        """What defines the bytes of the output: tool, arguments, inputs."""
        arguments = {k: v for k, v in self.arguments.items() if k not in NOT_DEFINING}
        return {"tool": self.tool, "arguments": arguments, "inputs": self._inputs()}

    def _inputs(self) -> list[dict[str, Any]]:
        return [
            {"name": s.name, "bytes": s.size, "fingerprint": s.fingerprint()}
            for s in [*self._named, *self.shards_beside]
        ]

    def rejects_of(self, again: bool) -> Rejects:
        """Where bad records go: told and kept by the first pass over the inputs alone."""
        return Rejects(skip=True) if again else self.rejects

    def records(
        self,
        batch_bytes: int | None = None,
        again: bool = False,
        shards: list[Shard] | None = None,
    ) -> Iterator[Batch]:
        """All records that have the needed fields, those that are done included.

        Args:
            shards: other shards than the inputs.
        """
        rejects = self.rejects_of(again)
        more = {} if batch_bytes is None else {"batch_bytes": batch_bytes}
        inputs = self.shards if shards is None else shards
        for batch in self.counted(inputs, read(inputs, rejects, **more), rejects):
            yield self._require(batch, rejects)

    def _require(self, batch: Batch, rejects: Rejects | None = None) -> Batch:
        """The records that have the needed fields."""
        texts = [(self.text_field, "--text-field")] if self.text_field else []
        for name, option in [*texts, *self._needed]:
            batch = require_text(batch, name, rejects or Rejects(), option)
        return batch

    def counted(
        self,
        shards: Sequence[Shard],
        found: Iterable[_T],
        rejects: Rejects,
        batch_of: Callable[[Any], Batch] = lambda b: b,
    ) -> Iterator[_T]:
        """What comes of one reading of shards, passed on; the records of inputs are counted, bad ones
        too. Records that are read several times count once."""
        names = {shard.name for shard in self._named} & {shard.name for shard in shards}
        seen: Counter[str] = Counter()
        source, before = "", rejects.count
        for one in found:
            batch = batch_of(one)
            source = batch.source
            seen[source] += len(batch) + rejects.count - before
            if source in names:
                self._read[source] = max(self._read[source], seen[source])
            yield one
            before = rejects.count  # what users of the records found wrong has been counted
        seen[source] += rejects.count - before
        if source in names or not source:
            self._read[source] = max(self._read[source], seen[source])
        if not rejects.count:  # else it may be that all of its records are bad
            self._empty |= names - seen.keys()

    def _done(self, batch: Batch) -> int:
        """How many records at the beginning of a batch an earlier run has finished."""
        resume_from = self.sink.resume_from if self.sink else 0
        return int((batch.ordinals < resume_from).sum())

    def batches(self, batch_bytes: int | None = None, again: bool = False) -> Iterator[Batch]:
        """The sound records that are still to be done, in input order.

        Args:
            again: they have been read before; bad ones have been told.
        """
        for batch in self.records(batch_bytes, again):
            done = self._done(batch)
            left = batch.take(range(done, len(batch))) if done else batch
            if len(left):
                yield left

    def keyed_batches(self, batch_bytes: int | None = None) -> Iterator[tuple[Batch, np.ndarray]]:
        """Like ``batches``, with the key of each record (see ``records.record_keys``)."""
        assert self.text_field is not None
        keys = RecordKeys()
        for batch in self.records(batch_bytes):
            # Records that are done count too: they tell equal texts apart.
            found = keys.of(batch.column(ID_FIELD), batch.column(self.text_field))
            done = self._done(batch)
            left = batch.take(range(done, len(batch))) if done else batch
            if len(left):
                yield left, found[done:]

    def _check_repeated(self) -> None:
        for shards in [some for _, some in self.groups()] if self._apart else [self.shards]:
            refuse_repeated(shards)
        for pair in islice(repeated(self.shards), 0 if self._reading.quiet else REMARKED):
            terminal.remark(f"{same_file_message(*pair)}: its records count in both")

    def groups(self) -> list[tuple[str, list[Shard]]]:
        """The inputs as the user named them: (name, those of its shards that this run takes)."""
        names = self._reading.files or ["-"]
        left = list(self._named)
        groups = []
        for name in names:
            own = [STDIN_NAME] if name == STDIN else [shard.name for shard in find_shards([name])]
            # With --shard the run takes neighbouring shards of all: of a name, some or none.
            count = 0
            for shard_name in own:
                count += count < len(left) and left[count].name == shard_name
            groups.append((str(name), left[:count]))
            left = left[count:]
        return groups

    def twice(self, shards: list[Shard], files: bool = False) -> list[Shard]:
        """The shards so that they can be read twice: stdin is kept on disk for the time being, and
        where they must be ``files``, records of the calling program too."""
        return [self._stack.enter_context(rereadable(shard, files)) for shard in shards]

    def worked(
        self,
        work: Callable[[Batch, TextBuffer], _R],
        jobs: Jobs,
        *,
        shards: Iterable[Shard] | None = None,
        again: bool = False,
        fields: Sequence[str] = (),
        text_field: str | None = None,
        option: str = "--text-field",
        records: bool = True,
        texts: bool = False,
    ) -> Iterator[BlockResult[_R]]:
        """The sound records and what ``work`` makes of them, on all cores or on a cluster (see
        records.map_threads and records.map_ray).

        Args:
            shards: other shards than the inputs.
            again: the shards have been read before; their bad records have been told.
            fields: other fields whose values will be asked for.
            records: the whole records will be asked for; texts: their texts will.
        """
        from synthtools.records.map_threads import BlockTask, map_records

        name = text_field or self.text_field
        assert name is not None
        task = BlockTask(work, name, read_along(fields), option)
        inputs = self.shards if shards is None else list(shards)
        cluster = jobs.cluster()
        rejects = self.rejects_of(again)
        if cluster is None:
            found = map_records(inputs, rejects, task, jobs=jobs.workers())
        else:
            from synthtools.records import map_ray

            keep = map_ray.KeptParts(records, texts)
            found = map_ray.map_records(inputs, rejects, task, cluster, keep)
        return self.counted(inputs, found, rejects, lambda one: one.batch)

    def recalled(self, jobs: Jobs) -> RereadRecords | None:
        """What finds records of the inputs again on a cluster, so that they need not be kept while
        it is not known which are wanted; None where they must be."""
        cluster = jobs.cluster()
        if cluster is None:
            return None
        from synthtools.records import map_ray
        from synthtools.records.reread_records import RereadRecords

        if not all(map(map_ray.seen_by_all, self.shards)):
            return None
        return RereadRecords(self.shards, partial(map_ray.picked, cluster=cluster))

    def write(self, batches: Iterable[Batch]) -> None:
        """Passes batches to the output, without the records that an earlier run has finished."""
        assert self.sink is not None
        for batch in batches:
            done = self._done(batch)
            left = batch.take(range(done, len(batch))) if done else batch
            if len(left):
                self.sink.write(left)
                self.progress.records += len(left)

    def batches_beside(self) -> Iterator[Batch]:
        """The records of what is named ``beside``."""
        return read(self.shards_beside, Rejects())

    @property
    def totals(self) -> dict[str, int]:
        """Sums of the tallies of all that the output holds, resumed shards included."""
        return self.sink.totals if self.sink else {}

    def count(self, records: int) -> None:
        """Counts records for the progress bar, and for the report where they are read elsewhere."""
        self.progress.records += records

    def finish(self, result: dict[str, Any] | None = None) -> dict[str, Any]:
        """Makes the output stand, tells what was skipped, writes ``--report``, draws ``--plot``.

        Args:
            result: the tool's own numbers.

        Returns:
            The whole report.
        """
        self._stack.close()
        # A disk too full for the rejects must not find the output standing.
        if self.rejects.file is not None:
            self.rejects.file.settle()
        sinks = self._sinks()
        for sink in sinks if len(sinks) > 1 else ():
            sink.settle()
        for sink in sinks:
            sink.finish()
        if self.rejects.file is not None:
            self.rejects.file.commit()
        self._tell_skipped()
        if not self.quiet:
            self._tell_nothing()
            self._tell_nonfinite()
        report, writing = self._report(result or {}), self._writing
        if writing is not None and writing.report:
            document.save(report, writing.report)
        if self._plot is not None and result is None:
            terminal.remark(
                f"{self._plot}: not drawn: the run was already finished, nothing was measured"
            )
        elif self._plot is not None and (writing is None or not writing.prints_report()):
            draw(report, self._plot)
        return report

    def _tell_skipped(self) -> None:
        if not self.rejects.count:
            return
        reasons = ", ".join(f"{n} × {why}" for why, n in self.rejects.reasons.most_common(3))
        more = " …" if len(self.rejects.reasons) > 3 else ""
        kept = f"; kept in {self._reading.rejects}" if self.rejects.file else ""
        terminal.remark(f"{self.rejects.count} skipped: {reasons}{more}{kept}")

    def _tell_nothing(self) -> None:
        """Tells of inputs without a record, and of an output without one."""
        empty = [shard.name for shard in self._named if shard.name in self._empty]
        if empty:
            more = f" and {len(empty) - 3:,} others" if len(empty) > 3 else ""
            terminal.remark(f"no records in {', '.join(dict.fromkeys(empty[:3]))}{more}")
        read = self._read.total()
        if read and self.sink is not None and not self.sink.records:
            s = "" if read == 1 else "s"
            terminal.remark(f"nothing was written: of {read:,} record{s} read none was left")

    def _tell_nonfinite(self) -> None:
        count = sum(sink.nonfinite.count for sink in self._sinks())
        if count:
            s = "" if count == 1 else "s"
            terminal.remark(
                f"{count:,} number{s} NaN or infinite became null in JSON (--nan keep|null|fail; Parquet "
                "and Arrow keep them)"
            )

    def _report(self, result: dict[str, Any]) -> dict[str, Any]:
        seconds = time.monotonic() - self._start
        skipped = self.rejects.count
        read = self._read.total() or self.progress.records + skipped
        written = 0 if self.sink is None else self.sink.records
        counts: dict[str, Any] = {"read": read, "written": written, "skipped": skipped}
        if self.sink is not None and self.sink.nonfinite.count:
            counts["nonfinite_as_null"] = self.sink.nonfinite.count
        if self.further is not None:
            counts["written_further"] = self.further.records
        if self.rejects.count:
            counts["reasons"] = dict(self.rejects.reasons)
        units = {"records": read, **self.units}
        return {
            "kind": self.tool,
            **result,
            "made_by": document.made_by(
                self.tool,
                self.arguments,
                self._inputs(),
                counts,
                seconds,
                self.model,
                {
                    f"{name}_per_second": round(n / max(seconds, 1e-9), 1)
                    for name, n in units.items()
                },
            ),
        }
