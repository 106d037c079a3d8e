"""Convert, reshard, count or inspect records.

Records are converted between any two formats, in order. From JSONL to JSONL, unmodified records
are written byte for byte (blank lines and a byte order mark are not part of records); setting a
field leaves all others unchanged.

--where, --text, --set, --shape, --select and --head are applied in this order, whatever their order on the
command line. The number of records that --where left out is shown on stderr and in the report.

\b
Examples:
  synth cat human.jsonl.zst -o human.parquet
  synth cat raw/ -o shards/ --shard-size 512MB --format jsonl.zst
  synth cat human.parquet --select id,text --head 3
  synth cat essays/ --where label=human --where 'score>=0.5' -o human.parquet
  synth cat human/ answers/ --text '{text}' --text '{prompt}\\n\\n{response}' --select id,text
  synth cat sharegpt.json --shape messages -o chats.jsonl
  synth cat answers.jsonl --set model=human -o labelled.jsonl

Memory: a batch of about 1 MiB, or the longest record (a line of more than 256 MiB is refused
[ours]); of Parquet 256 MB more where few values stand for many rows; when writing Parquet or Arrow,
some copies of 64 MB of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from synthtools.cli.kinds import FieldName, Natural
from synthtools.cli.options import Inputs, Output, TextField
from synthtools.cli.parameters import option
from synthtools.errors import UsageError
from synthtools.records.shapes import ShapeName

if TYPE_CHECKING:
    from synthtools.cli.run import Run
    from synthtools.curate.conditions import Condition, Conditions
    from synthtools.curate.reshaped_records import Template
    from synthtools.records.batch import Batch


def _condition(text: str) -> Condition:
    from synthtools.curate.conditions import condition_of

    return condition_of(text)


def _template(text: str) -> Template:
    from synthtools.curate.reshaped_records import template_of

    return template_of(text)


def _constant(text: str) -> tuple[str, str]:
    from synthtools.curate.reshaped_records import constant_of

    return constant_of(text)


@dataclass(frozen=True, kw_only=True)
class Options(Inputs, TextField, Output):
    """Options of ``synth cat``."""

    lines_only: ClassVar[bool] = True

    count: bool = option(False, help="Print only the number of records.")
    head: Natural | None = option(None, "-n", help="Stop after N records.")
    where: list[Any] | None = option(
        metavar="EXPR",
        parse=_condition,
        help="Keep records that match: FIELD=VALUE,… (any of them), FIELD!=VALUE,…, FIELD~REGEX "
        "(anywhere in the text; RE2), FIELD!~REGEX, FIELD>NUMBER (>=, <, <=), FIELD (present, not "
        "null, not empty), !FIELD. FIELD may be a path (meta.source, messages[-1].role); values "
        'with commas and unusual names are quoted as in JSON ("a,b"). Repeatable; all conditions '
        "must hold, tested in order. A missing or null field equals no VALUE; a value that is not "
        "a number makes a bad record where it is compared with one.",
    )
    text: list[Any] | None = option(
        metavar="TEMPLATE",
        parse=_template,
        help="Build the text (--text-field) from other fields: 'Question: "
        "{prompt}\\n\\n{response}'. \\n, \\t and \\\\ are newline, tab and backslash; {{ and }} "
        "are braces. Of several templates the first whose fields are all strings in the record is "
        "used; a record that fits none is a bad record.",
    )
    set: list[Any] | None = option(
        metavar="FIELD=VALUE",
        parse=_constant,
        help="Set a field to this string in every record: its value is replaced, or the field "
        "appended. Repeatable.",
    )
    shape: ShapeName | None = option(
        help="Convert chats and instructions to this shape, whichever of them a record has: "
        "messages (OpenAI), conversations (ShareGPT), instruction and output (Alpaca; input is "
        "joined to the instruction by an empty line), … A conversation of several turns fits into "
        "the first two only; a record that does not fit is a bad record."
    )
    select: list[FieldName] | None = option(
        commas=True, help="Keep only these fields, in this order."
    )

    def prints_report(self) -> bool:
        return self.count

    def check(self) -> None:
        super().check()
        names = self.select or ["all"]
        if "" in names or len(set(names)) < len(names):
            raise UsageError(
                f"--select {','.join(names)}: name different fields, separated by commas"
            )
        if not self.text and self.text_field != "text":
            raise UsageError("--text-field names the field that --text writes; it needs --text")
        constants = [name for name, _ in self.set or ()]
        for name in constants:
            if constants.count(name) > 1:
                raise UsageError(f"--set {name}=…: is given twice")
            if self.text and name == self.text_field:
                raise UsageError(f"--set {name}=…: is the field that --text writes")


def run(options: Options) -> dict[str, Any]:
    """Passes records on, or counts them."""
    from synthtools.cli.run import Run
    from synthtools.cli.terminal import remark
    from synthtools.curate.conditions import Conditions

    conditions = Conditions(options.where or [])
    result: dict[str, Any] = {}
    with Run("cat", options, None if options.count else options, apart=True) as run:
        batches = _changed(run, conditions, options)
        if options.count:
            result["count"] = 0
            for batch in batches:
                result["count"] += len(batch)
                run.count(len(batch))
        else:
            run.write(batches)
        if options.where and not run.done:
            result["left_out"] = conditions.left_out
        report = run.finish(result)
    if conditions.left_out and not options.quiet:
        notes = [f'no record has a field "{name}"' for name in conditions.unknown]
        notes += [
            f'{name} holds lists or objects, compared by all of their JSON ({name}~"VALUE" looks into them)'
            for name in conditions.nested
        ]
        s = "" if conditions.left_out == 1 else "s"
        remark("; ".join([f"--where left out {conditions.left_out:,} record{s}", *notes]))
    return report


def _changed(run: Run, conditions: Conditions, options: Options) -> Iterator[Batch]:
    """The records as the options want them."""
    from synthtools.curate.reshaped_records import reshaped, with_constants, with_text
    from synthtools.records.transform import selected

    # A run that had ended has nothing left to be read. What a resumed one has done is looked at
    # again and not written: it counts for --head.
    batches = iter(()) if run.done else run.records()
    if options.where:
        batches = conditions.kept(batches, run.rejects)
    if options.text:
        batches = with_text(batches, options.text, options.text_field, run.rejects)
    if options.set:
        batches = with_constants(batches, dict(options.set))
    if options.shape is not None:
        batches = reshaped(batches, options.shape, run.rejects)
    if options.select is not None:
        batches = selected(batches, options.select, run.rejects)
    return batches if options.head is None else conditions.until(batches, options.head)
