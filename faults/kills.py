"""SIGKILL or SIGTERM at random moments, again and again on one output, and ``--resume``.

A kill comes at a moment drawn uniformly from the time in which an uninterrupted run writes (seen by its
directory). The next run goes on and is killed in turn; a run that is left in peace must end with the
bytes of the uninterrupted one, and a new chain begins. Between kills every shard that stands under its
name must be whole.
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from faults.cases import CASES, Case, Options, Seen, human, model, run, running, sound
from synthtools.warm import client

# What a log tells of the process, not of the run.
_OF_THE_CLOCK = ("new_tokens", "seconds")


class Started:
    """A run of ``synth`` whose process can be killed; through the tests' warm process, where the
    imports are done, so that kills meet the work."""

    def __init__(self, words: list[object], errors: Path) -> None:
        command = running.command()
        self._answers: socket.socket | None = None
        files = [open(os.devnull, "rb"), open(os.devnull, "wb"), open(errors, "wb")]
        if len(command) == len(running.COLD):
            self._process = subprocess.Popen(
                [*command, *map(str, words)], stdin=files[0], stdout=files[1], stderr=files[2]
            )
            self.pid = self._process.pid
        else:
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"\0{command[-1]}")
            there = {number: file.fileno() for number, file in enumerate(files)}
            client.request_child(server, list(map(str, words)), there)
            self._answers = server
            self.pid = self._number()
            sound(self.pid, "the environment is not that of the warm process")
        for file in files:
            file.close()

    def wait(self) -> int:
        """How it ended: its exit code, or the negative number of a signal."""
        if self._answers is None:
            return self._process.wait()
        with self._answers:
            return self._number()

    def _number(self) -> int:
        """The next line of the warm process, and no byte more, so that ``select`` knows of the rest."""
        assert self._answers is not None
        line = b""
        while not line.endswith(b"\n"):
            byte = self._answers.recv(1)
            sound(byte, "the warm process is gone")
            line += byte
        return int(line)

    def kill_after(self, seconds: float, number: int) -> int:
        """Sends it a signal then, if it runs still."""
        if self._answers is None:
            try:
                return self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                pass
        else:
            if select.select([self._answers], [], [], seconds)[0]:
                return self.wait()
        os.kill(self.pid, number)
        return self.wait()


def _line(before: list[object], out: Path, after: list[object]) -> list[object]:
    """The command line that writes to ``out``, and beside it under names that begin as it does."""
    return [str(word).replace("OUT", str(out)) for word in [*before, "-o", out, *after]]


def _written(out: Path) -> list[Path]:
    return [path for path in out.parent.iterdir() if path.name.startswith(out.name)]


def _remove(out: Path) -> None:
    for path in _written(out):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _content(out: Path) -> dict[str, bytes]:
    """All that a run has written to its directory of shards and beside it."""
    folders = [path for path in _written(out) if path.is_dir()]
    files = [path for path in _written(out) if path not in folders]
    files += [path for folder in folders for path in folder.iterdir()]
    return {str(path)[len(str(out)) :]: path.read_bytes() for path in files}


def _of_model(folder: Path) -> dict[str, Any]:
    """What a model directory holds, but for what tells of the clock."""
    found: dict[str, Any] = {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.is_file() and path.name != "README.md"
    }
    found["names"] = sorted(path.name for path in folder.iterdir())
    log = (folder / "training" / "log.jsonl").read_text().splitlines()
    found["log"] = [
        {k: v for k, v in json.loads(line).items() if k not in _OF_THE_CLOCK} for line in log
    ]
    return found


def _words(tool: str, folder: Path) -> tuple[list[object], list[object]]:
    """The command line before and after ``-o DIR``; OUT is that directory's name."""
    small, large = human(folder, 120, "small.jsonl"), human(folder, 30_000, "large.jsonl")
    tiny = ["--model", model()]
    training = [
        *("--context", 64, "--batch", 4, "--tokens", 256 * 30, "--checkpoint-every", 3),
        *("--lr", "1e-3"),
    ]
    replay = human(folder, 60, "replay.jsonl")
    forms = ["--format", "parquet"]
    near = ["--near", "--index", "OUT-index"]
    tested = ["decontaminate", "--benchmark", replay, "--ngram", 5]
    classes = ["--class", f"a={small}", "--class", f"b={large}", "--most", 100]
    lines: dict[str, tuple[list[object], list[object]]] = {
        "mix": (["mix", "--shard-size", 1000], ["--", f"{large}=0.6", f"{replay}=0.4"]),
        "dsir": (
            ["dsir", "--min-tokens", 0, "--target", small, "-n", 9000, "--shard-size", 500, *forms],
            [large],
        ),
        "edit": (["edit", *tiny, "--threshold", 0.05, "--shard-size", 6], [small]),
        "ppl": (["ppl", *tiny, "--shard-size", 6, *forms], [small]),
        "embed": (["embed", *tiny, "--shard-size", 6], [small]),
        "generate": (
            ["generate", *tiny, "--continue", 8, "--max-new-tokens", 8, "--shard-size", 6],
            [small],
        ),
        "dedup": (
            ["dedup", *near, "--removed", "OUT-removed.jsonl", "--shard-size", 1000],
            [large, replay],
        ),
        "decontaminate": (
            [*tested, "--removed", "OUT-removed", "--shard-size", 1000, *forms],
            [large],
        ),
        "classify": (
            ["classify", *classes, "--save", "OUT.safetensors", "--shard-size", 1000],
            [large],
        ),
        "train": (
            ["train", small, "--arch", "llama-tiny", "--train-tokenizer", 400, *training],
            [],
        ),
        "unlearn": (["unlearn", *tiny, "--forget", small, "--replay", replay, *training], []),
    }
    return lines[tool]


