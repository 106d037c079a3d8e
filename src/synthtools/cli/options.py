"""The options that tools share, in groups that a tool's ``Options`` inherit."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from synthtools.cli.parameters import operand, option
from synthtools.errors import UsageError
from synthtools.machine import cores

if TYPE_CHECKING:
    from synthtools.scale.cluster import Cluster

# Arguments of the running tool by option name; what a report says it was made with,
# without secrets.
ARGUMENTS: ContextVar[dict[str, Any]] = ContextVar("arguments")
DEBUG: ContextVar[bool] = ContextVar("debug", default=False)

# Options that change where, when or how fast, but never which bytes a record becomes.
NOT_DEFINING = frozenset(
    (
        *("output", "force", "resume", "report", "rejects", "rest"),
        *("json_output", "jobs", "debug", "quiet", "batch_tokens", "plot"),
        *("devices", "server", "files", "shard_size", "format"),
        *("requests", "tokens_in_flight", "timeout", "patience", "ray"),
    )
)


class Group:
    """A group of options: ``group`` is its heading in help, ``check`` refuses what cannot be."""

    group: ClassVar[str]

    def check(self) -> None:
        """Raises UsageError where options do not go together."""


@dataclass(frozen=True)
class BadRecords(Group):
    """What happens to bad records, and what is told meanwhile."""

    group = "Run"
    on_error: Annotated[
        Literal["fail", "skip"],
        option(
            "--on-error",
            help="At a bad record: stop with exit 1, or set it aside and go on.",
        ),
    ] = "fail"
    rejects: Annotated[
        str | None,
        option(
            "--rejects",
            metavar="FILE",
            help="Where bad records go with --on-error skip: JSONL with file, line, reason and the "
            "raw record. Without it they are told on stderr.",
        ),
    ] = None
    quiet: Annotated[
        bool, option("--quiet", "-q", help="No progress bar and no remarks on stderr.")
    ] = False

    def check(self) -> None:
        super().check()
        if self.rejects and self.on_error != "skip":
            raise UsageError("--rejects needs --on-error skip")


@dataclass(frozen=True)
class Inputs(BadRecords):
    """Where records come from and what happens to bad ones."""

    group = "Input"
    files: Annotated[
        list[str] | None,
        operand(
            metavar="FILE",
            help="Files or directories of records: JSONL (plain, gzip, zstd), Parquet, Arrow, "
            "known by their content. - or nothing is stdin; builtin:topics is the documentation of "
            "Python; URLs (s3://, gs://, hf://) need [remote].",
        ),
    ] = None
    shard: Annotated[
        str | None,
        option(
            "--shard",
            metavar="I/N",
            help="Take only the I-th of N runs of neighbouring input files (for Slurm or GNU "
            "parallel).",
        ),
    ] = None


@dataclass(frozen=True)
class Picture(Group):
    """The report of a tool that writes records, as a picture."""

    group = "Output"
    plot: Annotated[
        str | None,
        option(
            "--plot",
            metavar="FILE",
            help="Draw the report as PNG or SVG (needs [plot]); synth plot draws it later.",
        ),
    ] = None

    def check(self) -> None:
        super().check()
        if self.plot is not None:
            from synthtools.cli.pictures import check_name

            check_name(self.plot)


@dataclass(frozen=True)
class TextField(Group):
    """Which field holds the text."""

    group = "Input"
    text_field: Annotated[
        str,
        option(
            "--text-field",
            metavar="FIELD",
            help="The field that holds the text. Where fields are named, paths lead into what they "
            "hold: meta.source, messages[-1].content, messages[role=user].content.",
        ),
    ] = "text"


@dataclass(frozen=True)
class Output(Group):
    """Where records go."""

    group = "Output"
    output: Annotated[
        str | None,
        option(
            "--output",
            "-o",
            metavar="PATH",
            help="Write here instead of stdout. The suffix decides the format: .jsonl, .jsonl.gz, "
            ".jsonl.zst, .parquet, .arrow. A directory (DIR/) gets shards part-00000.…; either may "
            "be a URL.",
        ),
    ] = None
    format: Annotated[
        str | None,
        option(
            "--format",
            metavar="jsonl|jsonl.gz|jsonl.zst|parquet|arrow",
            help="Format where no suffix tells. On stdout the default is jsonl, in a directory that "
            "of the first input.",
        ),
    ] = None
    force: Annotated[bool, option("--force", help="Replace an output that is there.")] = False
    resume: Annotated[
        bool,
        option(
            "--resume",
            help="Go on with a directory that an earlier run of the same arguments and inputs did "
            "not finish; finished shards are kept.",
        ),
    ] = False
    shard_size: Annotated[
        str,
        option(
            "--shard-size",
            metavar="SIZE",
            help="Size of the shards of a directory: bytes of input (512MB) or records (100K). "
            "A killed run loses at most one shard of work.",
        ),
    ] = "32MB"
    report: Annotated[
        str | None,
        option(
            "--report",
            metavar="FILE",
            help="Write a JSON report of the run: what was done, to what, with what.",
        ),
    ] = None


@dataclass(frozen=True)
class Seed(Group):
    """Randomness."""

    group = "Run"
    seed: Annotated[
        int,
        option(
            "--seed",
            metavar="N",
            min=0,
            help="Seed of every draw. A draw depends on the seed, the record (its id, else its text) "
            "and the position, not on file layout, batches or devices.",
        ),
    ] = 0


@dataclass(frozen=True)
class Jobs(Group):
    """Use of this machine."""

    group = "Run"
    ray: ClassVar[str | None] = None
    jobs: Annotated[
        int | None,
        option("--jobs", "-j", metavar="N", min=1, help="CPU cores to use (default: all)."),
    ] = None

    def workers(self) -> int:
        """How many cores to use."""
        return self.jobs or cores()

    def cluster(self) -> Cluster | None:
        """The Ray cluster that the work goes to, None for this machine's cores."""
        if self.ray is None:
            return None
        from synthtools.scale.cluster import connect

        return connect(self.ray, self.jobs)


@dataclass(frozen=True)
class Workers(Jobs):
    """Use of this machine, or of a cluster."""

    ray: Annotated[  # type: ignore[misc]
        str | None,
        option(
            "--ray",
            metavar="ADDRESS",
            help="Do the work on a Ray cluster (needs [ray]): HOST:PORT, auto for the one that this "
            "machine belongs to, local to start one here. Inputs and models lie where all nodes "
            "see them. Changes no result.",
        ),
    ] = None
