"""Files matching a pattern such as ``models/{share}-{seed}/report.json``, with the values of its names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from synthtools.errors import SynthError, UsageError
from synthtools.records import natural_order

# Maximal number of files [ours].
MOST = 100_000

_NAME = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class FileMatch:
    """A file and the values of the pattern's names in it, numbers as numbers."""

    path: str
    fields: dict[str, Any]


def is_pattern(path: str) -> bool:
    """Whether a path contains names in braces."""
    return "{" in path or "}" in path


def names_of(pattern: str) -> list[str]:
    """The distinct names in a pattern, in order.

    Raises:
        UsageError: an unmatched brace, an invalid name, or two adjacent names.
    """
    names: list[str] = []
    end = -1
    for match in _NAME.finditer(pattern):
        name = match[1]
        if not name.isidentifier():
            raise UsageError(f"{pattern}: {{{name}}}: a name has letters, digits and _ alone")
        if match.start() == end:
            raise UsageError(
                f"{pattern}: {{{names[-1]}}}{{{name}}}: where does the first end? Two names need "
                "something between them"
            )
        names.append(name)
        end = match.end()
    if is_pattern(_NAME.sub("", pattern)):
        raise UsageError(f"{pattern}: a brace without its partner; write {{name}}")
    return list(dict.fromkeys(names))


def matching(pattern: str) -> list[FileMatch]:
    """The files that match a pattern, in the natural order of its values.

    A name matches one or more characters except ``/``, as few as possible; as in a shell, it does not
    match a leading dot of a file name.

    Raises:
        UsageError: not a valid pattern, or a URL.
        SynthError: no file matches, or too many.
    """
    names = names_of(pattern)
    if "://" in pattern:
        raise UsageError(f"{pattern}: patterns are of files here; name URLs one by one")
    whole = _expression(pattern)
    paths = []
    for path in _walk(pattern.split("/"), ""):
        if match := whole.fullmatch(path):
            paths.append((path, match.groupdict()))
        if len(paths) > MOST:
            raise SynthError(f"{pattern}: fits more than {MOST:,} files; take fewer at once")
    if not paths:
        raise SynthError(f"{pattern}: fits no file; is the path right, seen from {os.getcwd()}?")
    numbers = {n for n in names if natural_order.all_numbers([fields[n] for _, fields in paths])}
    matches = [
        FileMatch(
            path,
            {n: natural_order.as_number(fields[n]) if n in numbers else fields[n] for n in names},
        )
        for path, fields in paths
    ]
    return sorted(
        matches, key=lambda m: ([natural_order.order(v) for v in m.fields.values()], m.path)
    )


def _expression(text: str) -> re.Pattern[str]:
    """The regular expression of a pattern or part; a repeated name has the same value."""
    seen: set[str] = set()

    def group(name: str) -> str:
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        return f"(?P<{name}>[^/]+?)"  # non-greedy: the first name is the shortest

    parts = _NAME.split(text)  # names are at odd indices
    pieces = [group(part) if at % 2 else re.escape(part) for at, part in enumerate(parts)]
    return re.compile("".join(pieces), re.DOTALL)


def _walk(parts: list[str], before: str) -> Iterator[str]:
    """Paths of files that match a pattern, directory by directory."""
    part, rest = parts[0], parts[1:]
    if not is_pattern(part):
        path = before + part
        if rest:
            yield from _walk(rest, path + "/")
        elif os.path.lexists(path) and not os.path.isdir(path):
            yield path
        return
    fits = _expression(part)
    try:
        with os.scandir(before or ".") as entries:
            listing = sorted((entry.name, entry.is_dir()) for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise SynthError(f"{before or '.'}: {error.strerror or error}") from error
    for name, folder in listing:
        hidden = name.startswith(".") and not part.startswith(".")
        if bool(rest) == folder and not hidden and fits.fullmatch(name):
            if rest:
                yield from _walk(rest, f"{before}{name}/")
            else:
                yield before + name
