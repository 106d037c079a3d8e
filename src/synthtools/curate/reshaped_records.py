"""Fields of records set from others or to constants; chats and instructions converted to another shape."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from synthtools.errors import parameter
from synthtools.records.added_column import Column
from synthtools.records.batch import MISSING, Batch
from synthtools.records.field_paths import WHOLE, plain_name
from synthtools.records.jsonl import json_bytes, members, parse_exactly
from synthtools.records.record_faults import fields_of, text_fault, without
from synthtools.records.rejects import Rejects
from synthtools.records.shapes import FIELDS_OF, ShapeName, conversation, members_of, shape_of
from synthtools.records.transform import as_lines


class Template:
    """A text with placeholders ``{field}``; ``{{`` and ``}}`` are braces. Raises ValueError: other braces."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.parts: list[tuple[str, str | None]] = []
        try:
            for literal, name, form, conversion in string.Formatter().parse(text):
                if name is not None and (not name or form or conversion):
                    raise ValueError("only plain {field} is allowed")
                self.parts.append((literal, name))
        except ValueError as error:
            raise ValueError(f"{error} (write {{{{ or }}}} for a brace)") from error
        self.fields = tuple(dict.fromkeys(name for _, name in self.parts if name is not None))

    def __str__(self) -> str:
        return self._text

    def filled(self, record: dict[str, Any]) -> str:
        """The text filled with a record's values."""
        return "".join(
            literal + (as_text(record[name]) if name is not None else "")
            for literal, name in self.parts
        )


def as_text(value: Any) -> str:
    """A field's value as text: a string unchanged, anything else as JSON."""
    return value if isinstance(value, str) else json_bytes(value).decode("utf-8", "surrogatepass")


def reshaped(batches: Iterable[Batch], name: ShapeName, rejects: Rejects) -> Iterator[Batch]:
    """Converts records from any shape to one: its fields are replaced at the position of the first, others keep their
    bytes. Records with the shape are unchanged; those without a shape, or that do not fit, go to ``rejects``."""
    for batch in batches:
        lines = as_lines(batch)
        new = list(lines.lines)
        bad: dict[int, str] = {}
        for index, record in enumerate(lines.objects):
            shape = shape_of([field for field, value in record.items() if value is not None])
            if shape is None:
                bad[index] = f"no chat and no instruction (fields: {fields_of(lines, index)})"
            elif shape != name:
                try:
                    new[index] = _reshaped(new[index], shape, name)
                except ValueError as error:
                    bad[index] = str(error)
        changed = any(map(bytes.__ne__, new, lines.lines))
        sound = without(replace(lines, lines=new, parsed=None) if changed else batch, bad, rejects)
        if len(sound):
            yield sound


def _reshaped(line: bytes, shape: ShapeName, name: ShapeName) -> bytes:
    record: dict[str, Any] = parse_exactly(line)
    made = members_of(conversation(record, shape), name)
    put = [json_bytes(field) + b":" + json_bytes(value) for field, value in made.items()]
    pieces: list[bytes] = []
    for field, start, _, end in members(line, line.index(b"{")):
        if field in FIELDS_OF[shape]:
            pieces += put
            put = []
        elif field not in made:
            pieces.append(line[start:end])
    return b"{" + b",".join(pieces) + b"}"


# In a path, quotes and brackets may contain an equals sign.
_ASSIGNMENT = re.compile(rf"((?:{WHOLE}|[^=])++)=(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "\\": "\\"}


def unescaped(text: str) -> str:
    r"""The text with ``\n``, ``\t`` and ``\\`` replaced by newline, tab and backslash.

    Raises:
        ValueError: another backslash, which is ambiguous.
    """

    def meant(match: re.Match[str]) -> str:
        if match[1] not in _ESCAPED:
            raise ValueError(f"for \\{match[1]} write \\n, \\t or \\\\ (one backslash)")
        return _ESCAPED[match[1]]

    return _ESCAPE.sub(meant, text)


def template_of(text: str) -> Template:
    """A template from the command line. Raises ValueError: the form is invalid."""
    _refuse_bytes(text)
    return Template(unescaped(text))


def constant_of(text: str) -> tuple[str, str]:
    """Field and value of ``FIELD=VALUE``. Raises ValueError: the form is invalid."""
    match = _ASSIGNMENT.fullmatch(text)
    if match is None:
        raise ValueError("use FIELD=VALUE")
    _refuse_bytes(text)
    return plain_name(match[1].strip()), match[2]


def _refuse_bytes(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("write it in UTF-8") from error


def with_text(
    batches: Iterable[Batch], templates: Sequence[Template], name: str, rejects: Rejects
) -> Iterator[Batch]:
    """Records with a field ``name``, replaced or appended, made from others by the first template whose fields are all
    texts. Records that fit none go to ``rejects``."""
    names = list(dict.fromkeys(field for one in templates for field in one.fields))
    for batch in batches:
        columns = {field: batch.column(field) for field in names}
        bad: dict[int, str] = {}
        texts: list[str] = []
        for index in range(len(batch)):
            record = {field: values[index] for field, values in columns.items()}
            faults = [_fault(template, record) for template in templates]
            if None in faults:
                texts.append(templates[faults.index(None)].filled(record))
            else:
                why = "; ".join(dict.fromkeys(filter(None, faults)))
                bad[index] = f"{why} (fields: {fields_of(batch, index)}; see {parameter('text')})"
        batch = without(batch, bad, rejects)
        if len(batch):
            yield batch.adding({name: Column("string", texts)}).woven()


def _fault(template: Template, record: dict[str, object]) -> str | None:
    """Why a template does not fit a record: the first field that is not a text."""
    for field in template.fields:
        if record[field] is MISSING:
            return f'no field "{field}"'
        if fault := text_fault(field, record[field]):
            return fault
    return None


def with_constants(batches: Iterable[Batch], values: dict[str, str]) -> Iterator[Batch]:
    """Records with fields set to the same text in all."""
    for batch in batches:
        columns = {name: Column("string", [value] * len(batch)) for name, value in values.items()}
        yield batch.adding(columns).woven()
