"""``synth cat``: records from any format to any format."""

from __future__ import annotations

from typing import Annotated

from synthtools.console.options import Reading, Writing, option


def cat(
    reading: Reading,
    writing: Writing,
    count: Annotated[bool, option("--count", help="Print only the number of records.")] = False,
    head: Annotated[
        int | None, option("--head", "-n", metavar="N", min=0, help="Stop after N records.")
    ] = None,
    select: Annotated[
        str | None,
        option("--select", metavar="FIELD,…", help="Keep only these fields, in this order."),
    ] = None,
) -> None:
    """Convert, reshard, count or look at records.

    Records go from any of the formats to any other, in order. What goes from JSONL to JSONL leaves
    as the very bytes that it came in as (blank lines and a byte order mark are no part of records).

    \b
    Examples:
      synth cat human.jsonl.zst -o human.parquet
      synth cat raw/ -o shards/ --shard-size 512MB --format jsonl.zst
      synth cat human.parquet --select id,text --head 3

    Memory: a batch of about 1 MiB, or the longest record (a line of more than 256 MiB is refused
    [ours]); of Parquet 256 MB more where few values stand for many rows; when writing Parquet or Arrow, some copies of 64 MB of rows.
    """
    from synthtools.console.run import Run
    from synthtools.console.terminal import write_stdout
    from synthtools.errors import UsageError
    from synthtools.records.transform import first, selected

    names = [name.strip() for name in select.split(",")] if select is not None else None
    if names is not None and ("" in names or len(set(names)) < len(names)):
        raise UsageError(f"--select {select}: name different fields, separated by commas")
    if count and (writing.output or writing.format):
        raise UsageError("--count prints a number; it cannot be given with -o or --format")
    with Run("cat", reading, None if count else writing) as run:
        # A run that had ended has nothing left to be read.
        batches = iter(()) if run.done else run.batches()
        if names is not None:
            batches = selected(batches, names, run.rejects)
        if head is not None:
            # What a resumed run has written already counts.
            batches = first(batches, head - (run.sink.records if run.sink else 0))
        if count:
            total = 0
            for batch in batches:
                total += len(batch)
                run.count(len(batch))
            run.finish()
            write_stdout(f"{total}\n")
        else:
            run.write(batches)
            run.finish()
