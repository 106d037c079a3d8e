"""``python -m faults``: runs cases, writes the table, fails where anything was lost."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from faults.cases import CASES, ROOT, Case, Options, Seen, play

TABLE = ROOT / "docs" / "faults.md"


class Family(NamedTuple):
    """Cases that belong together.

    Attributes:
        title: of their part of the table; modules: of their package, in the order of the table, none
            where the family is a module itself.
    """

    title: str
    modules: tuple[str, ...] = ()


FAMILIES = {
    "surroundings": Family(
        "The machine: disks, permissions, memory, pipes, signals, clocks, names",
        ("disks", "inputs", "memory", "streams", "signals", "clocks", "names"),
    ),
    "fuzzing": Family("Readers and bytes that nobody wrote", ("files", "bombs")),
    "hostile": Family(
        "Models, records and prompts that mean harm",
        ("models", "records", "judges", "patterns", "dependencies"),
    ),
    "servers": Family("Servers", ("slow", "lying")),
    "kills": Family("SIGKILL and `--resume`"),
    "writers": Family(
        "Runs killed at each step of their writing, and two of one output", ("outputs",)
    ),
}

_HEAD = """# Faults

What was done to the tools on purpose, what a user sees of it, and whether anything was lost. This
page is written by `make faults` (`python -m faults --write`), and its quick part (*) is run by
`make test` too. Rows that a run leaves out, by its choice of cases or because the machine lacks what
they need, stay as an earlier run wrote them.

- **line**: the one line on stderr, without `synth:`; – for none, as nothing is wrong.
- **code**: exit code; 0 done, 1 failed, 2 wrong usage, 130 interrupted.
- **lost**: no, or what. A record is lost where it is neither in the output nor told; an output where
  what stands under its name is not whole, or a resumed run ends otherwise than an uninterrupted one.

What is not guarded against: a chat template of a hostile model can take time and memory (it cannot
run code); a directory of a model may hold links, as the Hub's cache does, to any file that is a sound
safetensors file; what a model writes as a program is kept from accidents only (see
[decisions](decisions.md)).
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="python -m faults",
        description="Does on purpose what goes wrong on real machines, and tells what a user sees of "
        "it. All of it takes about an hour and a half on one core: the kills 15 minutes, the writers "
        "30, atheris 30 seconds for each of 18 readers, the rest 20 minutes. Interrupt it whenever you like; what has been run "
        "is kept with --write.",
        epilog="Some cases need root (disks in memory), setpriv, atheris or pip-audit; without, they "
        "are skipped and say so.",
    )
    found.add_argument(
        "cases", nargs="*", help="a family (kills), a case (kills/edit), or the beginning of one"
    )
    found.add_argument("--list", action="store_true", help="only list the cases")
    found.add_argument("--quick", action="store_true", help="only those that the tests run too")
    found.add_argument("--write", action="store_true", help="write the rows into docs/faults.md")
    found.add_argument("--kills", type=int, default=50, help="for each tool or output (50)")
    found.add_argument("--examples", type=int, default=300, help="of Hypothesis, a reader (300)")
    found.add_argument("--seconds", type=int, default=30, help="of atheris, a reader (30)")
    found.add_argument("--seed", type=int, default=0, help="of moments and examples (0)")
    return found


def load() -> dict[str, Case]:
    """All cases, by name, in the order of the families."""
    for name, family in FAMILIES.items():
        for module in family.modules or ("",):
            importlib.import_module(f"faults.{name}.{module}".rstrip("."))
    order = list(FAMILIES)
    return dict(sorted(CASES.items(), key=lambda item: order.index(item[0].split("/")[0])))


def main() -> None:
    given = parser().parse_args()
    cases = {
        name: case
        for name, case in load().items()
        if (not given.cases or any(name.startswith(word) for word in given.cases))
        and (case.quick or not given.quick)
    }
    if not cases:
        sys.exit(f"no case begins with {' or '.join(given.cases)} (--list shows all)")
    if given.list:
        for name, case in cases.items():
            print(f"{name:40} {case.done}")
        return
    options = Options(given.kills, given.seconds, given.examples, given.seed)
    found: dict[str, Seen] = {}
    stopped = False
    with tempfile.TemporaryDirectory(prefix="synth-faults-") as workplace:
        Path(workplace).chmod(0o755)  # cases without root's rights enter it
        try:
            for name, case in cases.items():
                begun = time.monotonic()
                found[name] = play(case, Path(workplace) / name, options)
                _tell(name, found[name], time.monotonic() - begun)
        except KeyboardInterrupt:
            stopped = True
            print("interrupted", file=sys.stderr)
    if given.write:
        write(found)
    lost = [name for name, seen in found.items() if seen.lost]
    skipped = sum(1 for seen in found.values() if seen.skipped)
    print(f"{len(found)} cases, {skipped} skipped, {len(lost)} with a loss", flush=True)
    sys.exit(130 if stopped else 1 if lost else 0)


def _tell(name: str, seen: Seen, seconds: float) -> None:
    if seen.lost:
        what = f"LOST: {seen.lost}"
    elif seen.skipped:
        what = f"skipped: {seen.skipped}"
    else:
        what = f"{seen.code}  {seen.line}"
    print(f"{seconds:6.1f} s  {name:36} {what}", flush=True)


# ---------------------------------------------------------------- the table


def write(found: dict[str, Seen]) -> None:
    """Puts rows into the table; those of cases that were not run stay."""
    rows = _rows_there()
    cases = load()
    for name, seen in found.items():
        if not seen.skipped or name not in rows:
            rows[name] = row(cases[name], seen)
    parts = [_HEAD, f"Last run: {machine()}.\n"]
    for family, (title, _) in FAMILIES.items():
        lines = [rows[name] for name in cases if name.startswith(f"{family}/") and name in rows]
        if lines:
            parts.append(f"## {title}\n")
            parts.append("| case | what is done | line | code | lost |\n|---|---|---|---|---|")
            parts.append("\n".join(lines) + "\n")
    TABLE.write_text("\n".join(parts), encoding="utf-8")


def _rows_there() -> dict[str, str]:
    if not TABLE.exists():
        return {}
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return {
        line.split("|")[1].strip(" *`"): line
        for line in lines
        if line.startswith("| `") and "/" in line
    }


def row(case: Case, seen: Seen) -> str:
    """A case as a row of the table."""
    mark = " *" if case.quick else ""
    name = f"`{case.name}`{mark}"
    if seen.skipped:
        return f"| {name} | {_cell(case.done)} | not tried here: {_cell(seen.skipped)} | – | – |"
    lost = _cell(seen.lost[:200]) if seen.lost else "no"
    return f"| {name} | {_cell(case.done)} | {_cell(seen.line)} | {seen.code} | {lost} |"


def _cell(text: str) -> str:
    """A text in a cell of Markdown, in one line and not longer than one can read."""
    text = " ".join(text.split())
    text = text if len(text) <= 260 else f"{text[:200]} … {text[-50:]}"
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def machine() -> str:
    """The machine in a few words."""
    root = "as root" if os.geteuid() == 0 else "without root"
    return f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {root}"
