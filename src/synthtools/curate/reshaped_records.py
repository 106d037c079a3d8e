"""Chats and instructions in another shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from synthtools.records.batch import Batch
from synthtools.records.jsonl import json_bytes, members, parse_exactly
from synthtools.records.merge import as_lines
from synthtools.records.record_faults import fields_of, without
from synthtools.records.rejects import Rejects
from synthtools.records.shapes import FIELDS_OF, ShapeName, conversation, members_of, shape_of


def reshaped(batches: Iterable[Batch], name: ShapeName, rejects: Rejects) -> Iterator[Batch]:
    """Records in a shape, whatever shape each had: its fields are replaced where the first of them stood,
    the others keep their bytes. One that has the shape already is left as it is; one that has none, or
    does not fit, goes to ``rejects``."""
    for batch in batches:
        lines = as_lines(batch)
        new: list[bytes] = []
        bad: dict[int, str] = {}
        for index, line in enumerate(lines.lines):
            record = lines.objects[index]
            shape = shape_of([field for field, value in record.items() if value is not None])
            try:
                if shape is None:
                    raise ValueError(
                        f"no chat and no instruction (fields: {fields_of(lines, index)})"
                    )
                new.append(line if shape == name else _reshaped(line, shape, name))
            except ValueError as error:
                new.append(line)
                bad[index] = str(error)
        if all(map(bytes.__eq__, new, lines.lines)):
            sound = batch
        else:
            sound = replace(lines, lines=new, parsed=None)
        sound = without(sound, bad, rejects)
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
