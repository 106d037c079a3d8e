"""The application ``synth``, and its exit codes.

0 done (also if the reader of a pipe is gone), 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import gc
import importlib
import os
import re
import signal
import sys
from collections.abc import Collection
from pathlib import Path
from types import FrameType
from typing import Any

import typer

from synthtools import __path__, __version__
from synthtools.cli import interrupts, options, terminal
from synthtools.cli.commands import ToolGroup, add
from synthtools.environment import collect_rarely
from synthtools.errors import OutputClosed, SynthError
from synthtools.records.atomic_files import remove_unfinished
from synthtools.redaction import hide

TOOLS = (
    *("edit", "ppl", "ngram-hash", "embed", "dsir", "mix", "sample", "dedup"),
    *("decontaminate", "classify", "origin"),
    *("stats", "compare", "train"),
    *(
        "unlearn",
        "audit",
        "generate",
        "eval",
        "diff",
        "table",
        "fit",
        "cat",
        "simulate",
        "plot",
        "warm",
        "help",
    ),
)

# Typer's errors all derive from the exception class of the Click that it carries.
_ClickException = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def build(loaded: Collection[str] = TOOLS) -> typer.Typer:
    """The command-line application, one command per tool.

    Args:
        loaded: tools to import; the others have only a summary, for ``synth --help``.
    """
    app = typer.Typer(
        name="synth",
        cls=ToolGroup,
        help="Composable tools for training language models on human and LLM-generated text.",
        epilog="\b\nExamples:\n"
        "  synth edit human.jsonl.zst | synth ppl --summary\n"
        "  synth cat human.jsonl.zst -o human.parquet\n\n"
        "Tools read JSONL, Parquet or Arrow from files and pipes and write them again. "
        "man synth-TOOL says more.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )

    @app.callback(invoke_without_command=True)
    def synth(
        version: bool = typer.Option(False, "--version", help="Print the version and exit."),
    ) -> None:
        if version:
            print(f"synth {__version__}")
            raise typer.Exit

    for tool in TOOLS:
        if tool not in loaded:
            app.command(tool, help=_summary(tool))(lambda: None)
            continue
        module = importlib.import_module(f"synthtools.tools.{tool.replace('-', '_')}")
        # Arguments after a command to run belong to that command.
        settings = {"ignore_unknown_options": True, "allow_interspersed_args": False}
        add(app, tool, module, context_settings=settings if tool == "warm" else None)
    return app


def _summary(tool: str) -> str:
    """The first paragraph of a tool's help, read from its source without importing it."""
    path = Path(__path__[0], "tools", f"{tool.replace('-', '_')}.py")
    source = path.read_text(encoding="utf-8")
    return source.removeprefix('"""').partition("\n\n")[0].removesuffix('"""')


def help_text(tool: str | None) -> str:
    """The text of ``--help``, of a tool or of ``synth``."""
    app: Any = typer.main.get_command(build([tool] if tool else []))
    context = app.context_class(app, info_name="synth", **app.context_settings)
    if tool is None:
        return f"{app.get_help(context)}\n"
    command = app.commands[tool]
    within = command.context_class(command, info_name=tool, parent=context)
    return f"{command.get_help(within)}\n"


def main() -> None:
    """Runs the command line and exits."""
    _hold_standard_streams()
    collect_rarely()
    signal.signal(signal.SIGTERM, _interrupt)
    # A closed terminal; under nohup the signal is ignored.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _interrupt)
    try:
        interrupts.listen()
        code = _run()
        interrupts.ended()
    except KeyboardInterrupt:  # outside of the tool's own handling
        code = 130
    if code == 130:
        code = interrupts.exit_code()
    if "ray" in sys.modules:
        from synthtools.scale.ray_cluster import disconnect

        disconnect()
    remove_unfinished()
    # If the reader of stdout is gone, the interpreter must not fail at exit.
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    gc.freeze()  # a last garbage collection would take a tenth of a second
    # Everything is written. During the interpreter's shutdown interrupts are not caught any more.
    for number in interrupts.SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(code))
    sys.exit(code)


def _hold_standard_streams() -> None:
    """Opens closed standard streams (``2>&-``) on /dev/null: otherwise the next opened file would get their
    descriptor, and with it the output of libraries."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")


def _run() -> int:
    try:
        return build(sys.argv[1:2])(standalone_mode=False, prog_name="synth") or 0
    except OutputClosed:
        return 0
    except SynthError as error:
        return _fail(error, error.exit_code)
    except _ClickException as error:
        return _wrong_usage(error)
    except KeyboardInterrupt:
        return 130
    except OSError as error:  # unforeseen, but an error of the system, not a bug
        place = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return _fail(error, 1, f"{place}{error.strerror or error}")
    except Exception as error:  # a bug, if it is not memory: still one line
        if _is_memory(error):
            return _fail(error, 1, "out of memory; use smaller batches or a smaller model")
        text = (str(error).splitlines() or [""])[0]
        return _fail(
            error, 1, f"internal error: {type(error).__name__}: {text} (--debug shows where)"
        )


# Click's words for operands that a tool does not take.
_EXTRA = re.compile(r"unexpected extra arguments?(?:\(s\))? \((.*)\)")


def _wrong_usage(error: Any) -> int:
    """Prints Click's error, with the names closest to an unknown one."""
    text = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
        print(text, file=sys.stderr)
        return 2
    context = getattr(error, "ctx", None)
    # The parser of a tool's options has no context.
    named = sys.argv[1] if sys.argv[1:2] and sys.argv[1] in TOOLS else ""
    path = context.command_path if context else f"synth {named}".rstrip()
    name = getattr(error, "option_name", None)
    if type(error).__name__ == "NoSuchOption" and context:
        from difflib import get_close_matches

        tool = context.command
        known = [one for parameter in tool.params for one in parameter.opts]
        close = get_close_matches(name, [one for one in known if one.startswith("--")], 3, 0.6)
        meant = "model" if name == "-m" else name.strip("-").replace("-", "_")
        own = next((one for one in tool.params if one.name == meant), None)
        if own is None:
            near = f"near it: {', '.join(close)}" if close else ""
        elif own.param_type_name == "argument":
            near = f"{own.metavar} is an operand: {path} {own.metavar}"
        else:
            near = f"it is called {own.opts[0]}"
        text = f"no option {name}" + (f"; {near}" if near else "")
    elif type(error).__name__ == "MissingParameter":
        long = [name for name in error.param.opts if name.startswith("--")]
        text = f"{(long or [error.param.metavar])[0]} is missing: {error.param.help}"
    elif "requires an argument" in text:
        text = f"{name} needs a value"
    elif (extra := _EXTRA.search(text)) and context:
        text = f"no operand is expected: {extra[1]}"
        if any("--model" in one.opts and one.metavar == "MODEL" for one in context.command.params):
            text += "; a model is named by --model"
    message = " ".join(text.split()).rstrip(".")
    where = "" if path == "synth" else f"{path.removeprefix('synth ')}: "
    return _fail(f"{where}{message} (see {path} --help)", 2)


def _is_memory(error: Exception) -> bool:
    """Whether memory ran out, on the machine or a GPU; without importing torch."""
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in text  # torch on a CPU
        or "Cannot allocate memory" in text
        or "failed to map segment" in text  # the dynamic linker
    )


def _fail(error: BaseException | str, code: int, message: str | None = None) -> int:
    if isinstance(error, BaseException) and options.DEBUG.get():
        import traceback

        print(hide("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    terminal.remark(str(message or error))
    return code


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
