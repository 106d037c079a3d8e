"""Every kind of output: its run killed at every step of its writing, and met by a second run there.

After each kill nothing half-written may stand under a name, and the next run to the same output must end
with what an uninterrupted one leaves, and with nothing beside it. A run that is stopped at a step is met
by a second one, which must be refused without changing anything once the first has its claim; the
first goes on to the uninterrupted end.
"""

from __future__ import annotations

import atexit
import functools
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from faults.cases import CASES, ROOT, Case, Options, Seen, human, model, run, sound

# What tells of the clock, not of the run.
_CLOCK = re.compile(
    rb'"(seconds|throughput|[a-z_]*per_second|new_tokens|since)": ?(\{[^}]*\}|"[^"]*"|[-+.\de]+)'
)
_WHO = re.compile(r"\(process [^)]*\)")


class Kind(NamedTuple):
    """A kind of output.

    Attributes:
        words: of the command line, run in a folder of its own beside in.jsonl; @ is a model.
        again: what is added for the run after a kill; none where the same command is given again.
        before: words of a run whose output is there already.
        may_refuse: the run after a kill may find the output there.
        grows: the name of a file that is written line by line under its name.
    """

    words: tuple[object, ...]
    again: tuple[object, ...] = ()
    before: tuple[object, ...] = ()
    may_refuse: bool = False
    grows: str | None = None


def _kinds() -> dict[str, Kind]:
    data, bad, copies = "../in.jsonl", "../bad.jsonl", "../replay.jsonl"
    skip = ("--on-error", "skip", "--rejects", "r.jsonl")
    tiny = ("--model", "@")
    shards = ("--shard-size", 15, "-o", "c/")
    asked = ("generate", data, *tiny, "--continue", 4, "--max-new-tokens", 4)
    resume, force = ("--resume",), ("--force",)
    index = ("--near", "--index", "i")
    # Two steps; a report holds its --resume, which therefore the undisturbed run gets too.
    steps = ("--context", 16, "--batch", 2, "--tokens", 64, "--checkpoint-every", 1, "--keep", 9)
    into = (*steps, "-o", "c", *resume)
    log = "c/training/log.jsonl"
    return {
        "file": Kind(("cat", data, "-o", "c.jsonl"), may_refuse=True),
        "parquet": Kind(("cat", data, "-o", "c.parquet"), may_refuse=True),
        "widened": Kind(("cat", "../wide.jsonl", "-o", "c.parquet"), may_refuse=True),
        "file-force": Kind(
            ("cat", data, "-o", "c.jsonl", *force), before=("cat", bad, *skip, "-o", "c.jsonl")
        ),
        "directory": Kind(("cat", data, *shards), resume),
        "directory-force": Kind(
            ("cat", data, *shards, *force), before=("cat", data, "--shard-size", 9, "-o", "c/")
        ),
        "report": Kind(("cat", data, "-o", "/dev/null", "--report", "r.json")),
        "rejects": Kind(("cat", bad, "-o", "/dev/null", *skip)),
        "rest": Kind(
            ("sample", data, "-n", 10, "-o", "c.jsonl", "--rest", "rest/", *force),
        ),
        "removed": Kind(("dedup", data, copies, "--removed", "gone.jsonl", *shards), resume),
        "removed-shards": Kind(("dedup", data, copies, "--removed", "gone/", *shards), resume),
        "index": Kind(
            ("dedup", data, copies, *index, *shards), resume, before=("dedup", bad, *skip, *index)
        ),
        "contaminated": Kind(
            (
                *("decontaminate", data, "--benchmark", copies, "--ngram", 5),
                *("--removed", "gone.jsonl", *shards),
            ),
            resume,
        ),
        "labels": Kind(
            (
                *("classify", data, "--class", f"a={data}", "--class", f"b={copies}"),
                *("--save", "c.safetensors", *shards),
            ),
            resume,
        ),
        "estimator": Kind(("dsir", data, "--target", data, "--save-estimator", "e.json")),
        "table": Kind(
            (
                *("table", "../report.json", "--take", "n=made_by.counts.written", *force),
                *("--markdown", "t.md", "--rows", "t.jsonl", "--report", "t.json"),
            )
        ),
        "page": Kind(("plot", "../report.json", "-o", "p.html", *force)),
        "answers": Kind((*asked, *shards), resume),
        "model": Kind(
            ("train", data, "--arch", "llama-tiny", "--train-tokenizer", 300, *into), grows=log
        ),
        "unlearned": Kind(
            ("unlearn", *tiny, "--forget", data, "--replay", copies, *into), grows=log
        ),
    }


