"""Show the help of a tool, or describe all tools and options as JSON.

With --json: one object with the version and, for each tool, its name, its help, and its options as
the command line, the Python function and --help have them: name (the Python keyword), flags (none
for operands), type of a value, whether it takes several, whether it is required, default, choices,
bounds, whether it names a file to be written, help, and the heading of its group.

\b
Examples:
  synth help ppl
  synth help --json | jq '.tools[] | {name, options: [.options[].name]}'
  synth help mix edit --json

Memory: next to none.
"""

from __future__ import annotations

from dataclasses import dataclass

from synthtools.cli.parameters import Group, operand, option
from synthtools.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Options(Group):
    """Options of ``synth help``."""

    tools: list[str] | None = operand(
        metavar="TOOL", help="Names of tools (default: the list of all; with --json, all)."
    )
    json_output: bool = option(False, "--json", help="Describe the tools and options as JSON.")


def run(options: Options) -> str:
    """What the command line says of itself."""
    from synthtools.cli import app, tool_descriptions

    tools = options.tools or []
    for tool in tools:
        if tool not in app.TOOLS:
            raise UsageError(f"{tool}: no such tool (tools: {', '.join(sorted(app.TOOLS))})")
    if options.json_output:
        return tool_descriptions.as_json(tools or app.TOOLS)
    named: list[str | None] = [*tools] or [None]
    return "\n".join(app.help_text(tool) for tool in named)
