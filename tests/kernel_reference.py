"""What tokens, hashes and sketches are: the slow twin of the kernels in plain Python, by which they are tested.

Everything follows Unicode 14.0, whatever the Unicode of the running Python.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np

from synthtools.text.unicode import (
    CAPITAL,
    CASED,
    COUNTS,
    DOUBLE_QUOTE,
    EXTEND,
    HEBREW,
    IGNORABLE,
    JOINER,
    KATAKANA,
    KIND,
    LETTER,
    MID_BOTH,
    MID_LETTER,
    MID_NUMBER,
    NUMBER,
    OTHER,
    QUOTE,
    SPACE,
    WORD,
    unicode,
    word_breaks,
)  # fmt: skip

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


@cache
def _classes() -> bytes:
    return unicode().classes.tobytes()


def lower(text: str) -> str:
    """``str.lower`` of Python 3.11: simple mappings, "i̇" for "İ", and the final form of sigma."""
    classes = _classes()
    characters = []
    for place, character in enumerate(text):
        code = ord(character)
        if character == "\u0130":
            characters.append("i\u0307")
        elif character == "\u03a3" and _is_final(text, place):
            characters.append("\u03c2")
        elif classes[code] & CAPITAL:
            characters.append(chr(unicode().lower[code]))
        else:
            characters.append(character)
    return "".join(characters)


def _is_final(text: str, place: int) -> bool:
    """Whether the sigma follows a cased character and precedes none, ignorable ones left out."""
    classes = _classes()
    bits = (classes[ord(c)] for c in reversed(text[:place]))
    before = next((b for b in bits if not b & IGNORABLE), 0)
    bits = (classes[ord(c)] for c in text[place + 1 :])
    after = next((b for b in bits if not b & IGNORABLE), 0)
    return bool(before & CASED) and not after & CASED


def tokens(text: str) -> list[str]:
    r"""``re.findall(r"\w+|[^\w\s]+", text.lower())`` on Python 3.11.

    A token is a longest run of word characters (``str.isalnum`` or the underscore), or of
    characters that are neither of a word nor white space (``str.isspace``).
    """
    classes = _classes()
    found: list[str] = []
    before = SPACE
    for character in lower(text):
        kind = classes[ord(character)] & (WORD | SPACE)
        if kind != SPACE:
            if kind == before:
                found[-1] += character
            else:
                found.append(character)
        before = kind
    return found


def words(text: str) -> list[str]:
    """Words in lower case by UAX 29: its segments that hold a letter or a digit (``str.isalnum``).

    Where no rule joins them, each character is a word: ideographs, hiragana, Thai, Lao, Khmer,
    Burmese, with the marks that belong to them. WB3c, which joins pictures, is left out.
    """
    breaks = word_breaks()
    segments: list[tuple[int, str]] = []  # the Word_Break of a character, and it with its marks
    for character in lower(text):
        bits = int(breaks[ord(character)])
        if bits & KIND == EXTEND and segments:
            segments[-1] = segments[-1][0], segments[-1][1] + character  # WB4
        else:
            segments.append((bits & KIND, character))
    kinds = [OTHER, OTHER, *(kind for kind, _ in segments), OTHER]
    found: list[str] = []
    for place, (_, part) in enumerate(segments):
        if place and _joined(*kinds[place : place + 4]):
            found[-1] += part
        else:
            found.append(part)
    return [word for word in found if any(breaks[ord(c)] & COUNTS for c in word)]


def _joined(earlier: int, before: int, after: int, later: int) -> bool:
    """Whether no word ends between ``before`` and ``after``: WB5 to WB13b of UAX 29."""
    letters, middle = (LETTER, HEBREW), (MID_LETTER, MID_BOTH, QUOTE)
    numbers = (MID_NUMBER, MID_BOTH, QUOTE)
    if before in letters and after in letters:  # WB5
        return True
    if before in letters and after in middle and later in letters:  # WB6
        return True
    if earlier in letters and before in middle and after in letters:  # WB7
        return True
    if before == HEBREW and after == QUOTE:  # WB7a
        return True
    if (before, after, later) == (HEBREW, DOUBLE_QUOTE, HEBREW):  # WB7b
        return True
    if (earlier, before, after) == (HEBREW, DOUBLE_QUOTE, HEBREW):  # WB7c
        return True
    if before in (*letters, NUMBER) and after in (*letters, NUMBER):  # WB8, WB9, WB10
        return True
    if earlier == NUMBER and before in numbers and after == NUMBER:  # WB11
        return True
    if before == NUMBER and after in numbers and later == NUMBER:  # WB12
        return True
    if before == KATAKANA and after == KATAKANA:  # WB13
        return True
    if before in (*letters, NUMBER, KATAKANA, JOINER) and after == JOINER:  # WB13a
        return True
    return before == JOINER and after in (*letters, NUMBER, KATAKANA)  # WB13b


# ---------------------------------------------------------------- hashes


def finalise(value: int) -> int:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): a bijection of 64 bits."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
    return value ^ value >> 31


def token_hash(token: str) -> int:
    """64-bit hash of a token, over its UTF-8 in eights.

    With w_1 … w_k the bytes as little-endian words of eight, r what remains (0 to 7 bytes, zeros
    above them) and L the number of all bytes:

        s = 0;   s = finalise(s ⊕ w_i) for each word;   hash = finalise((s ⊕ r) + L · 0x9E3779B97F4A7C15)

    No two tokens of up to seven bytes have the same hash.
    """
    data = token.encode()
    whole = len(data) // 8 * 8
    state = 0
    for start in range(0, whole, 8):
        state = finalise(state ^ int.from_bytes(data[start : start + 8], "little"))
    rest = int.from_bytes(data[whole:], "little")
    return finalise(((state ^ rest) + len(data) * _GOLDEN) & _MASK)


def ngram_hash(ngram: Sequence[str]) -> int:
    """64-bit hash of an n-gram from those of its tokens, in order.

    g = h_1;   g = finalise(g · 0x9E3779B97F4A7C15 + h_i) for each further token.
    """
    value = token_hash(ngram[0])
    for token in ngram[1:]:
        value = finalise((value * _GOLDEN + token_hash(token)) & _MASK)
    return value


def fast_bucket(ngram: Sequence[str], buckets: int) -> int:
    """floor((upper 32 bits of the hash) · buckets / 2^32), for fewer than 2^31 buckets."""
    return (ngram_hash(ngram) >> 32) * buckets >> 32


def sha256_bucket(ngram: Sequence[str], buckets: int) -> int:
    """SHA-256 of the tokens joined by a space, as a big-endian number, modulo the buckets (DSIR)."""
    digest = hashlib.sha256(" ".join(ngram).encode()).digest()
    return int.from_bytes(digest, "big") % buckets


BUCKET = {"fast": fast_bucket, "sha256": sha256_bucket}


# ---------------------------------------------------------------- n-grams


def ngrams(found: Sequence[str], orders: Iterable[int]) -> list[tuple[str, ...]]:
    """The n-grams of a document's tokens, by their last token, then from short to long."""
    return [
        tuple(found[end - order : end])
        for end in range(1, len(found) + 1)
        for order in sorted(orders)
        if end >= order
    ]


