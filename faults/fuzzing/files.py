"""Damaged files for every reader.

Hypothesis changes sound files in places and is repeatable; atheris, where it is installed, follows the
branches that a change opens.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from faults.cases import CASES, ROOT, Case, Options, Seen, Skipped, model, sound
from faults.fuzzing.damage import damaged
from faults.readers import READERS
from faults.readers.reader import PLACE, Reader, new_place
from synthtools.errors import SynthError

# Beyond what is held before, while some kilobytes are read.
MEMORY = 4 << 30


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

    with bounded(MEMORY):
        check()


def _of_hypothesis(name: str) -> Callable[[Path, Options], Seen]:
    def try_reader(folder: Path, options: Options) -> Seen:
        # A process of its own: a crash of a library is a finding, not the end of the battery.
        words = ["hypothesis", name, str(options.examples), str(options.seed)]
        told = f"{options.examples:,} files taken or refused in one line"
        return _apart(words, 60 + 2 * options.examples, lambda _: told)

    return try_reader


def _apart(words: list[str], timeout: float, well: Callable[[str], str]) -> Seen:
    """Runs one reader in a process of its own.

    Args:
        well: what is said of a good end, given what stands on stderr.
    """
    try:
        with new_place() as place:
            done = subprocess.run(
                [sys.executable, "-m", "faults.fuzzing", *words],
                cwd=ROOT,
                env={**os.environ, "SYNTH_FAULTS_MODEL": str(model()), PLACE: str(place)},
                capture_output=True,
                timeout=timeout,
            )
    except subprocess.TimeoutExpired:
        return Seen(lost=f"hangs: not done after {timeout:.0f} s")
    errors = done.stderr.decode("utf-8", "replace")
    if done.returncode == 0:
        return Seen(well(errors))
    told = [line for line in errors.splitlines() if line.strip()]
    return Seen("–", done.returncode, lost=" / ".join(told[-6:])[-600:] or "it crashed")


def _of_atheris(name: str) -> Callable[[Path, Options], Seen]:
    def try_reader(folder: Path, options: Options) -> Seen:
        if find_spec("atheris") is None:
            raise Skipped("atheris is not installed (pip install atheris)")
        words = ["atheris", name, str(options.seconds), str(folder)]
        return _apart(words, 120 + options.seconds, lambda errors: _inputs(errors, options.seconds))

    return try_reader


def _inputs(errors: str, seconds: int) -> str:
    """How much atheris tried, by the numbers that it ends with."""
    found = re.search(r"^stat::number_of_executed_units: *(\d+)", errors, re.M)
    sound(found, "atheris does not say how many inputs it tried")
    assert found
    return f"{int(found[1]):,} inputs in {seconds} s, each taken or refused in one line"


def fuzz_by_coverage(reader: Reader, seconds: int, folder: Path) -> None:
    """Gives a reader what atheris makes of its sound files; does not return.

    Args:
        folder: for the files that open new branches.
    """
    import atheris  # type: ignore[import-not-found]

    (folder / "corpus").mkdir()
    for number, data in enumerate(reader.seeds()):
        attempt(reader, data)  # imports what there is to be followed
        (folder / "corpus" / f"{number}").write_bytes(data)
    # The parsers in Python are what coverage can guide; those of libraries it can only knock at.
    for module in [m for name, m in sorted(sys.modules.items()) if name.startswith("synthtools.")]:
        for name, value in list(vars(module).items()):
            if type(value).__name__ == "function" and value.__module__ == module.__name__:
                setattr(module, name, atheris.instrument_func(value))
    words = [f"-max_total_time={seconds}", "-timeout=30", "-rss_limit_mb=4096", "-verbosity=0"]
    words += ["-max_len=20000", "-print_final_stats=1", str(folder / "corpus")]
    atheris.Setup([sys.argv[0], *words], lambda data: attempt(reader, data))
    atheris.Fuzz()


for _name in READERS:
    CASES[f"fuzzing/{_name}"] = Case(
        f"fuzzing/{_name}", "damaged files, by Hypothesis", _of_hypothesis(_name), False
    )
    CASES[f"fuzzing/{_name}-atheris"] = Case(
        f"fuzzing/{_name}-atheris", "damaged files, by atheris", _of_atheris(_name), False
    )
