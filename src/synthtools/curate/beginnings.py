"""Beginnings of documents, to be gone on with (iterative collapse, arXiv 2305.17493)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from synthtools.curate.prompts import Asking, Unfit
from synthtools.lm.text_tokenizer import TextTokenizer
from synthtools.lm.tokenizer_faults import TokenizerError
from synthtools.records.batch import Batch, Column


def asking(prompt_field: str, tokens: int, tokenizer: TextTokenizer) -> Asking:
    """The first tokens of a document, as text; a shorter document as a whole."""

    def say(record: dict[str, Any]) -> str:
        text = record[prompt_field]
        if not isinstance(text, str):
            raise Unfit(f'field "{prompt_field}" has no text')
        try:
            return beginning(text, tokens, tokenizer)
        except TokenizerError as error:
            raise Unfit(str(error)) from error

    return Asking((prompt_field,), say, plain=True)


def beginning(text: str, tokens: int, tokenizer: TextTokenizer) -> str:
    """The text of the first tokens; a character that the last of them leaves unfinished is left out."""
    # So many characters hold the first tokens, and need no whole document to be tokenised.
    piece = text
    size = 64 * tokens
    while size < len(text):
        piece = text[:size]
        if len(tokenizer.encode([piece])[0]) > tokens + 8:
            break
        piece, size = text, 2 * size
    ids = tokenizer.encode([piece])[0]
    if len(ids) <= tokens:
        return text if piece is text else piece
    spans = tokenizer.spans(piece, ids)
    ends = spans.end[:tokens]
    end = int(ends.max()) if len(ends) else 0
    return piece.encode()[: max(0, end)].decode("utf-8", "ignore")


def with_beginnings(batches: Iterable[Batch], asking: Asking) -> Iterator[Batch]:
    """Adds the text that each answer goes on with."""
    for batch in batches:
        columns = {name: batch.column(name) for name in asking.fields}
        texts = [
            asking.say({name: column[i] for name, column in columns.items()})
            for i in range(len(batch))
        ]
        yield batch.adding({"beginning": Column("string", texts)})
