"""Tabulate numbers from many reports: means over seeds, and verdicts on claims.

Rows with equal fields are joined, even across patterns: the reports of a training run and of its
evaluation become one row. Each group has the mean, the sample standard deviation and Student's 95 %
interval of the mean over its repetitions [ours].

A claim is evaluated in each repetition that has all of its cells. Each comparison has a difference
in the claimed direction, with its 95 % interval. Verdicts: reproduced, the interval is above 0 (for
<= and >= it may touch 0); contradicted, it is below 0; inconclusive, it contains 0, or a single
repetition has no interval; untested, a run that the claim depends on is not below its --floor. A
chain is reproduced if each of its comparisons is, contradicted if any is. A known value (x = 10 ± 5 %) is tested directly: reproduced if the mean is within the tolerance
and the interval contains the value (or is entirely within the tolerance), contradicted if neither
holds. A difference that is the same in every repetition is noted in the verdict, as a coarse
measure can give it by chance. Verdicts are not corrected for the number of claims [ours].

\b
Examples:
  synth table 'runs/{share}-{seed}.json' --take ppl=valid.human --over seed
  synth table 'runs/{share}-{seed}.json' --take ppl=valid.human \\
    --claim 'Synthetic text hurts: ppl[share=0] < ppl[share=100]' | jq -r '.claims[].verdict'
  synth table 'runs/{method}-{seed}.json' 'eval/{method}-{seed}.json' --take ppl=valid.human \\
    --take ece=suites.arc_easy.figures.ece --rows runs.parquet --markdown README.md --section runs
  synth table runs.parquet --by method --columns ece

Memory: one report at a time, and the values taken. At most 100,000 files, and 1,000,000 rows of
records, at some 2 KB each [ours].
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthtools.cli.kinds import FieldName, Name, ReportName
from synthtools.cli.options import ARGUMENTS, FileFormat, Picture, Report
from synthtools.cli.parameters import operand, option, output_file
from synthtools.errors import OutputExistsError, SynthError, UsageError

if TYPE_CHECKING:
    from synthtools.measure.claims import Claim
    from synthtools.measure.repetitions import Row
    from synthtools.reports.rows import Take

_REPETITION = "seed"


def _take(text: str) -> Take:
    from synthtools.reports.rows import Take

    return Take.of(text)


def _claim(text: str) -> Claim:
    from synthtools.measure.claims import parse

    return parse(text)


def _floor(text: str) -> tuple[str, str | float]:
    above = ">" in text
    name, _, floor = text.partition(">" if above else "=")
    if not (name and floor):
        raise ValueError("expected NAME=FLOOR, two names of values, or NAME>NUMBER")
    return name, float(floor) if above else floor


@dataclass(frozen=True, kw_only=True)
class Options(FileFormat, Picture, Report):
    """Options of ``synth table``."""

    files: list[ReportName] | None = operand(
        help="Reports, by a pattern ('runs/{share}-{seed}.json', quoted: each name in braces is "
        "one or more characters other than / and becomes a field of the row, a number if all its "
        "values are plain decimals: 1e5 may be a commit) or by name; results of other programs "
        "as synth diff reads them (suites.TASK.figures.acc); records (JSONL, Parquet, Arrow), one a row. "
        "- is stdin."
    )
    take: list[Any] | None = option(
        metavar="NAME=PATH",
        parse=_take,
        help="A number of each report, under a name: a.b.c, names with special characters in "
        'quotes (a."b.c"), [0] and [-1] in lists, [name=value] for the object of a list. PATH@FILE '
        "takes it out of files of that name alone (ppl=perplexity@*-human.json). Repeatable. "
        "Default: of records, all fields that hold numbers.",
    )
    by: list[FieldName] | None = option(
        commas=True,
        help="The rows of the table (default: all fields that are neither taken nor --over).",
    )
    over: list[FieldName] | None = option(
        commas=True, help="Repetitions to average over (default: seed, where rows have it)."
    )
    claim: list[Any] | None = option(
        metavar="'TEXT: EXPRESSION'",
        parse=_claim,
        help="Judge a chain of comparisons (< > <= >=) between cells NAME[field=value,…], with + - "
        "* / ( ), numbers, mean, min, max and log, or that a cell has a known value, x = 10 ± 5 % "
        "[ours]. Repeatable.",
    )
    floor: list[Any] | None = option(
        metavar="NAME=FLOOR|NAME>NUMBER",
        parse=_floor,
        help="Judge a claim about NAME only if NAME is below the value FLOOR in each of its runs, as for "
        "any language model that has learned something: ppl=unigram. NAME>NUMBER: only if the interval of "
        "NAME over its runs is above NUMBER, the score of guessing: accuracy>0.25. Repeatable.",
    )
    untested: str | None = option(
        metavar="REASON", help="Judge no claims, for this reason; show only differences."
    )
    columns: list[Name] | None = option(
        commas=True,
        help="Values that the table shows at a terminal and in Markdown (default: all).",
    )
    pivot: FieldName | None = option(
        help="Show the values of a field of --by beside each other, a column each."
    )
    rows: str | None = output_file(
        help="Write the joined rows as records too; the suffix decides the format."
    )
    markdown: str | None = output_file(help="Write the tables as Markdown too.")
    section: Name | None = option(
        help="With --markdown: replace the part of that file between the lines <!-- NAME --> and "
        "<!-- /NAME -->."
    )
    force: bool = option(False, help="Overwrite existing files of --rows and --markdown.")

    def check(self) -> None:
        super().check()
        files = self.files or []
        if not files:
            raise UsageError(
                "name reports: synth table 'runs/{share}-{seed}.json' --take NAME=PATH"
            )
        if files.count("-") > 1:
            raise UsageError("stdin (-) can be read only once")
        names = [take.name for take in self.take or ()]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"--take {name}=…: is given twice; take another name")
        if self.markdown is None and self.section is not None:
            raise UsageError("--section names a part of the file of --markdown: give that too")
        if self.markdown is not None and self.section is not None:
            self.replaced("")
        elif self.markdown is not None and not self.force and Path(self.markdown).is_file():
            raise OutputExistsError(f"{self.markdown}: already there; --force replaces it")

    def replaced(self, text: str) -> bytes:
        """The file of --markdown with this text as its section."""
        from synthtools.reports.table import replaced

        assert self.markdown is not None and self.section is not None
        try:
            content = Path(self.markdown).read_bytes()
        except OSError as error:
            place = f"{self.markdown}: --section replaces a part of it"
            raise SynthError(f"{place}: {error.strerror}") from error
        return replaced(content, self.section, text, self.markdown)


def run(options: Options) -> dict[str, Any]:
    """Reads, groups, judges and writes."""
    from synthtools.measure.claims import judged
    from synthtools.measure.repetitions import grouped, table
    from synthtools.reports import document
    from synthtools.reports.rows import JoinedRows

    start = time.monotonic()
    takes = options.take or []
    by, over = _names(options.by), _names(options.over)
    joined = JoinedRows(takes, by, [_REPETITION] if over is None else over)
    rows = joined.read(options.files or [])
    names = [take.name for take in takes] or _values(rows)
    by, over = _fields(rows, by, over)
    columns = names if options.columns is None else _names(options.columns) or []
    _known("--columns", columns, names, "no such value")
    floors = dict(options.floor or ())
    others = [floor for floor in floors.values() if isinstance(floor, str)]
    _known("--floor", [*floors, *others], names, "no such value")
    _known(
        "--pivot", [] if options.pivot is None else [options.pivot], by, "the table is not by it"
    )
    if not names:
        raise SynthError("no field of these records holds numbers; there is nothing to average")
    groups = grouped(rows, by, over, names)
    inputs = [shard.account() for shard in joined.shards]
    counts = {"files": len(joined.shards), "rows": len(rows), "groups": len(groups)}
    report: dict[str, Any] = {
        "kind": "table",
        "by": by,
        "over": over,
        "names": names,
        "columns": columns,
        "pivot": options.pivot,
        "rows": [_tidy(row, [*by, *over], names) for row in rows],
        "groups": table(groups),
        "claims": [
            judged(claim, by, names, groups, floors, options.untested)
            for claim in options.claim or ()
        ],
    }
    seconds = time.monotonic() - start
    report["made_by"] = document.made_by("table", ARGUMENTS.get({}), inputs, counts, seconds)
    _write(report, options, joined.shards)
    return report


def _names(given: list[str] | None) -> list[str] | None:
    return None if given is None else [name for name in dict.fromkeys(given) if name]


def _known(option: str, wanted: list[str], names: list[str], otherwise: str) -> None:
    """Raises UsageError where a name is not among those."""
    from synthtools.errors import near

    for name in wanted:
        if name not in names:
            raise UsageError(f"{option} {name}: {otherwise}{near(name, names)}")


def _values(rows: list[Row]) -> list[str]:
    """Takes those fields of records that hold numbers alone as values; returns their names. A field of nothing
    but nulls is one too: it is how a value that no report had comes back."""
    names = dict.fromkeys(name for row in rows for name in row.others)
    kinds = {name: {type(row.others.get(name)) for row in rows} - {type(None)} for name in names}
    numbers = [name for name, types in kinds.items() if types <= {int, float, bool}]
    for row in rows:
        for name in numbers:
            value = row.others.pop(name, None)
            row.values[name] = int(value) if isinstance(value, bool) else value
    return numbers


def _fields(
    rows: list[Row], by: list[str] | None, over: list[str] | None
) -> tuple[list[str], list[str]]:
    """The fields that the table is by, and those that are repeated over, as the rows have them."""
    from synthtools.errors import near

    fields = list(dict.fromkeys(name for row in rows for name in row.fields))
    if over is None:
        over = [_REPETITION] if _REPETITION in fields and _REPETITION not in (by or ()) else []
    for flag, named in (("--by", by or []), ("--over", over)):
        for name in named:
            if name not in fields:
                raise SynthError(f"{flag} {name}: no row has this field{near(name, fields)}")
    for name in over:
        if name in (by or ()):
            raise UsageError(f"--over {name}: the table is by this field")
    return [name for name in fields if name not in over] if by is None else by, over


def _tidy(row: Row, first: list[str], names: list[str]) -> dict[str, Any]:
    """A row as a record: fields, values as they were, and what came along."""
    fields = {name: row.fields.get(name) for name in (*first, *row.fields)}
    return {**fields, **{name: row.values.get(name) for name in names}, **row.others}


def _write(report: dict[str, Any], options: Options, inputs: list[Any]) -> None:
    """Rows and Markdown, each whole or not at all."""
    from synthtools.evaluate.evaluator import SampleFile
    from synthtools.records.atomic_files import write_whole
    from synthtools.records.same_file import refuse_input_as_output
    from synthtools.reports.document import encoded
    from synthtools.reports.table import markdown

    for name in (options.markdown, options.report):
        if name is not None:
            refuse_input_as_output(inputs, name)
    if options.rows is not None:
        with SampleFile(options.rows, options.force, inputs) as file:
            file.keep(report["rows"])
    if options.markdown is not None:
        text = markdown(report)
        if options.section is None:
            write_whole(Path(options.markdown), encoded(text), options.force)
        else:
            write_whole(Path(options.markdown), options.replaced(text), True)
