"""The inputs of a run: valid records, and further inputs read beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from synthtools.cli import terminal
from synthtools.cli.options import Inputs, Jobs
from synthtools.cli.run_progress import InputCounts, RunProgress
from synthtools.cli.run_remarks import REMARKED
from synthtools.cli.text_shape import ShapedText
from synthtools.records.batch import Batch
from synthtools.records.field_paths import with_root_fields
from synthtools.records.first_records import check_first_records
from synthtools.records.inputs import STDIN, STDIN_NAME, Shard, find_shards, part_of
from synthtools.records.reader import read
from synthtools.records.record_faults import require_text
from synthtools.records.record_keys import ID_FIELD, RecordKeys
from synthtools.records.rejects import Rejects
from synthtools.records.remote_paths import path_of
from synthtools.records.same_file import files_in_two, refuse_namesakes
from synthtools.records.shard_directory import is_unfinished
from synthtools.records.shard_file import rereadable

if TYPE_CHECKING:
    from synthtools.records.map_threads import BlockResult
    from synthtools.records.reread_records import RereadRecords
    from synthtools.records.text_buffer import TextBuffer

_R = TypeVar("_R")


def numbers_of(groups: Iterable[tuple[str, list[Shard]]]) -> dict[str, int]:
    """The number of each shard's input by the shard's name; of inputs that share one the first."""
    numbered = reversed([*enumerate(groups)])
    return {shard.name: number for number, (_, shards) in numbered for shard in shards}


def no_work(batch: Batch, texts: TextBuffer) -> None:
    """For a pass of ``worked`` that asks for the records alone."""


class RunInputs:
    """The inputs of a run; base class of ``Run``.

    Args:
        reading: inputs and handling of bad records.
        text_field: the field that every record needs; None if no text is needed.
        also_needed: further text fields, each with the option that names it.
        beside: other files or directories whose records are read along with the inputs.
        apart: whether the inputs are separate corpora, so that a file may occur in two.
        inputs: whether the tool has inputs; otherwise stdin is not read either. Or the inputs, as shards.

    Attributes:
        progress: of the run.
        rejects: handler of bad records.
        shards: the inputs; shards_beside: of the inputs beside them.
    """

    def __init__(
        self,
        reading: Inputs,
        text_field: str | None,
        also_needed: tuple[tuple[str, str], ...],
        beside: Sequence[str],
        apart: bool,
        inputs: bool | Sequence[Shard],
    ) -> None:
        self._named_field = text_field
        self.progress = RunProgress()
        self.rejects = Rejects()
        self._reading = reading
        self._needed = also_needed
        self._beside = beside
        self._apart = apart
        self._given = inputs
        self._resume_from = 0  # records finished by an earlier run
        self._stack = ExitStack()

    def _find(
        self,
        check: Callable[[Batch], object] | None,
        check_beside: Callable[[Batch], object] | None,
    ) -> None:
        """Finds the inputs and checks the first record of each."""
        reading = self._reading
        given = self._given
        self.shards = find_shards(reading.files) if given is True else list(given or ())
        if reading.shard:
            self.shards = part_of(self.shards, *reading.shard)
        self._named = list(self.shards)
        self._counts = InputCounts(self._named)
        own = reading.files or [] if self._apart else None
        remarks = files_in_two(self.shards, own, self._beside)
        for words in remarks[: 0 if reading.quiet else REMARKED]:
            terminal.remark(words)
        self.shards_beside = find_shards(list(self._beside)) if self._beside else []
        for name in reading.files or []:
            if not reading.quiet and is_unfinished(path_of(name)):
                terminal.remark(f"{name}: the run that writes it has not ended; reading its shards")
        if reading.on_error == "fail":
            check_first_records(self.shards, check or self._require)
            if check_beside is not None:
                check_first_records(self.shards_beside, check_beside)

    @cached_property
    def text_field(self) -> str:
        """The field with the text, or its path in chats and instructions; empty without."""
        shaped = self._named_field and isinstance(self._reading, ShapedText)
        return self._reading.text_of(self.shards) if shaped else self._named_field or ""

    def _inputs(self) -> list[dict[str, Any]]:
        return [shard.account() for shard in [*self._named, *self.shards_beside]]

    def passes_on(self) -> bool:
        """Whether complete records are needed."""
        return self.rejects.file is not None

    def rejects_of(self, again: bool) -> Rejects:
        """The handler of bad records, which reports them only in the first pass over the inputs."""
        return Rejects(skip=True) if again else self.rejects

    def records(
        self, batch_bytes: int | None = None, again: bool = False, shards: list[Shard] | None = None
    ) -> Iterator[Batch]:
        """All records with the needed fields, including finished ones.

        Args:
            shards: other shards than the inputs.
        """
        rejects = self.rejects_of(again)
        more = {} if batch_bytes is None else {"batch_bytes": batch_bytes}
        inputs = self.shards if shards is None else shards
        for batch in self._counts.counted(inputs, read(inputs, rejects, **more), rejects):
            yield self._require(batch, rejects)

    def _require(self, batch: Batch, rejects: Rejects | None = None) -> Batch:
        """The records with the needed fields."""
        texts = [(self.text_field, "--text-field")] if self.text_field else []
        for name, option in [*texts, *self._needed]:
            batch = require_text(batch, name, rejects or Rejects(), option)
        return batch

    def counted(
        self, shards: Sequence[Shard], batches: Iterable[Batch], rejects: Rejects
    ) -> Iterator[Batch]:
        """Batches of shards that the tool reads itself, counted like those of ``records``."""
        return self._counts.counted(shards, batches, rejects)

    def _left(self, batch: Batch, resume_from: int | None = None) -> tuple[Batch, int]:
        """The records of a batch that are not finished, and the number of finished ones."""
        begin = self._resume_from if resume_from is None else resume_from
        done = int((batch.ordinals < begin).sum())
        return batch.take(range(done, len(batch))) if done else batch, done

    def batches(self, batch_bytes: int | None = None) -> Iterator[Batch]:
        """The valid records that are not finished, in input order."""
        for batch in self.records(batch_bytes):
            left, _ = self._left(batch)
            if len(left):
                yield left

    def keyed_batches(self, batch_bytes: int | None = None) -> Iterator[tuple[Batch, np.ndarray]]:
        """Like ``batches``, with the key of each record (see ``records.record_keys``)."""
        assert self.text_field
        keys = RecordKeys()
        for batch in self.records(batch_bytes):
            # Finished records count too: they distinguish equal texts.
            all_keys = keys.of(batch.column(ID_FIELD), batch.column(self.text_field))
            left, done = self._left(batch)
            if len(left):
                yield left, all_keys[done:]

    def groups(self) -> list[tuple[str, list[Shard]]]:
        """The named inputs: (name, its shards in this run).

        Raises:
            UsageError: two have the same name.
        """
        names = self._reading.files or ["-"]
        refuse_namesakes(list(map(str, names)))
        left = list(self._named)
        groups = []
        for name in names:
            own = [STDIN_NAME] if name == STDIN else [shard.name for shard in find_shards([name])]
            # With --shard the run has consecutive shards of all inputs: some or none of each name.
            count = 0
            for shard_name in own:
                count += count < len(left) and left[count].name == shard_name
            groups.append((str(name), left[:count]))
            left = left[count:]
        return groups

    def twice(self, shards: list[Shard], files: bool = False) -> list[Shard]:
        """The shards, such that they can be read twice: stdin is copied to disk, and with ``files``
        in-memory records are copied too."""
        _ = self.text_field  # what stdin is like shows before it is copied
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
        """The valid records and the results of ``work`` on them, on all cores or on a cluster (see
        records.map_threads and records.map_ray).

        Args:
            shards: other shards than the inputs.
            again: the shards have been read before, and their bad records reported.
            fields: other fields that are needed.
            records: whether complete records are needed; texts: whether texts are.
        """
        from synthtools.records.map_threads import BlockTask, map_records

        name = text_field or self.text_field
        assert name is not None
        fields_only = not records and not self.passes_on()
        task = BlockTask(work, name, with_root_fields(fields), option, fields_only)
        inputs = self.shards if shards is None else list(shards)
        cluster = jobs.cluster()
        rejects = self.rejects_of(again)
        if cluster is None:
            results = map_records(inputs, rejects, task, jobs=jobs.workers())
        else:
            from synthtools.records import map_ray

            keep = map_ray.KeptParts(records, texts)
            results = map_ray.map_records(inputs, rejects, task, cluster, keep)
        return self._counts.counted(inputs, results, rejects, lambda one: one.batch)

    def recalled(self, jobs: Jobs) -> RereadRecords | None:
        """Reads records of the inputs again on a cluster, so that they need not be kept until the selection is
        known; None if they must be kept."""
        cluster = jobs.cluster()
        if cluster is None:
            return None
        from synthtools.records import map_ray
        from synthtools.records.reread_records import RereadRecords

        if not all(map(map_ray.is_shared, self.shards)):
            return None
        return RereadRecords(self.shards, partial(map_ray.picked, cluster=cluster))

    def batches_beside(self) -> Iterator[Batch]:
        """The records of the inputs ``beside``."""
        return read(self.shards_beside, Rejects())

    def count(self, records: int) -> None:
        """Counts records for the progress bar, and for the report if they are read elsewhere."""
        self.progress.records += records
