"""A cache of values on disk: shared by processes, whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from hashlib import blake2b
from pathlib import Path

import pytest

from synthtools.errors import SynthError
from synthtools.records.value_cache import ValueCache


def key(number: int) -> str:
    return blake2b(b"%d" % number, digest_size=16).hexdigest()


def test_what_one_adds_another_finds(tmp_path: Path) -> None:
    first, second = ValueCache(tmp_path / "a/b"), ValueCache(tmp_path / "a/b")
    assert first.get(key(1)) is None
    for number in range(600):
        second.add(key(number), {"text": f"é\n{number}"})
    # Also what was appended to a file that has been looked into.
    assert [first.get(key(number)) for number in range(600)] == [
        {"text": f"é\n{number}"} for number in range(600)
    ]
    first.add(key(1), {"text": "later"})
    assert ValueCache(tmp_path / "a/b").get(key(1)) == {"text": "later"}
    assert first.get(key(2), again=True) == {"text": "é\n2"}
    assert first.account() == {"hits": 600, "added": 1, "damaged": 0}
    assert len(list((tmp_path / "a/b").iterdir())) <= 256


WRITER = """
import sys
from pathlib import Path
from tests.records.test_value_cache import ValueCache, key
cache = ValueCache(Path(sys.argv[1]))
for number in range(400):
    cache.add(key(number), {"writer": sys.argv[2], "text": "x" * 5000})
"""


def test_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "c"), name], cwd=root)
        for name in "ab"
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    cache = ValueCache(tmp_path / "c")
    found = [cache.get(key(number)) for number in range(400)]
    assert all(value and value["text"] == "x" * 5000 for value in found)
    assert cache.damaged == 0
    lines = b"".join(path.read_bytes() for path in (tmp_path / "c").iterdir()).splitlines()
    assert len(lines) == 800


@pytest.mark.parametrize(
    ("change", "damaged"),
    [
        (lambda line: line.replace(b"answer", b"Answer"), 1),  # still JSON
        (lambda line: line[: len(line) // 2], 0),  # somebody is writing it, or was killed
        (lambda line: line[: len(line) // 2] + b"\n", 1),
        (lambda line: b"\0" * (len(line) - 1) + b"\n", 1),
        (lambda line: line.replace(b"}}\n", b"}]\n"), 1),
    ],
)
def test_what_is_damaged_is_not_taken_and_counted(change, damaged: int, tmp_path: Path) -> None:
    same = [number for number in range(2000) if key(number)[:2] == key(0)[:2]][:3]
    cache = ValueCache(tmp_path)
    for number in same:
        cache.add(key(number), {"text": f"answer {number}"})
    (path,) = tmp_path.iterdir()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1] + change(lines[2]))
    cache = ValueCache(tmp_path)
    assert cache.get(key(same[0])) and cache.get(key(same[1]))
    assert cache.get(key(same[2])) is None
    # Another answer takes its place, for other processes too.
    cache.add(key(same[2]), {"text": "new"})
    other = ValueCache(tmp_path)
    for one in (cache, other):
        assert one.get(key(same[2])) == {"text": "new"}
        assert one.get(key(same[0])) == {"text": f"answer {same[0]}"}
        one.get(key(same[1]))
    assert cache.damaged == damaged


def test_a_file_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(SynthError, match="f: is a file; a cache is a directory"):
        ValueCache(tmp_path / "f")
    with pytest.raises(SynthError, match="cannot be written"):
        ValueCache(tmp_path / "f" / "g")


def test_a_bound_empties_a_file_that_is_full(tmp_path: Path) -> None:
    """The others go on, a process that has read the file too."""
    cache, other = ValueCache(tmp_path, 256 * 1000), ValueCache(tmp_path, 256 * 1000)
    same = [number for number in range(4000) if key(number)[:2] == key(0)[:2]][:8]
    cache.add(key(1), {"text": "in another file"})
    for number in same:
        cache.add(key(number), {"text": "x" * 200})
        assert other.get(key(number)) == {"text": "x" * 200}
        assert (tmp_path / f"{key(0)[:2]}.jsonl").stat().st_size <= 1000
    assert other.get(key(same[0])) is None and other.get(key(1)) == {"text": "in another file"}
    assert other.get(key(same[-1])) == {"text": "x" * 200}
