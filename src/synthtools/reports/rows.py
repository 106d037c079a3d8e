"""Numbers from reports and records as rows, joined if they belong to the same run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from synthtools.errors import SynthError, UsageError, near
from synthtools.measure.repetitions import Row, label
from synthtools.records import natural_order
from synthtools.records.batch import MISSING
from synthtools.records.field_paths import AbsentError, Step, number_at, numbers_in, parse, value_of
from synthtools.records.file_patterns import MOST, is_pattern, matching
from synthtools.records.input_format import InputFormat
from synthtools.records.inputs import Shard, find_shards
from synthtools.records.jsonl import parse_object, parse_value, parse_values
from synthtools.records.memory_input import MemoryRecords
from synthtools.records.reader import read
from synthtools.records.rejects import Rejects
from synthtools.records.shard_file import open_shard, rereadable
from synthtools.records.whole_file import LARGEST
from synthtools.reports import document

# Rows of records in one call [ours].
_MOST_ROWS = 1_000_000
# Paths of one report searched for similar ones in errors.
_MOST_PATHS = 20_000

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Take:
    """A number to take from each report.

    Attributes:
        text: as given: NAME=PATH or NAME=PATH@FILE.
        file: a shell pattern for the whole path of the files.
    """

    text: str
    name: str
    path: str
    steps: tuple[Step, ...]
    file: str

    @classmethod
    def of(cls, text: str) -> Take:
        """Raises ValueError: it is not NAME=PATH."""
        name, equals, path = (part.strip() for part in text.partition("="))
        if not equals or not name.isidentifier():
            raise ValueError("write NAME=PATH, the name of letters, digits and _ alone")
        bare, at, file = path.rpartition("@")
        if not at or set(file) & set('"[]'):  # a part of a name in quotes
            bare, file = path, "*"
        return cls(f"{name}={path}", name, bare, parse(bare), file)


@dataclass
class JoinedRows:
    """Rows by their identifying fields.

    Attributes:
        by, over: the fields that identify rows of records, if nothing is taken from these.
        shards: all inputs read.
    """

    takes: Sequence[Take]
    by: list[str] | None
    over: list[str]
    shards: list[Shard] = field(default_factory=list)
    _rows: dict[Key, Row] = field(default_factory=dict)
    # Where each value came from, by row.
    _places: dict[Key, dict[str, str]] = field(default_factory=dict)
    _met: set[Take] = field(default_factory=set)
    _known: dict[str, None] = field(default_factory=dict)

    def read(self, paths: Sequence[Any]) -> list[Row]:
        """The rows of all inputs.

        Args:
            paths: files, directories, patterns, and records of the calling program.

        Raises:
            UsageError: there are reports, but nothing to take from them.
            SynthError: an input cannot be read, two rows contradict each other, or no report has a path.
        """
        for path in paths:
            seen: dict[Key, str] = {}
            if not isinstance(path, str) or not is_pattern(path):
                self._plain(path, seen)
                continue
            for match in matching(path):
                self._add(find_shards([match.path]))
                report = document.load_result(match.path)[0]
                self._report(report, match.fields, match.path, seen)
        for take in self.takes:
            if take not in self._met:
                hint = near(take.path, list(self._known))
                raise SynthError(f"take {take.text}: no report has this path{hint}")
        if not self._rows:
            raise SynthError(f"{', '.join(map(str, paths))}: no records")
        return list(self._rows.values())

    def _add(self, shards: list[Shard]) -> None:
        self.shards += shards
        if len(self.shards) > MOST:
            raise SynthError(f"more than {MOST:,} files; take fewer at once")

    def _plain(self, path: Any, seen: dict[Key, str]) -> None:
        shards = find_shards([path])
        self._add(shards)
        if len(shards) > 1:
            if _as_report(shards[0]) is not None:
                raise UsageError(
                    f"{path}: holds reports; name them by a pattern, '{Path(path) / '{name}.json'}'"
                )
            self._records(read(shards, Rejects()), seen)
            return
        with rereadable(shards[0]) as shard:
            suites = any(take.steps[0] == "suites" for take in self.takes)
            foreign = document.foreign(str(shard.path)) if suites and shard.path else None
            report = foreign or _as_report(shard)
            if report is None:
                self._records(read([shard], Rejects()), seen)
            else:
                self._report(report, {}, shard.name, seen)

    def _report(
        self, report: dict[str, Any], fields: dict[str, Any], name: str, seen: dict[Key, str]
    ) -> None:
        if not self.takes:
            raise UsageError(f"{name} is a report: say what to take from it, NAME=PATH")
        self._join(self._taken(report, fields, name, name, not seen), name, seen)

    def _records(self, batches: Iterator[Any], seen: dict[Key, str]) -> None:
        roots = {take.steps[0] for take in self.takes}
        for batch in batches:
            lines = parse_values(batch.json_lines())
            for number, record in zip(batch.numbers.tolist(), lines, strict=True):
                name = f"{batch.source}:{number}"
                if self.takes:
                    fields = {
                        key: value
                        for key, value in record.items()
                        if key not in roots and not isinstance(value, dict | list)
                    }
                    first = not self._rows
                    row = self._taken(record, fields, name, batch.source, first)
                else:
                    row = self._as_it_is(record, name)
                self._join(row, name, seen)

    def _taken(
        self, report: dict[str, Any], fields: dict[str, Any], name: str, file: str, first: bool
    ) -> Row:
        """The row of a report or record; ``first``: keep its paths, for errors."""
        if first:
            self._known.update(dict.fromkeys(numbers_in(report, _MOST_PATHS)))
        row = Row(fields)
        for take in self.takes:
            if take.name in fields:
                raise UsageError(
                    f"take {take.name}: is a field of {name} or a name of its pattern too; take "
                    "another name"
                )
            if fnmatchcase(file, take.file):
                try:
                    row.values[take.name] = number_at(report, take.steps)
                except AbsentError:
                    continue
                except ValueError as error:
                    raise SynthError(f"{name}: take {take.text} leads to {error}") from error
                self._met.add(take)
        return row

    def _as_it_is(self, record: dict[str, Any], name: str) -> Row:
        if self.by is None:
            fields = ", ".join(list(record)[:20])
            raise UsageError(f"{name}: say by which of its fields the table is: {fields}")
        named = {key: value_of(record, key, MISSING) for key in (*self.by, *self.over)}
        apart = {key: value for key, value in named.items() if value is not MISSING}
        for key, value in apart.items():
            if isinstance(value, dict | list):
                raise SynthError(
                    f"{name}: {key} is a list or an object; tables group by texts and numbers"
                )
        return Row(apart, others={k: value for k, value in record.items() if k not in apart})

    def _join(self, row: Row, name: str, seen: dict[Key, str]) -> None:
        """Adds a row, or merges it into the one with the same fields; ``seen``: rows from the same argument, whose
        fields must differ."""
        key = tuple(sorted((one, natural_order.key(value)) for one, value in row.fields.items()))
        if key in seen:
            lacking = [one for one in self.by or () if one not in row.fields]
            fields = list({**row.fields, **row.others})
            hint = f"; there is no field {lacking[0]}{near(lacking[0], fields)}" if lacking else ""
            raise SynthError(
                f"{seen[key]} and {name}: both are {label(row.fields)}{hint}; group by, or "
                "repeat over, a field that distinguishes them"
            )
        seen[key] = name
        joined = self._rows.setdefault(key, Row(row.fields))
        places = self._places.setdefault(key, {})
        if len(self._rows) > _MOST_ROWS:
            raise SynthError(f"more than {_MOST_ROWS:,} rows; take fewer at once")
        for kept, new in ((joined.values, row.values), (joined.others, row.others)):
            for one, value in new.items():
                if kept.get(one) is None:
                    kept[one], places[one] = value, name
                elif value is not None and kept[one] != value:
                    raise SynthError(
                        f"{one} of {label(row.fields)} is {kept[one]} in {places[one]} and {value} "
                        f"in {name}; take them under two names (NAME=PATH@FILE), or "
                        "distinguish them by a name in the pattern ({set})"
                    )


@contextmanager
def with_rows_of_tables(paths: Sequence[Any] | None) -> Iterator[list[Shard]]:
    """The shards of paths; a report of ``synth table`` gives its rows. Raises SynthError: one is another
    report."""
    with ExitStack() as stack:
        shards = [stack.enter_context(rereadable(shard)) for shard in find_shards(paths)]
        for place, shard in enumerate(shards):
            report = _as_report(shard)
            if report is None:
                continue
            if report["kind"] != "table":
                raise SynthError(
                    f"{shard.name}: a report of {report['kind']}, not rows; synth table "
                    f"takes numbers from reports as rows"
                )
            rows = MemoryRecords(report["rows"], shard.name)
            shards[place] = replace(shard, records=rows, status=None, format=InputFormat("jsonl"))
        yield shards


def _as_report(shard: Shard) -> dict[str, Any] | None:
    """A file that is a single report; None for records. Raises SynthError: it is a JSON object that is neither, or
    cannot be read."""
    with open_shard(shard) as (kind, file, _):
        if kind != "jsonl":
            return None
        try:
            line = file.readline(LARGEST)
            first = parse_object(line)
        except ValueError:
            # It may be an object over several lines.
            data = line + file.read(LARGEST - len(line))
            try:
                whole = parse_value(data)
            except ValueError:
                return None
            return document.result_of(data, shard.name)[0] if isinstance(whole, dict) else None
        except OSError as error:
            raise SynthError(f"{shard.name}: cannot be read: {error.strerror or error}") from error
        alone = not file.readline(LARGEST).strip()
        return first if alone and {"kind", "made_by"} <= first.keys() else None
