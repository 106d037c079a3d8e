"""Links and names that a file system allows and nobody expects."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from faults.cases import (
    Seen,
    case,
    human,
    run,
    running,
    seen,
    silent,
    sound,
)


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
