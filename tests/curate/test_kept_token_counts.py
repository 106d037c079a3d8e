"""Numbers of tokens that a later run need not count."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from running import run
from synthtools.curate.kept_token_counts import KeptTokenCounts
from synthtools.errors import TextError


class Tokenizer:
    """Counts words, and notes what it was asked."""

    def __init__(self, identity: bytes = b"words") -> None:
        self.identity = identity
        self.asked: list[list[str]] = []

    def counts(self, texts: list[str]) -> np.ndarray:
        self.asked.append(texts)
        if "" in texts:
            raise TextError({texts.index(""): "empty"})
        return np.array([len(text.split()) for text in texts], np.int64)


def counter(tokenizer: Any, folder: Path) -> KeptTokenCounts:
    return KeptTokenCounts(tokenizer, folder, pytest.fail)


def test_a_second_run_counts_nothing(tmp_path: Path) -> None:
    first, second, other = Tokenizer(), Tokenizer(), Tokenizer(b"other words")
    texts = ["a b", "é", "c d e"]
    counts = pickle.loads(pickle.dumps(counter(first, tmp_path)))  # as it reaches another machine
    assert counts(texts).tolist() == [2, 1, 3]
    again = counter(second, tmp_path)(texts)
    assert again.tolist() == [2, 1, 3] and again.dtype == np.int64 and second.asked == []
    # Nothing else is taken for them: another tokenizer, other texts, the same bytes parted otherwise.
    assert counter(other, tmp_path)(texts).tolist() == [2, 1, 3] and other.asked == [texts]
    for others in (["a b", "é", "c d"], ["a", " bé", "c d e"], texts[::-1]):
        assert counter(second, tmp_path)(others).sum() > 0 and second.asked[-1] == others


def test_what_failed_is_not_kept(tmp_path: Path) -> None:
    tokenizer = Tokenizer()
    for _ in range(2):
        with pytest.raises(TextError):
            counter(tokenizer, tmp_path)(["a", ""])
    assert len(tokenizer.asked) == 2


def test_a_cache_that_fails_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    remarks: list[str] = []
    counts = KeptTokenCounts(Tokenizer(), tmp_path / "file", remarks.append)  # type: ignore[arg-type]
    assert counts(["a b"]).tolist() == counts(["a b"]).tolist() == [2]
    assert len(remarks) == 1 and "not kept" in remarks[0] and "is a file" in remarks[0]


def test_mixtures_are_the_same_with_and_without(tmp_path: Path) -> None:
    records = tmp_path / "r.jsonl"
    records.write_text("".join(f'{{"text":"Words, words and {i} words."}}\n' for i in range(600)))
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    mix = ("mix", f"{records}=1", "--tokenizer", "builtin", "--total", "1000")
    folder = tmp_path / "cache" / "synthtools" / "token-counts"
    without = run(*mix, "--no-cache", env=environment)
    assert without.returncode == 0 and not folder.exists()
    outputs = [run(*mix, env=environment).stdout for _ in range(2)]
    assert outputs == [without.stdout] * 2 and without.stdout
    values = b"".join(path.read_bytes() for path in folder.iterdir())
    assert values.count(b"\n") == 3  # of 256 texts, 256 and 88, added once
