"""Outputs kept apart from inputs and from each other."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from synthtools.errors import SynthError, UsageError
from synthtools.records.inputs import Shard
from synthtools.records.remote_paths import RemotePath, path_of


def refuse_input_as_output(shards: Iterable[Shard], name: str) -> None:
    """Keeps a file that is read from being written over.

    Raises:
        SynthError: the name, a link to it perhaps, is one of the inputs.
    """
    place = path_of(name)
    if isinstance(place, RemotePath):
        if any(shard.path == place for shard in shards):
            raise _both(name)
        return
    try:
        status = os.stat(name)
    except OSError:
        return  # nothing there, or what there is will be told when it is opened
    refuse_open_input(shards, status, name)


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
    place = path_of(name)
    return os.path.realpath(name) if isinstance(place, Path) else str(place).rstrip("/")


def _both(name: str) -> SynthError:
    return SynthError(f"{name}: is both input and output; write to another file")


def refuse_open_input(shards: Iterable[Shard], status: os.stat_result, name: str) -> None:
    """Like ``refuse_input_as_output``, of a file that is known by what ``stat`` says of it."""
    if not stat.S_ISREG(status.st_mode):
        return
    for shard in shards:
        nowhere = shard.records is not None or (shard.path is None and sys.stdin is None)
        if nowhere or isinstance(shard.path, RemotePath):
            continue
        inputs = os.fstat(sys.stdin.fileno()) if shard.path is None else os.stat(shard.path)
        if os.path.samestat(status, inputs):
            raise _both(name)
