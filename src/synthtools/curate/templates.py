"""Text made of the fields of records."""

from __future__ import annotations

import string
from typing import Any

from synthtools.records.jsonl import json_bytes


class Template:
    """Text with ``{field}`` in it; ``{{`` and ``}}`` are braces.

    Raises:
        ValueError: its braces are none of these.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self.parts: list[tuple[str, str | None]] = []
        try:
            for literal, name, form, conversion in string.Formatter().parse(text):
                if name is not None and (not name or form or conversion):
                    raise ValueError("only plain {field} is understood")
                self.parts.append((literal, name))
        except ValueError as error:
            raise ValueError(f"{error} (write {{{{ or }}}} for a brace)") from error
        self.fields = tuple(dict.fromkeys(name for _, name in self.parts if name is not None))

    def __str__(self) -> str:
        return self._text

    def filled(self, record: dict[str, Any]) -> str:
        """The text with a record's values in it."""
        return "".join(
            literal + (as_text(record[name]) if name is not None else "")
            for literal, name in self.parts
        )


def as_text(value: Any) -> str:
    """A field's value as text: a string as it is, else its JSON."""
    return value if isinstance(value, str) else json_bytes(value).decode("utf-8", "surrogatepass")
