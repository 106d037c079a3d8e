"""The compiled words against their twin, and the twin against the package regex and known words."""

from __future__ import annotations

import unicodedata

import pytest
import regex
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import kernel_reference as reference
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.unicode import COUNTS, word_breaks
from synthtools.text.words import word_counts, word_hashes

from .conftest import TEXT

# A character or two of each Word_Break, and what stands beside them in real texts.
KINDS = st.text(
    st.sampled_from(
        "aZ09_ \n\t\x00.,;:'\u2019·-\"éİΣ٣²中ひカｶﾞﾟЖक\u093f\u094d\u0301\u0345\u00ad\u200dเ\u0e32"
        "\u05d0\u05d1\u05f3\u05f4\u202f\u066c\U0001f600\u2160ⓐ゛"
    ),
    max_size=40,
)
# Runs of eight bytes and what ends them.
ENGLISH = st.lists(
    st.sampled_from(
        [*("the", "of", "don't", "e.g.", "3,141.59", "x", "オabcdefgh", "ªbc", "naïve", "foreword"),
         *("_", "__a", "international", "a:b", '"so"', "(and)", "--", " ", "\n", ", ", "' ")]
    ),
    max_size=30,
).map("".join)  # fmt: skip
WORDS = st.one_of(TEXT, KINDS, ENGLISH)


def by_regex(text: str) -> list[str]:
    text = reference.lower(text)
    cuts = sorted({0, len(text), *(cut.start() for cut in regex.finditer(r"(?w)\b", text))})
    parts = [text[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
    return [part for part in parts if any(word_breaks()[ord(c)] & COUNTS for c in part)]


@settings(max_examples=500)
@given(WORDS)
def test_kernel_and_twin_agree(text):
    texts = TextBuffer.of(["x", text, text + "Σ", "y"])
    expected = [reference.words(one) for one in texts]
    hashes, starts = word_hashes(texts)
    assert hashes.tolist() == [reference.token_hash(word) for some in expected for word in some]
    assert word_counts(texts).tolist() == [len(some) for some in expected]
    assert (starts[1:] - starts[:-1]).tolist() == [len(some) for some in expected]


@pytest.mark.skipif(
    unicodedata.unidata_version != "14.0.0", reason="this Python has another Unicode"
)
@settings(max_examples=500)
@given(WORDS)
def test_twin_and_regex_agree(text):
    """But for pictures that a joiner ties to letters, and characters newer than Unicode 14."""
    assume(not regex.search(r"\u200d\p{Extended_Pictographic}", text))
    assume("Cn" not in map(unicodedata.category, text))
    assert reference.words(text) == by_regex(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("नमस्ते दुनिया, यह हिन्दी है।", ["नमस्ते", "दुनिया", "यह", "हिन्दी", "है"]),
        ("e\u0301cole", ["e\u0301cole"]),
        ("İstanbul", ["i\u0307stanbul"]),
        ("ΟΔΟΣ", ["οδος"]),
        ("שָׁלוֹם עוֹלָם", ["שָׁלוֹם", "עוֹלָם"]),
        ('צה"ל', ['צה"ל']),
        ("مَرْحَبًا بِكُمْ", ["مَرْحَبًا", "بِكُمْ"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("Don't stop_it... 3.14, e.g. 1,024!?", ["don't", "stop_it", "3.14", "e.g", "1,024"]),
        ("state-of-the-art 12:30 __ _x", ["state", "of", "the", "art", "12", "30", "_x"]),
        ("中文 東京タワー です", ["中", "文", "東", "京", "タワー", "で", "す"]),
        ("กิน", ["กิ", "น"]),
        ("한국어 단어", ["한국어", "단어"]),
        ("👍🏽 … — 'tis", ["tis"]),
        ("", []),
    ],
)
def test_known_words(text, words):
    assert reference.words(text) == words
    assert word_counts(TextBuffer.of([text])).tolist() == [len(words)]
