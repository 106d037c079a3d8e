"""Writes man/ and completions/ from the command line itself.

    python docs/generate_pages.py            writes every page; both folders hold nothing else
    python docs/generate_pages.py --check    exit 1 and one line naming the stale ones

A man page says what the command's docstring and the help of its options say. What a shell offers
for the value of an option is told by its metavar: ``fail|skip`` are words to choose from, FILE and
PATH are files, DIR is a directory, MODEL a directory or ``builtin``, FIELD a field of the first input
(of JSONL, CSV and TSV); the names of a list that the code holds (suites, architectures, measures) are
words too. For a number nothing is offered. Operands are files, and the ``builtin:`` names of their help;
those of ``synth help`` are the tools.
"""

from __future__ import annotations

import importlib
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from synthtools import FUNCTIONS, __version__
from synthtools.api import parameters as function_parameters
from synthtools.cli import parameters as declared
from synthtools.cli.app import TOOLS, build
from synthtools.cli.options import Output
from synthtools.evaluate import suites
from synthtools.training.architectures import ARCHITECTURES

ROOT = Path(__file__).resolve().parent.parent
DATE = "2026-11-21"  # of the pages' form: with today's date every page would change every day
MADE = "made by docs/generate_pages.py; do not edit"


@dataclass(frozen=True)
class Parameter:
    """An option or an operand."""

    names: list[str]  # -o, --output; none for an operand
    metavar: str  # empty for a flag
    help: str
    note: str  # [default: 0; x>=0]
    required: bool
    many: bool
    choices: tuple[str, ...] = ()

    @property
    def brief(self) -> str:
        """The first sentence of the help."""
        return re.split(r"(?<=[^.])\. (?=[A-Z-])", self.help)[0].rstrip(".")

    @property
    def value(self) -> tuple[str, str]:
        """What stands there, ``file``, ``dir``, ``field`` or ``word``, and the words to choose from."""
        words = re.findall(r"(?:^|(?<=\|))[a-z0-9.+-]+(?=\||$)", self.metavar)
        words = words or list(self.choices)
        kinds = set(re.findall(r"[A-Z]+", self.metavar))
        if kinds & {"FILE", "PATH"}:
            return "file", " ".join(words)
        if kinds & {"DIR", "MODEL"}:
            return "dir", " ".join(words + ["builtin"] * ("MODEL" in kinds))
        return "field" if re.match("FIELD", self.metavar) and not words else "word", " ".join(words)

    @property
    def builtin(self) -> str:
        """Names of an operand that are no files."""
        return " ".join(dict.fromkeys(re.findall(r"builtin:[a-z]+", self.help)))


@dataclass(frozen=True)
class Command:
    """``synth`` (without a name) or one of its tools."""

    name: str
    page: str
    help: str
    options: list[Parameter]
    operands: list[Parameter]

    @property
    def brief(self) -> str:
        """The first paragraph of the help."""
        return " ".join(self.help.partition("\n\n")[0].split()).rstrip(".")


def commands() -> list[Command]:
    """``synth`` itself, then its tools in the order of its help."""
    group: Any = typer.main.get_command(build())
    context = group.context_class(group, info_name="synth", **group.context_settings)
    found = [_command("", group, context)]
    for name, tool in group.commands.items():
        inner = tool.context_class(tool, info_name=name, parent=context)
        found.append(_command(name, tool, inner))
    return found


def _choices(tool: str) -> dict[str, tuple[str, ...]]:
    """The words of options whose metavar does not name them."""
    if not tool:
        return {}
    options = importlib.import_module(f"synthtools.tools.{tool.replace('-', '_')}").Options
    found = {flag: one.choices for one in declared.parameters(options) for flag in one.option.flags}
    return {**found, "--suite": (*suites.every(),), "--arch": (*ARCHITECTURES,)}


