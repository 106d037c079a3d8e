"""Shared options, in groups that a tool's ``Options`` inherit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from synthtools.cli import quantities
from synthtools.cli.kinds import FieldName, FileName, InputShard, Natural, PathName, Positive
from synthtools.cli.parameters import (
    Group,
    Parameter,
    operand,
    option,
    output_file,
    parameters,
    values,
)
from synthtools.environment import cores, rank_and_size
from synthtools.errors import UsageError
from synthtools.records.atomic_files import claimed
from synthtools.records.input_format import INPUT_FORMAT, InputFormat, encoding_of
from synthtools.records.shard_size import ShardSize
from synthtools.redaction import hidden

if TYPE_CHECKING:
    from synthtools.scale.ray_cluster import RayCluster

# Arguments of the running tool by option name, as in its report, without secrets.
ARGUMENTS: ContextVar[dict[str, Any]] = ContextVar("arguments")
DEBUG: ContextVar[bool] = ContextVar("debug", default=False)

_O = TypeVar("_O", bound="Group")

# Options that never change the bytes of a record.
NOT_DEFINING = frozenset(
    (
        *("output", "force", "resume", "report", "rejects", "rest", "removed"),
        *("json_output", "jobs", "debug", "quiet", "batch_tokens", "plot"),
        *("devices", "server", "answers_as", "files", "shard_size", "format"),
        *("requests", "tokens_in_flight", "timeout", "patience", "ray"),
        *("budget", "price_in", "price_out", "dry_run", "fail_if", "cache", "judge_server"),
        *("requests_per_minute", "tokens_per_minute", "batch_out", "api_key_file"),
    )
)


@dataclass(frozen=True)
class FileFormat(Group):
    """The format of inputs."""

    group = "Input"
    input_format: Literal["jsonl", "json", "csv", "tsv", "text"] | None = option(
        help="Format of input that is neither Parquet nor Arrow (default: by the suffix .csv, .tsv, "
        ".txt or .md, else jsonl, or json where it begins with [). json is one array of records; csv "
        "and tsv have a header, their values are text; text is one record a file, with its path."
    )
    encoding: str | None = option(
        metavar="NAME",
        parse=encoding_of,
        help="Encoding of text input (default: UTF-8): cp1252, utf-16, …",
    )
    split: Literal["lines", "paragraphs"] | None = option(
        help="Make each line, or each paragraph (separated by blank lines), of plain text a record."
    )

    def input_files(self) -> InputFormat:
        """The format of all inputs."""
        return InputFormat(self.input_format or "", self.encoding, self.split)


@dataclass(frozen=True)
class BadRecords(Group):
    """Handling of bad records, and messages on stderr."""

    group = "Run"
    on_error: Literal["fail", "skip"] = option(
        "fail", help="On a bad record, stop with exit code 1, or skip it and continue."
    )
    rejects: str | None = output_file(
        help="Write bad records to this file (with --on-error skip): JSONL with file, line, reason "
        "and the raw record. Without it they are reported on stderr."
    )
    quiet: bool = option(False, "-q", help="Show no progress bar and no remarks on stderr.")

    def check(self) -> None:
        super().check()
        if self.rejects and self.on_error != "skip":
            raise UsageError("--rejects needs --on-error skip")


@dataclass(frozen=True)
class Inputs(BadRecords, FileFormat):
    """Inputs of records."""

    group = "Input"
    files: list[FileName] | None = operand(
        help="Files or directories of records: JSONL, Parquet, Arrow, CSV, TSV, a JSON array, plain "
        "text, recognized by content and suffix; text also as gzip or zstd. - or no FILE reads "
        "stdin; builtin:topics is the Python documentation, builtin:sample text of people and of a "
        "model on 24 of its topics; URLs (s3://, gs://, hf://, single files "
        "by https://) need [remote]."
    )
    shard: InputShard | None = option(
        help="Read only the I-th of N contiguous groups of input files (for Slurm or GNU parallel)."
    )


@dataclass(frozen=True)
class Picture(Group):
    """The report as a figure."""

    group = "Output"
    plot: str | None = output_file(
        help="Draw the report as a PNG or SVG figure (needs [plot]); synth plot can do this later."
    )

    def check(self) -> None:
        super().check()
        if self.plot is not None:
            from synthtools.cli.publish import check_plot

            check_plot(self.plot)


@dataclass(frozen=True)
class TextField(FileFormat):
    """The field with the text."""

    group = "Input"
    text_field: FieldName = option(
        "text",
        help="The field that holds the text. Every option that names a field also takes a path: "
        "meta.source, messages[-1].content, messages[role=user].content.",
    )


@dataclass(frozen=True)
class ReportFile(Group):
    """The file of a report."""

    group = "Output"
    report: str | None = output_file(
        help="Write a JSON report of the run to this file: results, arguments, inputs, versions."
    )


@dataclass(frozen=True)
class Json(Group):
    """The format of a report on stdout."""

    group = "Output"
    json_output: bool = option(False, "--json", help="Print the report as JSON even at a terminal.")

    def check(self) -> None:
        super().check()
        if self.json_output and not self.prints_report():
            raise UsageError("--json belongs to reports; records are JSON already")


@dataclass(frozen=True)
class Report(ReportFile, Json):
    """The report of a tool that writes no records."""


@dataclass(frozen=True)
class Output(ReportFile):
    """The output of records."""

    group = "Output"
    output: PathName | None = option(
        None,
        "-o",
        help="Write to this path instead of stdout. The suffix sets the format: .jsonl, .parquet, "
        ".arrow, .csv, .tsv (nested values are JSON in them); of text also .gz and .zst. A directory "
        "(DIR/) gets shards part-00000.…; either may be a URL.",
    )
    format: str | None = option(
        metavar="jsonl|jsonl.gz|jsonl.zst|parquet|arrow|csv|tsv",
        help="Format if the output has no suffix (default: jsonl on stdout, that of the first "
        "input in a directory).",
    )
    nan: Literal["keep", "null", "fail"] = option(
        "null",
        help="How JSONL output represents NaN and infinities of Parquet and Arrow, which JSON "
        "lacks: unchanged (most readers refuse them), as null (with a warning), or as a bad "
        "record.",
    )
    force: bool = option(False, help="Overwrite existing output.")
    resume: bool = option(
        False,
        help="Continue an unfinished run of the same arguments and inputs in its directory; "
        "finished shards are kept.",
    )
    shard_size: ShardSize = option(
        ShardSize(32_000_000, "bytes"),
        metavar="SIZE",
        parse=quantities.shard_size,
        help="Size of each shard in a directory: bytes of input (512MB) or records (100K). A "
        "killed run loses at most one shard of work.",
    )

    def prints_report(self) -> bool:
        return False

    def takes_output(self) -> bool:
        """Whether the tool writes records."""
        return not self.prints_report()

    def check(self) -> None:
        super().check()
        if not self.takes_output() and (self.output or self.format or self.resume):
            raise UsageError(
                "a report goes to stdout (--report FILE keeps it); -o, --format and --resume are for "
                "records"
            )


@dataclass(frozen=True)
class Seed(Group):
    """The random seed."""

    group = "Run"
    seed: Natural = option(
        0,
        help="Random seed. A draw depends on the seed, the record (its id, else its text) and the "
        "position, not on file layout, batches or devices.",
    )


@dataclass(frozen=True)
class Jobs(Group):
    """Cores of this machine."""

    group = "Run"
    ray: ClassVar[str | None] = None
    jobs: Positive | None = option(None, "-j", help="CPU cores to use (default: all).")

    def workers(self) -> int:
        """Number of cores to use."""
        return self.jobs or cores()

    def cluster(self) -> RayCluster | None:
        """The Ray cluster for the work, None for this machine."""
        if self.ray is None:
            return None
        from synthtools.scale.ray_cluster import connect

        return connect(self.ray, self.jobs)


@dataclass(frozen=True)
class Workers(Jobs):
    """Cores of this machine, or a cluster."""

    ray: str | None = option(  # type: ignore[misc]
        metavar="ADDRESS",
        help="Run on a Ray cluster (needs [ray]): HOST:PORT, auto for the cluster of this machine, "
        "local to start one here. All nodes must see inputs and models. Does not change results.",
    )


def checked(kind: type[_O], given: Mapping[str, Any], called: Callable[[Parameter], str]) -> _O:
    """A tool's options from the given values, which the run's report shows as given.

    Args:
        called: returns the user's name of a parameter, for errors.

    Raises:
        UsageError: a value is invalid, or options contradict each other.
    """
    given_values = values(parameters(kind), given, called)
    ARGUMENTS.set(
        hidden({name: _shown(value, given[name]) for name, value in given_values.items()})
    )
    options = kind(**given_values)
    form = options.input_files() if isinstance(options, FileFormat) else InputFormat()
    INPUT_FORMAT.set(form)
    options.check()
    return options


def claim_outputs(
    kind: type[Group], given: Mapping[str, Any], called: Callable[[Parameter], str]
) -> AbstractContextManager[None]:
    """Claims the files that a tool writes beside its output (see ``claimed``); only on the first rank under
    torchrun, which writes for all."""
    if rank_and_size()[0] > 0:
        return nullcontext()
    named = {one: str(given.get(one.name) or "-") for one in parameters(kind)}
    beside = [(called(one), name) for one, name in named.items() if one.option.writes]
    output = [name for one, name in named.items() if one.name == "output"]
    return claimed([place for place in beside if place[1] != "-"], *output)


def _shown(value: Any, given: Any) -> Any:
    """A value for a report: as given if it has no JSON form; the content of ``@FILE``; the attribute
    ``shown`` of values that have one."""
    if isinstance(value, quantities.NamedContent):
        return value.shown
    plain = (str, int, float, bool, type(None))
    items = value if isinstance(value, list) else [value]
    if all(type(item) in plain for item in items):
        return value
    if any(hasattr(item, "shown") for item in items):
        return [getattr(item, "shown", item) for item in items]
    if isinstance(given, str) and given.startswith("@"):
        return str(value)
    return [str(item) for item in given] if isinstance(given, (list, tuple)) else str(given)
