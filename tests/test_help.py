"""The description of tools for programs says what --help says."""

import json
import re

import pytest
import typer

from running import one_line, run
from synthtools import FUNCTIONS
from synthtools.cli.app import TOOLS, build, help_text

HEADING = re.compile(r"^([A-Z][A-Za-z ]+):$", re.M)


@pytest.fixture(scope="module")
def described():
    done = run("help", "--json")
    assert done.returncode == 0, done.stderr
    return {tool["name"]: tool for tool in json.loads(done.stdout)["tools"]}


def named(line):
    """The long name in a line of --help, or an operand's."""
    words = re.split(r"[,/ ]+", line.partition("  ")[0])
    return next((word for word in words if word.startswith("--")), words[0])


def sections(tool):
    """Heading → names of options and operands, in the order of --help."""
    parts = HEADING.split(run(tool, "--help").stdout.decode())[1:]
    shown = dict(zip(parts[::2], parts[1::2], strict=True))
    return {
        title: [named(line) for line in re.findall(r"^  (\S.*)$", lines, re.M)]
        for title, lines in shown.items()
    }


def test_all_tools_are_there(described):
    assert list(described) == list(TOOLS)
    functions = {tool["function"] for tool in described.values()} - {None}
    assert functions == set(FUNCTIONS)


@pytest.mark.parametrize("tool", TOOLS)
def test_each_option_stands_under_its_heading_as_in_help(tool, described):
    told: dict[str, list[str]] = {}
    for option in described[tool]["options"]:
        told.setdefault(option["group"], []).append(
            named(" ".join(option["flags"] or [option["metavar"]]))
        )
    shown = sections(tool)
    shown["Options"].remove("--help")
    assert {title: sorted(names) for title, names in shown.items()} == {
        title: sorted(names) for title, names in told.items()
    }

    assert next(iter(shown)) == "Options"  # its own come first


@pytest.mark.parametrize("tool", TOOLS)
def test_types_and_defaults_are_those_of_the_command_line(tool, described):
    command = typer.main.get_command(build([tool])).commands[tool]
    known = {parameter.name: parameter for parameter in command.params}
    assert set(known) == {option["name"] for option in described[tool]["options"]}
    for option in described[tool]["options"]:
        parameter = known[option["name"]]
        assert option["required"] == parameter.required
        assert (option["type"] == "boolean") == (getattr(parameter, "is_flag", False) is True)
        assert option["many"] == (parameter.multiple if option["flags"] else parameter.nargs == -1)
        assert option["help"] and parameter.help.startswith(option["help"])
        if option["choices"]:
            assert option["default"] is None or option["default"] in option["choices"]


def test_some_tools_alone_and_an_unknown_one():
    told = json.loads(run("help", "mix", "cat", "--json").stdout)
    assert [tool["name"] for tool in told["tools"]] == ["mix", "cat"]
    seed = next(o for o in told["tools"][0]["options"] if o["name"] == "seed")
    assert (seed["flags"], seed["type"], seed["default"], seed["min"]) == (
        ["--seed"],
        "integer",
        0,
        0,
    )
    assert "no such tool" in one_line(run("help", "nothing"), 2)


def test_without_json_it_is_help():
    assert run("help", "cat").stdout == run("cat", "--help").stdout
    assert run("help").stdout == run("--help").stdout
    assert help_text("cat").encode() == run("cat", "--help").stdout
