"""Documents rephrased by passage (WRAP, BeyondWeb): split between sentences, answered separately, joined."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import pairwise

import numpy as np

from synthtools.curate.prompts import PromptBuilder, text_in
from synthtools.lm.generation import Answer, Finished, Generator, GeneratorAround, Prompt
from synthtools.records.added_column import Column
from synthtools.records.batch import Batch
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.phrases import sentences_of

_SPACE = re.compile(rb"\s+")


def passages(text: str, most: int) -> list[str]:
    """Splits a text into runs of whole sentences of at most ``most`` words (more only for a single sentence). Sentences
    end as in ``phrases``; text before a sentence's first word belongs to it."""
    # An unpaired surrogate, which has no UTF-8 form, becomes a question mark.
    data = text.encode("utf-8", "replace")
    sentences = sentences_of(TextBuffer.of([data.decode()]))
    words = np.flatnonzero(sentences.opens)
    cuts, first = [0], 0
    for start, end in pairwise([*words.tolist(), len(sentences.begins)]):
        if end - first > most and start > first:
            gap = int(sentences.ends[start - 1]), int(sentences.begins[start])
            space = _SPACE.search(data, *gap)
            cuts.append(space.end() if space else gap[1])
            first = start
    cuts.append(len(data))
    return [data[start:end].decode() for start, end in pairwise(cuts)]


def prompts(field: str, system: str | None) -> PromptBuilder:
    """Documents, for ``PassageAnswers``."""
    return PromptBuilder((field,), lambda record: text_in(record, field), system)


def with_counts(batches: Iterable[Batch], field: str, most: int) -> Iterator[Batch]:
    """Adds the number of passages of each document."""
    for batch in batches:
        counts = [len(passages(text, most)) for text in batch.column(field)]
        yield batch.adding({"passages": Column("int", counts)})


class PassageAnswers(GeneratorAround):
    """A generator that answers each passage of a document separately; if one fails, the document has no answer.

    Args:
        generator: closed by its owner.
        wording: the instruction before a passage.
        most: words of a passage.
    """

    def __init__(self, generator: Generator, wording: str, most: int) -> None:
        super().__init__(generator)
        self._wording = wording
        self._most = most

    def generate(
        self, prompts: Iterable[Prompt], finished: Finished | None = None
    ) -> Iterator[Answer]:
        """See ``Generator.generate``; the last message of a prompt is a document."""
        counts: deque[int] = deque()

        def asked() -> Iterator[Prompt]:
            for prompt in prompts:
                *before, document = prompt.messages or ()
                parts = passages(document["content"], self._most)
                counts.append(len(parts))
                for number, part in enumerate(parts):
                    known = b"%s\0passage\0%d\0%s" % (prompt.key, number, self._wording.encode())
                    content = f"{self._wording}\n\n{part.strip()}"
                    messages = (*before, {"role": "user", "content": content})
                    yield Prompt(blake2b(known, digest_size=16).digest(), messages=messages)

        parts: list[Answer] = []
        place = 0
        for answer in self._generator.generate(asked()):
            parts.append(answer)
            if len(parts) == counts[0]:
                counts.popleft()
                whole = _joined(parts)
                if finished:
                    finished(place, whole)
                yield whole
                parts, place = [], place + 1


def _joined(parts: list[Answer]) -> Answer:
    """Joins the answers to passages into the answer to their document."""

    def total(numbers: list[int | None]) -> int | None:
        return None if None in numbers else sum(number or 0 for number in numbers)

    tokens = total([part.prompt_tokens for part in parts]), total([part.tokens for part in parts])
    for number, part in enumerate(parts, 1):
        if part.error is not None:
            kind = f"a passage: {part.kind or part.error}"
            return part._replace(error=f"passage {number} of {len(parts)}: {part.error}", kind=kind)
    cut = any(part.finish_reason == "length" for part in parts)
    text = "\n\n".join(part.text.strip() for part in parts)
    return Answer(text, "length" if cut else "stop", *tokens)
