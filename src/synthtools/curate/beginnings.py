"""Beginnings of documents as prompts, to be continued (iterative collapse, arXiv 2305.17493)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from synthtools.curate.prompts import PromptBuilder, UnusableRecord, text_in
from synthtools.lm.text_tokenizer import TextTokenizer
from synthtools.lm.tokenizer_faults import TokenizerError
from synthtools.records.added_column import Column
from synthtools.records.batch import Batch


def prompts(field: str, tokens: int, tokenizer: TextTokenizer) -> PromptBuilder:
    """The first tokens of a document, as text; a shorter document as a whole."""

    def build(record: dict[str, Any]) -> str:
        try:
            return beginning(text_in(record, field), tokens, tokenizer)
        except TokenizerError as error:
            raise UnusableRecord(str(error)) from error

    return PromptBuilder((field,), build, plain=True)


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


def with_beginnings(batches: Iterable[Batch], builder: PromptBuilder) -> Iterator[Batch]:
    """Adds the text that each answer continues."""
    (field,) = builder.fields
    for batch in batches:
        texts = [builder.build({field: text}) for text in batch.column(field)]
        yield batch.adding({"beginning": Column("string", texts)})