def _command(name: str, command: Any, context: Any) -> Command:
    options, operands = [], []
    choices = _choices(name)
    for given in command.get_params(context):
        record = given.get_help_record(context)
        if record is None:  # a hidden one
            continue
        said = " ".join((given.help or "").split())
        note = " ".join(record[1].split()).removeprefix(said).strip()
        many = given.nargs == -1 or getattr(given, "multiple", False)
        if given.param_type_name == "argument":
            # Typer's releases dress an argument differently: take the bare word
            metavar = re.sub(r"[][{}.…]", "", given.metavar or given.name.upper())
            words = tuple(TOOLS) if metavar == "TOOL" else ()
            operands.append(Parameter([], metavar, said, note, given.required, many, words))
        else:
            names = sorted(given.opts + given.secondary_opts, key=lambda n: n.startswith("--"))
            flag = given.is_flag or given.count
            metavar = "" if flag else given.metavar or given.name.upper()
            words = next((choices[one] for one in names if choices.get(one)), ())
            options.append(Parameter(names, metavar, said, note, given.required, many, words))
    text = "\n\n".join(part.strip() for part in (command.help, command.epilog) if part)
    return Command(name, f"synth-{name}" if name else "synth", text, options, operands)


# Manual pages: man(7) in plain ASCII, which man-db, groff and mandoc all read.

_EXIT_STATUS = r""".SH EXIT STATUS
.TP
\fB0\fR
Done; also when the reader of a pipe is gone.
.TP
\fB1\fR
Failed; one line on standard error names the place and the remedy.
.TP
\fB2\fR
Wrong usage.
.TP
\fB130\fR
Interrupted."""

_ROFF = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}


def man_page(command: Command, tools: list[Command]) -> str:
    """The page of a tool, or of ``synth``, which lists the tools."""
    description, examples = _description(command.help)
    title = command.brief
    title = title if title[:2].isupper() else title[0].lower() + title[1:]
    usage = [f"\\fB{_roff(f'synth {command.name}'.strip())}\\fR", "[\\fIOPTION\\fR]...\\&"]
    usage += [_operand(operand) for operand in command.operands]
    if not command.name:
        usage += ["\\fITOOL\\fR ...\\&"]
    lines = [
        f'.\\" {MADE}',
        f'.TH {_roff(command.page.upper())} 1 {DATE} "synth {__version__}" "synth manual"',
        *(".nh", ".ad l"),  # words stay whole and the spaces between them single
        *(".SH NAME", f"{_roff(command.page)} \\- {_roff(title)}"),
        *(".SH SYNOPSIS", " ".join(usage)),
        *(".SH DESCRIPTION", *description),
    ]
    if not command.name:
        lines += [".SH TOOLS"]
        for tool in tools:
            lines += [".TP", f"\\fB{_roff(tool.page)}\\fR(1)", _prose(f"{tool.brief}.")]
    for heading, parameters in (("OPERANDS", command.operands), ("OPTIONS", command.options)):
        lines += [f".SH {heading}"] if parameters else []
        for given in parameters:
            names = ", ".join(f"\\fB{_roff(name)}\\fR" for name in given.names)
            metavar = f"\\fI{_roff(given.metavar)}\\fR" if given.metavar else ""
            lines += [".TP", f"{names} {metavar}".strip()]
            lines += [_prose(f"{given.help} {given.note}".strip())]
    lines += [".SH EXAMPLES", *examples] if examples else []
    said = " ".join([command.help, *(option.help for option in command.options)])
    named = [t.page for t in tools if t != command and re.search(rf"synth {t.name}\b", said)]
    pages = ["synth", *sorted(named)] if command.name else [tool.page for tool in tools]
    lines += [_EXIT_STATUS, ".SH SEE ALSO", ", ".join(f"\\fB{_roff(p)}\\fR(1)" for p in pages)]
    return "\n".join(lines) + "\n"


def _operand(operand: Parameter) -> str:
    name = f"\\fI{_roff(operand.metavar)}\\fR"
    return (name if operand.required else f"[{name}]") + ("...\\&" if operand.many else "")


