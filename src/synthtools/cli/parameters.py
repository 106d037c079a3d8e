"""Fields of a tool's options, for the command line, help and Python calls.

    class Options(Inputs, Output):
        top: int = option(10, help="Show the N most frequent.", min=0)

``parameters`` reads such a class; ``values`` checks and converts given values, from the command line (strings)
or from Python (strings or values).
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal

from synthtools.errors import UsageError


@dataclass(frozen=True)
class Option:
    """Names, help, parsing and bounds of a field.

    Attributes:
        flags: names on the command line; none for an operand. The default long name is that of the
            field: ``--text-field``.
        metavar: placeholder of the value in help; None for a flag, or the choices of a Literal.
        parse: string → value; raises ValueError with a remedy.
        min, max: bounds of a number, inclusive.
        commas: a value may be a list separated by commas (outside of quotes and brackets).
        writes: whether it names a file that the tool writes beside its output.
    """

    flags: tuple[str, ...]
    help: str
    metavar: str | None = None
    parse: Callable[[str], Any] | None = None
    min: float | None = None
    max: float | None = None
    commas: bool = False
    show_default: bool = True
    named: bool = True
    writes: bool = False

    @property
    def bounds(self) -> str:
        """The bounds in words, empty without."""
        if self.min is not None and self.max is not None:
            return f"{self.min:,} to {self.max:,}"
        if self.min is not None:
            return f"at least {self.min:,}"
        return "" if self.max is None else f"at most {self.max:,}"


@dataclass(frozen=True)
class Kind:
    """What an annotation ``Annotated[type, Kind(…)]`` gives an option that does not set it itself; several values
    separated by commas have the placeholder ``METAVAR,…``."""

    metavar: str
    parse: Callable[[str], Any] | None = None
    min: float | None = None
    max: float | None = None

    def completed(self, option: Option) -> Option:
        """The option with what it leaves open."""
        several = ",…" if option.commas and self.parse is None else ""
        return dataclasses.replace(
            option,
            metavar=option.metavar or self.metavar + several,
            parse=option.parse or self.parse,
            min=self.min if option.min is None else option.min,
            max=self.max if option.max is None else option.max,
        )


def option(default: Any = None, *flags: str, help: str, **more: Any) -> Any:  # noqa: A002 (what Typer calls it)
    """An option; a default of ``...`` for a required one."""
    return _field(default, Option(flags, help, **more))


def output_file(*, help: str) -> Any:  # noqa: A002
    """An option that names a file which the tool writes beside its output."""
    return _field(None, Option((), help, "FILE", writes=True))


def operand(default: Any = None, *, help: str, **more: Any) -> Any:  # noqa: A002
    """A positional argument."""
    return _field(default, Option((), help, show_default=False, named=False, **more))


def _field(default: Any, option: Option) -> Any:
    given = {} if default is ... else {"default": default}
    return dataclasses.field(**given, metadata={"option": option})


@dataclass(frozen=True)
class Parameter:
    """A field of an options class, its annotation resolved.

    Attributes:
        type: of one value: bool, int, float, str, or the result of ``option.parse``.
        choices: the allowed strings, empty for any.
        many: whether it takes several values.
        default: ``dataclasses.MISSING`` if required.
        group: heading of its section in the help; None for a tool's own options.
    """

    name: str
    option: Option
    type: Any
    choices: tuple[str, ...]
    many: bool
    default: Any
    group: str | None = None

    @property
    def required(self) -> bool:
        return self.default is dataclasses.MISSING

    @property
    def flag(self) -> str:
        """Its long name on the command line, as in errors."""
        flags = self.option.flags
        return next((f for f in flags if f.startswith("--")), self.option.metavar or self.name)

    @property
    def metavar(self) -> str | None:
        if self.type is bool:
            return None
        return self.option.metavar or "|".join(self.choices) or self.name.upper()

    def value(self, given: Any, called: str) -> Any:
        """Converts and checks a given value.

        Args:
            called: the user's name of the parameter, for the error.

        Raises:
            UsageError: the value is invalid.
        """
        if given is None:
            return None
        if not self.many:
            return self._one(given, called)
        items = [given] if isinstance(given, (str, int, float, os.PathLike)) else list(given)
        if self.option.commas:
            from synthtools.records.field_paths import split_names

            split = (split_names(item) if isinstance(item, str) else [item] for item in items)
            items = [part for one in split for part in one]
        return [self._one(item, called) for item in items] or None

    def _one(self, given: Any, called: str) -> Any:
        try:
            return self._converted(given)
        except ValueError as error:
            raise UsageError(f"{called} {given}: {error}") from error

    def _converted(self, given: Any) -> Any:
        if isinstance(given, os.PathLike):
            given = os.fspath(given)
        if self.option.parse is not None and isinstance(given, str):
            return self.option.parse(given)
        if self.choices:
            if given not in self.choices:
                raise ValueError(f"use {', '.join(self.choices[:-1])} or {self.choices[-1]}")
            return given
        if self.type in (int, float) and given is not None:
            return _number(given, self.type, self.option)
        return given


def _number(given: Any, kind: type, option: Option) -> Any:
    """A number; raises ValueError with a remedy."""
    value = given
    if isinstance(given, str):
        try:
            value = kind(given)
        except ValueError:
            if kind is float and re.fullmatch(r"[0-9.]+%", given):
                raise ValueError(f"write it as {float(given[:-1]) / 100:g}") from None
    if kind is float and type(value) is int:
        value = float(value)
    low = type(value) is kind and option.min is not None and value < option.min
    high = type(value) is kind and option.max is not None and value > option.max
    if type(value) is not kind or not math.isfinite(value) or low or high:
        bounds = f", {option.bounds}" if option.bounds else ""
        raise ValueError(f"give {'a whole number' if kind is int else 'a number'}{bounds}")
    return value


class Group:
    """A group of options: ``group`` is its heading in help, ``check`` refuses invalid values."""

    group: ClassVar[str]
    lines_only: ClassVar[bool] = False  # its report goes to stdout as lines, to a program too

    def check(self) -> None:
        """Raises UsageError if options contradict each other."""

    def prints_report(self) -> bool:
        """Whether the tool prints a report on stdout, instead of records or files."""
        return True


@cache
def parameters(options: type) -> tuple[Parameter, ...]:
    """The fields of an options class: a tool's own first, then those of the shared groups.

    A group is a base class that has a ``group``: the heading of its options in the help.
    """
    hints = typing.get_type_hints(options, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(options)}
    by_name: dict[str, Parameter] = {}
    for owner in options.__mro__:
        for name in vars(owner).get("__annotations__", {}):
            if name in fields and name not in by_name:
                heading = None if owner is options else getattr(owner, "group", None)
                by_name[name] = _parameter(fields[name], hints[name], heading)
    return tuple(by_name.values())


def _parameter(field: dataclasses.Field[Any], hint: Any, group: str | None) -> Parameter:
    option: Option = field.metadata["option"]
    if option.named and not any(flag.startswith("--") for flag in option.flags):
        own = f"--{field.name.strip('_').replace('_', '-')}"
        option = dataclasses.replace(option, flags=(own, *option.flags))
    kind = next(k for k in _members(hint) if k is not type(None))
    many = typing.get_origin(kind) in (list, tuple)
    if many:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) is typing.Annotated:
        kind, given = typing.get_args(kind)
        option = given.completed(option)
    choices = typing.get_args(kind) if typing.get_origin(kind) is Literal else ()
    kind = str if choices else kind
    return Parameter(field.name, option, kind, choices, many, field.default, group)


def _members(kind: Any) -> tuple[Any, ...]:
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return typing.get_args(kind) if union else (kind,)


def values(
    known: tuple[Parameter, ...], given: Mapping[str, Any], called: Callable[[Parameter], str]
) -> dict[str, Any]:
    """The given values, checked and converted; others keep their default.

    Raises:
        UsageError: a value is invalid, or a required parameter is missing.
    """
    parsed = {}
    for one in known:
        if given.get(one.name) is None and one.default is dataclasses.MISSING:
            raise UsageError(f"{called(one)} is missing: {one.option.help}")
        if one.name in given:
            parsed[one.name] = one.value(given[one.name], called(one))
    return parsed
