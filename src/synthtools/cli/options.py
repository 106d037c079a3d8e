"""The options that tools share, and how a command takes them.

A command is a function whose parameters are plain options or dataclasses of options from here:

    def ppl(reading: Reading, writing: Writing, stride: Annotated[int, typer.Option(...)] = 0): ...

``command`` spreads the dataclasses into single options for Typer and gathers them again for the
call, so that each option is written down, named and explained in one place.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from synthtools.machine import cores
from synthtools.redaction import hidden

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


def option(*names: str, help: str, metavar: str | None = None, **more: Any) -> Any:  # noqa: A002 (Typer's word)
    """A Typer option."""
    return typer.Option(*names, help=help, metavar=metavar, **more)


@dataclass(frozen=True)
class BadRecords:
    """What happens to bad records, and what is told meanwhile."""

    on_error: Annotated[
        str,
        option(
            "--on-error",
            metavar="fail|skip",
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


@dataclass(frozen=True)
class Reading(BadRecords):
    """Where records come from and what happens to bad ones."""

    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help="Files or directories of records: JSONL (plain, gzip, zstd), Parquet, Arrow, "
            "known by their content. - or nothing is stdin; builtin:topics is the documentation of "
            "Python; URLs (s3://, gs://, hf://) need [remote].",
            show_default=False,
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
class Plotting:
    """The report of a tool that writes records, as a picture."""

    plot: Annotated[
        str | None,
        option(
            "--plot",
            metavar="FILE",
            help="Draw the report as PNG or SVG (needs [plot]); synth plot draws it later.",
        ),
    ] = None


@dataclass(frozen=True)
class Text:
    """Which field holds the text."""

    text_field: Annotated[
        str, option("--text-field", metavar="FIELD", help="The field that holds the text.")
    ] = "text"


@dataclass(frozen=True)
class Writing:
    """Where records go."""

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
class Seed:
    """Randomness."""

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
class Jobs:
    """Use of this machine."""

    ray: ClassVar[str | None] = None
    jobs: Annotated[
        int | None,
        option("--jobs", "-j", metavar="N", min=1, help="CPU cores to use (default: all)."),
    ] = None

    def count(self) -> int:
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


def command(function: Callable[..., None]) -> Callable[..., None]:
    """The function with its option dataclasses spread into single parameters, for Typer."""
    hints = typing.get_type_hints(function, include_extras=True)
    groups: dict[str, tuple[type, list[str]]] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        kind = hints[name]
        if not dataclasses.is_dataclass(kind):
            parameters.append(parameter.replace(annotation=kind))
            continue
        fields = typing.get_type_hints(kind, include_extras=True)
        groups[name] = (kind, [field.name for field in dataclasses.fields(kind)])  # type: ignore[arg-type]
        for field in dataclasses.fields(kind):
            parameters.append(
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=field.default,
                    annotation=fields[field.name],
                )
            )
    parameters.append(
        inspect.Parameter(
            "debug",
            inspect.Parameter.KEYWORD_ONLY,
            default=False,
            annotation=Annotated[bool, option("--debug", help="Show the traceback of an error.")],
        )
    )

    @functools.wraps(function)
    def spread(**values: Any) -> None:
        DEBUG.set(values.pop("debug"))
        ARGUMENTS.set(hidden(values))
        gathered: dict[str, Any] = {}
        for name, (kind, fields) in groups.items():
            gathered[name] = kind(**{field: values.pop(field) for field in fields})
        function(**gathered, **values)

    spread.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    )
    spread.__annotations__ = {p.name: p.annotation for p in parameters}
    return spread
