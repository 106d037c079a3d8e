"""The compiled tokeniser against its twin, and the twin against Python's own ``re`` and ``lower``."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest
from docs import make_unicode_tables
from hypothesis import given
from hypothesis import strategies as st

import kernel_reference as reference
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.ngram_buckets import NgramHasher
from synthtools.text.unicode import CAPITAL, CASED, IGNORABLE, TABLES, unicode

from .conftest import TEXT, spelled

PATTERN = re.compile(r"\w+|[^\w\s]+")
same_unicode = pytest.mark.skipif(
    unicodedata.unidata_version != "14.0.0", reason="this Python has another Unicode"
)
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
BLOCKS = [CODE_POINTS[start : start + 512] for start in range(0, len(CODE_POINTS), 512)]


def agree(text: str, limit: int = 1 << 40) -> None:
    tokens = reference.tokens(text)
    found, hashes = spelled(text, limit)
    assert found == tokens
    assert hashes == [reference.token_hash(token) for token in tokens]


@given(TEXT, st.sampled_from([1, 2, 3, 1 << 40]))
def test_kernel_and_twin_agree(text, limit):
    agree(text, limit)


@same_unicode
@given(TEXT)
def test_twin_and_python_agree(text):
    assert reference.lower(text) == text.lower()
    assert reference.tokens(text) == PATTERN.findall(text.lower())


@pytest.mark.parametrize("between", ["", "a", " ", "\u0301A"])
def test_every_code_point(between):
    for block in BLOCKS if not between else BLOCKS[::8]:
        agree(between.join(map(chr, block)))


@same_unicode
def test_every_code_point_in_python():
    for block in BLOCKS:
        text = "".join(map(chr, block))
        assert reference.tokens(text) == PATTERN.findall(text.lower())
        if (unicode().classes[block] & (CASED | IGNORABLE)).any():
            text = "\u03a3".join(map(chr, block))
            assert reference.tokens(text) == PATTERN.findall(text.lower())


@same_unicode
def test_tables_are_those_of_python_3_11(tmp_path, monkeypatch):
    monkeypatch.setattr(make_unicode_tables, "TABLES", tmp_path / "tables.json")
    make_unicode_tables.main()
    assert (tmp_path / "tables.json").read_text() == TABLES.read_text()


def test_capitals_beyond_the_table_of_lower_cases_do_not_exist():
    tables = unicode()
    assert not (tables.classes[len(tables.lower) :] & CAPITAL).any()
    assert not tables.classes.flags.writeable and not tables.lower.flags.writeable


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("ΟΔΟΣ", ["οδος"]),
        ("ΟΔΟΣ. ΣΑΣ'Σ", ["οδος", ".", "σασ", "'", "ς"]),
        ("Σ AΣ\u0301 Σ", ["σ", "aς", "\u0301", "σ"]),
        ("İstanbul", ["i", "\u0307", "stanbul"]),
        ("Straße STRASSE ẞ", ["straße", "strasse", "ß"]),
        ("don't stop_it... 3.14!?", ["don", "'", "t", "stop_it", "...", "3", ".", "14", "!?"]),
        ("eightchr eightchr9 sixteencharacter", ["eightchr", "eightchr9", "sixteencharacter"]),
        ("sevench—eightchr—", ["sevench", "—", "eightchr", "—"]),
        ("a\u3000b\x1cc\x00d", ["a", "b", "c", "\x00", "d"]),
        ("𐐀𐐁 中文字", ["𐐨𐐩", "中文字"]),
        ("", []),
        (" \n", []),
    ],
)
def test_known_tokens(text, tokens):
    assert reference.tokens(text) == tokens == spelled(text)[0]


# These numbers stay for ever: buckets and selections that people have published depend on them.
@pytest.mark.parametrize(
    ("ngram", "value"),
    [
        (("the",), 0xA884F64048D19ACD),
        (("a",), 0x4F5DA978776A9DB1),
        (("the", "of"), 0xBF5739AD0249BA77),
        (("of", "the"), 0x5E0B224EA5E8659B),
        (("synthetic",), 0xBE66487A2453AE7F),
        (("large", "language", "model"), 0x865971C4132D2F9D),
        (("οδος",), 0xBA2CA2310613B7F6),
        ((".",), 0xBAEE56F32E223007),
        (("eightchr",), 0x01EE271DAE33FB27),
    ],
)
def test_hashes_never_change(ngram, value):
    assert reference.ngram_hash(ngram) == value


def test_long_tokens_and_the_ends_of_documents():
    for size in (7, 8, 9, 15, 16, 17, 4095, 4096, 4097, 20_011):
        for text in (
            "x" * size,
            "é" * size,
            "." * size,
            "a." * size,
            "x" * size + "é" + "y" * size,
        ):
            agree(text)
            agree("a " + text + " b")


def token_counts(texts):
    return NgramHasher((1,), 1).weights(texts, np.zeros(1))[1]


def test_documents_do_not_touch():
    """A word at a document's end does not go on in the next, whatever way it is read."""
    texts = ["ab", "cdefghijkl", "mΣ", "Σ n", "'", "o " * 9]
    assert list(token_counts(TextBuffer.of(texts))) == [
        len(reference.tokens(text)) for text in texts
    ]


@given(st.lists(TEXT, max_size=4))
def test_counts_of_tokens(texts):
    assert list(token_counts(TextBuffer.of(texts))) == [
        len(reference.tokens(text)) for text in texts
    ]


def test_a_slice_of_a_buffer_is_read_in_its_place(documents):
    """Offsets need not begin at 0, nor data be writable."""
    whole = TextBuffer.of(documents)
    part = TextBuffer(whole.data, whole.offsets[5:12])
    assert (token_counts(part) == token_counts(whole)[5:11]).all()
    copy = TextBuffer(whole.data.copy(), np.array(whole.offsets))
    assert (token_counts(copy) == token_counts(whole)).all()


def test_hashes_of_short_tokens_are_all_different():
    tokens = {bytes([a, b]).decode("latin1") for a in range(1, 128) for b in range(128)}
    tokens |= {chr(a) for a in range(128)} | {"a" * n for n in range(1, 300)}
    hashes = {reference.token_hash(token) for token in tokens}
    assert len(hashes) == len(tokens)
    pairs = [("a", "b"), ("b", "a"), ("ab",), ("a",), ("b",), ("a", "a"), ("a", "a", "a")]
    assert len({reference.ngram_hash(pair) for pair in pairs}) == len(pairs)
