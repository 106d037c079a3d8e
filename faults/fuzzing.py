"""Readers given bytes that nobody wrote: no traceback, no hang, no memory beyond a bound.

Hypothesis changes sound files in places (bytes, or values of JSON) and is repeatable; atheris, where
it is installed, follows the branches that a change opens.
"""

from __future__ import annotations

import copy
import functools
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, given, seed, settings

from faults.cases import CASES, ROOT, Case, Options, Seen, Skipped, case, model, run, seen, sound
from faults.readers import MEMORY, READERS, Reader
from synthtools.errors import SynthError

# ---------------------------------------------------------------- changes of bytes and of values

_PIECES = st.one_of(
    st.binary(min_size=1, max_size=8),
    st.sampled_from(
        [b"\0", b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\n", b'"', b"\\u", b"{"]
    ),
    st.sampled_from(
        [b"\x00\x00\x00\x80", b"\xff\xff\xff\x7f", b"1e999", b"[" * 2000, b"-1", b"NaN"]
    ),
)
_EDITS = st.lists(
    st.tuples(
        st.sampled_from(["write", "insert", "cut", "repeat", "end"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 64),
        _PIECES,
    ),
    min_size=1,
    max_size=4,
)


def _edited(data: bytes, edits: list[tuple[str, float, int, bytes]]) -> bytes:
    for kind, where, length, piece in edits:
        at = int(where * len(data))
        if kind == "write":
            data = data[:at] + piece + data[at + len(piece) :]
        elif kind == "insert":
            data = data[:at] + piece + data[at:]
        elif kind == "cut":
            data = data[:at] + data[at + length :]
        elif kind == "repeat":
            data = data[:at] + data[at : at + length] * 3 + data[at + length :]
        else:
            data = data[:at]
    return data


# What stands in the place of a value.
_DEEP: Any = functools.reduce(lambda inner, _: [inner], range(300), 0)
_VALUES = st.one_of(
    st.sampled_from([None, True, -1, 0, 2**31, 2**63, 10**40, 1e308, -1e-308, 0.5, _DEEP]),
    st.sampled_from(
        [float("nan"), float("inf"), "", "\ud800", "\x1b[31m", "../../etc/passwd", "𝔘"]
    ),
    st.sampled_from([[], {}, [[]], [None], {"": {}}, {"__class__": "x"}, ["a", 1, None], [1e999]]),
    st.text(max_size=4),
    st.integers(),
    st.floats(),
)
_CHANGES = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(["set", "drop", "add"]), _VALUES),
    min_size=1,
    max_size=3,
)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """(list or object, index or key) of every value inside."""
    found: list[tuple[Any, Any]] = []
    left = [value]
    while left:
        held = left.pop()
        keys = list(held) if isinstance(held, dict) else range(len(held))
        for key in keys:
            found.append((held, key))
            if isinstance(held[key], (dict, list)):
                left.append(held[key])
    return found


def _changed(data: bytes, changes: list[tuple[float, str, Any]]) -> bytes:
    """JSON or JSON lines with values changed."""
    try:
        lines = [json.loads(data)]
    except ValueError:
        lines = [json.loads(line) for line in data.splitlines()]
    for where, kind, value in changes:
        places = _places(lines)
        held, key = places[int(where * len(places))]
        value = copy.deepcopy(value)
        if kind == "set":
            held[key] = value
        elif kind == "drop":
            del held[key]
        elif isinstance(held, dict):
            held[str(value)[:20]] = value
        else:
            held.insert(key, value)
        if not lines:
            break
    return "\n".join(map(json.dumps, lines)).encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes], is_json: bool) -> bytes:
    """A sound file with some damage."""
    data = draw(st.sampled_from(seeds))
    if is_json and draw(st.booleans()):
        return _changed(data, draw(_CHANGES))
    return _edited(data, draw(_EDITS))


# ---------------------------------------------------------------- Hypothesis


