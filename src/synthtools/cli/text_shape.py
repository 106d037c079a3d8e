"""The field that holds the text of chats and instructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synthtools.cli import terminal
from synthtools.cli.options import TextField
from synthtools.cli.parameters import option
from synthtools.errors import UsageError
from synthtools.records.shapes import SHAPES, ShapeName

if TYPE_CHECKING:
    from synthtools.records.inputs import Shard


@dataclass(frozen=True)
class ShapedText(TextField):
    """Which field holds the text, also of chats and instructions."""

    group = "Input"
    shape: ShapeName | None = option(
        None,
        help="The text is the answer of records of this shape: its last message, its output, completion, "
        "response or answer. By default the first record shows the shape by its fields, unless it has "
        "a field text. With --text-field the field is named instead.",
    )

    def check(self) -> None:
        super().check()
        if self.shape and self.text_field != "text":
            raise UsageError("--shape and --text-field both say where the text is: give one")

    def text_of(self, shards: Sequence[Shard]) -> str:
        """The field, or its path, in the records of these shards."""
        from synthtools.records import first_records, shapes

        if self.text_field != "text":
            return self.text_field
        shape = self.shape or shapes.recognized(first_records.first(shards))
        if shape is None:
            return self.text_field
        if not self.shape and not self.quiet:
            terminal.remark(
                f"read as {shapes.told(shape)}: the text is {SHAPES[shape].answer} (else --shape or "
                "--text-field)"
            )
        return SHAPES[shape].answer
