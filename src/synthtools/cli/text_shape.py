"""The text field of chats and instructions."""

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
    from synthtools.records.batch import Batch
    from synthtools.records.inputs import Shard


@dataclass(frozen=True)
class ShapedText(TextField):
    """The field with the text, also for chats and instructions."""

    group = "Input"
    shape: ShapeName | None = option(
        help="The text is the answer of records of this shape: its last message, its output, completion, "
        "response or answer. By default the first record shows the shape by its fields, unless it has "
        "a field text. With --text-field the field is named instead."
    )

    def check(self) -> None:
        super().check()
        if self.shape and self.text_field != "text":
            raise UsageError("--shape and --text-field both say where the text is: give one")

    def text_of(self, shards: Sequence[Shard], name: str | None = None) -> str:
        """The field, or its path, in the records of these shards; with a remark about their shape.

        Args:
            name: of the input, if several inputs may have different shapes.
        """
        from synthtools.records import first_records

        if self.text_field != "text":
            return self.text_field
        return self.text_in(None if self.shape else first_records.first_record(shards), name, True)

    def text_in(self, record: Batch | None, name: str | None = None, tell: bool = False) -> str:
        """The field, or its path, in records like this one."""
        from synthtools.records import shapes

        shape = self.shape or shapes.recognized(record)
        if self.text_field != "text" or shape is None:
            return self.text_field
        if tell and not self.shape and not self.quiet:
            terminal.remark(
                f"{name + ': ' if name else ''}read as {shapes.described(shape)}: the text is "
                f"{SHAPES[shape].answer} (else --shape or --text-field)"
            )
        return SHAPES[shape].answer
