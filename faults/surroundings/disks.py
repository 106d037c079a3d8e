"""Disks that are full or read-only, limits on files, permissions."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from pathlib import Path

from faults.cases import (
    Seen,
    Skipped,
    case,
    disk,
    human,
    nothing_left,
    run,
    run_cold,
    running,
    seen,
    silent,
    sound,
    well,
)
from faults.tools import FILTERS, FORMS, content, training, uninterrupted, words_of


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


@case("`-o DIR` of every filter on a disk that becomes full; then space, and `--resume`")
def disk_full_shards(folder: Path) -> Seen:
    data = human(folder, 60)
    # Vectors are stored whole, other outputs are about as large as the text.
    for tool in FILTERS:
        whole, words = uninterrupted(tool, data, folder)
        size = sum(map(len, whole.values()))
        blocks = max(4, size // 2 // 4096)
        with disk(folder, f"{blocks * 4}k") as place:
            done = run(*words[:1], "-o", place / "out", *words[1:])
            if done.returncode == 0:  # shards smaller than blocks
                raise Skipped(f"the output of {tool} fits the disk")
            result = seen(done, "cannot be written: No space left on device")
            subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
            well(run(*words[:1], "-o", place / "out", "--resume", *words[1:]))
            sound(content(place / "out") == whole, f"{tool}: the resumed output is another")
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
            (("dsir", "-q", "--min-tokens", 0, "--target", data, "-n", 2000, data), None),
            (("mix", "--", "-=1"), data),
            (("dsir", "-q", "--min-tokens", 0, "--target", data, "-n", 30, "-"), data),
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
    for tool, more in training(data).items():
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
        for tool, more in training(data).items():
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
