"""The machine: disks, permissions, memory, pipes, signals, clocks and names."""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from faults.cases import (
    ROOT,
    Seen,
    Skipped,
    case,
    disk,
    human,
    model,
    nothing_left,
    run,
    run_cold,
    running,
    seen,
    silent,
    sound,
    well,
)

FORMS = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet", "arrow")
# Tools that pass records on, with what makes them quick; @ is a model, = the sources' share.
FILTERS: dict[str, tuple[object, ...]] = {
    "cat": (),
    "ppl": ("--model", "@"),
    "edit": ("--model", "@", "--threshold", 0.05),
    "embed": ("--model", "@"),
    "generate": ("--model", "@", "--continue", 4, "--max-new-tokens", 4),
    "ngram-hash": ("--per-record", "minhash"),
    "sample": ("-n", "half"),
    "mix": ("=",),
    "dsir": ("--target", "data", "-n", "half", "--min-tokens", 0),
}


def words_of(tool: str, data: Path, *more: object) -> list[object]:
    """The command line of a filter over a file."""
    half = len(data.read_bytes().splitlines()) // 2
    options = [
        {"@": model(), "data": data, "half": half}.get(str(word), word)
        for word in FILTERS[tool]
        if word != "="
    ]
    source = ["--", f"{data}=1"] if "=" in FILTERS[tool] else [data]
    return [tool, *options, *more, *source]


# ---------------------------------------------------------------- disks


@case("file output of every format, on a disk that becomes full")
def disk_full_file(folder: Path) -> Seen:
    data = human(folder, 4000)
    with disk(folder, "64k") as place:
        for form in FORMS:
            # Noise, or it would fit when compressed.
            done = run("cat", data, data, data, "-o", place / f"out.{form}")
            result = seen(done, f"out.{form}: cannot be written: No space left on device")
            nothing_left(place)
    return result


def _undisturbed(tool: str, data: Path, folder: Path) -> tuple[dict[str, bytes], list[object]]:
    """What a tool writes into a directory, and the words that make it do so, but for ``-o``."""
    words = words_of(tool, data, "--shard-size", 5)
    silent(run(*words[:1], "-o", folder / "whole", *words[1:]))
    return _content(folder / "whole"), words


def _content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name != ".synth.json"}


