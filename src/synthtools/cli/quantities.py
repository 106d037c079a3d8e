"""Parsing of quantities: ``8.4B`` (a count), ``512MB`` (bytes), ``1/8`` (a part)."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from typing import NamedTuple

from synthtools.records.shard_size import ShardSize

_COUNTS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9, "T": 10**12}
_BYTES = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
# No quantity has more digits, and parsing takes quadratic time.
_FORM = re.compile(r"([0-9]{1,50}+(?:\.[0-9]{1,50}+)?|\.[0-9]{1,50}+)\s*+([A-Za-z]*+)")

_PROPORTION = re.compile(
    r"(-?(?:[0-9]{1,50}+(?:\.[0-9]{0,50}+)?|\.[0-9]{1,50}+)(?:[eE][-+]?[0-9]{1,2}+)?)"
    r"(?:%|/([0-9]{1,50}+))?"
)


def _split(text: str) -> tuple[Decimal, str]:
    match = _FORM.fullmatch(text.replace("_", "").replace(",", "").strip())
    if not match:
        raise ValueError("not a quantity (examples: 1000, 100K, 8.4B, 512MB)")
    return Decimal(match[1]), match[2].upper()


def count(text: str) -> int:
    """A whole number of at least 1: ``1000``, ``100K``, ``8.4B``.

    Raises:
        ValueError: it has another form.
    """
    number, suffix = _split(text)
    if suffix not in _COUNTS:
        raise ValueError("unknown suffix; use K, M, B or T")
    value = number * _COUNTS[suffix]
    if value != int(value) or value < 1:
        raise ValueError("must be a whole number of at least 1")
    return int(value)


def count_or_zero(text: str) -> int:
    """Like ``count``, also 0."""
    return 0 if text.strip() == "0" else count(text)


def count_or_all(text: str) -> int | None:
    """Like ``count``; None for ``all``."""
    return None if text == "all" else count(text)


def shard_size(text: str) -> ShardSize:
    """Bytes (``512MB``) or records (``100K``); raises ValueError for another form."""
    number, suffix = _split(text)
    if suffix in _BYTES and suffix != "B":
        return ShardSize(max(1, int(number * _BYTES[suffix])), "bytes")
    return ShardSize(count(text), "records")


def size_in_bytes(text: str) -> int:
    """``1GB``, ``512MiB``.

    Raises:
        ValueError: it has another form or no unit.
    """
    size = shard_size(text)
    if size.unit != "bytes":
        raise ValueError("give bytes, such as 1GB")
    return size.count


class Budget(NamedTuple):
    """A number of tokens, or a cost in the currency of the prices."""

    unit: str
    amount: float

    def __str__(self) -> str:
        return f"{self.unit}={self.amount:g}"


def budget(text: str) -> Budget:
    """``tokens=2M`` or ``cost=7.50``.

    Raises:
        ValueError: it has another form.
    """
    unit, _, amount = text.partition("=")
    if unit == "tokens":
        return Budget(unit, count(amount))
    try:
        cost = float(amount) if unit == "cost" else math.nan
    except ValueError:
        cost = math.nan
    if not 0 < cost < math.inf:
        raise ValueError("write tokens=2M or cost=7.50")
    return Budget(unit, cost)


class PathShare(NamedTuple):
    """Records and their share, None if not given."""

    path: str
    share: Fraction | None

    def __str__(self) -> str:
        return self.path if self.share is None else f"{self.path}={float(self.share):g}"


def path_share(text: str) -> PathShare:
    """``PATH``, ``PATH=0.75``, ``PATH=75%`` or ``PATH=3/4``.

    Raises:
        ValueError: the share is below 0.
    """
    path, equals, share = text.rpartition("=")
    try:
        value = proportion(share) if equals else None
    except ValueError:
        value = None  # the equals sign belongs to the path
    if value is None:
        return PathShare(text, None)
    if value < 0:
        raise ValueError("a share cannot be negative")
    return PathShare(path, value)


class NamedPath(NamedTuple):
    """``NAME=PATH``."""

    name: str
    path: str


def named_path(text: str) -> NamedPath:
    """Raises ValueError where ``text`` is not NAME=PATH."""
    name, _, path = text.partition("=")
    if not name or not path:
        raise ValueError("write NAME=PATH")
    return NamedPath(name, path)


def source_path(text: str) -> NamedPath:
    """``NAME=PATH``, or a path whose last part, without suffixes, is the name."""
    if "=" not in text:
        return NamedPath(PurePath(text).name.partition(".")[0] or text, text)
    return named_path(text)


class NamedNumber(NamedTuple):
    """``NAME=NUMBER``."""

    name: str
    value: float


def named_number(text: str) -> NamedNumber:
    """Raises ValueError where ``text`` is not NAME=NUMBER."""
    name, _, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not name or not math.isfinite(value):
        raise ValueError("write NAME=NUMBER")
    return NamedNumber(name, value)


def proportion(text: str) -> Fraction:
    """A number, percent or fraction, exactly: ``0.2``, ``20%``, ``1/5``.

    Raises:
        ValueError: it is none of these.
    """
    match = _PROPORTION.fullmatch(text)
    divisor = int(match[2]) if match and match[2] else 1
    if match is None or not divisor:
        raise ValueError("use a number, percent or fraction: 0.2, 20% or 1/5")
    return Fraction(match[1]) / (100 if text.endswith("%") else divisor)


def span(text: str) -> float:
    """Steps (``200``; a whole number) or a share of all (``3%``, ``0.03``; below 1); 0 is neither.

    Raises:
        ValueError: it is negative, or a share of 1 or more.
    """
    try:
        value = float(proportion(text.strip()))
    except ValueError:
        value = count(text)  # 100K
    if not 0 <= value < float("inf") or (value >= 1 and ("%" in text or value % 1)):
        raise ValueError("give steps (200) or a share of all (3%)")
    return value if value < 1 else int(value)


def share(text: str) -> float:
    """Like ``proportion``, of a whole.

    Raises:
        ValueError: it is not from 0 to 1.
    """
    try:
        value = float(proportion(text))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError("give shares from 0 to 1, or percent (20%)")
    return value


class InputPart(NamedTuple):
    """One of several groups of inputs, from 1."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def part(text: str) -> InputPart:
    """``i/n`` with 1 ≤ i ≤ n; raises ValueError for another form."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError("write it as i/n with 1 ≤ i ≤ n, such as 3/8")
    return InputPart(int(match[1]), int(match[2]))


class NamedContent(str):
    """The name of a file, or of an index (a directory), whose content the output depends on: with other content
    a run is not resumed."""

    @property
    def shown(self) -> str:
        """The name as reports show it: with a digest of the content, where it can be read."""
        from hashlib import blake2b

        from synthtools.records.remote_paths import path_of

        path = path_of(self)
        try:
            index = path / "index.json"
            content = (index if index.exists() else path).read_bytes()
        except OSError:
            return str(self)
        return f"{self} ({blake2b(content, digest_size=8).hexdigest()})"
