"""Records → what a model is asked."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from synthtools.records.batch import MISSING, Batch
from synthtools.records.jsonl import json_bytes
from synthtools.records.reader import without
from synthtools.records.record_faults import no_field
from synthtools.records.record_keys import ID_FIELD, RecordKeys
from synthtools.records.rejects import Rejects

_ROLES = ("system", "user", "assistant")


class Said(NamedTuple):
    """What a model is given: a text to go on with, or a conversation to answer."""

    text: str | None
    messages: tuple[dict[str, str], ...] | None

    def spelled(self) -> str:
        """All of it as one string, for the record's identity."""
        if self.text is not None:
            return self.text
        return "\0".join(f"{m['role']}\0{m['content']}" for m in self.messages or ())


class Unfit(Exception):  # noqa: N818 (a reason, told by the batch's own error)
    """A record cannot be asked about, and why."""


class Template:
    """Text with ``{field}`` in it; ``{{`` and ``}}`` are braces.

    Raises:
        ValueError: its braces are none of these.
    """

    def __init__(self, text: str) -> None:
        self.parts: list[tuple[str, str | None]] = []
        try:
            for literal, name, form, conversion in string.Formatter().parse(text):
                if name is not None and (not name or form or conversion):
                    raise ValueError("only plain {field} is understood")
                self.parts.append((literal, name))
        except ValueError as error:
            raise ValueError(f"{error} (write {{{{ or }}}} for a brace)") from error
        self.fields = tuple(dict.fromkeys(name for _, name in self.parts if name is not None))

    def filled(self, record: dict[str, Any]) -> str:
        """The text with a record's values in it."""
        return "".join(
            literal + (spelled(record[name]) if name is not None else "")
            for literal, name in self.parts
        )


def spelled(value: Any) -> str:
    """A field's value as text: a string as it is, else its JSON."""
    return value if isinstance(value, str) else json_bytes(value).decode("utf-8", "surrogatepass")


@dataclass(frozen=True)
class Asking:
    """How a record becomes a prompt.

    Attributes:
        fields: that a record must have.
        say: makes the prompt, a text or a list of messages, of a record's values.
        system: what a conversation begins with.
        plain: the text is to be gone on with as it is, in no conversation.
    """

    fields: tuple[str, ...]
    say: Callable[[dict[str, Any]], str | list[dict[str, str]]]
    system: str | None = None
    plain: bool = False

    def said(self, record: dict[str, Any]) -> Said:
        """What the model is given for a record.

        Raises:
            Unfit: the record holds nothing that can be asked.
        """
        found = self.say(record)
        if isinstance(found, list):
            messages = self._checked(found)
            if self.plain:
                raise Unfit("holds a conversation, which --plain cannot go on with")
        else:
            if not found.strip() and not self.plain:
                raise Unfit("the prompt is empty")
            if self.plain:
                return Said(found, None)
            messages = [{"role": "user", "content": found}]
        if self.system is not None and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": self.system}, *messages]
        return Said(None, tuple(messages))

    @staticmethod
    def _checked(found: list[Any]) -> list[dict[str, str]]:
        good = bool(found) and all(
            isinstance(m, dict) and m.get("role") in _ROLES and isinstance(m.get("content"), str)
            for m in found
        )
        if not good:
            raise Unfit(
                "the prompt is neither a text nor a list of {role, content} with the roles system, user "
                "and assistant"
            )
        if found[-1]["role"] != "user":
            raise Unfit("the conversation does not end with a message of the user")
        return [{"role": m["role"], "content": m["content"]} for m in found]


def by_field(
    prompt_field: str,
    context_field: str | None,
    system: str | None = None,
    plain: bool = False,
) -> Asking:
    """The prompt in a field (a text, or a list of messages), after the context in another."""

    def say(record: dict[str, Any]) -> str | list[dict[str, str]]:
        found = record[prompt_field]
        if isinstance(found, list) and context_field is None:
            return found
        if not isinstance(found, str):
            raise Unfit(f'field "{prompt_field}" holds neither a text nor a list of messages')
        return found if context_field is None else f"{spelled(record[context_field])}\n\n{found}"

    fields = (prompt_field,) if context_field is None else (context_field, prompt_field)
    return Asking(fields, say, system, plain)


def by_template(
    template: Template,
    context_field: str | None = None,
    system: str | None = None,
    plain: bool = False,
) -> Asking:
    """A template filled with a record's fields, after the context in another field."""

    def say(record: dict[str, Any]) -> str:
        text = template.filled(record)
        return text if context_field is None else f"{spelled(record[context_field])}\n\n{text}"

    fields = template.fields if context_field is None else (context_field, *template.fields)
    return Asking(fields, say, system, plain)


class Asked(NamedTuple):
    """Records with what is asked of them.

    Attributes:
        said: of each; keys: uint64 [records].
    """

    batch: Batch
    said: list[Said]
    keys: np.ndarray


def asked(
    batches: Iterable[Batch], asking: Asking, rejects: Rejects, taken: tuple[str, ...] = ()
) -> Iterator[Asked]:
    """The records that can be asked about, and what is asked.

    Args:
        taken: fields that answers will be written to, which a record must not have yet.
    """
    keys = RecordKeys(apart=True)
    for batch in batches:
        columns = {name: batch.column(name) for name in asking.fields}
        there = {name: batch.column(name) for name in taken}
        bad: dict[int, str] = {}
        said: list[Said] = []
        for index in range(len(batch)):
            record = {name: column[index] for name, column in columns.items()}
            try:
                said.append(_said(asking, record, batch, index, there))
            except Unfit as error:
                bad[index] = str(error)
        batch = without(batch, bad, rejects)
        if len(batch):
            ids = batch.column(ID_FIELD)
            yield Asked(batch, said, keys.of(ids, [s.spelled() for s in said]))


def _said(
    asking: Asking, record: dict[str, Any], batch: Batch, index: int, there: dict[str, list[Any]]
) -> Said:
    for name, value in record.items():
        if value is MISSING or value is None:
            raise Unfit(no_field(batch, index, name, "use --prompt-field or --template"))
    for name, column in there.items():
        if column[index] is not MISSING:
            raise Unfit(
                f'has a field "{name}" already: --response-field and --model-field name others, or '
                "the same to replace it"
            )
    return asking.said(record)