def _description(text: str) -> tuple[list[str], list[str]]:
    r"""The lines of DESCRIPTION and of EXAMPLES; what stands behind a \b stays as written."""
    description: list[str] = []
    examples: list[str] = []
    for paragraph in re.split(r"\n{2,}", text):
        literal = paragraph.removeprefix("\b").strip("\n").splitlines()
        if not paragraph.startswith("\b"):
            description += [".PP", _prose(" ".join(paragraph.split()))]
        elif literal[0].strip() in ("Example:", "Examples:"):
            shown = textwrap.dedent("\n".join(literal[1:])).splitlines()
            examples += [".EX", *map(_roff, shown), ".EE"]
        else:
            description += [".PP", ".EX", *map(_roff, literal), ".EE"]
    return description[1:], examples  # no .PP behind a heading


def _prose(text: str) -> str:
    """Running text, with the options that it speaks of in bold."""
    return re.sub(r"(?<![\w\\-])(?:\\-){1,2}[a-z](?:\w|\\-)*", r"\\fB\g<0>\\fR", _roff(text))


def _roff(text: str) -> str:
    """The text, escaped: what is copied from the page is what was written."""
    text = "".join(_ROFF.get(c, c if c.isascii() else f"\\[u{ord(c):04X}]") for c in text)
    return f"\\&{text}" if text.startswith(".") else text


# Completions: plain words in the files, so that TAB starts no Python.

_BASH = """\
# bash completion of synth: @MADE

# Fields of the first input, as its first line shows them.
_synth_fields() {
    local file
    for file in "${COMP_WORDS[@]:2}"; do
        [[ -f $file ]] || continue
        case $file in
            *.csv | *.tsv) head -n 1 -- "$file" | tr -d '"\\r' | tr ',;\\t' '\\n' ;;
            *.jsonl | *.ndjson | *.json)
                head -c 65536 -- "$file" | grep -oEm 1 '"[A-Za-z_][A-Za-z0-9_.-]*" *:' | tr -d '": '
                ;;
        esac
        return
    done
}

_synth() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local tool="" options="" operand=word value="" words="" i
    # --option=value comes as three words
    if [[ $cur == = ]]; then
        cur=""
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ ${COMP_WORDS[i]} != -* ]]; then
            tool=${COMP_WORDS[i]}
            break
        fi
    done
    case $tool in
@CASES
    esac
    if [[ -z $value && $cur == -* ]]; then
        value=word words=$options
    fi
    case ${value:-$operand} in
        file) # readline completes file names
            [[ -n $value || -n $cur && builtin: == "$cur"* ]] || words=""
            ;;
        field) words=$(_synth_fields) ;;
        dir) compopt +o default -o plusdirs 2>/dev/null ;;
        word) compopt +o default 2>/dev/null ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}

complete -o default -F _synth synth
"""


def bash(synth: Command, tools: list[Command]) -> str:
    """The completion of bash: names, words to choose from, files and directories."""
    lines, empty = [], '""'
    for command in (synth, *tools):
        values: dict[tuple[str, str], list[str]] = {}
        for option in command.options:
            if option.metavar:
                values.setdefault(option.value, []).extend(option.names)
        names = " ".join(name for option in command.options for name in option.names)
        body = [f'options="{names}"']
        if command is synth:
            listed = " ".join(tool.name for tool in tools)
            body += [f'words="{listed}"']
        if command.operands:
            choices, names = command.operands[0].choices, command.operands[0].builtin
            place, names = ("word", " ".join(choices)) if choices else ("file", names)
            body += [f'operand={place} words="{names}"' if names else "operand=file"]
        if values:
            body += ["case $prev in"]
            for (place, words), named in values.items():
                choice = f' words="{words}"' if words else ""
                body += [f"    {' | '.join(named)}) value={place}{choice} ;;"]
            body += ["esac"]
        lines += [f"        {command.name or empty})", *(f"            {x}" for x in (*body, ";;"))]
    return _BASH.replace("@MADE", MADE).replace("@CASES", "\n".join(lines))


