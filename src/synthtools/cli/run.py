"""One run of a tool: its inputs, outputs, remarks and report, and the cleanup after a failure."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from synthtools.cli import interrupts, terminal
from synthtools.cli.options import ARGUMENTS, NOT_DEFINING, Inputs, Output
from synthtools.cli.publish import draw, require_folder
from synthtools.cli.run_inputs import RunInputs
from synthtools.cli.run_remarks import (
    RemarkedRejects,
    remark_empty,
    remark_nonfinite,
    remark_nothing_written,
    remark_skipped,
)
from synthtools.environment import rank_and_size
from synthtools.errors import SynthError, UsageError
from synthtools.records.atomic_files import AtomicFile
from synthtools.records.batch import Batch
from synthtools.records.inputs import Shard
from synthtools.records.outputs import form_by_suffix, open_sink
from synthtools.records.rejects import LateRejects, Rejects
from synthtools.records.remote_paths import path_of
from synthtools.records.same_file import refuse_overlap
from synthtools.records.shard_directory import DirectorySink, is_unfinished
from synthtools.records.sink import Sink
from synthtools.reports import document


class Run(RunInputs):
    """One run of a tool, a context manager: on any error unfinished outputs are removed.

        with Run("ppl", reading, writing, text_field="text") as run:
            run.write(annotate(run.batches(), model))
            run.finish()

    Args:
        tool: its name.
        writing: the output; None for tools that only report.
        bar: show a progress bar of the bytes read.
        plot: the figure of the report that ``finish`` draws, None for none.
        further: a second output of records, and the option that names it; completed with the output.
        check: called with the first record of each input before any output is opened, to raise errors;
            by default it checks the needed fields. ``check_beside``: likewise for the inputs beside.
        journaled: the tool keeps a journal, so that a file can be resumed like a directory.
        reading, text_field, also_needed, beside, apart, inputs: see ``RunInputs``.

    Attributes:
        arguments: of the command line, by option name.
        done: whether a resumed run had already finished.
        sink, further: the outputs, None without.
        model: the language model's entry in the report.
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
        inputs: bool | Sequence[Shard] = True,
        plot: str | None = None,
        further: tuple[str, str] | None = None,
        check: Callable[[Batch], object] | None = None,
        check_beside: Callable[[Batch], object] | None = None,
        journaled: bool = False,
    ) -> None:
        super().__init__(reading, text_field, also_needed, beside, apart, inputs)
        self.tool = tool
        self.model: dict[str, Any] | None = None
        self.units: dict[str, int] = {}
        self._writing = writing
        self.arguments = ARGUMENTS.get({})
        self.sink: Sink | None = None
        self.further: Sink | None = None
        self._further = further
        self._bar = bar
        self._plot = plot
        self._check = check
        self._check_beside = check_beside
        self._journaled = journaled

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def _open(self) -> None:
        reading, writing = self._reading, self._writing
        if self._further is not None:
            self._check_further(*self._further)
        if not reading.quiet and sys.stderr.isatty():  # logs must not depend on a cache
            terminal.show_logged("synthtools.compiled")
        self._find(self._check, self._check_beside)
        # First, because opening a directory with --force empties it.
        self.rejects = self._open_rejects()
        if writing is not None:
            job = self.job() if writing.resume or writing.output else {}
            self.sink = self._opened(writing, writing.output, writing.format, job)
            self._resume_from = self.sink.resume_from
            if self._further is not None:
                self.further = self._open_further(writing, *self._further)
        interrupts.end_without_reader(self.sink)
        for sink in self._sinks():
            sink.rejects = LateRejects(self.rejects)
            sink.nonfinite.everywhere = any(shard.records is not None for shard in self.shards)
        report = self.arguments.get("report")
        if report:
            require_folder("--report", report)
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

    def _opened(
        self,
        writing: Output,
        output: str | None,
        form: str | None,
        job: dict[str, Any],
        further: str | None = None,
    ) -> Sink:
        return open_sink(
            output,
            form,
            shards=self.shards,
            force=writing.force,
            resume=writing.resume,
            shard_size=writing.shard_size,
            job=job,
            option=further or "-o",
            nan=writing.nan,
            further=further is not None,
            journaled=self._journaled,
        )

    def _open_further(self, writing: Output, output: str, option: str) -> Sink | None:
        """Opens a second output; its format is that of the suffix, otherwise of ``--format``."""
        if self.done:
            path = path_of(output)
            if not path.exists() or is_unfinished(path):
                raise SynthError(
                    f"{option} {output}: not there, but the run that writes it has ended; --force "
                    "starts over"
                )
            return None
        form = writing.format
        try:
            form_by_suffix(output)
            form = None
        except UsageError:
            pass  # a directory, or a file that needs --format
        return self._opened(writing, output, form, self.job(), option)

    def _check_further(self, output: str, option: str) -> None:
        """Raises UsageError if a further output overlaps another output."""
        assert self._writing is not None
        files = [name for name in (self._writing.report, self._reading.rejects) if name is not None]
        refuse_overlap(output, option, [self._writing.output, *files])

    @property
    def quiet(self) -> bool:
        """Whether only errors are shown."""
        return self._reading.quiet

    @property
    def resuming(self) -> bool:
        """Whether the run continues an earlier one."""
        return self._writing is not None and self._writing.resume

    def passes_on(self) -> bool:
        return self.sink is not None or super().passes_on()

    @property
    def done(self) -> bool:
        return isinstance(self.sink, DirectorySink) and self.sink.complete

    def _open_rejects(self) -> Rejects:
        reading = self._reading
        if reading.on_error == "fail":
            return Rejects()
        if rank_and_size()[0] > 0:  # the first rank reports and writes them
            return Rejects(skip=True)
        if reading.rejects is None:
            return RemarkedRejects(skip=True)
        return Rejects(skip=True, file=AtomicFile(Path(reading.rejects), force=True))

    def job(self) -> dict[str, Any]:
        """Everything that determines the bytes of the output: tool, arguments, inputs."""
        arguments = {k: v for k, v in self.arguments.items() if k not in NOT_DEFINING}
        return {"tool": self.tool, "arguments": arguments, "inputs": self._inputs()}

    def write(self, batches: Iterable[Batch]) -> None:
        """Writes batches, without the records that an earlier run has finished."""
        assert self.sink is not None
        for batch in batches:
            left, _ = self._left(batch)
            if len(left):
                self.sink.write(left)
                self.count(len(left))

    def write_further(self, batch: Batch) -> None:
        """Writes records to the further output, if there is one, likewise."""
        if self.further is not None:
            left, _ = self._left(batch, self.further.resume_from)
            if len(left):
                self.further.write(left)

    @property
    def totals(self) -> dict[str, int]:
        """Sums of the tallies of all records in the output, resumed shards included."""
        return self.sink.totals if self.sink else {}

    def finish(self, result: dict[str, Any] | None = None) -> dict[str, Any]:
        """Completes the output, reports skipped records, writes ``--report`` and ``--plot``.

        Args:
            result: the tool's own numbers.

        Returns:
            The full report.
        """
        self._stack.close()
        # If the disk is too full for the rejects, the output must not be completed.
        if self.rejects.file is not None:
            self.rejects.file.settle()
        sinks = self._sinks()
        for sink in sinks if len(sinks) > 1 else ():
            sink.settle()
        for sink in reversed(sinks):  # the output last: it marks the run as finished
            sink.finish()
        if self.rejects.file is not None:
            self.rejects.file.commit()
        remark_skipped(self.rejects, self._reading.rejects)
        if not self.quiet:
            remark_empty(self._counts.empty)
            if self.sink is not None and not self.sink.records and not self.done:
                remark_nothing_written(self._counts.total)
        if not self.quiet or terminal.LOGGED.get():
            remark_nonfinite(sum(sink.nonfinite.count for sink in sinks))
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

    def _report(self, result: dict[str, Any]) -> dict[str, Any]:
        seconds = self.progress.seconds
        skipped = self.rejects.count
        read = self._counts.total or self.progress.records + skipped
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