NAMES = ("file", "parquet", "widened", "file-force", "directory", "directory-force", "report")
NAMES += ("removed", "removed-shards", "index", "contaminated", "labels")
NAMES += ("rejects", "rest", "estimator", "table", "page", "answers", "model", "unlearned")
QUICK = ("file", "directory", "removed", "index", "model")  # unlearn writes as train does


class Stepper:
    """A process that starts ``synth`` step by step (see ``stepper``)."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.writers.stepper"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(
        self, folder: Path, words: tuple[object, ...], at: int | None = None, number: int = 0
    ) -> dict[str, Any]:
        """Starts a run in a folder that gets a signal at a step; how it is then."""
        request = {"words": list(map(str, words)), "folder": str(folder)}
        return self._ask({**request, "at": at, "signal": number})

    def go_on(self) -> dict[str, Any]:
        """Lets go on what was stopped, to its end."""
        return self._ask({"go_on": True})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


@functools.cache
def _stepper() -> Stepper:
    """One for all cases: its imports take longer than they do."""
    found = Stepper()
    atexit.register(found.close)
    return found


def _content(place: Path) -> dict[str, bytes]:
    """What lies in a folder, but for what tells of the clock."""
    return {
        str(path.relative_to(place)): _CLOCK.sub(b"", path.read_bytes())
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


def _everything(place: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(place)): (path.stat().st_ino, path.read_bytes())
        for path in place.rglob("*")
        if path.is_file()
    }


class _Place:
    """Where the runs of a kind write, and what an uninterrupted one leaves there."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        words = [model() if word == "@" else word for word in kind.words]
        self.kind = kind._replace(words=tuple(words))
        self.folder = folder / "place"
        _inputs(folder)
        self.before: dict[str, bytes] = {}
        self.begin()
        done = self.run(self.kind.words)
        sound(done.returncode == 0, f"uninterrupted: {done.stderr.decode()[-200:]}")
        self.wanted = _content(self.folder)

    def begin(self) -> None:
        """An empty folder, or with the output of an earlier run."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        if self.kind.before:
            done = self.run(self.kind.before)
            sound(done.returncode == 0, f"before: {done.stderr.decode()[-200:]}")
            self.before = _content(self.folder)

    def run(self, words: tuple[object, ...]) -> subprocess.CompletedProcess[bytes]:
        return run(*words, cwd=self.folder)

    def check_names(self, step: str) -> None:
        """What stands under a name that is not hidden is whole: the old one's or the new one's."""
        for name, content in _content(self.folder).items():
            parts = Path(name).parts
            if any(part.startswith(".") for part in parts):
                continue
            whole = [self.wanted.get(name), self.before.get(name)]
            if name == self.kind.grows:
                whole.append(self.wanted[name][: len(content)])
            sound(content in whole, f"{step}: {name} is half written")

    def check_end(self, step: str) -> None:
        found = _content(self.folder)
        names = set(found) ^ (set(self.wanted) | set(self.before) & set(found))
        sound(not names, f"{step}: files that are missing or left: {sorted(names)[:4]}")
        other = [name for name in self.wanted if found[name] != self.wanted[name]]
        sound(not other, f"{step}: {other[:4]} differ from the uninterrupted run's")


def _inputs(folder: Path) -> None:
    lines = human(folder, 40, "in.jsonl").read_text().splitlines()
    (folder / "bad.jsonl").write_text("\n".join([*lines[:5], "{", *lines[5:9], "[]"]) + "\n")
    (folder / "replay.jsonl").write_text("\n".join(lines[20:]) + "\n")
    (folder / "wide.jsonl").write_text("\n".join([*lines, '{"id":"x","text":"a","more":[1]}']))
    if not (folder / "report.json").exists():
        run("cat", folder / "in.jsonl", "-o", "/dev/null", "--report", folder / "report.json")


def _begun(name: str, folder: Path) -> tuple[_Place, int]:
    """The place of a kind's runs, and how many steps an uninterrupted one takes."""
    place = _Place(_kinds()[name], folder)
    place.begin()
    done = _stepper().start(place.folder, place.kind.words)
    sound(done["code"] == 0, f"uninterrupted: {done['errors'][-300:]}")
    place.check_end("uninterrupted")
    return place, done["steps"]