@case("`-o DIR` of every filter on a disk that becomes full; then space, and `--resume`")
def disk_full_shards(folder: Path) -> Seen:
    data = human(folder, 60)
    # Vectors are stored whole, other outputs are about as large as the text.
    for tool in FILTERS:
        whole, words = _undisturbed(tool, data, folder)
        size = sum(map(len, whole.values()))
        blocks = max(4, size // 2 // 4096)
        with disk(folder, f"{blocks * 4}k") as place:
            done = run(*words[:1], "-o", place / "out", *words[1:])
            if done.returncode == 0:  # shards smaller than blocks
                raise Skipped(f"the output of {tool} fits the disk")
            result = seen(done, "cannot be written: No space left on device")
            subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
            well(run(*words[:1], "-o", place / "out", "--resume", *words[1:]))
            sound(_content(place / "out") == whole, f"{tool}: the resumed output is another")
        for path in (folder / "whole").iterdir():
            path.unlink()
        (folder / "whole").rmdir()
    return result


@case("`--report`, `--plot`, `--rejects`, `--data` on a full disk")
def disk_full_beside(folder: Path) -> Seen:
    data = human(folder, 5)
    bad = folder / "bad.jsonl"
    bad.write_bytes(b'{"text": "x"}\n' + b"rubbish " * 2000 + b"\n")
    report = folder / "report.json"
    silent(run("stats", data, "--report", report, "--quiet", stdout=subprocess.DEVNULL))
    with disk(folder, "4k") as place:
        (place / "filler").write_bytes(b"x" * 4096)
        out = folder / "out.jsonl"
        for words in (
            ("cat", data, "-o", out, "--report", place / "r.json"),
            ("stats", data, "--report", place / "r.json"),
            ("stats", data, "--plot", place / "r.png"),
            ("plot", report, "-o", place / "r.html"),
            ("plot", report, "-o", place / "r.svg"),
            ("plot", report, "-o", folder / "r.svg", "--data", place / "r.csv"),
            (
                "cat",
                bad,
                "-o",
                folder / "o.jsonl",
                *("--on-error", "skip"),
                "--rejects",
                place / "b",
            ),
        ):
            done = run(*words)
            told = done.stderr.decode().splitlines()
            sound(done.returncode == 1, f"exit code {done.returncode}: {told}")
            sound(
                told and "cannot be written: No space left on device" in told[-1],
                f"{words[0]}: {told}",
            )
            nothing_left(place, "filler")
        sound(not (folder / "o.jsonl").exists(), "an output stands whose rejects do not")
    return Seen(told[-1].removeprefix("synth: "), 1)


@case("TMPDIR full: records put aside by sample, dsir, mix, cat of a piped Parquet file")
def disk_full_tmpdir(folder: Path) -> Seen:
    data = human(folder, 4000)
    silent(run("cat", data, "-o", folder / "a.parquet"))
    with disk(folder, "32k") as place:
        environment = {**os.environ, "TMPDIR": str(place)}
        for words, stdin in (
            (("sample", "-n", 2000, data), None),
            (("dsir", "--min-tokens", 0, "--target", data, "-n", 2000, data), None),
            (("mix", "--", "-=1"), data),
            (("dsir", "--min-tokens", 0, "--target", data, "-n", 30, "-"), data),
            (("cat", "-"), folder / "a.parquet"),
        ):
            piped = stdin.read_bytes() if stdin else b""
            done = run_cold(*words, input=piped, env=environment, stdout=subprocess.DEVNULL)
            result = seen(done, "TMPDIR", "No space left on device")
            nothing_left(place)
    return result


@case("train and unlearn with `-o` on a disk that becomes full")
def disk_full_training(folder: Path) -> Seen:
    data = human(folder, 60)
    last = Seen()
    for tool, more in _training(data).items():
        for size in ("4k", "100k", "1m"):
            with disk(folder, size) as place:
                done = run(tool, *more, "-o", place / "m")
                errors = done.stderr.decode().splitlines()
                sound(
                    done.returncode == 1, f"{tool}, {size}: exit code {done.returncode}: {errors}"
                )
                sound(
                    "Traceback" not in str(errors) and "internal error" not in str(errors),
                    f"{tool}, {size}: {errors[-1]}",
                )
                sound("No space left" in errors[-1], f"{tool}, {size}: {errors[-1]}")
                made = place / "m" / "model.safetensors"
                sound(not made.exists(), f"{tool}: half a model stands under its name")
                last = Seen(errors[-1].removeprefix("synth: "), 1)
    return last


def _training(data: Path) -> dict[str, tuple[object, ...]]:
    human(data.parent, 30, "replay.jsonl")
    return {
        "train": (
            *(data, "--arch", "llama-tiny", "--train-tokenizer", 400, "--context", 64),
            *("--batch", 4, "--tokens", 256 * 6, "--checkpoint-every", 2),
        ),
        "unlearn": (
            *(
                "--model",
                model(),
                "--forget",
                data,
                "--replay",
                data.with_name("replay.jsonl"),
                "--context",
                64,
            ),
            *("--batch", 4, "--tokens", 256 * 6, "--checkpoint-every", 2),
        ),
    }


@case("a limit on the size of files (`ulimit -f`)", quick=True)
def file_size_limit(folder: Path) -> Seen:
    data = human(folder, 2000)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    (folder / "out").mkdir()
    done = run_cold("cat", data, "-o", folder / "out" / "a.jsonl", preexec_fn=limit)
    result = seen(done, "cannot be written: File too large")
    nothing_left(folder / "out")
    return result


@case("stdout is /dev/full")
def dev_full(folder: Path) -> Seen:
    data = human(folder, 40)
    for tool in ("cat", "mix", "sample", "ngram-hash", "stats", "simulate", "diff"):
        with open("/dev/full", "wb") as full:
            words = {
                "stats": ["stats", data],
                "simulate": ["simulate", "-T", 50, "-d", 5],
                "diff": ["diff", folder / "r.json", folder / "r.json"],
            }.get(tool) or words_of(tool, data)
            if tool == "diff":
                (folder / "r.json").write_text('{"kind": "stats", "a": 1}')
            result = seen(run(*words, stdout=full), "<stdout>: cannot be written: No space left")
    return result


# ---------------------------------------------------------------- permissions


@case("output into a disk mounted read-only, by every filter, train and plot")
def read_only_disk(folder: Path) -> Seen:
    data = human(folder, 20)
    report = folder / "r.json"
    silent(run("stats", data, "--report", report, stdout=subprocess.DEVNULL))
    with disk(folder, "1m") as place:
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        for tool in FILTERS:
            for name in ("a.jsonl", "a/"):
                words = words_of(tool, data)
                done = run(*words[:1], "-o", f"{place}/{name}", *words[1:])
                result = seen(done, "Read-only file system")
        for tool, more in _training(data).items():
            seen(run(tool, *more, "-o", place / "m"), "Read-only file system")
        seen(run("plot", report, "-o", place / "r.svg"), "Read-only file system")
        seen(run("stats", data, "--report", place / "r"), "Read-only file system")
    return result


def _without_rights(*words: object) -> subprocess.CompletedProcess[bytes]:
    """Runs a tool for which the modes of files count, for root too."""
    command = [*running.COLD, *map(str, words)]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            raise Skipped("root's rights can only be taken away with setpriv (util-linux)")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)


