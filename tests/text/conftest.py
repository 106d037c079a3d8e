"""Texts in which tokenisers go wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st

from synthtools.records.text_buffer import TextBuffer
from synthtools.text.tokeniser import SLACK, buffers, scan
from synthtools.text.unicode import unicode

ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
AWKWARD = st.text(
    st.sampled_from(
        "aZ09_ \n\t\x00\x1c\x85\xa0.,;'·-éÀßẞİıΣσςǅﬁＡ٣²Ⅳ中Жд\u0301\u0345\u00ad\u200d\u3000"
        "K\U00010400\U0001d400\U0001e900\U0001f600\U000e0101"
    ),
    max_size=60,
)
WORDS = [
    "the",
    "of",
    "Synthetic",
    "it's",
    "1,024",
    "e.g.",
    "...",
    "(and)",
    "DATA_set",
    "naïve",
    ",",
]
ENGLISH = st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)
TEXT = st.one_of(ANY, AWKWARD, ENGLISH)


def spelled(text: str, limit: int = 1 << 40) -> tuple[list[str], list[int]]:
    """Tokens and their hashes as the kernel finds them, at most about ``limit`` in one call."""
    data, offsets = buffers(TextBuffer.of([text]))
    end = int(offsets[-1])
    hashes, ends = np.empty(end + 2 * SLACK, np.uint64), np.empty(end + 2 * SLACK, np.int64)
    buffer = np.empty(3 * end + SLACK, np.uint8)
    count = position = written = 0
    while position < end:
        count, position, written = scan(
            data, 0, position, end, *unicode(), hashes, count, count + limit, buffer, ends, written
        )
    starts = [0, *(ends[:count] + 1)]
    tokens = [buffer[a:b].tobytes().decode() for a, b in zip(starts, ends[:count], strict=False)]
    return tokens, [int(value) for value in hashes[:count]]


@pytest.fixture(scope="session")
def documents() -> list[str]:
    """Texts of very different lengths, from none to some thousand tokens."""
    random = np.random.default_rng(0)
    words = ["the", "of", "Data", "synthetic", "it's", "ΟΔΟΣ", "İstanbul", "naïve", "x" * 70, "—"]
    chance = 1 / np.arange(1, len(words) + 1)
    sizes = [0, 1, 2, 3, 4, 5, 6, 60, 0, 300, 1, 6000, 30]
    made = [" ".join(random.choice(words, size, p=chance / chance.sum())) for size in sizes]
    return [*made, "a", " ", "é", ".", "\n\n", "x" * 20_000, "İ" * 5000]