_ZSH = """\
#compdef synth
# @MADE

# Fields of the first input, as its first line shows them.
_synth_fields() {
  local file
  for file in ${(Q)words[2,-1]}; do
    [[ -f $file ]] || continue
    case $file in
      *.csv|*.tsv) compadd -- ${(f)"$(head -n 1 -- $file | tr -d '"\\r' | tr ',;\\t' '\\n')"} ;;
      *.jsonl|*.ndjson|*.json)
        compadd -- ${(f)"$(head -c 65536 -- $file | grep -oEm 1 '"[A-Za-z_][A-Za-z0-9_.-]*" *:' | tr -d '": ')"}
        ;;
    esac
    return
  done
}

_synth() {
  local curcontext=$curcontext state line
  typeset -A opt_args
  _arguments -C \\
@OPTIONS \\
    '1:tool:->tool' \\
    '*::operand:->operands'
  case $state in
    tool)
      local -a tools=(
@TOOLS
      )
      _describe -t commands tool tools
      ;;
    operands)
      case $words[1] in
@CASES
      esac
      ;;
  esac
}

_synth "$@"
"""


def zsh(synth: Command, tools: list[Command]) -> str:
    """The completion of zsh, with the help beside each word."""
    cases = []
    for tool in tools:
        given = [_zsh_option(option) for option in tool.options]
        given += [f"'{'*' * o.many}:{_zsh(o.metavar)}:{_zsh_operand(o)}'" for o in tool.operands]
        call = " \\\n            ".join(["_arguments -s -S", *given])
        cases.append(f"        {tool.name})\n          {call}\n          ;;")
    return (
        _ZSH.replace("@MADE", MADE)
        .replace("@OPTIONS", " \\\n".join(f"    {_zsh_option(o)}" for o in synth.options))
        .replace("@TOOLS", "\n".join(f"        '{_zsh(t.name)}:{_zsh(t.brief)}'" for t in tools))
        .replace("@CASES", "\n".join(cases))
    )


def _zsh_operand(operand: Parameter) -> str:
    if operand.choices:
        return f"({' '.join(operand.choices)})"
    return f"{{compadd -- {_zsh(operand.builtin)}; _files}}" if operand.builtin else "_files"


def _zsh_option(option: Parameter) -> str:
    names, tail = option.names, f"[{_zsh(option.brief)}]"
    if option.metavar:
        names = [name + ("=" if name.startswith("--") else "+") for name in names]
        place, words = option.value
        actions = {"file": "_files", "dir": "_files -/", "field": "_synth_fields"}
        action = actions.get(place, f"({words})" if words else " ")
        if words and place != "word":
            action = f"{{compadd -- {words}; {action}}}"
        tail += f":{_zsh(option.metavar)}:{action}"
    others = "*" if option.many else f"({' '.join(option.names)})"
    if len(names) > 1:
        return f"'{others}'{{{','.join(names)}}}'{tail}'"
    return f"'{'*' * option.many}{names[0]}{tail}'"


def _zsh(text: str) -> str:
    return re.sub(r"([][:\\])", r"\\\1", text).replace("'", "'\\''")


_FISH = """\
# fish completion of synth: @MADE

function __synth_tool_is --description 'Whether this is the tool; without one: whether none is yet'
    set -l words (commandline -opc)
    set -e words[1]
    for word in $words
        if not string match -q -- '-*' $word
            test "$word" = "$argv[1]"
            return
        end
    end
    test -z "$argv[1]"
end

function __synth_fields --description 'Fields of the first input, as its first line shows them'
    for file in (commandline -opc)[3..-1]
        test -f $file; or continue
        switch $file
            case '*.csv' '*.tsv'
                head -n 1 -- $file | tr -d '"\\r' | tr ',;\\t' '\\n'
            case '*.jsonl' '*.ndjson' '*.json'
                head -c 65536 -- $file | grep -oEm 1 '"[A-Za-z_][A-Za-z0-9_.-]*" *:' | tr -d '": '
        end
        return
    end
end
"""