@case("a file that may not be read, a directory that may not be written")
def permission_denied(folder: Path) -> Seen:
    data = human(folder, 5)
    secret = human(folder, 5, "secret.jsonl")
    secret.chmod(0)
    shut = folder / "shut"
    shut.mkdir(mode=0o555)
    open_one = folder / "open"
    open_one.mkdir()
    seen(
        _without_rights("cat", data, "-o", shut / "a.jsonl"),
        "a.jsonl: cannot be",
        "Permission denied",
    )
    seen(_without_rights("cat", data, "-o", shut / "a/"), "Permission denied")
    result = seen(
        _without_rights("cat", secret, "-o", open_one / "a.jsonl"),
        "secret.jsonl: Permission denied",
    )
    nothing_left(open_one)
    return result


# ---------------------------------------------------------------- inputs that do not stand still


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


@case("an input that is written over while it is read", quick=True)
def input_overwritten(folder: Path) -> Seen:
    def over(file: BinaryIO) -> None:
        content = file.read()
        file.seek(0)
        file.write(content.replace(b"the", b"one"))  # as many bytes as before

    return _changed(folder, over)


def _changed(folder: Path, act: Callable[[BinaryIO], object]) -> Seen:
    """An input that changes while a reader has its beginning; the pipe holds the tool up."""
    data = human(folder, 8000)
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
    return seen(done, "human.jsonl", "changed while it was read", code=1)


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


# ---------------------------------------------------------------- memory


@case("memory limited (`ulimit -v`): a tool that starts, and records that do not fit")
def memory_limit(folder: Path) -> Seen:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))

    large = folder / "large.jsonl"
    with open(large, "wb") as file:
        file.write(b'{"text": "')
        for _ in range(200):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n')
    (folder / "o").mkdir()
    done = run_cold("cat", large, "-o", folder / "o" / "a.jsonl", preexec_fn=limit)
    result = seen(done, "out of memory")
    nothing_left(folder / "o")
    data = human(folder, 200)
    done = run_cold("cat", data, preexec_fn=limit)
    sound(done.stdout == data.read_bytes(), "400 MB do not suffice for small records")
    return result


