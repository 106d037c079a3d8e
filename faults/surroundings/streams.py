"""Streams: stdin and stdout closed, slow, full of holes; pipes with names."""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
import time
from pathlib import Path

from faults.cases import (
    Seen,
    case,
    human,
    model,
    run,
    running,
    seen,
    silent,
    sound,
)
from faults.tools import FILTERS, silent_output, words_of


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
