"""CSV and TSV (RFC 4180) → records: a header names the fields, every value is text."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import TextIO

from synthtools.errors import SynthError
from synthtools.records.text_lines import JsonLine, bounded_lines, json_line

# Characters of one value [ours]; more is a quote that was never closed.
_LONGEST_VALUE = 1 << 26


def records(text: TextIO, name: str, kind: str, encoding: str | None) -> Iterator[JsonLine]:
    """The records of a table, each at the line that it begins on.

    In CSV whose header has no comma, semicolons or tabs part the values, as spreadsheets write where
    the comma is a decimal mark.

    Args:
        kind: ``csv`` or ``tsv``.

    Raises:
        SynthError: there is no header that names each field once.
    """
    csv.field_size_limit(_LONGEST_VALUE)
    lines = bounded_lines(text, name)
    head = next(lines, "")
    apart = "\t" if kind == "tsv" else next((c for c in ",;\t" if c in head), ",")
    taken: list[str] = []  # lines of the record that is being read

    def noted() -> Iterator[str]:
        for line in chain([head] if head else [], lines):
            taken.append(line)
            yield line

    rows = csv.reader(noted(), delimiter=apart, strict=True)
    number = 1
    header: list[str] | None = None
    while True:
        taken.clear()
        try:
            row = next(rows, None)
            fault = None
        except csv.Error as error:
            row, fault = [], f"not {kind.upper()}: {_plain(error, rows.line_num - number + 1)}"
        at, number = number, rows.line_num + 1
        if row is None:
            return
        if header is None:
            if fault is not None:
                raise SynthError(f"{name}:{at}: {fault}")
            header = _header(row, name) if row else None
        elif fault is not None:
            yield json_line(at, "".join(taken), encoding, fault)
        elif row and len(row) != len(header):
            fault = (
                f"{len(row)} value{'s' * (len(row) != 1)} where the header names {len(header)} (a value with "
                f"{'tabs' if apart == chr(9) else repr(apart)} stands in double quotes)"
            )
            yield json_line(at, row, encoding, fault)
        elif row:
            yield json_line(at, dict(zip(header, row, strict=True)), encoding)


def _header(names: list[str], source: str) -> list[str]:
    again = [name for name, count in Counter(names).items() if count > 1]
    if again:
        raise SynthError(
            f'{source}:1: two columns have the name "{again[0]}", and a record has one value of a '
            "name: rename one of them"
        )
    return names


def _plain(error: csv.Error, lines: int) -> str:
    reason = str(error)
    if "field larger" in reason or "unexpected end" in reason:
        return f"a double quote that opens a value is not closed within {lines:,} lines"
    if "expected after" in reason:
        return 'text behind a closing double quote (within a quoted value, a quote is written "")'
    return reason
