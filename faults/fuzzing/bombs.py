"""Small files and streams that are large when read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from faults.cases import Seen, case, seen, sound


def _peak(words: list[object], **more: Any) -> tuple[subprocess.CompletedProcess[bytes], int]:
    """A run that begins in an interpreter of its own, and the most memory it held, bytes."""
    code = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run([sys.executable, '-m', 'synthtools', *sys.argv[1:]])\n"
        "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
        "print('PEAK', peak, done.returncode, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        **{"capture_output": True, "timeout": 600, "stdin": subprocess.DEVNULL, **more},
    )
    *told, last = done.stderr.decode("utf-8", "replace").splitlines()
    _, peak, ended = last.split()
    errors = "\n".join(told).encode()
    return subprocess.CompletedProcess([], int(ended), done.stdout, errors), int(peak) << 10


def _within(peak: int, most: int) -> str:
    sound(peak < most, f"held {peak >> 20} MiB, more than {most >> 20}")
    return f"(held {peak >> 20} MiB of the {most >> 20} that are stated)"


# Lines up to the longest are held twice, beside what Python and its libraries are.
BOUND = 1 << 30


@case("10 MB of zstd that are 80 GB without a line end")
def zstd_bomb_of_one_line(folder: Path) -> Seen:
    import zstandard

    path = folder / "bomb.jsonl.zst"
    compressor = zstandard.ZstdCompressor(level=19).compressobj()
    piece = b"a" * (64 << 20)
    with open(path, "wb") as file:
        file.write(compressor.compress(b'{"text": "'))
        frame = compressor.compress(piece) + compressor.flush()
        file.write(frame)
        # The same frame again and again: what it says is written once only.
        again = zstandard.ZstdCompressor(level=19).compress(piece)
        while file.tell() < 10_000_000:
            file.write(again)
    done, peak = _peak(["cat", path, "-o", folder / "out.jsonl"])
    result = seen(done, "a line of more than 256 MiB")
    sound(not (folder / "out.jsonl").exists(), "an output of half a record stands")
    return result._replace(line=f"{result.line} {_within(peak, BOUND)}")


@case("zstd and gzip that are gigabytes of sound records: streamed")
def bomb_of_records(folder: Path) -> Seen:
    import gzip

    import zstandard

    piece = b'{"text": "the same again"}\n' * 400_000
    words = []
    for name, once in (
        ("a.jsonl.zst", zstandard.compress(piece)),
        ("a.jsonl.gz", gzip.compress(piece)),
    ):
        (folder / name).write_bytes(once * 50)
        done, peak = _peak(["cat", "--count", folder / name])
        sound(done.stdout == b"20000000\n", f"{name}: counted {done.stdout!r}")
        words.append(_within(peak, BOUND))
    return Seen(f"20,000,000 records counted {words[0]}")


@case("a line of 10 GB on stdin")
def endless_line(folder: Path) -> Seen:
    line = f"{{ printf '{{\"text\": \"'; head -c 10G /dev/zero | tr '\\0' a; }} | {sys.executable} -c '{_THROUGH}'"
    out = folder / "out.jsonl"
    done = subprocess.run(["bash", "-c", f"{line} cat -o {out}"], capture_output=True, timeout=600)
    *told, last = done.stderr.decode().splitlines()
    _, peak, ended = last.split()
    result = seen(
        subprocess.CompletedProcess([], int(ended), b"", "\n".join(told).encode()),
        "<stdin>:1: a line of more than 256 MiB",
    )
    sound(not out.exists(), "an output of half a record stands")
    return result._replace(line=f"{result.line} {_within(int(peak) << 10, BOUND)}")


_THROUGH = (
    "import resource, subprocess, sys; "
    'done = subprocess.run([sys.executable, "-m", "synthtools", *sys.argv[1:]]); '
    "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss; "
    'print("PEAK", peak, done.returncode, file=sys.stderr)'
)


@case("10 MB of blank lines in 300 bytes of zstd, 1 GB of them in 30 kB")
def blank_lines(folder: Path) -> Seen:
    import zstandard

    path = folder / "blank.jsonl.zst"
    path.write_bytes(zstandard.compress(b"\n" * (100 << 20)) * 10)
    done, peak = _peak(["cat", "--count", path])
    sound(done.stdout == b"0\n", f"counted {done.stdout!r}")
    return Seen(f"0 records {_within(peak, BOUND)}")


@case("a Parquet file of 1 MB whose column is one value of 1 MB, 50,000 times")
def parquet_bomb(folder: Path) -> Seen:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "bomb.parquet"
    value = "all work and no play " * 50_000
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 50_000, pa.int32()), [value])
    pq.write_table(pa.table({"text": column}), path, compression="none")
    done, peak = _peak(["cat", "--head", 3000, path, "-o", folder / "out.jsonl"])
    seen(done, code=0)
    return Seen(f"streamed {_within(peak, BOUND)}", 0)


@case("a report that never ends: plot /dev/zero")
def endless_report(folder: Path) -> Seen:
    done, peak = _peak(["plot", "/dev/zero"])
    result = seen(done, "/dev/zero: not a report")
    return result._replace(line=f"{result.line} {_within(peak, 3 << 30)}")
