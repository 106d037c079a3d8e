"""Numbers out of reports and records as rows, joined where they are of one run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from synthtools.cli.file_patterns import MOST, found_by, is_pattern
from synthtools.errors import SynthError, UsageError
from synthtools.measure import value_paths
from synthtools.measure.repetitions import Row, label
from synthtools.measure.similar_names import near
from synthtools.records import natural
from synthtools.records.batch import MISSING
from synthtools.records.field_paths import Absent, Step, parse, value_of
from synthtools.records.inputs import Shard, find_shards, open_shard, rereadable
from synthtools.records.jsonl import parse_object, parse_value, parse_values
from synthtools.records.reading import read
from synthtools.records.rejects import Rejects
from synthtools.reports import document

# Rows of records in one call [ours].
_MOST_ROWS = 1_000_000
# Paths of one report that an error looks through for near ones.
_MOST_PATHS = 20_000


@dataclass
class Takes:
    """What is taken out of each report.

    Attributes:
        paths: by name, as given.
        steps: the paths parsed.
        files: names of values that are taken out of certain files alone → what these are called, as a
            shell's pattern of the whole path.
    """

    paths: dict[str, str]
    steps: dict[str, tuple[Step, ...]]
    files: dict[str, str] = field(default_factory=dict)
    met: set[str] = field(default_factory=set)
    known: dict[str, None] = field(default_factory=dict)

    def of(self, report: dict[str, Any], name: str, file: str) -> dict[str, int | float | None]:
        """The values that a report has.

        Args:
            name: of the report, for errors; file: where it stands.

        Raises:
            SynthError: a path leads to something that is no number.
        """
        found = {}
        for taken, steps in self.steps.items():
            if not fnmatchcase(file, self.files.get(taken, "*")):
                continue
            try:
                found[taken] = value_paths.pick(report, steps)
                self.met.add(taken)
            except Absent:
                pass
            except ValueError as error:
                told = f"--take {taken}={self.paths[taken]}"
                raise SynthError(f"{name}: {told} leads to {error}") from error
        return found

    def learn(self, report: dict[str, Any]) -> None:
        """Keeps the paths of a report, for errors."""
        self.known.update(dict.fromkeys(value_paths.known(report, _MOST_PATHS)))

    def check(self) -> None:
        """Raises SynthError where a path was in no report."""
        for taken, path in self.paths.items():
            if taken not in self.met:
                bare = path.removesuffix(f"@{self.files.get(taken)}")
                raise SynthError(
                    f"--take {taken}={path}: no report has this path{near(bare, list(self.known))}"
                )


def takes(given: list[str]) -> Takes:
    """``--take NAME=PATH`` and ``--take NAME=PATH@FILE``, as often as given.

    Raises:
        UsageError
    """
    found = Takes({}, {})
    for text in given:
        name, equals, path = text.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise UsageError(
                f"--take {text}: write NAME=PATH, the name of letters, digits and _ alone"
            )
        if name in found.paths:
            raise UsageError(f"--take {text}: {name} is taken already")
        found.paths[name] = path.strip()
        bare, at, file = found.paths[name].rpartition("@")
        if at and not set(file) & set('"[]'):  # else it is a part of a name in quotes
            found.files[name] = file
        else:
            bare = found.paths[name]
        found.steps[name] = parse(bare)
    return found


@dataclass
class Rows:
    """Rows by what tells them apart.

    Attributes:
        by, over: the fields that tell rows of records apart where nothing is taken out of them.
        shards: all that was read.
    """

    takes: Takes
    by: list[str] | None
    over: list[str]
    shards: list[Shard] = field(default_factory=list)
    _rows: dict[tuple[Any, ...], Row] = field(default_factory=dict)
    _places: dict[tuple[Any, ...], dict[str, str]] = field(default_factory=dict)

    @property
    def found(self) -> list[Row]:
        return list(self._rows.values())

    def read(self, paths: list[str]) -> None:
        """Reads all that is named.

        Raises:
            UsageError: nothing is named, or nothing to be taken out of reports.
            SynthError: something cannot be read, or two rows contradict each other.
        """
        if not paths:
            raise UsageError(
                "name reports: synth table 'runs/{share}-{seed}.json' --take NAME=PATH"
            )
        if paths.count("-") > 1:
            raise UsageError("stdin (-) can be read only once")
        for path in paths:
            if is_pattern(path):
                self._pattern(path)
            else:
                self._plain(path)
        self.takes.check()
        if not self._rows:
            raise SynthError(f"{', '.join(paths)}: holds no records")

    def _pattern(self, pattern: str) -> None:
        seen: dict[tuple[Any, ...], str] = {}
        for number, match in enumerate(found_by(pattern)):
            self._more(find_shards([match.path]))
            self._report(document.load(match.path), match.fields, match.path, seen, not number)

    def _more(self, shards: list[Shard]) -> None:
        self.shards += shards
        if len(self.shards) > MOST:
            raise SynthError(f"more than {MOST:,} files; take fewer at once")

    def _plain(self, path: str) -> None:
        shards = find_shards([path])
        self._more(shards)
        seen: dict[tuple[Any, ...], str] = {}
        if len(shards) > 1:
            self._records(read(shards, Rejects()), seen)
            return
        with rereadable(shards[0]) as shard:
            report = _as_report(shard)
            if report is None:
                self._records(read([shard], Rejects()), seen)
            else:
                self._report(report, {}, shard.name, seen, True)

    def _report(
        self,
        report: dict[str, Any],
        fields: dict[str, Any],
        name: str,
        seen: dict[tuple[Any, ...], str],
        first: bool,
    ) -> None:
        if not self.takes.paths:
            raise UsageError(f"{name} is a report: --take NAME=PATH names what to take out of it")
        both = [one for one in fields if one in self.takes.paths]
        if both:
            raise UsageError(f"--take {both[0]}: is a name of the pattern too; take another")
        if first:
            self.takes.learn(report)
        self._join(Row(fields, self.takes.of(report, name, name)), name, seen)

    def _records(self, batches: Iterator[Any], seen: dict[tuple[Any, ...], str]) -> None:
        roots = {steps[0] for steps in self.takes.steps.values()}
        for batch in batches:
            lines = parse_values(batch.json_lines())
            for number, record in zip(batch.numbers.tolist(), lines, strict=True):
                name = f"{batch.source}:{number}"
                if self.takes.paths:
                    if not self._rows:
                        self.takes.learn(record)
                    fields = {
                        key: value
                        for key, value in record.items()
                        if key not in roots and not isinstance(value, dict | list)
                    }
                    both = [one for one in fields if one in self.takes.paths]
                    if both:
                        raise UsageError(
                            f"--take {both[0]}: is a field of the records too; take another name"
                        )
                    row = Row(fields, self.takes.of(record, name, batch.source))
                else:
                    row = self._as_it_is(record, name)
                self._join(row, name, seen)

    def _as_it_is(self, record: dict[str, Any], name: str) -> Row:
        if self.by is None:
            raise UsageError(
                f"{name}: --by says which of its fields name the rows of the table: "
                f"{', '.join(list(record)[:20])}"
            )
        named = {key: value_of(record, key, MISSING) for key in (*self.by, *self.over)}
        apart = {key: value for key, value in named.items() if value is not MISSING}
        for key, value in apart.items():
            if isinstance(value, dict | list):
                raise SynthError(f"{name}: {key} is no text or number; tables are by such fields")
        rest = {key: value for key, value in record.items() if key not in apart}
        return Row(apart, others=rest)

    def _join(self, row: Row, name: str, seen: dict[tuple[Any, ...], str]) -> None:
        """Puts a row beside those that are there, or into the one of the same fields.

        Args:
            seen: rows of the same argument, whose fields must differ.
        """
        key = tuple(sorted((one, natural.key(value)) for one, value in row.fields.items()))
        if key in seen:
            lacking = [one for one in self.by or () if one not in row.fields]
            fields = list({**row.fields, **row.others})
            told = f"; there is no field {lacking[0]}{near(lacking[0], fields)}" if lacking else ""
            raise SynthError(
                f"{seen[key]} and {name}: both are {label(row.fields)}{told}; what parts them belongs "
                "into --by or --over"
            )
        seen[key] = name
        there = self._rows.setdefault(key, Row(row.fields))
        places = self._places.setdefault(key, {})
        if len(self._rows) > _MOST_ROWS:
            raise SynthError(f"more than {_MOST_ROWS:,} rows; take fewer at once")
        for kept, new in ((there.values, row.values), (there.others, row.others)):
            for one, value in new.items():
                if kept.get(one) is None or value is None:
                    kept.setdefault(one, value)
                    if value is not None:
                        kept[one] = value
                        places[one] = name
                elif kept[one] != value:
                    raise SynthError(
                        f"{one} of {label(row.fields)} is {kept[one]} in {places[one]} and {value} "
                        f"in {name}; take them under two names (--take NAME=PATH@FILE), or a name "
                        "of the pattern must part them ({set})"
                    )


def _as_report(shard: Shard) -> dict[str, Any] | None:
    """A file that is one report; None for records.

    Raises:
        SynthError: it is one JSON object that is neither, or cannot be read.
    """
    with open_shard(shard) as (kind, file, _):
        if kind != "jsonl":
            return None
        try:
            line = file.readline(document.LARGEST)
            found = parse_object(line)
        except ValueError:
            # An object over several lines, if it is one.
            data = line + file.read(document.LARGEST - len(line))
            try:
                whole = parse_value(data)
            except ValueError:
                return None
            return document.of(data, shard.name) if isinstance(whole, dict) else None
        except OSError as error:
            raise SynthError(f"{shard.name}: cannot be read: {error.strerror or error}") from error
        alone = not file.readline(document.LARGEST).strip()
        return found if alone and {"kind", "made_by"} <= found.keys() else None
