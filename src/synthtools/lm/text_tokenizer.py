"""Text ↔ tokens, with the exact bytes of each token.

A token's *surface* is what it adds to a text, as bytes; its *span* is where it stands in a text's
UTF-8. For most tokenizers the surfaces of a text's tokens are the text, end to end. Where they are
not (a tokenizer that normalises), spans come from the tokenizer's own offsets.
"""

from __future__ import annotations

import json
import re
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from synthtools.errors import SynthError
from synthtools.lm.model_name import ModelName
from synthtools.lm.pretrained import load_tokenizer
from synthtools.lm.tokenizer_faults import PanicError, TokenizerError, encoded, failure

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

_METASPACE = "▁"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class TokenSpans(NamedTuple):
    """Where tokens stand in a text's UTF-8.

    Attributes:
        start, end: int64 [n], bytes; both −1 for a token that has no place of its own (part of a
            character that several tokens share, or a mark that is not in the text).
    """

    start: np.ndarray
    end: np.ndarray


class TextTokenizer:
    """A fast tokenizer of transformers, seen as bytes.

    Text that spells a special token (``<|endoftext|>`` in a document about tokenizers) is text.

    Attributes:
        name: of the model or directory that it comes from.
        special_ids: tokens that are no text.
        bos_id: the begin-of-text token, None where there is none.
        adds_bos: the tokenizer itself puts it before a text.
        size: the least vocabulary of a model that this tokenizer can serve (a model may lack
            special tokens that no text brings).
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.name = str(tokenizer.name_or_path or "the model")
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = True
        added = self._backend.get_added_tokens_decoder()
        # Not all that a tokenizer marks as special has a role that transformers has a name for.
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

    def has_tokens_of(self, other: TextTokenizer) -> bool:
        """Whether both give every token the same id."""
        return bool(self._backend.get_vocab() == other._backend.get_vocab())

    def around(self) -> tuple[np.ndarray, np.ndarray]:
        """Special tokens that the tokenizer itself puts before and after a text, int32."""
        plain = self._backend.encode("a", add_special_tokens=False).ids
        ids = self._backend.encode("a", add_special_tokens=True).ids
        for start in range(len(ids) - len(plain) + 1 if plain else 0):
            end = start + len(plain)
            if ids[start:end] == plain:
                return np.array(ids[:start], np.int32), np.array(ids[end:], np.int32)
        return np.zeros(0, np.int32), np.zeros(0, np.int32)

    def encode(self, texts: list[str]) -> list[np.ndarray]:
        """Token ids of each text, int32, without special tokens around them."""
        return [np.array(encoding.ids, np.int32) for encoding in self._encodings(texts)]

    def counts(self, texts: list[str]) -> np.ndarray:
        """Tokens of each text, int64, without special tokens around them."""
        return np.array([len(encoding) for encoding in self._encodings(texts)], np.int64)

    def _encodings(self, texts: list[str]) -> list[Any]:
        """What the tokenizer makes of texts.

        Raises:
            TokenizerError: its native code fails at some of them.
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
        # A word's further pieces are marked in the vocabulary (##ing), not in the text.
        mark = decoder.get("prefix", "") if decoder.get("type") == "WordPiece" else ""
        decoder = json.dumps(decoder, ensure_ascii=False)
        vocabulary = self._backend.get_vocab(with_added_tokens=True)
        added = self._backend.get_added_tokens_decoder()
        byte_level = '"ByteLevel"' in decoder
        characters = _byte_level_characters()
        surfaces = [b""] * (max(vocabulary.values(), default=-1) + 1)
        for token, identifier in vocabulary.items():
            if identifier in added:
                surfaces[identifier] = token.encode("utf-8")
            elif byte_level and all(c in characters for c in token):
                surfaces[identifier] = bytes(characters[c] for c in token)
            elif match := _BYTE.fullmatch(token):
                surfaces[identifier] = bytes([int(match[1], 16)])
            elif _METASPACE in decoder:
                surfaces[identifier] = token.replace(_METASPACE, " ").encode("utf-8")
            else:
                text = self._backend.decode([identifier])
                surfaces[identifier] = text.removeprefix(mark).encode("utf-8")
        return surfaces

    def spans(self, text: str, ids: np.ndarray) -> TokenSpans:
        """Where the tokens of a text stand in its UTF-8.

        Args:
            ids: as ``encode`` gave them for this very text.
        """
        return _with_places(*self._stretches(text, ids))

    def bytes_of_first(self, text: str, ids: np.ndarray) -> int:
        """Bytes of a text's UTF-8 up to the end of its first token (see ``spans``)."""
        ends = self._stretches(text, ids)[1]
        return max(0, int(ends[0])) if len(ends) else 0

    def _stretches(self, text: str, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Beginnings and ends of tokens, bytes; of those that share a character, too."""
        surfaces = [self.surfaces[i] for i in ids]
        content = text.encode("utf-8")
        joined = b"".join(surfaces)
        ends = np.cumsum([len(s) for s in surfaces], dtype=np.int64)
        starts = np.concatenate([np.zeros(min(1, len(ids)), np.int64), ends[:-1]])
        if joined == b" " + content:  # a space that the tokenizer puts before every text
            starts, ends = np.maximum(starts - 1, 0), ends - 1
        elif joined != content:
            starts, ends = self._offsets(text, ids)
        return starts, ends

    def _offsets(self, text: str, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Beginnings and ends by the tokenizer's own offsets, in bytes."""
        encoding = self._backend.encode(text, add_special_tokens=False)
        if encoding.ids != ids.tolist():
            raise ValueError("these tokens are not those of this text")
        starts, ends, before = [], [], 0
        for identifier, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            # Offsets may leave out the space that the token begins with.
            if before < start and self.surfaces[identifier][:1].isspace():
                start = before + len(text[before:start].rstrip())
            starts.append(start)
            ends.append(end)
            before = end
        # Byte position of every character, and of the end.
        widths = [len(character.encode("utf-8")) for character in text]
        position = np.concatenate([[0], np.cumsum(widths, dtype=np.int64)]).astype(np.int64)
        return position[np.array(starts, np.int64)], position[np.array(ends, np.int64)]


def tokenizer_of(
    model: ModelName, configuration: PretrainedConfig
) -> tuple[PreTrainedTokenizerFast, TextTokenizer]:
    """The tokenizer of a model, as transformers has it and as bytes.

    Raises:
        SynthError: there is none, or it has tokens that the model does not know.
    """
    name, revision = model.of_tokenizer
    loaded = load_tokenizer(name, revision)
    tokenizer = TextTokenizer(loaded)
    # A tokenizer may have fewer tokens than the model has rows (padding), never more.
    size = configuration.get_text_config().vocab_size
    if tokenizer.size > size:
        raise SynthError(
            f"{name}: its tokenizer has {tokenizer.size:,} tokens, the model only {size:,}; name "
            "the model's own"
        )
    return loaded, tokenizer


def _with_places(starts: np.ndarray, ends: np.ndarray) -> TokenSpans:
    """Spans of the tokens that alone stand where they stand."""
    shared = np.zeros(len(starts), bool)
    shared[1:] = starts[1:] < ends[:-1]
    shared[:-1] |= shared[1:]
    placeless = shared | (starts >= ends)
    return TokenSpans(np.where(placeless, -1, starts), np.where(placeless, -1, ends))


def _byte_level_characters() -> dict[str, int]:
    """The visible characters that byte-level BPE (GPT-2) writes its bytes as."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    characters = {chr(byte): byte for byte in visible}
    characters.update({chr(256 + place): byte for place, byte in enumerate(hidden)})
    return characters
