"""Detects one file under several names: links, overlapping globs, a directory and its file; an input that
is also an output."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path

from synthtools.errors import SynthError, UsageError
from synthtools.records.inputs import Shard, find_shards
from synthtools.records.memory_input import MemoryRecords
from synthtools.records.remote_paths import RemotePath, path_of

Name = str | MemoryRecords


def _identity(shard: Shard) -> Hashable | None:
    """Device and inode of a file, or the name if it has none; None for pipes and in-memory records."""
    if shard.records is not None:
        return None
    status = shard.status
    if shard.path is None and sys.stdin is not None:
        try:
            status = os.fstat(sys.stdin.fileno())
        except (OSError, ValueError):
            return None
    if status is None:
        return shard.name if shard.path is not None and shard.size is not None else None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def repeated(shards: Iterable[Shard]) -> Iterator[tuple[Shard, Shard]]:
    """Shards that are the same file as an earlier one: (earlier shard, shard)."""
    seen: dict[Hashable, Shard] = {}
    for shard in shards:
        identity = _identity(shard)
        if identity is not None:
            first = seen.setdefault(identity, shard)
            if first is not shard:
                yield first, shard


def same_file_message(first: Shard, again: Shard) -> str:
    """The message that two shards are one file."""
    if first.name == again.name:
        return f"{first.name} is named twice"
    return f"{first.name} and {again.name} are the same file"


def refuse_repeated(shards: Iterable[Shard]) -> None:
    """Checks that a corpus does not contain a file twice, which would count its documents double.

    Raises:
        UsageError: it does.
    """
    for first, again in repeated(shards):
        raise UsageError(f"{same_file_message(first, again)}: name it once")


def files_in_two(
    shards: Sequence[Shard], apart: Sequence[Name] | None, beside: Sequence[Name]
) -> list[str]:
    """Remarks on files that occur in two inputs.

    Args:
        shards: of all inputs.
        apart: the inputs, if each is a corpus of its own; None if they form one corpus.
        beside: further files that are read.

    Raises:
        UsageError: a file occurs twice in one corpus.
    """
    if apart is None:
        refuse_repeated(shards)
    for name in (*(apart or ()), *beside):
        refuse_repeated(find_shards([name]))
    return [f"{same_file_message(*pair)}: its records count in both" for pair in repeated(shards)]


def refuse_namesakes(names: Sequence[str]) -> None:
    """Checks that compared inputs have distinct names.

    Raises:
        UsageError: they do not.
    """
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"{name} is named twice: a comparison could not tell its sides apart; name it once, or "
                "one of them by a link or with ./ before it"
            )


def refuse_input_as_output(shards: Iterable[Shard], name: str) -> None:
    """Checks that an output does not overwrite an input.

    Raises:
        SynthError: the output, or the target of its link, is an input.
    """
    place = path_of(name)
    if isinstance(place, RemotePath):
        if any(shard.path == place for shard in shards):
            raise _both(name)
        return
    try:
        status = os.stat(name)
    except OSError:
        return  # missing, or its error comes when it is opened
    refuse_open_input(shards, status, name)


def refuse_overlap(name: str, option: str, others: Iterable[str | None]) -> None:
    """Checks that a further output is separate from others.

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
                f"{option} {name}: a reader of the directory would read both outputs; name one "
                f"outside of {other}"
            )


def _whereabouts(name: str | None) -> str:
    if name is None or name == "-":
        return "<stdout>"
    place = path_of(name)
    return os.path.realpath(name) if isinstance(place, Path) else str(place).rstrip("/")


def _both(name: str) -> SynthError:
    return SynthError(f"{name}: is both input and output; write to another file")


def refuse_open_input(shards: Iterable[Shard], status: os.stat_result, name: str) -> None:
    """Like ``refuse_input_as_output``, for a file given by its ``stat`` result."""
    identity = status.st_dev, status.st_ino
    if stat.S_ISREG(status.st_mode) and any(_identity(shard) == identity for shard in shards):
        raise _both(name)
