"""The journal of a resumable run: computed values, beside its output."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from synthtools.cli import terminal
from synthtools.errors import OutputExistsError, parameter
from synthtools.records.outputs import FileSink
from synthtools.records.shard_directory import DirectorySink
from synthtools.records.sink import Sink
from synthtools.records.value_journal import ValueJournal

_ANSWERS = ".answers.jsonl"


def answers_beside(file: Path) -> Path:
    """The journal of answers for an output file."""
    return file.with_name(f".{file.name}{_ANSWERS}")


def answer_journal(
    sink: Sink | None, job: dict[str, Any], stack: ExitStack, *, resume: bool, force: bool
) -> ValueJournal | None:
    """The journal of models' answers, in the output directory or beside the output file until it is complete;
    None for outputs without a local file. Errors: see ``open_journal``."""
    if isinstance(sink, DirectorySink) and isinstance(sink.folder, Path):
        path, output = sink.folder / _ANSWERS, sink.folder
    elif isinstance(sink, FileSink) and isinstance(sink.path, Path):
        path, output = answers_beside(sink.path), sink.path
    else:
        return None
    journal = open_journal(path, output, "answers", job, stack, resume=resume, force=force)
    sink.leftovers.append(journal.remove)
    return journal


def open_journal(
    path: Path,
    output: str | Path,
    kept: str,
    job: dict[str, Any],
    stack: ExitStack,
    *,
    resume: bool,
    force: bool,
) -> ValueJournal:
    """Opens the journal at ``path``; ``stack`` closes it.

    Args:
        kept: the values' name, in the plural; job: see ``Run.job``.

    Raises:
        OutputExistsError: an earlier run left values, and neither resume nor force is given.
        SynthError: the values belong to another job.
    """
    if not (resume or force) and ValueJournal.holds_values(path):
        raise OutputExistsError(
            f"{output}: an unfinished run left {kept} ({path.name}); {parameter('resume')} continues with "
            f"them, {parameter('force')} starts over"
        )
    journal = ValueJournal(path, job, resume)
    stack.callback(journal.close)
    if len(journal):
        terminal.remark(f"{len(journal):,} {kept} of the earlier run are there already")
    return journal
