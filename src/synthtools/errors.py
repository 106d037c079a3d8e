"""Errors that are reported to the user, each in one line: the place, what is wrong, the remedy.

SynthError            exit 1
├── RecordError       one record is bad; ``--on-error skip`` can pass over it
├── OutputExistsError an output stands in the way
├── OutputInUseError  another run writes the output
├── PartialReportError the run ended early; its report holds what came before
└── UsageError        exit 2: the command line asks for something that cannot be
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

# What a terminal obeys instead of showing it (escape sequences begin so), and what turns the
# direction of writing: names, fields and texts may hold them.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """A text in one line, safe for a terminal whatever it holds: ``\\x1b`` for an escape."""
    return _OBEYED.sub(_escaped, " ".join(text.splitlines()))


def _escaped(match: re.Match[str]) -> str:
    return " " if match[0] == "\t" else match[0].encode("unicode_escape").decode("ascii")


# Set where a program calls the tools: it has given keywords, not options.
KEYWORDS: ContextVar[bool] = ContextVar("keywords", default=False)


def parameter(name: str, value: object = None) -> str:
    """A parameter as the user calls it: ``--top-p 2`` on a command line, ``top_p 2`` in Python.

    What is below the tools speaks of its parameters; those that a user sets are called the same there.
    """
    called = name if KEYWORDS.get() else f"--{name.replace('_', '-')}"
    return called if value is None else f"{called} {value}"


_MOST_NAMES = 5  # in a hint


def near(name: str, names: Sequence[str]) -> str:
    """An end of a message: names that look like one that is not there, else the first that are."""
    from difflib import get_close_matches

    close = get_close_matches(name, names, _MOST_NAMES, 0.5)
    if close:
        return f"; near it: {', '.join(close)}"
    if not names:
        return "; there is none"
    more = " …" if len(names) > _MOST_NAMES else ""
    return f" (there are: {', '.join(names[:_MOST_NAMES])}{more})"


class SynthError(Exception):
    """A failure reported in one line: where it happened, what is wrong, what to do."""

    exit_code = 1


class UsageError(SynthError):
    """The options contradict each other or cannot be understood."""

    exit_code = 2


class OutputExistsError(SynthError):
    """The output is already there and neither ``--force`` nor ``--resume`` was given."""


class OutputInUseError(SynthError):
    """Another process writes the output just now; ``--force`` does not help against it."""


class PartialReportError(SynthError):
    """The run ended early.

    Args:
        report: what came before the end.
    """

    def __init__(self, message: str, report: dict[str, Any]) -> None:
        super().__init__(message)
        self.report = report


class RecordError(SynthError):
    """One record cannot be used.

    Args:
        source: name of the file (or ``<stdin>``) as the user gave it.
        number: line of the record in a JSONL file, row in a Parquet or Arrow file, from 1.
        reason: what is wrong, with the remedy where there is one.
        raw: the record as it was read, for the rejects file.
        kind: what reasons of its kind are counted as, where each tells of something else; else the reason.
    """

    def __init__(
        self, source: str, number: int, reason: str, raw: bytes = b"", kind: str | None = None
    ) -> None:
        super().__init__(f"{source}:{number}: {reason}")
        self.source = source
        self.number = number
        self.reason = reason
        self.raw = raw
        self.kind = kind or reason

    def after(self, lines: int) -> RecordError:
        """The error of a record that so many lines more stand before."""
        if not lines:
            return self
        return type(self)(self.source, self.number + lines, self.reason, self.raw, self.kind)

    def __reduce__(self) -> tuple[type[RecordError], tuple[str, int, str, bytes, str]]:
        # Errors travel between processes.
        return type(self), (self.source, self.number, self.reason, self.raw, self.kind)


class TextError(SynthError):
    """Of the texts that were given together, some cannot be used.

    Attributes:
        faults: why, by their places among those texts.
    """

    def __init__(self, faults: dict[int, str]) -> None:
        super().__init__(next(iter(faults.values())))
        self.faults = faults

    def __reduce__(self) -> tuple[type[TextError], tuple[dict[int, str]]]:
        return type(self), (self.faults,)


class OutputClosed(Exception):  # noqa: N818 (not an error)
    """The reader of our stdout is gone: the tool ends silently, with exit code 0."""
