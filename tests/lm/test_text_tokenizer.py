"""Where each token stands in the bytes of a text, for the kinds of tokenizers that models have."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from synthtools.lm.text_tokenizer import TextTokenizer, _byte_level_bytes
from synthtools.training.tokenizer import train_tokenizer


@cache
def english() -> list[str]:
    from pydoc_data.topics import topics

    return [topics[name] for name in sorted(topics)][:30]


def wrapped(backend: Tokenizer, **more: Any) -> TextTokenizer:
    return TextTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, **more))


def byte_level() -> TextTokenizer:
    return TextTokenizer(train_tokenizer(english(), 600))


def trimming() -> TextTokenizer:
    """GPT-2's own: offsets leave out the space that a token begins with."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, trim_offsets=True)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        english(),
        trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False),
    )
    return wrapped(backend)


def normalising() -> TextTokenizer:
    """Byte-level, upon text that NFKC and lower case have changed, with trimmed offsets."""
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        english(),
        trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False),
    )
    return wrapped(backend)


def _with_bytes(backend: Tokenizer) -> None:
    """Gives a BPE model the 256 byte tokens that SentencePiece falls back to."""
    model = json.loads(backend.to_str())["model"]
    vocabulary = model["vocab"]
    for byte in range(256):
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    backend.model = models.BPE(
        vocab=vocabulary,
        merges=[tuple(pair) for pair in model["merges"]],
        byte_fallback=True,
        unk_token="<unk>",
        fuse_unk=True,
    )