def killed(name: str, folder: Path, most: int) -> Seen:
    """Kills the run of a kind at each step, or at so many at most, evenly spread."""
    place, steps = _begun(name, folder)
    tried = _spread(steps, most)
    for at in tried:
        place.begin()
        done = _stepper().start(place.folder, place.kind.words, at, signal.SIGKILL)
        if done["code"] == 0 and at > steps - 3:
            break  # a run may have some steps less than another
        sound(done["code"] == -signal.SIGKILL, f"step {at}: {done}")
        place.check_names(f"step {at}")
        again = place.run((*place.kind.words, *place.kind.again))
        told = again.stderr.decode()
        refused = place.kind.may_refuse and "already there" in told
        sound(again.returncode == 0 or refused, f"after step {at}: {told[-200:]}")
        place.check_end(f"after step {at}")
    return Seen(f"– (killed at {len(tried)} of {steps} steps)")


def met(name: str, folder: Path, most: int) -> Seen:
    """Stops the run of a kind at each step, or at so many at most, and starts the same once more."""
    line = "–"
    refusals = 0
    place, steps = _begun(name, folder)
    tried = _spread(steps, most)
    for at in tried:
        place.begin()
        done = _stepper().start(place.folder, place.kind.words, at, signal.SIGSTOP)
        if done["code"] is not None:
            sound(done["code"] == 0, f"step {at}: {done}")
            continue
        held = any(path.stat().st_size for path in place.folder.rglob("*.claim"))
        before = _everything(place.folder)
        more = ("--force",) * _can_force(place.kind)
        other = place.run((*place.kind.words, *more))
        told = other.stderr.decode().strip()
        if held and other.returncode:
            refusals += 1
            line = _WHO.sub("(process …)", told.removeprefix("synth: "))
            sound("another run writes it (process" in told, f"step {at}: {told}")
            sound("--force" not in told, f"step {at}: advises --force: {told}")
            sound(_everything(place.folder) == before, f"step {at}: the loser changed something")
        done = _stepper().go_on()
        sound(done["code"] == 0 or other.returncode == 0, f"step {at}: both fail: {done}")
        sound(
            done["code"] == 0 or "another" in done["errors"] or "already" in done["errors"],
            f"step {at}: {done}",
        )
        place.check_end(f"step {at}")
    sound(refusals > 0, "the second run was never refused")
    return Seen(
        f"{line} (stopped at {len(tried)} of {steps} steps, {refusals} of them within the claim)", 1
    )


def _spread(steps: int, most: int) -> list[int]:
    """So many of the steps, from the first to the last."""
    if steps <= most:
        return list(range(1, steps + 1))
    return sorted({1 + round(i * (steps - 1) / (most - 1)) for i in range(most)})


def _can_force(kind: Kind) -> bool:
    never = ("dsir", "plot", "/dev/null", "--resume", "--force")
    return not set(never) & set(kind.words)


def _cases(name: str) -> None:
    def killed_at_each(folder: Path, options: Options) -> Seen:
        return killed(name, folder, options.kills)

    def met_at_each(folder: Path, options: Options) -> Seen:
        return met(name, folder, options.kills)

    for what, function, done in (
        ("killed", killed_at_each, "SIGKILL at each step of writing, then the next run"),
        ("met", met_at_each, "a second run while the first stands still at each step of writing"),
    ):
        CASES[f"writers/{what}-{name}"] = Case(
            f"writers/{what}-{name}", f"{name}: {done}", function, name in QUICK
        )


for _name in NAMES:
    _cases(_name)
