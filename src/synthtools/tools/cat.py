"""``synth cat``: records from any format to any format."""

from __future__ import annotations

from typing import Annotated

from synthtools.cli.options import Inputs, Output, TextField
from synthtools.cli.parameters import option


def cat(
    reading: Inputs,
    text: TextField,
    writing: Output,
    count: Annotated[bool, option("--count", help="Print only the number of records.")] = False,
    head: Annotated[
        int | None, option("--head", "-n", metavar="N", min=0, help="Stop after N records.")
    ] = None,
    where: Annotated[
        list[str] | None,
        option(
            "--where",
            metavar="EXPR",
            help="Keep the records for which this holds: FIELD=VALUE,… (any of them), FIELD!=VALUE,…, "
            "FIELD~REGEX (found in the text; RE2), FIELD!~REGEX, FIELD>NUMBER (>=, <, <=), FIELD (there, "
            "not null, not empty), !FIELD. FIELD may be a path (meta.source, messages[-1].role); values "
            'with commas and names of odd characters stand in quotes as in JSON ("a,b"). Given again, '
            "all must hold, one after the other. What is missing or null is unlike every VALUE; to "
            "compare what is no number makes a bad record.",
            show_default=False,
        ),
    ] = None,
    template: Annotated[
        list[str] | None,
        option(
            "--text",
            metavar="TEMPLATE",
            help="Write the text (--text-field) from other fields: 'Question: {prompt}\\n\\n{response}'. "
            "\\n, \\t and \\\\ are a line's end, a tab, a backslash; {{ and }} are braces. Of several "
            "the first whose fields are all there, as strings; a record that fits none is a bad "
            "record.",
            show_default=False,
        ),
    ] = None,
    constants: Annotated[
        list[str] | None,
        option(
            "--set",
            metavar="FIELD=VALUE",
            help="Set a field to this string in every record; it is replaced in its place or "
            "appended. Again for further fields.",
            show_default=False,
        ),
    ] = None,
    select: Annotated[
        str | None,
        option("--select", metavar="FIELD,…", help="Keep only these fields, in this order."),
    ] = None,
) -> None:
    """Convert, reshard, count or look at records.

    Records go from any of the formats to any other, in order. What goes from JSONL to JSONL leaves
    as the very bytes that it came in as (blank lines and a byte order mark are no part of records);
    a field that is set touches no other.

    --where, --text, --set, --select and --head come about in this order, wherever they stand. How
    many records --where left out is told on stderr and in the report.

    \b
    Examples:
      synth cat human.jsonl.zst -o human.parquet
      synth cat raw/ -o shards/ --shard-size 512MB --format jsonl.zst
      synth cat human.parquet --select id,text --head 3
      synth cat essays/ --where label=human --where 'score>=0.5' -o human.parquet
      synth cat human/ answers/ --text '{text}' --text '{prompt}\\n\\n{response}' --select id,text
      synth cat answers.jsonl --set model=human -o labelled.jsonl

    Memory: a batch of about 1 MiB, or the longest record (a line of more than 256 MiB is refused
    [ours]); of Parquet 256 MB more where few values stand for many rows; when writing Parquet or Arrow, some copies of 64 MB of rows.
    """
    from synthtools.cli.run import Run
    from synthtools.cli.terminal import remark, write_stdout
    from synthtools.curate.keeping import Keeping, condition_of
    from synthtools.curate.setting import constants_of, templates_of, with_constants, with_text
    from synthtools.errors import UsageError
    from synthtools.records.field_paths import parted
    from synthtools.records.transform import selected

    names = parted(select) if select is not None else None
    if names is not None and ("" in names or len(set(names)) < len(names)):
        raise UsageError(f"--select {select}: name different fields, separated by commas")
    keeping = Keeping([condition_of(one, "--where") for one in where or []])
    templates = templates_of(template or [], "--text")
    values = constants_of(constants or [], "--set")
    if not templates and text.text_field != "text":
        raise UsageError("--text-field names the field that --text writes; it needs --text")
    if templates and text.text_field in values:
        raise UsageError(f"--set {text.text_field}=…: is the field that --text writes")
    if count and (writing.output or writing.format):
        raise UsageError("--count prints a number; it cannot be given with -o or --format")
    with Run("cat", reading, None if count else writing, apart=True) as run:
        # A run that had ended has nothing left to be read. What a resumed one has done is looked at
        # again and not written: it counts for --head.
        batches = iter(()) if run.done else run.records()
        if where:
            batches = keeping.kept(batches, run.rejects)
        if templates:
            batches = with_text(batches, templates, text.text_field, run.rejects)
        if values:
            batches = with_constants(batches, values)
        if names is not None:
            batches = selected(batches, names, run.rejects)
        if head is not None:
            batches = keeping.until(batches, head)
        if count:
            total = 0
            for batch in batches:
                total += len(batch)
                run.count(len(batch))
        else:
            run.write(batches)
        run.finish({"left_out": keeping.left_out} if where and not run.done else None)
    if keeping.left_out and not reading.quiet:
        unknown = "".join(f'; no record has a field "{name}"' for name in keeping.unknown)
        s = "" if keeping.left_out == 1 else "s"
        remark(f"--where left out {keeping.left_out:,} record{s}{unknown}")
    if count:
        write_stdout(f"{total}\n")