@contextmanager
def bounded(size: int) -> Iterator[None]:
    """At most so much more memory for this process (as the system counts addresses)."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    now = pages * os.sysconf("SC_PAGE_SIZE")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def attempt(reader: Reader, data: bytes) -> None:
    """Reads; a refusal is one line. Everything else is raised."""
    try:
        reader.read(data)
    except SynthError as refusal:
        assert str(refusal).strip(), "a refusal without a word"


def fuzz(reader: Reader, examples: int, number: int = 0) -> None:
    """Gives a reader damaged files, the same ones for the same number."""
    seeds = reader.seeds()
    for data in seeds:
        attempt(reader, data)

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(damaged(seeds, reader.is_json))
    def check(data: bytes) -> None:
        attempt(reader, data)

    with bounded(4 * MEMORY):
        check()


def _of_hypothesis(name: str) -> Callable[[Path, Options], Seen]:
    def try_reader(folder: Path, options: Options) -> Seen:
        # A process of its own: a crash of a library is a finding, not the end of the battery.
        words = ["hypothesis", name, str(options.examples), str(options.seed)]
        return _apart(words, 60 + 2 * options.examples)

    return try_reader


def _apart(words: list[str], timeout: float) -> Seen:
    environment = {**os.environ, "SYNTH_FAULTS_MODEL": str(model())}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "faults.fuzzing", *words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return Seen(lost=f"hangs: not done after {timeout:.0f} s")
    told = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    if done.returncode == 0:
        return Seen(done.stdout.decode().strip() or "–")
    return Seen("–", done.returncode, lost=" / ".join(told[-6:])[-600:] or "it crashed")


# ---------------------------------------------------------------- atheris


def _of_atheris(name: str) -> Callable[[Path, Options], Seen]:
    def try_reader(folder: Path, options: Options) -> Seen:
        if find_spec("atheris") is None:
            raise Skipped("atheris is not installed (pip install atheris)")
        return _apart(["atheris", name, str(options.seconds), str(folder)], 120 + options.seconds)

    return try_reader


def _atheris(reader: Reader, seconds: int, folder: Path) -> None:
    import atheris  # type: ignore[import-not-found]

    (folder / "corpus").mkdir()
    for number, data in enumerate(reader.seeds()):
        (folder / "corpus" / f"{number}").write_bytes(data)
    # The parsers in Python are what coverage can guide; those of libraries it can only knock at.
    for module in [m for name, m in sorted(sys.modules.items()) if name.startswith("synthtools.")]:
        for name, value in list(vars(module).items()):
            if type(value).__name__ == "function" and value.__module__ == module.__name__:
                setattr(module, name, atheris.instrument_func(value))
    words = [f"-max_total_time={seconds}", "-timeout=30", "-rss_limit_mb=4096", "-verbosity=0"]
    # It ends the process itself: what is to be said of a good end is said before.
    print(f"{seconds} s of files by atheris, each taken or refused in one line", flush=True)
    atheris.Setup(
        [sys.argv[0], *words, "-max_len=20000", str(folder / "corpus")], reader_once(reader)
    )
    atheris.Fuzz()


def reader_once(reader: Reader) -> Callable[[bytes], None]:
    """What atheris calls."""
    return lambda data: attempt(reader, data)


for _name in READERS:
    CASES[f"fuzzing/{_name}"] = Case(
        f"fuzzing/{_name}", "damaged files, by Hypothesis", _of_hypothesis(_name), False
    )
    CASES[f"fuzzing/{_name}-atheris"] = Case(
        f"fuzzing/{_name}-atheris", "damaged files, by atheris", _of_atheris(_name), False
    )


# ---------------------------------------------------------------- bombs


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
    result = seen(done, "/dev/zero: is no report")
    return result._replace(line=f"{result.line} {_within(peak, 3 << 30)}")


def main() -> None:
    """A reader, fuzzed in this process: its name, and how much."""
    way, name, *more = sys.argv[1:]
    given_model = os.environ.get("SYNTH_FAULTS_MODEL")
    if given_model:
        from faults import cases

        cases._MODEL.append(Path(given_model))
    if way == "hypothesis":
        fuzz(READERS[name], int(more[0]), int(more[1]))
        print(f"{more[0]} files taken or refused in one line")
    else:
        _atheris(READERS[name], int(more[0]), Path(more[1]))


if __name__ == "__main__":
    main()


assert run
