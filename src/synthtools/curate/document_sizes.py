"""The size of documents in the unit of a mixture."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from synthtools.errors import TextError, parameter
from synthtools.records.batch import Batch

if TYPE_CHECKING:
    from synthtools.records.text_buffer import TextBuffer

# Sizes of the documents of a batch, int64.
Sizes = Callable[[Batch, "TextBuffer"], np.ndarray]

# Texts that are tokenised at once.
_TOKENISED = 256
# No document has more tokens; a larger number is something else.
_MOST_TOKENS = 1 << 40


def sizes_in(
    unit: str, tokens_field: str, count_tokens: Callable[[list[str]], Any] | None = None
) -> Sizes:
    """Measures documents.

    Args:
        unit: tokens, words (those of ``text.words``), bytes or documents.
        tokens_field: where a record may hold its number of tokens.
        count_tokens: counts the tokens of the texts of other records.
    """
    if unit == "documents":
        return lambda batch, texts: np.ones(len(texts), np.int64)
    if unit == "bytes":
        return lambda batch, texts: texts.lengths()
    if unit == "words":
        from synthtools.text.words import word_counts

        return lambda batch, texts: word_counts(texts)

    def tokens(batch: Batch, texts: TextBuffer) -> np.ndarray:
        sizes = np.array([_tokens(value) for value in batch.column(tokens_field)], np.int64)
        unknown = np.flatnonzero(sizes < 0)
        if len(unknown) and count_tokens is None:
            reason = f'no number of tokens in field "{tokens_field}"; count them with {parameter("tokenizer")} NAME'
            raise TextError(dict.fromkeys(unknown.tolist(), reason))
        faults: dict[int, str] = {}
        for start in range(0, len(unknown), _TOKENISED):
            some = unknown[start : start + _TOKENISED]
            assert count_tokens is not None
            try:
                sizes[some] = count_tokens([texts[i] for i in some.tolist()])
            except TextError as error:
                faults |= {int(some[index]): reason for index, reason in error.faults.items()}
        if faults:
            raise TextError(faults)
        return sizes

    return tokens


def _tokens(value: Any) -> int:
    """The number of tokens in a record's field; -1 where it is another value."""
    if type(value) is float and value.is_integer():
        value = int(value)  # a column with nulls may have become one of doubles
    return value if type(value) is int and 0 <= value < _MOST_TOKENS else -1