@case("memory limited (`ulimit -v`) below what a model needs: ppl, edit, train")
def memory_limit_of_models(folder: Path) -> Seen:
    data = human(folder, 20)
    last = Seen()
    for megabytes in (600, 1000, 1500, 2000, 3000):

        def limit(size: int = megabytes << 20) -> None:
            resource.setrlimit(resource.RLIMIT_AS, (size, size))

        for words in (["ppl", "--model", model(), data], ["train", *_training(data)["train"]]):
            out = folder / "out.jsonl"
            more = ["-o", out] if words[0] == "ppl" else ["-o", folder / "m"]
            done = run_cold(*words, *more, "--force", preexec_fn=limit)
            if done.returncode:
                last = seen(done, more=words[0] == "train")
                sound(not out.exists(), "half an output")
            out.unlink(missing_ok=True)
    sound(last.code == 1, "no limit was too small")
    return last


@case("the model runs out of memory at large batches: ppl, edit, embed, generate, unlearn, train")
def model_out_of_memory(folder: Path) -> Seen:
    data = human(folder, 40)
    last = Seen()
    for tool in ("ppl", "edit", "embed", "generate"):
        words = words_of(tool, data)
        whole = silent_output(words)
        for kind in ("cuda", "cpu"):
            done = _starved(words, kind)
            errors = done.stderr.decode().splitlines()
            sound(done.returncode == 0, f"{tool}, {kind}: {errors[-1:]}")
            sound(done.stdout == whole, f"{tool}: other output after smaller batches")
            sound(
                len(errors) == 1 and "going on with smaller batches" in errors[0],
                f"{tool}, {kind}: not said once: {errors}",
            )
            last = Seen(errors[0].removeprefix("synth: "), 0)
    return last


def silent_output(words: list[object]) -> bytes:
    """The stdout of a run that has nothing to say."""
    done = run(*words)
    silent(done)
    return done.stdout


_STARVE = """
import sys
import torch
kind, most, sys.argv = sys.argv[1], int(sys.argv[2]), ["synth", *sys.argv[3:]]
failure = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
if kind == "cpu":
    failure = RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 17179869184 bytes. Error code 12 (Cannot allocate memory)"
    )
from transformers.models.llama.modeling_llama import LlamaModel
whole = LlamaModel.forward
def forward(self, input_ids=None, **more):
    if input_ids is not None and len(input_ids) > most:
        raise failure
    return whole(self, input_ids, **more)
LlamaModel.forward = forward
from synthtools.cli import main
main()
"""


def _starved(words: list[object], kind: str, most: int = 4) -> subprocess.CompletedProcess[bytes]:
    """Runs a tool whose model has memory for so many sequences at once."""
    command = [sys.executable, "-c", _STARVE, kind, str(most), *map(str, words)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)


# ---------------------------------------------------------------- streams


@case("stdin closed (`<&-`), stdout closed, stderr closed", quick=True)
def closed_streams(folder: Path) -> Seen:
    data = human(folder, 5)
    synth = shlex.join(running.command())

    def shell(line: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["bash", "-c", line], capture_output=True, cwd=folder, timeout=200)

    result = seen(shell(f"{synth} cat - <&-"), "<stdin>: is closed")
    silent(shell(f"{synth} cat human.jsonl -o out.jsonl <&-"))
    sound((folder / "out.jsonl").read_bytes() == data.read_bytes(), "records are gone")
    seen(shell(f"{synth} cat human.jsonl >&-"), "<stdout>: is closed")
    seen(shell(f"{synth} stats human.jsonl >&-"), "<stdout>")
    for line, code in (("gone.jsonl", 1), ("human.jsonl", 0), ("human.jsonl -o o.parquet", 0)):
        done = shell(f"{synth} cat {line} 2>&-")
        sound(done.returncode == code, f"cat {line} 2>&-: exit code {done.returncode}")
        sound(b"synth" not in done.stdout, "what was meant for stderr stands in the output")
    return result


@case("the reader leaves (`| head -1`), for every tool that writes to stdout")
def reader_gone(folder: Path) -> Seen:
    data = human(folder, 400)
    report = folder / "r.json"
    done = run("stats", data, "--report", report)
    report.write_bytes(done.stdout)
    lines = [words_of(tool, data) for tool in FILTERS]
    lines += [["stats", data], ["ngram-hash", data], ["simulate", "-T", 50, "-d", 5]]
    lines += [["plot", report], ["diff", report, report], ["ppl", "--model", model(), data]]
    lines += [["embed", "--map", "--method", "pca", "--model", model(), data], ["--help"]]
    for words in lines:
        synth = shlex.join([*running.command(), *map(str, words)])
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {synth} | head -1"], capture_output=True, timeout=120
        )
        sound(done.returncode == 0, f"{words[0]}: exit code {done.returncode}: {done.stderr!r}")
        sound(not done.stderr, f"{words[0]}: says {done.stderr!r}")
    return Seen()


