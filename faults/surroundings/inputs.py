"""Inputs that do not stand still."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from faults.cases import (
    Seen,
    case,
    human,
    nothing_left,
    run,
    running,
    seen,
    silent,
    sound,
)
from faults.tools import FORMS


def _fed(words: list[object], pipe: Path, act: Callable[[], None], **more: object) -> Seen:
    """Runs a tool over a pipe and whatever comes after it; acts while it waits at the pipe."""
    process = running.start(*words, **more)
    with open(pipe, "wb") as feeding:  # opens when the tool has come to it
        act()
        feeding.write(b'{"text": "from the pipe"}\n')
    out, errors = process.communicate(timeout=60)
    return seen(
        subprocess.CompletedProcess([], process.returncode, out, errors), code=process.returncode
    )


@case("an input that vanishes after the start, before its turn", quick=True)
def input_vanishes(folder: Path) -> Seen:
    data = human(folder, 50)
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    (folder / "o").mkdir()
    result = _fed(["cat", pipe, data, "-o", folder / "o" / "out.jsonl"], pipe, data.unlink)
    sound(result.code == 1 and "human.jsonl: No such file" in result.line, str(result))
    nothing_left(folder / "o")
    return result


@case("an input that vanishes after it was read, before the report", quick=True)
def input_vanishes_at_the_end(folder: Path) -> Seen:
    data = human(folder, 50)
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    out, report = folder / "out.jsonl", folder / "report.json"
    result = _fed(["cat", data, pipe, "-o", out, "--report", report], pipe, data.unlink)
    sound(result.code == 0, f"fails after all was done: {result.line}")
    sound(out.read_bytes().count(b"\n") == 51, "records are gone")
    sound(report.exists(), "there is no report")
    return result


@case("an input that is cut short while it is read", quick=True)
def input_shrinks(folder: Path) -> Seen:
    return _changed(folder, lambda file: file.truncate(500_000))


@case("an input that grows while it is read", quick=True)
def input_grows(folder: Path) -> Seen:
    def append(file: BinaryIO) -> None:
        file.seek(0, os.SEEK_END)
        file.write(b'{"text": "one more"}\n' * 5)

    return _changed(folder, append)


@case("inputs of every other format that grow or are cut short while they are read")
def input_of_other_formats_changes(folder: Path) -> Seen:
    found = Seen()
    for form in FORMS[1:]:
        for what, act in (("grows", _append), ("cut", _cut)):
            place = folder / f"{form}-{what}"
            place.mkdir()
            found = _changed(place, act, form)
    return found


def _append(file: BinaryIO) -> None:
    file.seek(0, os.SEEK_END)
    file.write(b"more")


def _cut(file: BinaryIO) -> None:
    file.truncate(200_000)


@case("an input that is written over while it is read", quick=True)
def input_overwritten(folder: Path) -> Seen:
    def over(file: BinaryIO) -> None:
        content = file.read()
        file.seek(0)
        file.write(content.replace(b"the", b"one"))  # as many bytes as before

    return _changed(folder, over)


def _changed(folder: Path, act: Callable[[BinaryIO], object], form: str = "jsonl") -> Seen:
    """An input that changes while a reader has its beginning; the pipe holds the tool up."""
    data = human(folder, 8000 if form == "jsonl" else 60_000)
    if form != "jsonl":
        silent(run("cat", data, "-o", data.with_suffix(f".{form}")))
        data = data.with_suffix(f".{form}")
    out = folder / "o"
    out.mkdir()
    fifo = folder / "slow"
    os.mkfifo(fifo)
    # The output is a pipe that nobody reads for a while: the tool stands in the middle of its input.
    process = running.start("cat", data, "-o", fifo)
    with open(fifo, "rb") as reading:
        reading.read(100)
        time.sleep(0.3)
        with open(data, "r+b") as file:
            act(file)
        reading.read()
    _, errors = process.communicate(timeout=60)
    done = subprocess.CompletedProcess([], process.returncode, b"", errors)
    return seen(done, data.name, "changed while it was read", code=1)


@case("a source of mix that changes between its two readings")
def input_changes_between_passes(folder: Path) -> Seen:
    data = human(folder, 60_000)
    fifo = folder / "slow"
    os.mkfifo(fifo)
    process = running.start("mix", "-o", fifo, "--", f"{data}=1")
    with open(fifo, "rb") as reading:
        reading.read(100)
        time.sleep(0.3)
        lines = data.read_bytes().splitlines(keepends=True)
        data.write_bytes(b"".join(lines[:30_000]))
        reading.read()
    _, errors = process.communicate(timeout=60)
    done = subprocess.CompletedProcess([], process.returncode, b"", errors)
    return seen(done, "changed", code=1)