TOOLS = ("mix", "dsir", "dedup", "decontaminate", "classify")
TOOLS += ("edit", "ppl", "generate", "embed", "train", "unlearn")
_MODELS = ("train", "unlearn")
_SIGNALS = (signal.SIGKILL, signal.SIGTERM)


def kill_and_resume(tool: str, folder: Path, kills: int, seed: int) -> Seen:
    """Kills runs of a tool so many times; see the module."""
    before, after = _words(tool, folder)
    content = _of_model if tool in _MODELS else _content
    out = folder / "out"
    run("stats", folder / "small.jsonl")  # the warm process has its imports behind it from now on
    begun = time.monotonic()
    uninterrupted = Started(_line(before, out, after), folder / "errors")
    while not out.exists() and time.monotonic() - begun < 60:
        time.sleep(0.002)
    writes_from = time.monotonic() - begun
    code = uninterrupted.wait()
    took = time.monotonic() - begun
    sound(code == 0, f"uninterrupted: exit code {code}: {(folder / 'errors').read_text()[-200:]}")
    wanted = content(out)
    _remove(out)
    draws = random.Random(f"{seed} {tool}")
    done = chains = 0
    line = "–"
    while True:
        started = Started(_line([*before, "--resume"], out, after), folder / "errors")
        left_alone = done >= kills
        moment = draws.uniform(writes_from / 2, took)
        number = signal.SIGKILL if tool in _MODELS else draws.choice(_SIGNALS)
        code = started.wait() if left_alone else started.kill_after(moment, number)
        told = (folder / "errors").read_text()
        sound("Traceback" not in told and "internal error" not in told, told[-300:])
        if code in (-signal.SIGKILL, 130):
            done += 1
            _check_shards(tool, out, wanted)
            continue
        sound(code == 0, f"after {done} kills: exit code {code}: {told[-200:]}")
        if told.strip():
            line = told.splitlines()[0].removeprefix("synth: ")
        found = content(out)
        sound(sorted(found) == sorted(wanted), f"files: {sorted(set(found) ^ set(wanted))}")
        other = [name for name in wanted if found[name] != wanted[name]]
        sound(not other, f"after {done} kills {other} differ from the uninterrupted run's")
        chains += 1
        if left_alone:
            break
        _remove(out)
    return Seen(f"{line} ({done} kills, {chains} outputs equal to the uninterrupted one)", 0)


def _check_shards(tool: str, out: Path, wanted: dict[str, Any]) -> None:
    """What stands under the name of a shard, or of a model's weights, is whole."""
    if not out.exists():
        return
    for path in out.iterdir():
        if path.name.startswith("part-") or path.name == "model.safetensors":
            name = path.name if tool in _MODELS else f"/{path.name}"
            sound(path.read_bytes() == wanted[name], f"{path.name} is half written")
        else:
            hidden = path.name.startswith(".") or tool in _MODELS
            sound(hidden, f"{path.name} may be taken for output")


def _case(tool: str) -> None:
    def of_tool(folder: Path, options: Options) -> Seen:
        return kill_and_resume(tool, folder, options.kills, options.seed)

    signals = "SIGKILL" if tool in _MODELS else "SIGKILL and SIGTERM"
    done = f"{signals} at random moments, then `--resume`"
    CASES[f"kills/{tool}"] = Case(f"kills/{tool}", done, of_tool, False)


for _tool in TOOLS:
    _case(_tool)
