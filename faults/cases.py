"""What a case is, how it is run, and how it is told."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # starts of tools are those of the tests

import running  # noqa: E402

# No case may reach for the network.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")


class Seen(NamedTuple):
    """What a user saw of a case.

    Attributes:
        line: on stderr, with the workplace's name taken out; ``–`` for silence.
        code: exit code.
        lost: what was lost or broke a promise; empty where nothing was.
        skipped: why the case could not be tried here; empty where it was.
    """

    line: str = "–"
    code: int = 0
    lost: str = ""
    skipped: str = ""


class Skipped(Exception):
    """A case cannot be tried on this machine; the message says why."""


class Lost(AssertionError):
    """A promise is broken: the message says which."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One fault.

    Attributes:
        name: ``family/case``; done: what is done to the tool, in words for the table.
        function: given an empty folder, and ``options`` where it asks for them.
        quick: it is also run in CI, by the tests.
    """

    name: str
    done: str
    function: Callable[..., Seen]
    quick: bool


CASES: dict[str, Case] = {}


def case(done: str, quick: bool = False) -> Callable[[Callable[..., Seen]], Callable[..., Seen]]:
    """Makes a function a case, under the name of its family, the module or package of ``faults`` that
    it stands in, and its own."""

    def register(function: Callable[..., Seen]) -> Callable[..., Seen]:
        family = function.__module__.split(".")[1]
        name = f"{family}/{function.__name__.replace('_', '-').strip('-')}"
        assert name not in CASES, name
        CASES[name] = Case(name, done, function, quick)
        return function

    return register


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line asks for.

    Attributes:
        kills: of each tool; seconds: of atheris, for each reader; examples: of Hypothesis.
    """

    kills: int = 50
    seconds: int = 30
    examples: int = 300
    seed: int = 0


def play(case: Case, folder: Path, options: Options) -> Seen:
    """Runs a case in an empty folder; what breaks in it is told as lost."""
    folder.mkdir(parents=True)
    more = (options,) if len(inspect.signature(case.function).parameters) > 1 else ()
    try:
        seen = case.function(folder, *more)
    except Skipped as reason:
        return Seen(skipped=str(reason))
    except Lost as broken:
        return Seen(lost=str(broken))
    except subprocess.TimeoutExpired as late:
        return Seen(lost=f"hangs: not done after {late.timeout:.0f} s")
    except Exception as error:  # the others are to be run all the same
        return Seen(lost=f"the case itself breaks: {type(error).__name__}: {error}")
    finally:
        for path in folder.rglob("*"):
            if path.is_dir() and not path.is_symlink() and not os.access(path, os.W_OK):
                path.chmod(0o755)
    line = seen.line.replace(f"{folder}/", "").replace(str(folder), ".")
    return seen._replace(line=line)


# ---------------------------------------------------------------- what cases are made of


def sound(condition: object, promise: str) -> None:
    """Raises Lost with the promise that is broken, unless the condition holds."""
    if not condition:
        raise Lost(promise)


def seen(
    done: subprocess.CompletedProcess[bytes], *words: str, code: int = 1, more: bool = False
) -> Seen:
    """What a run that has ended told: one line that holds the words, and the code.

    Args:
        more: remarks may stand before that line.
    """
    errors = done.stderr.decode("utf-8", "replace")
    lines = [line for line in errors.splitlines() if line]
    told = lines[-1] if lines else "–"
    sound("Traceback" not in errors, f"a traceback: {told}")
    sound("internal error" not in errors, told)
    sound(done.returncode == code, f"exit code {done.returncode}, not {code}: {told}")
    if code == 1 or code == 2:
        sound(lines and told.startswith("synth: "), f"no line of synth: {told}")
        sound(more or len(lines) == 1, f"{len(lines)} lines: {' / '.join(lines[:3])[:300]}")
    for word in words:
        sound(word in errors, f"the line does not say {word!r}: {told}")
    return Seen(told.removeprefix("synth: "), done.returncode)


def silent(done: subprocess.CompletedProcess[bytes]) -> Seen:
    """A run that ended well and said nothing."""
    result = seen(done, code=0)
    sound(not done.stderr, f"says: {done.stderr.decode('utf-8', 'replace')[:200]}")
    return result


def well(done: subprocess.CompletedProcess[bytes]) -> Seen:
    """A run that ended well; it may have had something to remark."""
    return seen(done, code=0)


def nothing_left(folder: Path, *kept: str) -> None:
    """Only these names may be in a folder."""
    there = sorted(path.name for path in folder.iterdir())
    sound(there == sorted(kept), f"left behind: {sorted(set(there) - set(kept))}")


def run(*words: object, **more: Any) -> subprocess.CompletedProcess[bytes]:
    """Runs ``synth`` through the tests' warm process."""
    return running.run(*words, **{"timeout": 120, **more})


def run_cold(*words: object, **more: Any) -> subprocess.CompletedProcess[bytes]:
    """Runs ``synth`` in an interpreter of its own, whose limits can be set by ``preexec_fn``."""
    more = {"input": b"", **more} if "stdin" not in more else more
    command = [*running.COLD, *map(str, words)]
    return subprocess.run(
        command, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 300, **more}
    )


def texts(count: int = 40, size: int = 300) -> list[str]:
    """English texts that are on every machine: the topics of Python's own documentation."""
    found: list[str] = []
    turn = 0
    while True:
        for name in sorted(topics):
            whole = topics[name]
            # Turns after the first get a mark of their own, so that no two texts are equal.
            pieces = (whole[i : i + size] for i in range(0, len(whole) - size, size))
            found += [f"{turn}. {piece}" if turn else piece for piece in pieces]
            if len(found) >= count:
                return found[:count]
        turn += 1


def human(folder: Path, count: int = 40, name: str = "human.jsonl", size: int = 300) -> Path:
    """A file of records with ids."""
    path = folder / name
    with open(path, "w", encoding="utf-8") as file:
        for number, text in enumerate(texts(count, size)):
            file.write(json.dumps({"id": number, "text": text}) + "\n")
    return path


_MODEL: list[Path] = []


def model(place: Path | None = None) -> Path:
    """A tiny Llama with its tokenizer, made by ``synth train``; once for all cases.

    Args:
        place: where to make it; needed by the first to ask.
    """
    if not _MODEL:
        import tempfile

        folder = place or Path(tempfile.mkdtemp(prefix="synth-faults-"))
        data = human(folder, 60, "for-the-model.jsonl")
        done = run(
            *("train", data, "--arch", "llama-tiny", "--train-tokenizer", 400, "--context", 128),
            *("--batch", 8, "--tokens", 1024 * 4, "-o", folder / "tiny"),
        )
        sound(done.returncode == 0, f"no tiny model: {done.stderr.decode()[-300:]}")
        _MODEL.append(folder / "tiny")
    return _MODEL[0]


def copy_of_model(folder: Path) -> Path:
    """A copy that may be damaged."""
    copy = folder / "model"
    shutil.copytree(model(), copy)
    return copy


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk in memory that holds so much (``512k``)."""
    place = folder / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True)
    except FileNotFoundError as error:
        raise Skipped("there is no mount") from error
    if done.returncode:
        raise Skipped("mounting a disk in memory needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
        place.rmdir()
