"""Records → prompts, including beginnings of documents to be continued (iterative collapse, arXiv 2305.17493)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from synthtools.curate.reshaped_records import Template, as_text
from synthtools.errors import parameter
from synthtools.lm.generation import Prompt
from synthtools.lm.text_tokenizer import TextTokenizer
from synthtools.lm.tokenizer_faults import TokenizerError
from synthtools.records.added_column import Column
from synthtools.records.batch import MISSING, Batch
from synthtools.records.field_paths import AbsentError
from synthtools.records.record_faults import no_field, without
from synthtools.records.record_keys import ID_FIELD, RecordKeys
from synthtools.records.rejects import Rejects
from synthtools.records.shapes import FIELDS, SHAPES, ShapeName, shape_of
from synthtools.records.shapes import conversation as conversation_of

_ROLES = ("system", "user", "assistant")

# WRAP (arXiv 2401.16380) rephrases a document in one of four styles; BeyondWeb (arXiv 2508.10975) changes its format
# (questions and answers), its tone (that of a teacher) or its structure (denser, easier to navigate), or summarises it.
# The wording is [ours], as are the names of BeyondWeb's styles.
STYLES = {
    "wrap-easy": (
        "Rewrite the text below so that a young child can follow it. Use very short sentences and "
        "only the simplest words. Keep what it says; add nothing. Write the new text alone."
    ),
    "wrap-medium": (
        "Rewrite the text below in clear, well-formed English of high quality, as a good "
        "encyclopedia would put it. Keep what it says; add nothing. Write the new text alone."
    ),
    "wrap-hard": (
        "Rewrite the text below for learned readers: terse and precise, with the rare and technical "
        "words that scholars would choose. Keep what it says; add nothing. Write the new text alone."
    ),
    "wrap-qa": (
        "Turn the text below into a conversation of questions and answers that holds everything it "
        'says. Begin each question with "Question:" and each answer with "Answer:". Write the '
        "conversation alone."
    ),
    "beyondweb-qa": (
        "Write the questions that a reader could answer with the text below, from simple facts to "
        'conclusions, each with its full answer. Begin each question with "Question:" and each '
        'answer with "Answer:". Use only what the text says. Write questions and answers alone.'
    ),
    "beyondweb-teaching": (
        "Rewrite the text below as a good teacher would explain it to a class: one step after the "
        "other, terms explained where they first occur, with short examples. Contradict nothing that "
        "it says and leave nothing out. Write the new text alone."
    ),
    "beyondweb-dense": (
        "Rewrite the text below so that it says the same in fewer words and is easier to use: the "
        "main point first, related facts together, lists or tables where they help. Leave out "
        "repetitions, filler and advertising, but no fact. Write the new text alone."
    ),
    "beyondweb-summary": (
        "Summarise the text below in a few sentences of plain English for readers who will not read "
        "it: the main point, what supports it, and what follows. Add nothing. Write the summary alone."
    ),
}


class UnusableRecord(Exception):  # noqa: N818 (a reason; the batch raises the error)
    """A record cannot be made into a prompt; the message says why."""


def text_in(record: dict[str, Any], field: str) -> str:
    """The text of a field. Raises UnusableRecord: it is not a text."""
    value = record[field]
    if not isinstance(value, str):
        raise UnusableRecord(f'field "{field}" has no text')
    return value


def conversation(text: str, system: str | None) -> Prompt:
    """A conversation that begins with this message of the user, without a key."""
    first = () if system is None else ({"role": "system", "content": system},)
    return Prompt(b"", messages=(*first, {"role": "user", "content": text}))


@dataclass(frozen=True)
class PromptBuilder:
    """How a record becomes a prompt.

    Attributes:
        fields: required fields of a record.
        build: record's values → a text or a list of messages.
        system: first message of each conversation.
        plain: the text is continued without a conversation.
        optional: optional fields; missing ones are not among the values.
    """

    fields: tuple[str, ...]
    build: Callable[[dict[str, Any]], str | list[dict[str, str]]]
    system: str | None = None
    plain: bool = False
    optional: tuple[str, ...] = ()

    def prompt(self, record: dict[str, Any]) -> Prompt:
        """The prompt of a record, without a key. Raises UnusableRecord: there is none."""
        built = self.build(record)
        if isinstance(built, str):
            if self.plain:
                return Prompt(b"", built)
            if not built.strip():
                raise UnusableRecord("the prompt is empty")
            return conversation(built, self.system)
        messages = _checked(built)
        if self.plain:
            where = parameter("plain")
            raise UnusableRecord(f"holds a conversation, which {where} cannot continue")
        if self.system is not None and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": self.system}, *messages]
        return Prompt(b"", messages=tuple(messages))


def _checked(messages: list[Any]) -> list[dict[str, str]]:
    good = bool(messages) and all(
        isinstance(m, dict) and m.get("role") in _ROLES and isinstance(m.get("content"), str)
        for m in messages
    )
    if not good:
        raise UnusableRecord(
            "the prompt is neither a text nor a list of {role, content} with the roles system, user "
            "and assistant"
        )
    if messages[-1]["role"] != "user":
        raise UnusableRecord("the conversation does not end with a message of the user")
    return [{"role": m["role"], "content": m["content"]} for m in messages]


def from_field(
    field: str, context_field: str | None, system: str | None = None, plain: bool = False
) -> PromptBuilder:
    """The prompt in a field (a text, or a list of messages), after the context in another."""

    def build(record: dict[str, Any]) -> str | list[dict[str, str]]:
        value = record[field]
        if isinstance(value, list) and context_field is None:
            return value
        if not isinstance(value, str):
            raise UnusableRecord(f'field "{field}" holds neither a text nor a list of messages')
        return _after(record, context_field, value)

    fields = (field,) if context_field is None else (context_field, field)
    return PromptBuilder(fields, build, system, plain)


def from_shape(shape: ShapeName | None, system: str | None, plain: bool) -> PromptBuilder:
    """The prompt of chats and instructions, without a final answer. ``shape``: of all records; None: a field
    ``prompt``, else the shape recognised from a record's fields."""
    own = from_field("prompt", None)

    def build(record: dict[str, Any]) -> str | list[dict[str, str]]:
        if shape is None and record.get("prompt") is not None:
            return own.build(record)
        name = shape or shape_of(record)
        if name is None or any(field not in record for field in SHAPES[name].fields):
            raise AbsentError("prompt" if shape is None else SHAPES[shape].fields[0])
        try:
            messages = conversation_of(record, name)
        except ValueError as error:
            raise UnusableRecord(str(error)) from error
        if not isinstance(messages, list):
            raise UnusableRecord("messages is not a list of {role, content}")
        answered = bool(messages) and messages[-1].get("role") == "assistant"
        messages = messages[:-1] if answered else messages
        alone = len(messages) == 1 and messages[0]["role"] == "user"
        return messages[0]["content"] if alone else messages

    return PromptBuilder((), build, system, plain, ("prompt", *FIELDS))