def sentencepiece_llama() -> TextTokenizer:
    """As Llama 2: the normaliser puts a space before every text; bytes for what is unknown."""
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    lines = (line for text in english() for line in text.split("\n"))
    special = ["<unk>", "<s>", "</s>"]
    backend.train_from_iterator(
        lines,
        trainers.BpeTrainer(
            vocab_size=500, special_tokens=special, max_token_length=8, show_progress=False
        ),
    )
    _with_bytes(backend)
    return wrapped(backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def sentencepiece_gemma() -> TextTokenizer:
    """Metaspace words, the first one prepended, and bytes for what is unknown."""
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    backend.train_from_iterator(
        english(),
        trainers.BpeTrainer(vocab_size=500, special_tokens=["<unk>"], show_progress=False),
    )
    _with_bytes(backend)
    return wrapped(backend, unk_token="<unk>")


def unigram() -> TextTokenizer:
    """As T5 and XGLM: Unicode is normalised, runs of spaces become one, no byte fallback."""
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.train_from_iterator(
        english(),
        trainers.UnigramTrainer(
            vocab_size=400, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
        ),
    )
    return wrapped(backend, unk_token="<unk>")


def wordpiece() -> TextTokenizer:
    """As BERT: lower case, no spaces, further pieces of a word marked ##."""
    backend = Tokenizer(models.WordPiece(unk_token="<unk>"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.train_from_iterator(
        english(),
        trainers.WordPieceTrainer(vocab_size=500, special_tokens=["<unk>"], show_progress=False),
    )
    return wrapped(backend, unk_token="<unk>")


MAKERS: dict[str, Callable[[], TextTokenizer]] = {
    maker.__name__: maker
    for maker in (
        byte_level,
        trimming,
        normalising,
        sentencepiece_llama,
        sentencepiece_gemma,
        unigram,
        wordpiece,
    )
}


@cache
def made(name: str) -> TextTokenizer:
    return MAKERS[name]()


# Words of the training text, and what breaks tokenizers: emoji, combining marks, ligatures, CJK,
# control characters, spaces of all kinds, names of special tokens, and all else in Unicode.
_PIECES = st.sampled_from(
    [
        *["the", " the", "Python", " module", " import", "\n", "\n\n    ", "  ", "=", "()", "1234"],
        *[
            "👩‍👩‍👧",
            "🇩🇪",
            "é",
            "e\u0301",
            "ﬁ",
            "Ⅷ",
            "ŉ",
            "日本語",
            "한국",
            "\u1100\u1161",
            "עב",
            "عربي",
        ],
        *["\x00", "\x1b", "\ufeff", "\u200b", "\u00a0", "\u2028", "\t", "▁", "<unk>", "<s>"],
        *["</s>", "<0x41>", "<|endoftext|>", "##ing"],
    ]
)
TEXTS = st.lists(st.one_of(_PIECES, st.characters(exclude_categories=["Cs"])), max_size=20).map(
    "".join
)


@pytest.mark.parametrize("name", MAKERS)
@given(text=TEXTS)
@example("")
@example(" ")
@example("a ﬁne  day\n")
def test_spans_lie_in_the_text_and_never_overlap(name: str, text: str) -> None:
    tokenizer = made(name)
    content = text.encode("utf-8")
    (ids,) = tokenizer.encode([text])
    spans = tokenizer.spans(text, ids)
    assert len(spans.start) == len(spans.end) == len(ids)
    end = 0
    for identifier, (a, b) in zip(ids, zip(*spans, strict=True), strict=True):
        if a < 0:
            assert (a, b) == (-1, -1)
            continue
        assert end <= a < b <= len(content)
        end = b
        # Only a token that is itself a piece of a character begins or ends inside one.
        part = content[a:b]
        if _whole(tokenizer.surfaces[identifier]):
            assert _whole(part), part


def _whole(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("name", ["byte_level", "trimming", "sentencepiece_llama"])
@given(text=TEXTS)
def test_where_surfaces_are_the_text_they_tile_it(name: str, text: str) -> None:
    if "▁" in text:
        return  # SentencePiece takes it for a space
    tokenizer = made(name)
    content = text.encode("utf-8")
    (ids,) = tokenizer.encode([text])
    spans = tokenizer.spans(text, ids)
    found = [content[a:b] for a, b in zip(*spans, strict=True) if a >= 0]
    assert b"".join(found) == content
    rest = sum(len(tokenizer.surfaces[i]) for i in ids[1:])
    assert tokenizer.bytes_of_first(text, ids) == len(content) - rest
    for place, identifier in enumerate(ids):
        surface = tokenizer.surfaces[identifier]
        part = content[spans.start[place] : spans.end[place]]
        if spans.start[place] < 0:
            assert (place, surface) == (0, b" ")  # the space put before the text
        else:
            assert surface == part or (place == 0 and surface == b" " + part)


@given(text=TEXTS)
def test_byte_level_tokens_are_the_text(text: str) -> None:
    tokenizer = made("byte_level")
    (ids,) = tokenizer.encode([text])
    assert b"".join(tokenizer.surfaces[i] for i in ids) == text.encode("utf-8")
    start, end = tokenizer.spans(text, ids)
    assert np.array_equal(start[1:], end[:-1])
    if len(ids):
        assert (start[0], end[-1]) == (0, len(text.encode("utf-8")))


@pytest.mark.parametrize("name", MAKERS)
@given(texts=st.lists(TEXTS, max_size=4))
def test_a_batch_is_encoded_as_each_of_its_texts(name: str, texts: list[str]) -> None:
    tokenizer = made(name)
    found = tokenizer.encode(texts)
    assert len(found) == len(texts)
    for text, ids in zip(texts, found, strict=True):
        assert ids.dtype == np.int32
        assert ids.tolist() == tokenizer.encode([text])[0].tolist()


def surfaces_of(name: str, text: str) -> list[str]:
    tokenizer = made(name)
    return [tokenizer.surfaces[i].decode() for i in tokenizer.encode([text])[0]]


def test_surfaces_keep_the_space_that_a_token_begins_with() -> None:
    for name in ("byte_level", "trimming", "sentencepiece_llama", "sentencepiece_gemma", "unigram"):
        assert "".join(surfaces_of(name, "the import statement")).strip() == "the import statement"
        assert any(s.startswith(" ") and len(s) > 1 for s in surfaces_of(name, "a the of import"))


def test_surfaces_of_bytes_and_of_word_pieces() -> None:
    tokenizer = made("sentencepiece_llama")
    (ids,) = tokenizer.encode(["語"])
    assert [tokenizer.surfaces[i] for i in ids] == [b" ", b"\xe8", b"\xaa", b"\x9e"]
    pieces = surfaces_of("wordpiece", "statements")
    assert len(pieces) > 1
    assert "".join(pieces) == "statements"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        # A ligature that two tokens share belongs to neither.
        ("normalising", "a ﬁx", ["a", None, None, "x"]),
        # Offsets without the space, a text that normalising has changed elsewhere.
        ("normalising", "ＡB the", ["Ａ", "B", " the"]),
        # The space between words belongs to the second, runs of them too.
        ("unigram", "ＡB  the", ["Ａ", "B", "  the"]),
        ("wordpiece", "É the", ["É", "the"]),
    ],
)
def test_spans_from_offsets(name: str, text: str, expected: list[str | None]) -> None:
    tokenizer = made(name)
    (ids,) = tokenizer.encode([text])
    content = text.encode()
    spans = tokenizer.spans(text, ids)
    found = [None if a < 0 else content[a:b].decode() for a, b in zip(*spans, strict=True)]
    assert found[-len(expected) :] == expected


def test_tokens_of_another_text_are_refused() -> None:
    tokenizer = made("normalising")
    (ids,) = tokenizer.encode(["Ａ other"])
    with pytest.raises(ValueError, match="not those of this text"):
        tokenizer.spans("Ａ text", ids)


@pytest.mark.parametrize("name", MAKERS)
def test_names_of_special_tokens_are_text(name: str) -> None:
    tokenizer = made(name)
    assert tokenizer.special_ids or name in ("trimming", "normalising")
    (ids,) = tokenizer.encode(["x <unk> <s> </s> <|endoftext|> x"])
    unknown = tokenizer._backend.token_to_id("<unk>")
    assert not set(ids.tolist()) & (tokenizer.special_ids - {unknown})


def test_all_marked_tokens_are_special_and_all_others_are_text() -> None:
    # As in Llama 3: <|eot_id|> has no role that transformers names; <think> is text.
    whole = train_tokenizer(english(), 400)
    whole.add_tokens(
        [
            AddedToken("<|eot_id|>", special=True),
            AddedToken("<think>", special=False),
        ]
    )
    tokenizer = TextTokenizer(whole)
    marked, plain = (whole.convert_tokens_to_ids(t) for t in ("<|eot_id|>", "<think>"))
    assert marked in tokenizer.special_ids
    assert plain not in tokenizer.special_ids
    (ids,) = tokenizer.encode(["a<|eot_id|>b<think>c"])
    assert marked not in ids
    assert plain in ids
    assert b"".join(tokenizer.surfaces[i] for i in ids) == b"a<|eot_id|>b<think>c"


def test_begin_of_text() -> None:
    tokenizer = made("byte_level")
    assert tokenizer.adds_bos
    assert tokenizer.bos_id == 0
    assert tokenizer.encode(["a"])[0].tolist() != [0]
    assert 0 not in tokenizer.encode(["a"])[0]
    llama = made("sentencepiece_llama")
    assert not llama.adds_bos  # its template does not say so
    assert llama.bos_id == 1
    assert made("trimming").bos_id is None


def test_size_counts_what_a_text_can_bring() -> None:
    whole = train_tokenizer(english(), 400)
    assert TextTokenizer(whole).size == 400
    whole.add_special_tokens({"pad_token": "<pad>"})
    assert len(whole) == 401
    assert TextTokenizer(whole).size == 400
    whole.add_tokens(["<think>"])
    assert TextTokenizer(whole).size == 402
    whole.add_special_tokens({"bos_token": "<begin>"})
    assert TextTokenizer(whole).size == 403


def test_characters_of_byte_level_bpe_are_bytes() -> None:
    """By the definition of GPT-2: visible characters of Latin-1 are themselves, other bytes follow from 256 on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    expected = {chr(byte): byte for byte in visible}
    hidden = (byte for byte in range(256) if byte not in visible)
    expected |= {chr(256 + place): byte for place, byte in enumerate(hidden)}
    for character in map(chr, range(0x20000)):
        found = _byte_level_bytes(character)
        assert found == (bytes([expected[character]]) if character in expected else None)
    assert _byte_level_bytes("".join(expected)) == bytes(expected.values())
    assert _byte_level_bytes("Ġa b") is None
