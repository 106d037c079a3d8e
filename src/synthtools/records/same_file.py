"""One file under several names: two spellings of a path, links, globs that overlap, a directory and its file."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Hashable, Iterable, Iterator, Sequence

from synthtools.errors import UsageError
from synthtools.records.inputs import Shard, find_shards
from synthtools.records.memory_input import MemoryRecords

Name = str | MemoryRecords


def _identity(shard: Shard) -> Hashable | None:
    """Device and inode of a file, its name where it has none; None for a pipe."""
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
    """Shards that are the same file as an earlier one: (the earlier one, the shard)."""
    seen: dict[Hashable, Shard] = {}
    for shard in shards:
        identity = _identity(shard)
        if identity is not None:
            first = seen.setdefault(identity, shard)
            if first is not shard:
                yield first, shard


def same_file_message(first: Shard, again: Shard) -> str:
    """That two shards are one file."""
    if first.name == again.name:
        return f"{first.name} is named twice"
    return f"{first.name} and {again.name} are the same file"


def refuse_repeated(shards: Iterable[Shard]) -> None:
    """One corpus holds no file twice: each of its documents would count double.

    Raises:
        UsageError: it does.
    """
    for first, again in repeated(shards):
        raise UsageError(f"{same_file_message(first, again)}: name it once")


def files_in_two(
    shards: Sequence[Shard], apart: Sequence[Name] | None, beside: Sequence[Name]
) -> list[str]:
    """What is to be said of files that stand in two inputs.

    Args:
        shards: of all inputs.
        apart: the inputs where each stands for itself; None where they are one corpus.
        beside: what is read along with them.

    Raises:
        UsageError: a file is twice in one corpus.
    """
    if apart is None:
        refuse_repeated(shards)
    for name in (*(apart or ()), *beside):
        refuse_repeated(find_shards([name]))
    return [f"{same_file_message(*pair)}: its records count in both" for pair in repeated(shards)]


def refuse_namesakes(names: Sequence[str]) -> None:
    """Inputs that are compared have names of their own.

    Raises:
        UsageError: two have one.
    """
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"{name} is named twice: a comparison could not tell its sides apart; name it once, or "
                "one of them by a link or with ./ before it"
            )