def from_template(
    template: Template, context_field: str | None, system: str | None = None, plain: bool = False
) -> PromptBuilder:
    """A template filled with a record's fields, after the context in another field."""

    def build(record: dict[str, Any]) -> str:
        return _after(record, context_field, template.filled(record))

    before = () if context_field is None else (context_field,)
    return PromptBuilder((*before, *template.fields), build, system, plain)


def _after(record: dict[str, Any], context_field: str | None, text: str) -> str:
    return text if context_field is None else f"{as_text(record[context_field])}\n\n{text}"


class PromptedRecords(NamedTuple):
    """Records with their prompts, without keys. ``keys``: of the records, uint64."""

    batch: Batch
    prompts: list[Prompt]
    keys: np.ndarray

    def take(self, rows: list[int]) -> PromptedRecords:
        """Some of them."""
        return PromptedRecords(
            self.batch.take(rows), [self.prompts[row] for row in rows], self.keys[rows]
        )


def prompted(
    batches: Iterable[Batch], builder: PromptBuilder, rejects: Rejects, taken: tuple[str, ...] = ()
) -> Iterator[PromptedRecords]:
    """The records with prompts; the others go to ``rejects``. ``taken``: fields for the answers, which a record must
    not have yet."""
    keys = RecordKeys(apart=True)
    remedy = f"use {parameter('prompt_field')} or {parameter('template')}"
    for batch in batches:
        columns, optional, written = (
            {name: batch.column(name) for name in names}
            for names in (builder.fields, builder.optional, taken)
        )
        bad: dict[int, str] = {}
        prompts: list[Prompt] = []
        for index in range(len(batch)):
            record = {name: column[index] for name, column in columns.items()}
            more = {n: c[index] for n, c in optional.items() if c[index] is not MISSING}
            try:
                for name, value in record.items():
                    if value is MISSING or value is None:
                        raise AbsentError(name)
                existing = [n for n, column in written.items() if column[index] is not MISSING]
                if existing:
                    raise UnusableRecord(
                        f'has a field "{existing[0]}" already: {parameter("response_field")} and '
                        f"{parameter('model_field')} name others, or the same to replace it"
                    )
                prompts.append(builder.prompt({**record, **more}))
            except AbsentError as error:
                bad[index] = no_field(batch, index, str(error), remedy)
            except UnusableRecord as error:
                bad[index] = str(error)
        batch = without(batch, bad, rejects)
        if len(batch):
            prompt_keys = keys.of(batch.column(ID_FIELD), [prompt.identity for prompt in prompts])
            yield PromptedRecords(batch, prompts, prompt_keys)


def from_beginning(field: str, tokens: int, tokenizer: TextTokenizer) -> PromptBuilder:
    """The first tokens of a document, as text; shorter documents as a whole."""

    def build(record: dict[str, Any]) -> str:
        try:
            return beginning(text_in(record, field), tokens, tokenizer)
        except TokenizerError as error:
            raise UnusableRecord(str(error)) from error

    return PromptBuilder((field,), build, plain=True)


def beginning(text: str, tokens: int, tokenizer: TextTokenizer) -> str:
    """The text of the first tokens, without an incomplete last character."""
    # Usually enough characters for the first tokens, without tokenising the whole document.
    size = 64 * tokens
    while True:
        piece = text[:size]
        ids = tokenizer.encode([piece])[0]
        if size >= len(text) or len(ids) > tokens + 8:
            break
        size *= 2
    if len(ids) <= tokens:
        return piece
    end = int(tokenizer.spans(piece, ids).end[:tokens].max(initial=0))
    return piece.encode()[:end].decode("utf-8", "ignore")


def with_beginnings(batches: Iterable[Batch], builder: PromptBuilder) -> Iterator[Batch]:
    """Adds the text that each answer continues."""
    (field,) = builder.fields
    for batch in batches:
        texts = [builder.build({field: text}) for text in batch.column(field)]
        yield batch.adding({"beginning": Column("string", texts)})