@case("/dev/stdin, slow: a record every tenth of a second", quick=True)
def slow_stdin(folder: Path) -> Seen:
    data = human(folder, 12)
    process = running.start("cat", "/dev/stdin", stdin=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    for line in data.read_bytes().splitlines(keepends=True):
        process.stdin.write(line)
        process.stdin.flush()
        # It comes out before the next goes in: nothing waits for a batch to be full.
        sound(process.stdout.readline() == line, "a record waits for the next")
        time.sleep(0.1)
    process.stdin.close()
    sound(process.wait(30) == 0, "exit code")
    return Seen()


@case("FIFOs as inputs and as output, also where inputs are read twice")
def fifos(folder: Path) -> Seen:
    data = human(folder, 300)
    for tool in ("cat", "sample", "mix", "dsir"):
        pipe, out = folder / f"{tool}-in", folder / f"{tool}-out"
        os.mkfifo(pipe)
        os.mkfifo(out)
        plain = silent_output(words_of(tool, data))
        words = [pipe if word == data and tool != "dsir" else word for word in words_of(tool, data)]
        words = [f"{pipe}=1" if word == f"{data}=1" else word for word in words]
        if tool == "dsir":
            words[-1] = pipe
        feeding = threading.Thread(target=lambda p=pipe: p.write_bytes(data.read_bytes()))
        feeding.start()
        process = running.start(words[0], "-o", out, *words[1:])
        piped = out.read_bytes()
        _, errors = process.communicate(timeout=60)
        feeding.join(30)
        sound(process.returncode == 0, f"{tool}: {errors!r}")
        sound(piped == plain, f"{tool}: the output through pipes is another")
    return Seen()


# ---------------------------------------------------------------- signals


@case("SIGTERM and SIGHUP in the middle: cat, mix, edit, train", quick=True)
def sigterm(folder: Path) -> Seen:
    data = human(folder, 4000)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        out = folder / f"o{number}"
        out.mkdir()
        fifo = out.parent / f"never{number}"
        os.mkfifo(fifo)
        process = subprocess.Popen(
            [*running.COLD, "cat", str(data), str(fifo), "-o", str(out / "a.jsonl")],
            stderr=subprocess.PIPE,
        )
        while not list(out.iterdir()) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
        sound(
            process.returncode == 130, f"{number.name}: exit code {process.returncode}: {errors!r}"
        )
        sound(not errors, f"says {errors!r}")
        nothing_left(out)
    return Seen(code=130)


@case("SIGTERM while a model works: `-o DIR`, then `--resume`")
def sigterm_of_models(folder: Path) -> Seen:
    data = human(folder, 150)
    for tool in ("edit", "ppl", "generate", "embed"):
        whole, words = _undisturbed(tool, data, folder)
        for path in (folder / "whole").iterdir():
            path.unlink()
        (folder / "whole").rmdir()
        out = folder / tool
        process = running.start(*words[:1], "-o", out, *words[1:])
        while len(list(out.glob("part-*"))) < 2 and process.poll() is None:
            time.sleep(0.002)
        process.terminate()
        _, errors = process.communicate(timeout=60)
        sound(process.returncode in (130, 0), f"{tool}: exit code {process.returncode}: {errors!r}")
        sound(not errors, f"{tool} says {errors!r}")
        sound(not list(out.glob(".*.partial")), f"{tool}: a temporary file is left")
        well(run(*words[:1], "-o", out, "--resume", *words[1:]))
        sound(_content(out) == whole, f"{tool}: the resumed output is another")
    return Seen(code=130)


# ---------------------------------------------------------------- clocks

_CLOCK = """
import sys, time
start, real, calls = time.time(), time.time, 0
def jumping():
    global calls
    calls += 1
    return real() + (-1e9 if calls % 2 else 1e9)
time.time = jumping
time.time_ns = lambda: int(jumping() * 1e9)
sys.argv = ["synth", *sys.argv[1:]]
from synthtools.cli import main
main()
"""


@case("the clock jumps thirty years forth and back at every look", quick=True)
def clock_jumps(folder: Path) -> Seen:
    data = human(folder, 40)
    report = folder / "r.json"
    command = [sys.executable, "-c", _CLOCK, "cat", data, "-o", folder / "o.jsonl"]
    silent(
        subprocess.run(
            [*command, "--report", report], stdin=subprocess.DEVNULL, capture_output=True
        )
    )
    sound((folder / "o.jsonl").read_bytes() == data.read_bytes(), "records are gone")
    made = json.loads(report.read_text())["made_by"]
    sound(0 <= made["seconds"] < 60, f"the run took {made['seconds']} s")
    sound(made["throughput"]["records_per_second"] > 0, "records a second")
    return Seen()


@case("inputs whose times lie in the future and before 1970", quick=True)
def odd_times(folder: Path) -> Seen:
    for when in (-(2**31), 0, 2**33):
        data = human(folder, 4)
        os.utime(data, (when, when))
        done = run("cat", data)
        silent(done)
        sound(done.stdout == data.read_bytes(), "records are gone")
    return Seen()


# ---------------------------------------------------------------- names


@case("links that lead in circles, to nowhere, to themselves", quick=True)
def links(folder: Path) -> Seen:
    data = folder / "data"
    data.mkdir()
    human(data, 5)
    (data / "up").symlink_to("..")
    (data / "again").symlink_to(".")
    (folder / "self.jsonl").symlink_to("self.jsonl")
    (data / "a.jsonl").symlink_to("b.jsonl")
    (data / "b.jsonl").symlink_to("a.jsonl")
    seen(run("cat", folder / "self.jsonl"), "self.jsonl: Too many levels of symbolic links")
    result = seen(run("cat", data), "a.jsonl: Too many levels of symbolic links")
    (data / "a.jsonl").unlink()
    (data / "b.jsonl").unlink()
    sound(run("cat", data, "--count").stdout == b"5\n", "records counted twice")
    seen(run("cat", data, "-o", folder / "self.jsonl"), "self.jsonl")
    return result


@case("names with newlines, spaces, bytes that are no UTF-8, 255 bytes, a leading dash")
def names(folder: Path) -> Seen:
    content = human(folder, 5).read_bytes()
    base = os.fsencode(folder)
    (folder / "human.jsonl").unlink()
    given = [b"new\nline", b"no-utf8-\xff\xfe", b"-dash", b" ", b"\x1b[31mred", b"x" * 249]
    for number, name in enumerate(given):
        path = os.path.join(base, name + b".jsonl")
        with open(path, "wb") as file:
            file.write(content)
        target = os.path.join(base, b"out" + bytes([65 + number]), name[:200] + b".parquet")
        os.mkdir(os.path.dirname(target))
        report = os.path.join(base, b"r.json")
        command = [*running.command(), "cat", path, "-o", target, "--report", report]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        silent(done)
        done = subprocess.run(
            [*running.command(), "cat", target], stdin=subprocess.DEVNULL, capture_output=True
        )
        silent(done)
        sound(done.stdout.count(b"\n") == 5, f"{name!r}: records are gone")
        json.loads(Path(os.fsdecode(report)).read_bytes())
        gone = [*running.command(), "cat", path + b".gone"]
        done = subprocess.run(gone, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        result = seen(done)
        sound(b"\x1b" not in done.stderr, "an escape sequence of a name reaches the terminal")
        os.rename(target, os.path.join(base, b"ok-%d.parquet" % number))
    count = subprocess.run([*running.command(), "cat", folder, "--count"], capture_output=True)
    sound(count.stdout == b"%d\n" % (10 * len(given)), f"counted {count.stdout!r}")
    return result


assert ROOT  # the folder that `make` runs in