def fish(synth: Command, tools: list[Command]) -> str:
    """The completion of fish, with the help beside each word."""
    lines = [_FISH.replace("@MADE", MADE)]
    for tool in tools:
        lines += [f"complete -c synth -n __synth_tool_is -a {tool.name} -d {_fish(tool.brief)}"]
    for command in (synth, *tools):
        start = f"complete -c synth -n '{f'__synth_tool_is {command.name}'.strip()}'"
        lines += [f"\n# {command.page}"]
        if not command.operands:
            lines += [f"{start} -f"]
        elif choices := command.operands[0].choices:
            lines += [f"{start} -f -a {_fish(' '.join(choices))}"]
        elif command.operands[0].builtin:
            lines += [f"{start} -a {_fish(command.operands[0].builtin)}"]
        for option in command.options:
            names = [f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in option.names]
            if option.metavar:
                place, words = option.value
                names += ["-r -F" if place == "file" else "-x"]
                words = f"{words} (__fish_complete_directories)" if place == "dir" else words
                words = "(__synth_fields)" if place == "field" else words
                names += [f"-a {_fish(words.strip())}"] if words else []
            lines += [f"{start} {' '.join(names)} -d {_fish(option.brief)}"]
    return "\n".join(lines) + "\n"


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_STUB = """\
# The Python API as editors see it: made by docs/generate_pages.py; do not edit
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol

__version__: str

class ArrowStream(Protocol):
    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...

Record = dict[str, Any]
Report = dict[str, Any]
Input = str | os.PathLike[str] | Mapping[str, float] | Iterable[Record] | ArrowStream
"""


def stub() -> str:
    """The functions of the tools with the types of their options."""
    lines = [_STUB]
    for tool in FUNCTIONS:
        module = importlib.import_module(f"synthtools.tools.{tool}")
        given = function_parameters(module)
        words = []
        for one in given:
            if not one.option.flags:
                kind = "str" if one.required else "str | None = ..."
                words.append(f"*{one.name}: Input" if one.many else f"{one.name}: {kind}")
                continue
            kind = "Literal[" + ", ".join(map(repr, one.choices)) + "]" if one.choices else None
            kind = kind or getattr(one.type, "__name__", "str")
            if one.option.parse is not None:
                kind = f"{kind} | str" if kind in ("int", "float") else "str"
            if one.many:
                kind = f"list[{kind}] | {kind}"
            optional = "" if one.required or one.default is not None else " | None"
            default = "" if one.required else " = ..."
            words.append(f"{one.name}: {kind}{optional}{default}")
        if given and (given[0].option.flags or not given[0].many):
            words.insert(0 if given[0].option.flags else 1, "*")
        lines += [f"def {tool}("] + [f"    {word}," for word in words]
        result = "Iterator[Record] | Report" if issubclass(module.Options, Output) else "Report"
        lines += [f") -> {result}:", f'    """{_first_line(module)}"""', ""]
    return "\n".join(lines)


def _first_line(module: Any) -> str:
    return (module.__doc__ or "").strip().partition("\n\n")[0].replace("\n", " ")


def pages() -> dict[str, str]:
    """Every generated file by its path in the repository."""
    synth, *tools = commands()
    made = {f"man/{command.page}.1": man_page(command, tools) for command in (synth, *tools)}
    for name, shell in (("synth.bash", bash), ("_synth", zsh), ("synth.fish", fish)):
        made[f"completions/{name}"] = shell(synth, tools)
    made["src/synthtools/__init__.pyi"] = stub()
    return made


def stale(made: dict[str, str]) -> list[str]:
    """The files that differ from what they should be, are missing, or belong to no tool."""
    there = {
        f"{folder}/{path.name}": path.read_text("utf-8")
        for folder, names in (("man", "*"), ("completions", "*"), ("src/synthtools", "*.pyi"))
        for path in (ROOT / folder).glob(names)
    }
    return sorted(name for name in made | there if made.get(name) != there.get(name))


def main() -> None:
    """Writes the pages, or with --check only compares them."""
    made = pages()
    changed = stale(made)
    if sys.argv[1:] == ["--check"]:
        if changed:
            sys.exit(f"stale: {', '.join(changed)} (python docs/generate_pages.py writes them)")
        return
    for name in changed:
        path = ROOT / name
        if name in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[name], "utf-8")
        else:
            path.unlink()


if __name__ == "__main__":
    main()
