"""Text ↔ tokens, with the exact bytes of each token.

A token's *surface* is the bytes that it adds to a text; its *span* is its position in the text's UTF-8.
For most tokenizers the concatenated surfaces are the text. Otherwise (if the tokenizer normalises),
spans come from the tokenizer's offsets.
"""

from __future__ import annotations

import json
import re
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from synthtools.errors import SynthError
from synthtools.lm.model_name import ModelName
from synthtools.lm.plain_llama import LlamaConfiguration
from synthtools.lm.plain_tokenizer import PlainTokenizer, plain_tokenizer
from synthtools.lm.pretrained import load_tokenizer
from synthtools.lm.tokenizer_faults import PanicError, TokenizerError, encoded, failure

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

_METASPACE = "▁"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class TokenSpans(NamedTuple):
    """Positions of tokens in a text's UTF-8.

    Attributes:
        start, end: int64 [n], bytes; both −1 for a token without a span of its own (part of a character
            that several tokens share, or a token that is not in the text).
    """

    start: np.ndarray
    end: np.ndarray


class TextTokenizer:
    """A fast tokenizer that works on bytes.

    Text that spells a special token (``<|endoftext|>`` in a document about tokenizers) is encoded as text.

    Attributes:
        name: the model or directory that it comes from.
        special_ids: tokens that are not text.
        bos_id: the begin-of-text token, None without.
        adds_bos: whether the tokenizer adds it to texts.
        size: the smallest vocabulary of a model for this tokenizer (a model may lack special tokens
            that never occur in text).
    """

    def __init__(self, tokenizer: PlainTokenizer | PreTrainedTokenizerFast) -> None:
        self.name = str(tokenizer.name_or_path or "the model")
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = True
        added = self._backend.get_added_tokens_decoder()
        # A tokenizer may have special tokens beyond the roles that transformers names.
        marked = (identifier for identifier, token in added.items() if token.special)
        self.special_ids = frozenset([*tokenizer.all_special_ids, *marked])
        self.bos_id: int | None = tokenizer.bos_token_id
        self.eos_id: int | None = tokenizer.eos_token_id
        self.adds_bos = self.bos_id is not None and self._first_added() == self.bos_id
        vocabulary = self._backend.get_vocab(with_added_tokens=True)
        texts = set(vocabulary.values()) - self.special_ids
        self.size = 1 + max([*texts, -1 if self.bos_id is None else self.bos_id], default=-1)

    def _first_added(self) -> int | None:
        ids = self._backend.encode("a", add_special_tokens=True).ids
        plain = self._backend.encode("a", add_special_tokens=False).ids
        return ids[0] if ids and ids[: len(plain)] != plain else None

    @cached_property
    def identity(self) -> bytes:
        """What its tokens depend on: its whole definition, and the version of what carries it out."""
        import tokenizers

        return f"{tokenizers.__version__}\0{self._backend.to_str()}".encode()

    def has_tokens_of(self, other: TextTokenizer) -> bool:
        """Whether both have the same tokens with the same ids."""
        return bool(self._backend.get_vocab() == other._backend.get_vocab())

    def around(self) -> tuple[np.ndarray, np.ndarray]:
        """Special tokens that the tokenizer adds before and after a text, int32."""
        plain = self._backend.encode("a", add_special_tokens=False).ids
        ids = self._backend.encode("a", add_special_tokens=True).ids
        for start in range(len(ids) - len(plain) + 1 if plain else 0):
            end = start + len(plain)
            if ids[start:end] == plain:
                return np.array(ids[:start], np.int32), np.array(ids[end:], np.int32)
        return np.zeros(0, np.int32), np.zeros(0, np.int32)

    def encode(self, texts: list[str]) -> list[np.ndarray]:
        """Token ids of each text, int32, without added special tokens."""
        return [np.array(encoding.ids, np.int32) for encoding in self._encodings(texts)]

    def counts(self, texts: list[str]) -> np.ndarray:
        """Number of tokens of each text, int64, without added special tokens."""
        return np.array([len(encoding) for encoding in self._encodings(texts)], np.int64)

    def _encodings(self, texts: list[str]) -> list[Any]:
        """The tokenizer's encodings of texts.

        Raises:
            TokenizerError: its native code fails on some of them.
        """
        plain = partial(self._backend.encode_batch_fast, add_special_tokens=False)
        encodings = encoded(plain, texts)
        faults = {
            index: failure(self.name, texts[index], one)
            for index, one in enumerate(encodings)
            if isinstance(one, PanicError)
        }
        if faults:
            raise TokenizerError(faults)
        return encodings

    @cached_property
    def surfaces(self) -> list[bytes]:
        decoder = json.loads(self._backend.to_str()).get("decoder") or {}
        # Continuation pieces are marked in the vocabulary (##ing), not in the text.
        mark = decoder.get("prefix", "") if decoder.get("type") == "WordPiece" else ""
        decoder = json.dumps(decoder, ensure_ascii=False)
        vocabulary = self._backend.get_vocab(with_added_tokens=True)
        added = self._backend.get_added_tokens_decoder()
        byte_level = '"ByteLevel"' in decoder
        surfaces = [b""] * (max(vocabulary.values(), default=-1) + 1)
        for token, identifier in vocabulary.items():
            if identifier in added:
                surfaces[identifier] = token.encode("utf-8")
            elif byte_level and (surface := _byte_level_bytes(token)) is not None:
                surfaces[identifier] = surface
            elif match := _BYTE.fullmatch(token):
                surfaces[identifier] = bytes([int(match[1], 16)])
            elif _METASPACE in decoder:
                surfaces[identifier] = token.replace(_METASPACE, " ").encode("utf-8")
            else:
                text = self._backend.decode([identifier])
                surfaces[identifier] = text.removeprefix(mark).encode("utf-8")
        return surfaces

    def spans(self, text: str, ids: np.ndarray) -> TokenSpans:
        """Spans of a text's tokens in its UTF-8.

        Args:
            ids: the result of ``encode`` for this text.
        """
        return _with_places(*self._stretches(text, ids))

    def bytes_of_first(self, text: str, ids: np.ndarray) -> int:
        """Bytes of a text's UTF-8 up to the end of its first token (see ``spans``)."""
        ends = self._stretches(text, ids)[1]
        return max(0, int(ends[0])) if len(ends) else 0

    def _stretches(self, text: str, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Starts and ends of tokens in bytes, also of those that share a character."""
        surfaces = [self.surfaces[i] for i in ids]
        content = text.encode("utf-8")
        joined = b"".join(surfaces)
        ends = np.cumsum([len(s) for s in surfaces], dtype=np.int64)
        starts = np.concatenate([np.zeros(min(1, len(ids)), np.int64), ends[:-1]])
        if joined == b" " + content:  # the tokenizer adds a space before every text
            starts, ends = np.maximum(starts - 1, 0), ends - 1
        elif joined != content:
            starts, ends = self._offsets(text, ids)
        return starts, ends

    def _offsets(self, text: str, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Starts and ends in bytes, from the tokenizer's offsets."""
        encoding = self._backend.encode(text, add_special_tokens=False)
        if encoding.ids != ids.tolist():
            raise ValueError("these tokens are not those of this text")
        starts, ends, before = [], [], 0
        for identifier, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            # Offsets may omit the space that a token begins with.
            if before < start and self.surfaces[identifier][:1].isspace():
                start = before + len(text[before:start].rstrip())
            starts.append(start)
            ends.append(end)
            before = end
        # Byte position of every character and of the end.
        widths = [len(character.encode("utf-8")) for character in text]
        position = np.concatenate([[0], np.cumsum(widths, dtype=np.int64)]).astype(np.int64)
        return position[np.array(starts, np.int64)], position[np.array(ends, np.int64)]


def open_tokenizer(model: ModelName) -> TextTokenizer:
    """The tokenizer of a model.

    Raises:
        SynthError: the model has none, or not a fast one.
    """
    named = model.of_tokenizer
    return TextTokenizer(plain_tokenizer(*named) or load_tokenizer(*named))


def refuse_few_embeddings(
    tokenizer: TextTokenizer,
    model: ModelName,
    configuration: LlamaConfiguration | PretrainedConfig,
) -> None:
    """Raises SynthError if a model has fewer embeddings than its tokenizer has tokens."""
    # A tokenizer may have fewer tokens than the model has rows (padding), never more.
    size = configuration.get_text_config().vocab_size
    if tokenizer.size > size:
        raise SynthError(
            f"{model.of_tokenizer[0]}: its tokenizer has {tokenizer.size:,} tokens, the model only {size:,}; name "
            "the model's own"
        )


def _with_places(starts: np.ndarray, ends: np.ndarray) -> TokenSpans:
    """Spans, −1 for tokens that overlap others."""
    shared = np.zeros(len(starts), bool)
    shared[1:] = starts[1:] < ends[:-1]
    shared[:-1] |= shared[1:]
    placeless = shared | (starts >= ends)
    return TokenSpans(np.where(placeless, -1, starts), np.where(placeless, -1, ends))


def _byte_level_bytes(token: str) -> bytes | None:
    """The bytes of a token of byte-level BPE (GPT-2); None where it has another character."""
    try:
        return token.translate(_BYTE_LEVEL).encode("latin-1")
    except UnicodeEncodeError:
        return None


# Byte-level BPE represents bytes that are not visible in Latin-1 by the characters from 256 on, in order; their own
# characters represent nothing, and become one that Latin-1 does not have.
_HIDDEN = [*range(0x21), *range(0x7F, 0xA1), 0xAD]
_BYTE_LEVEL = {256 + place: byte for place, byte in enumerate(_HIDDEN)}
_BYTE_LEVEL |= dict.fromkeys(_HIDDEN, 0xFFFF)
