"""Records → token ids on disk, with the boundaries of documents."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Corpus(NamedTuple):
    """Tokenised documents.

    Attributes:
        tokens: uint16 or uint32 [n], mapped from disk, documents end to end.
        starts: int64 [documents + 1], where each begins, and n.
        utf8_bytes: of the text.
    """

    tokens: np.ndarray
    starts: np.ndarray
    utf8_bytes: int


def tokenise(texts: Iterable[list[str]], tokenizer: PreTrainedTokenizerFast, file: Path) -> Corpus:
    """Tokenises texts into a file; each document ends with the end-of-text token, if there is one.

    Args:
        texts: lists of documents.
        file: written anew; holds 2 bytes a token up to a vocabulary of 65,536, else 4.

    Memory: one list of texts, and 8 bytes a document.
    """
    dtype = np.uint16 if len(tokenizer) <= 1 << 16 else np.uint32
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    starts = [0]
    size = 0
    with open(file, "wb") as out:
        for batch in texts:
            size += sum(len(text.encode("utf-8")) for text in batch)
            encodings = tokenizer.backend_tokenizer.encode_batch_fast(batch)
            ids = [np.array([*encoding.ids, *end], dtype) for encoding in encodings]
            starts.extend(starts[-1] + np.cumsum([len(i) for i in ids]))
            out.writelines(i.tobytes() for i in ids)
    tokens = np.memmap(file, dtype, "r") if starts[-1] else np.zeros(0, dtype)
    return Corpus(tokens, np.array(starts, np.int64), size)