def counts(
    texts: Iterable[str],
    orders: Iterable[int] = (1, 2),
    buckets: int = 10_000,
    hashing: str = "fast",
) -> np.ndarray:
    """N-grams in each bucket, int64 [buckets]."""
    numbers = np.zeros(buckets, np.int64)
    for text in texts:
        for ngram in ngrams(tokens(text), orders):
            numbers[BUCKET[hashing](ngram, buckets)] += 1
    return numbers


def weight(
    text: str, weights: np.ndarray, orders: Iterable[int] = (1, 2), hashing: str = "fast"
) -> tuple[float, int]:
    """Sum of the weights of the buckets of a text's n-grams, added one by one; how many there are."""
    found = ngrams(tokens(text), orders)
    total = 0.0
    for ngram in found:
        total += float(weights[BUCKET[hashing](ngram, len(weights))])
    return total, len(found)


def top(texts: Iterable[str], n: int, k: int) -> list[tuple[str, int]]:
    """The k most frequent n-grams, tokens joined by a space; equally frequent ones by their text."""
    numbers = Counter(" ".join(g) for text in texts for g in ngrams(tokens(text), (n,)))
    return sorted(numbers.items(), key=lambda item: (-item[1], item[0]))[:k]


# ---------------------------------------------------------------- MinHash


def shingles(text: str, shingle: int = 5) -> list[str]:
    """Runs of tokens joined by a space; one of all tokens where there are fewer; or none."""
    found = tokens(text)
    last = max(len(found) - shingle, 0)
    return [" ".join(found[start : start + shingle]) for start in range(last + 1)] if found else []


def signature(text: str, permutations: int = 128, shingle: int = 5) -> np.ndarray:
    """MinHash signature, uint32 [permutations]; see ``minhash.signatures``."""
    generator = np.random.RandomState(1)
    a = generator.randint(0, 1 << 31, permutations, dtype=np.uint32).astype(int) * 2 + 1
    b = generator.randint(0, 1 << 32, permutations, dtype=np.uint32).astype(int)
    minima = np.full(permutations, (1 << 32) - 1)
    for text_of_shingle in shingles(text, shingle):
        value = int.from_bytes(hashlib.sha1(text_of_shingle.encode()).digest()[:4], "little")
        value = (value ^ value >> 16) * 0x85EBCA6B & 0xFFFFFFFF
        value = (value ^ value >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
        value ^= value >> 16
        # Not below 0 nor above 64 bits: the products of two 32-bit numbers stay exact.
        minima = np.minimum(minima, (a * value + b) & 0xFFFFFFFF)
    return minima.astype(np.uint32)


# ---------------------------------------------------------------- sentences


def sentences(text: str) -> list[str]:
    """Sentences of four words or more; words stand between white space."""
    text = re.sub(r"([.!?…][\"'”’)\]]*)\s+", r"\1\n", text)
    lines = re.sub(r"([。！？])", r"\1\n", text).split("\n")
    return [line.strip() for line in lines if len(line.split()) >= 4]


def beginning(text: str, characters: int, most: int) -> list[str]:
    """The first tokens of a text's first characters; combining marks stay in their words."""
    found: list[str] = []
    before = SPACE
    for c in lower(text[:characters]):
        kind = _classes()[ord(c)] & (WORD | SPACE)
        if before == WORD and kind == 0 and word_breaks()[ord(c)] & KIND == EXTEND:
            kind = WORD
        if kind == before and kind != SPACE:
            found[-1] += c
        elif kind != SPACE:
            found.append(c)
        before = kind
    return found[:most]
