"""Tools and their options for programs: ``synth help --json``."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Iterable
from typing import Any, Literal, TypedDict

from synthtools import FUNCTIONS, __version__
from synthtools.cli.commands import DEBUG_PARAMETER
from synthtools.cli.parameters import Parameter, parameters

_TYPES: dict[Any, Literal["boolean", "integer", "number"]] = {
    bool: "boolean",
    int: "integer",
    float: "number",
}


class OptionDescription(TypedDict):
    """An option; missing properties are null.

    ``type`` is that of one value: text such as ``8.4B`` is a string. ``default`` is as a user would write it.
    """

    name: str
    flags: list[str]
    type: Literal["boolean", "integer", "number", "string"]
    many: bool
    required: bool
    default: bool | int | float | str | list[Any] | None
    choices: list[str] | None
    min: float | None
    max: float | None
    metavar: str | None
    writes_file: bool
    help: str
    group: str


class ToolDescription(TypedDict):
    """A tool; ``function`` is its name in Python, null without."""

    name: str
    function: str | None
    summary: str
    help: str
    options: list[OptionDescription]


def as_json(tools: Iterable[str]) -> str:
    """The version, and a ``ToolDescription`` of each tool."""
    described = {"version": __version__, "tools": [describe(tool) for tool in tools]}
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


def describe(tool: str) -> ToolDescription:
    """The description of a tool, from its module."""
    name = tool.replace("-", "_")
    module = importlib.import_module(f"synthtools.tools.{name}")
    text = inspect.cleandoc(module.__doc__ or "").replace("\b\n", "")
    return {
        "name": tool,
        "function": name if name in FUNCTIONS else None,
        "summary": " ".join(text.partition("\n\n")[0].split()),
        "help": text,
        "options": [_option(one) for one in (*parameters(module.Options), DEBUG_PARAMETER)],
    }


def _option(one: Parameter) -> OptionDescription:
    option = one.option
    default = None if one.required else one.default
    plain = default is None or isinstance(default, (bool, int, float, str, list))
    return {
        "name": one.name,
        "flags": [name for flag in option.flags for name in flag.split("/")],
        "type": "string" if option.parse else _TYPES.get(one.type, "string"),
        "many": one.many,
        "required": one.required,
        "default": default if plain else str(default),
        "choices": list(one.choices) or None,
        "min": option.min,
        "max": option.max,
        "metavar": one.metavar,
        "writes_file": option.writes,
        "help": option.help,
        "group": one.group or "Options",
    }
