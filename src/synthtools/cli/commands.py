"""Tools as Typer commands: from a tool's docstring (its help), ``Options`` and ``run``."""

from __future__ import annotations

import inspect
from dataclasses import MISSING
from types import ModuleType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from synthtools.cli.options import DEBUG, checked, claim_outputs
from synthtools.cli.parameters import Option, Parameter, parameters
from synthtools.cli.terminal import write_stdout
from synthtools.environment import keep_freed_memory
from synthtools.errors import PartialReportError

DEBUG_PARAMETER = Parameter(
    "debug", Option(("--debug",), "Show the traceback of an error."), bool, (), False, False, "Run"
)


class _AsGiven:
    """In place of Typer's conversion: values are flags, strings and lists of strings, which ``parameters``
    converts. Typer imports pydantic and builds an adapter for each option, half of a tool's start."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        return () if value is None and (param.multiple or param.nargs == -1) else value


def _unconverted(params: list[Any]) -> list[Any]:
    for one in params:
        vars(one)["get_runtime_param"] = _AsGiven
    return params


class Command(TyperCommand):
    """A command whose help shows the tool's own options first, then those of each shared group."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _unconverted(super().get_params(ctx))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        order = ("Options", "Input", "Output", "Model", "Servers", "Run")
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in order}
        for one in self.get_params(ctx):
            record = one.get_help_record(ctx)
            if record is not None:
                if one.param_type_name == "argument":  # Typer adds its type
                    record = (one.metavar or one.name.upper(), record[1])
                title = getattr(one, "rich_help_panel", None) or "Options"
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class ToolGroup(TyperGroup):
    """The tools with full summaries, which Click would cut at 45 characters."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _unconverted(super().get_params(ctx))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, (tool.help or "").partition("\n\n")[0]) for name, tool in commands if tool]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def add(app: typer.Typer, tool: str, module: ModuleType, **settings: Any) -> None:
    """Adds a tool to the application."""

    def callback(**given: Any) -> None:
        keep_freed_memory()
        DEBUG.set(given.pop("debug"))
        with claim_outputs(module.Options, given, _flag):
            _run(module, given)

    vars(callback)["__signature__"] = inspect.Signature(
        [_typed(one) for one in (*parameters(module.Options), DEBUG_PARAMETER)]
    )
    app.command(tool, cls=Command, help=inspect.cleandoc(module.__doc__ or ""), **settings)(
        callback
    )


def _run(module: ModuleType, given: dict[str, Any]) -> None:
    """Runs a tool and prints its report or text."""
    # Help needs neither: they take as long to import as the rest of the command line.
    from synthtools.cli.publish import publish
    from synthtools.reports import lines

    options = checked(module.Options, given, _flag)
    try:
        report = module.run(options)
    except PartialReportError as error:
        publish(error.report, options, lines(error.report))
        raise
    if isinstance(report, str):
        write_stdout(report)
    elif report is not None and options.prints_report():
        publish(report, options, lines(report))


def _flag(one: Parameter) -> str:
    return one.flag


def _typed(one: Parameter) -> inspect.Parameter:
    """The parameter for Typer: a flag, a string or several strings; ``parameters`` converts and checks them."""
    given = one.option
    text = given.help
    if given.bounds and given.min not in (0, 1):
        text = f"{text} [{given.bounds}]"
    more: dict[str, Any] = {"help": text, "metavar": one.metavar, "rich_help_panel": one.group}
    default = one.default
    if default is MISSING:
        default, kind = ..., str
    elif one.type is bool:
        kind = bool
    else:
        kind = str | None
        if default is not None:
            default = str(default)
    if one.many:
        kind = list[str] if one.default is MISSING else list[str] | None
        default = ... if one.default is MISSING else None
    more["show_default"] = given.show_default and default not in (None, ...)
    info = typer.Option(*given.flags, **more) if given.flags else typer.Argument(**more)
    return inspect.Parameter(
        one.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if default is ... else default,
        annotation=Annotated[kind, info],
    )
