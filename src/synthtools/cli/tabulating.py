"""The run behind ``synth table``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthtools.cli.options import ARGUMENTS
from synthtools.cli.publish import check_plot, draw, show
from synthtools.cli.quantities import shard_size
from synthtools.cli.report_rows import Rows, takes
from synthtools.errors import OutputExistsError, SynthError, UsageError
from synthtools.measure import claims
from synthtools.measure.repetitions import Row, grouped, table
from synthtools.measure.similar_names import near
from synthtools.records.batch import JsonBatch
from synthtools.records.field_paths import parted
from synthtools.records.files import write_whole
from synthtools.records.inputs import Shard
from synthtools.records.jsonl import json_bytes
from synthtools.records.outputs import open_sink
from synthtools.records.overlap import refuse_input_as_output
from synthtools.reports import document
from synthtools.reports.document import encoded
from synthtools.reports.table import lines, markdown

_REPETITION = "seed"


@dataclass(frozen=True)
class Tabulating:
    """Options of ``synth table``, as given."""

    take: tuple[str, ...]
    by: str | None
    over: str | None
    claims: tuple[str, ...]
    columns: str | None
    pivot: str | None
    rows: str | None
    markdown: str | None
    section: str | None
    report: str | None
    plot: str | None
    force: bool


def run_table(paths: list[str], options: Tabulating, json_output: bool) -> None:
    """Reads, groups, judges and writes.

    Raises:
        UsageError: options that cannot be understood or do not fit together.
        SynthError: reports contradict each other, or lack what is asked for.
    """
    start = time.monotonic()
    stated = [claims.parse(text) for text in options.claims]
    wanted = takes(list(options.take))
    by = None if options.by is None else _names(options.by)
    over = [_REPETITION] if options.over is None else _names(options.over)
    page = _page(options)
    if options.plot is not None:
        check_plot(options.plot)
    found = Rows(wanted, by, over)
    found.read(paths)
    rows = found.found
    names = _values(rows) if not wanted.paths else list(wanted.paths)
    by, over = _fields(rows, by, over, options.over is not None)
    columns = names if options.columns is None else _names(options.columns)
    for name in columns:
        if name not in names:
            raise UsageError(f"--columns {name}: no such value{near(name, names)}")
    if options.pivot is not None and options.pivot not in by:
        raise UsageError(
            f"--pivot {options.pivot}: the table is not by it{near(options.pivot, by)}"
        )
    if not names:
        raise SynthError("no field of these records holds numbers; there is nothing to average")
    groups = grouped(rows, by, over, names)
    tidy = [_tidy(row, [*by, *over], names) for row in rows]
    result: dict[str, Any] = {
        "kind": "table",
        "by": by,
        "over": over,
        "names": names,
        "columns": columns,
        "pivot": options.pivot,
        "rows": tidy,
        "groups": table(groups),
        "claims": [claims.judged(claim, by, names, groups) for claim in stated],
    }
    inputs = [
        {"name": s.name, "bytes": s.size, "fingerprint": s.fingerprint()} for s in found.shards
    ]
    counts = {"files": len(found.shards), "rows": len(rows), "groups": len(groups)}
    seconds = time.monotonic() - start
    made_by = document.made_by("table", ARGUMENTS.get({}), inputs, counts, seconds)
    report = result | {"made_by": made_by}
    _write(report, options, page, found.shards)
    show(report, json_output, lines(report))


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(one for one in parted(text) if one))


def _page(options: Tabulating) -> bytes | None:
    """What stands in the file of --markdown, where a section of it is to be replaced.

    Raises:
        UsageError: --section without a file.
        OutputExistsError
        SynthError: the file cannot be read, or lacks the section.
    """
    if options.markdown is None:
        if options.section is not None:
            raise UsageError("--section names a part of the file of --markdown: give that too")
        return None
    path = Path(options.markdown)
    if options.section is None:
        if not options.force and path.is_file():
            raise OutputExistsError(f"{path}: already there; --force replaces it")
        return None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SynthError(f"{path}: --section replaces a part of it: {error.strerror}") from error
    replaced(content, options.section, "", options.markdown)
    return content


def _values(rows: list[Row]) -> list[str]:
    """Takes those fields of records that hold numbers alone as values; returns their names.

    A field of nothing but nulls is one too: it is how a value that no report had comes back.
    """
    names = dict.fromkeys(name for row in rows for name in row.others)
    kinds = {name: {type(row.others.get(name)) for row in rows} - {type(None)} for name in names}
    numbers = [name for name, found in kinds.items() if found <= {int, float, bool}]
    for row in rows:
        for name in numbers:
            value = row.others.pop(name, None)
            row.values[name] = int(value) if isinstance(value, bool) else value
    return numbers


def _fields(
    rows: list[Row], by: list[str] | None, over: list[str], asked: bool
) -> tuple[list[str], list[str]]:
    """The fields that the table is by, and those that are repeated over, as the rows have them.

    Args:
        asked: the latter were named by the user.

    Raises:
        SynthError: no row has a field that was named.
    """
    there = list(dict.fromkeys(name for row in rows for name in row.fields))
    if not asked:
        over = [name for name in over if name in there and name not in (by or ())]
    for option, named in (("--by", by or []), ("--over", over)):
        for name in named:
            if name not in there:
                raise SynthError(f"{option} {name}: no row has this field{near(name, there)}")
            if option == "--over" and by is not None and name in by:
                raise UsageError(f"--over {name}: the table is by this field")
    return [name for name in there if name not in over] if by is None else by, over


def _tidy(row: Row, first: list[str], names: list[str]) -> dict[str, Any]:
    """A row as a record: fields, values as they were, and what came along."""
    fields = {name: row.fields.get(name) for name in (*first, *row.fields)}
    return {**fields, **{name: row.values.get(name) for name in names}, **row.others}


def _write(
    report: dict[str, Any],
    options: Tabulating,
    page: bytes | None,
    inputs: list[Shard],
) -> None:
    """Files, each whole or not at all."""
    for name in (options.markdown, options.report):
        if name is not None:
            refuse_input_as_output(inputs, name)
    if options.rows is not None:
        _write_rows(report["rows"], options.rows, options.force, inputs)
    if options.markdown is not None:
        text = markdown(report)
        content = encoded(text)
        if options.section is not None and page is not None:
            content = replaced(page, options.section, text, options.markdown)
        write_whole(Path(options.markdown), content, options.force or page is not None)
    if options.report is not None:
        document.save(report, options.report)
    draw(report, options.plot)


def _write_rows(rows: list[dict[str, Any]], path: str, force: bool, inputs: list[Shard]) -> None:
    sink = open_sink(
        path,
        None,
        shards=inputs,
        force=force,
        resume=False,
        shard_size=shard_size("32MB"),
        job={},
    )
    try:
        places = np.arange(len(rows), dtype=np.int64)
        lines = [json_bytes(row) for row in rows]
        sink.write(JsonBatch("<rows>", places + 1, places, lines=lines))
        sink.finish()
    except BaseException:
        sink.abort()
        raise


def replaced(content: bytes, section: str, text: str, name: str) -> bytes:
    """A file with other text between the lines ``<!-- section -->`` and ``<!-- /section -->``.

    Args:
        name: of the file, for errors.

    Raises:
        UsageError: no such lines can be.
        SynthError: a line is missing, stands there twice, or they stand the wrong way round.
    """
    if not section or "\n" in section or "--" in section or section.startswith("/"):
        raise UsageError(f"--section {section}: a name in one line, without -- and no / first")
    parts = content.splitlines(keepends=True)
    places = []
    for mark in (f"<!-- {section} -->", f"<!-- /{section} -->"):
        found = [at for at, line in enumerate(parts) if line.strip() == encoded(mark)]
        if len(found) != 1:
            how = "no line" if not found else f"{len(found)} lines"
            raise SynthError(
                f"{name}: {how} {mark}; the section goes between the lines <!-- {section} --> and "
                f"<!-- /{section} -->, each once"
            )
        places += found
    start, end = places
    if end < start:
        raise SynthError(f"{name}: <!-- /{section} --> stands before <!-- {section} -->")
    ending = b"\r\n" if parts[start].endswith(b"\r\n") else b"\n"
    # An empty line on each side: Markdown takes no table from the line below a comment.
    inner = ["", *text.splitlines(), ""]
    middle = b"".join(encoded(line) + ending for line in inner)
    return b"".join(parts[: start + 1]) + middle + b"".join(parts[end:])
