"""``synth warm``: a script in which tools start at once."""

from __future__ import annotations

from typing import Annotated

import typer

from synthtools.cli.parameters import operand


def warm(
    command: Annotated[
        list[str],
        operand(
            metavar="COMMAND",
            help="The command and its arguments: a script, or a line for sh -c.",
        ),
    ],
) -> None:
    """Run a command in which every synth starts at once.

    One process imports torch, transformers and the other libraries, and forks for each start of a tool:
    a start takes tenths of a second instead of seconds. The tool is the same, with the directory,
    environment, open files, limits and signals of whoever started it. The exit code is the command's.

    Tools that use a GPU start it each for themselves. An environment that changes what libraries read
    while they are imported (OMP_NUM_THREADS, HF_HOME, PYTHONPATH, …) has the tool start as usual.
    Linux only.

    \b
    Examples:
      synth warm ./study.sh data/
      synth warm sh -c 'for f in *.jsonl; do synth ppl "$f" --summary > "$f.json"; done'
      synth warm bash

    Memory: about 700 MB, which all tools that run share.
    """
    from synthtools.cli import interrupts
    from synthtools.warm.starting import run

    interrupts.release()  # signals are the command's
    raise typer.Exit(run(command))
