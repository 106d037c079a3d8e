"""Records → documents of a training run: texts, conversations, or prompts with their responses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, SupportsFloat

from synthtools.errors import parameter
from synthtools.records import shapes
from synthtools.records.batch import MISSING, Batch
from synthtools.records.field_paths import AbsentError
from synthtools.records.inputs import Shard
from synthtools.records.reader import read
from synthtools.records.record_faults import fields_of, require_text, without
from synthtools.records.rejects import Rejects
from synthtools.records.shapes import ShapeName
from synthtools.training.conversations import AnswerPair, PlainDocument, why_no_conversation
from synthtools.training.plan import Documents, Source


class Fields(NamedTuple):
    """Field names of conversations."""

    messages: str
    prompt: str
    response: str


@dataclass(frozen=True)
class DocumentFormat:
    """How records become documents.

    Attributes:
        kind: ``text``; ``conversation`` (messages, or a prompt and a response); ``answered`` (a text,
            or a prompt and a response as plain text); ``asked`` (as answered, or messages); ``pair`` (a
            prompt, a response and one that is preferred).
        text_field: for texts; fields: for the others; preferred_field: for pairs.
        refusals: one of these, by a hash of the prompt, is the preferred answer; empty: the record's own.
        shape: of all conversations; None: by each record's fields, otherwise its shape.
    """

    kind: Literal["text", "conversation", "answered", "asked", "pair"]
    text_field: str
    fields: Fields
    shape: ShapeName | None = None
    preferred_field: str = ""
    refusals: tuple[str, ...] = ()

    def documents(
        self, batch: Batch, rejects: Rejects | None = None
    ) -> list[tuple[Batch, list[Any]]]:
        """Valid records and their documents.

        Args:
            rejects: receives bad ones; by default the first is raised.
        """
        rejects = rejects or Rejects()
        if self.kind == "text":
            sound = require_text(batch, self.text_field, rejects)
            return [(sound, sound.column(self.text_field))]
        if self.kind == "answered":
            return self._answered(batch, rejects)
        if self.kind == "asked":
            named = zip(
                *(batch.column(n) for n in (self.text_field, self.fields.messages)), strict=True
            )
            talks = [i for i, (t, m) in enumerate(named) if t is MISSING and m is not MISSING]
            rest = sorted({*range(len(batch))} - {*talks})
            documents = self._answered(batch.take(rest), rejects) if rest else []
            return (
                [*documents, self._conversations(batch.take(talks), rejects)]
                if talks
                else documents
            )
        if self.kind == "pair":
            return [self._pairs(batch, rejects)]
        return [self._conversations(batch, rejects)]

    def recognized(self, first: Batch) -> ShapeName | None:
        """The shape of a conversation in other fields than the options name; otherwise None."""
        names = first.field_names(0)
        named = self.fields.messages in names or {self.fields.prompt, self.fields.response} <= {
            *names
        }
        known = self.kind != "conversation" or self.shape is not None or named
        return None if known else shapes.shape_of(names)

    def _answered(self, batch: Batch, rejects: Rejects) -> list[tuple[Batch, list[Any]]]:
        prompts = batch.column(self.fields.prompt)
        texts = batch.column(self.text_field)
        pairs = [i for i, text in enumerate(texts) if text is MISSING and prompts[i] is not MISSING]
        plain = sorted(set(range(len(texts))) - set(pairs))
        documents: list[tuple[Batch, list[Any]]] = []
        if plain:
            sound = require_text(batch.take(plain), self.text_field, rejects)
            documents.append(
                (sound, [PlainDocument(None, t) for t in sound.column(self.text_field)])
            )
        if pairs:
            sound = batch.take(pairs)
            sound = require_text(sound, self.fields.prompt, rejects, parameter("prompt_field"))
            sound = require_text(sound, self.fields.response, rejects, parameter("response_field"))
            columns = sound.column(self.fields.prompt), sound.column(self.fields.response)
            documents.append((sound, [PlainDocument(*pair) for pair in zip(*columns, strict=True)]))
        return documents

    def _pairs(self, batch: Batch, rejects: Rejects) -> tuple[Batch, list[Any]]:
        options = {self.fields.prompt: "prompt_field", self.fields.response: "response_field"}
        if not self.refusals:
            options[self.preferred_field] = "preferred_field"
        for name, option in options.items():
            batch = require_text(batch, name, rejects, parameter(option))
        prompts, responses, *given = (batch.column(name) for name in options)
        preferred = given[0] if given else [self._refusal(prompt) for prompt in prompts]
        return batch, [AnswerPair(*row) for row in zip(prompts, responses, preferred, strict=True)]

    def _refusal(self, prompt: str) -> str:
        digest = hashlib.blake2b(prompt.encode(), digest_size=8).digest()
        return self.refusals[int.from_bytes(digest, "little") % len(self.refusals)]

    def _conversations(self, batch: Batch, rejects: Rejects) -> tuple[Batch, list[Any]]:
        conversations: list[Any] = []
        bad: dict[int, str] = {}
        columns = {name: batch.column(name) for name in (*self.fields, *shapes.FIELDS)}
        for index in range(len(batch)):
            record = {
                n: column[index] for n, column in columns.items() if column[index] is not MISSING
            }
            try:
                messages = self._messages(record)
            except AbsentError:
                bad[index] = self._why_none(fields_of(batch, index))
                continue
            except ValueError as error:
                bad[index] = str(error)
                continue
            reason = why_no_conversation(messages)
            if reason is None:
                conversations.append(messages)
            else:
                bad[index] = reason
        return without(batch, bad, rejects), conversations

    def _messages(self, record: dict[str, Any]) -> Any:
        """Raises AbsentError for a record without a conversation, ValueError for a damaged one."""
        named = self.fields
        if self.shape is None and named.messages in record:
            return record[named.messages]
        if self.shape is None and {named.prompt, named.response} <= record.keys():
            return [
                {"role": "user", "content": record[named.prompt]},
                {"role": "assistant", "content": record[named.response]},
            ]
        shape = self.shape or shapes.shape_of([n for n in record if record[n] is not None])
        if shape is None or not set(shapes.SHAPES[shape].fields) <= record.keys():
            raise AbsentError
        return shapes.conversation(record, shape)

    def _why_none(self, fields: str) -> str:
        if self.shape is not None:
            missing = '" and "'.join(shapes.SHAPES[self.shape].fields)
            return f'no field "{missing}" (fields: {fields})'
        options = (*(f"{name}_field" for name in self.fields._fields), "shape")
        return (
            f'no field "{self.fields.messages}", nor "{self.fields.prompt}" and "{self.fields.response}", '
            f"nor another shape of chats (fields: {fields}; use {', '.join(map(parameter, options))})"
        )


class SourceReader:
    """Shards → sources of one format; bad records are reported once.

    Args:
        rejects_of: returns the handler of bad records, given whether they have been reported already.
        hashed: hash all data for the digest; not needed for a plan.
    """

    def __init__(
        self, form: DocumentFormat, rejects_of: Callable[[bool], Rejects], hashed: bool
    ) -> None:
        self._form = form
        self._rejects_of = rejects_of
        self._hashed = hashed
        self._reported: set[str] = set()

    def source(
        self,
        name: str,
        shards: list[Shard],
        share: SupportsFloat | None = None,
        weight: float | None = None,
        golden: bool = False,
    ) -> Source:
        """The documents of shards (see ``plan.Source``)."""
        form = self._form
        facts = [
            [shard.digest() if self._hashed else shard.name for shard in shards],
            form.text_field if form.kind == "text" else list(form.fields),
        ]
        if form.kind == "answered":
            facts.append(form.text_field)
        if form.kind == "pair":
            facts.append(list(form.refusals) or form.preferred_field)
        if form.shape is not None:
            facts.append(form.shape)
        # The format of the bytes, if given.
        if read_as := [str(shard.format) for shard in shards if not shard.format.by_content]:
            facts.append(read_as)
        digest = hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()
        sizes = [shard.size for shard in shards if shard.size is not None]

        def rejects() -> Rejects:
            again = digest in self._reported
            self._reported.add(digest)
            return self._rejects_of(again)

        def batches(bad: Rejects) -> Iterator[Documents]:
            for batch in read(shards, bad):
                for sound, documents in form.documents(batch, bad):
                    if documents:
                        refuse = partial(_refuse, sound, bad)
                        yield Documents(documents, sum(map(_size, documents)), refuse)

        size = sum(sizes) if len(sizes) == len(shards) else None
        return Source(
            name,
            None if share is None else float(share),
            weight,
            batches,
            rejects,
            size,
            lambda: sum(shard.bytes_read for shard in shards),
            digest,
            golden,
        )


def _refuse(batch: Batch, rejects: Rejects, index: int, reason: str) -> None:
    without(batch, {index: reason}, rejects)


def _size(document: Any) -> int:
    """Size in bytes of UTF-8."""
    if isinstance(document, str):
        return len(document.encode("utf-8"))
    if isinstance(document, tuple):
        return sum(len(part.encode("utf-8")) for part in document if part is not None)
    return sum(len(message["content"].encode("utf-8")) for message in document)
