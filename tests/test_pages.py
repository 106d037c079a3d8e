"""Man pages and completions: equal to what the code says, and working in the real shells."""

from __future__ import annotations

import importlib.util
import os
import pty
import re
import select
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _load() -> ModuleType:
    path = ROOT / "docs" / "generate_pages.py"
    spec = importlib.util.spec_from_file_location("generate_pages", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


generator = _load()
SYNTH, *TOOLS = generator.commands()
ALL = (SYNTH, *TOOLS)
BASH, ZSH, FISH = (ROOT / "completions" / name for name in ("synth.bash", "_synth", "synth.fish"))
NAMES = [tool.name for tool in TOOLS]


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed")


def run(*arguments: str, cwd: Path | None = None) -> str:
    done = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr or done.stdout
    return done.stdout


def long_names(command) -> set[str]:
    return {n for option in command.options for n in option.names if n.startswith("--")}


# The pages


def test_pages_in_the_tree_are_those_of_the_code():
    changed = generator.stale(generator.pages())
    assert not changed, f"run python docs/generate_pages.py: {', '.join(changed)}"


def test_check_names_what_is_stale(tmp_path, monkeypatch, capsys):
    made = generator.pages()
    for name, text in made.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    monkeypatch.setattr(generator, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["generate_pages.py", "--check"])
    generator.main()
    (tmp_path / "man" / "synth-gone.1").touch()
    (tmp_path / "completions" / "_synth").write_text("old", "utf-8")
    with pytest.raises(SystemExit) as stopped:
        generator.main()
    assert str(stopped.value).startswith("stale: completions/_synth, man/synth-gone.1 (")
    monkeypatch.setattr(sys, "argv", ["generate_pages.py"])
    generator.main()
    assert generator.stale(made) == []


@pytest.mark.parametrize("command", ALL, ids=lambda command: command.page)
def test_every_option_is_explained_in_the_page(command):
    page = (ROOT / "man" / f"{command.page}.1").read_text("utf-8")
    for parameter in (*command.options, *command.operands):
        name = (parameter.names or [parameter.metavar])[-1]
        assert parameter.help, f"{command.page}: {name} has no help"
        assert f"{name.replace('-', chr(92) + '-')}\\fR" in page
    for line in re.findall(r"^ +synth .*", command.help, re.M):
        assert "".join(generator._ROFF.get(letter, letter) for letter in line.strip()) in page


@needs("mandoc")
@pytest.mark.parametrize("command", ALL, ids=lambda command: command.page)
def test_pages_are_clean_and_readable(command):
    path = str(ROOT / "man" / f"{command.page}.1")
    assert run("mandoc", "-T", "lint", "-W", "warning", path) == ""
    shown = re.sub(".\b", "", run("mandoc", "-T", "utf8", path))
    headings = re.findall(r"^[A-Z][A-Z ]+$", shown, re.M)
    expected = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"]
    assert [h for h in headings if h in expected] == expected
    assert all(name in shown for name in long_names(command))


# The completions


class Terminal:
    """An interactive shell at a pseudo-terminal, in which ``synth`` shows the words it is given."""

    def __init__(self, shell: list[str], setup: str, folder: Path) -> None:
        self._terminal, inside = pty.openpty()
        settings = {"TERM": "dumb", "HISTFILE": "", "ZDOTDIR": str(folder), "LC_ALL": "C.UTF-8"}
        self._shell = subprocess.Popen(
            shell,
            stdin=inside,
            stdout=inside,
            stderr=inside,
            cwd=folder,
            env={**os.environ, **settings},
            start_new_session=True,
        )
        os.close(inside)
        self.type(f"{setup}; synth() {{ printf '<%s>' \"$@\"; echo; }}; synth ready")

    def type(self, line: str) -> list[str]:
        """Types a line, presses Enter and returns the words that ``synth`` was called with."""
        os.write(self._terminal, f"{line}\n".encode())
        read = ""
        while not (words := re.findall(r"^<(.*)>\r$", read, re.M)):
            assert select.select([self._terminal], [], [], 20)[0], f"no answer: {read}"
            read += os.read(self._terminal, 4096).decode()
        return words[0].split("><")

    def close(self) -> None:
        self._shell.kill()
        self._shell.wait()
        os.close(self._terminal)


TYPED = {
    "synth tr\t": "train",
    "synth --ver\t": "--version",
    "synth edit --gener\t2": "edit --generations 2",
    "synth help sta\t-q": "help stats -q",
    "synth edit --backend vl\t": "edit --backend vllm",
    "synth edit --backend=vl\t": "edit --backend vllm",
    "synth edit --model buil\t": "edit --model builtin",
    "synth edit --model te\t": "edit --model texts",
    "synth train -o te\t": "train -o texts",
    "synth ppl tex\ta\t": "ppl texts/a b.jsonl",
    "synth ppl --report tex\ta\t": "ppl --report texts/a b.jsonl",
    "synth ppl --candidates te\t": "ppl --candidates te",
    "synth cat train --sel\tid": "cat train --select id",
    "synth eval --suite ifev\t-q": "eval --suite ifeval -q",
    "synth stats --measures com\t-q": "stats --measures compression -q",
    "synth train --arch olmo-t\t-q": "train --arch olmo-tiny -q",
    "synth ppl a.jsonl --text-field bo\t-q": "ppl a.jsonl --text-field body -q",
    "synth ppl b.csv --prompt-field qu\t-q": "ppl b.csv --prompt-field question -q",
}
SHELLS = {
    "bash": (["bash", "--norc", "-i"], f"source '{BASH}'"),
    "zsh": (
        ["zsh", "-f", "-i"],
        f"fpath=('{ZSH.parent}' $fpath); autoload -Uz compinit; compinit -D -u",
    ),
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a b.jsonl").touch()
    (tmp_path / "a.jsonl").write_text('{"id": 1, "body": "He said \\"both\\": no"}\n')
    (tmp_path / "b.csv").write_text("question,answer\nx,y\n")
    return tmp_path


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs(name)) for name in SHELLS])
def test_tab_completes_at_a_terminal(name, folder):
    terminal = Terminal(*SHELLS[name], folder)
    try:
        # zsh writes --option=VALUE and takes the slash behind a directory away again
        typed = {line: " ".join(terminal.type(line)).replace("=", " ") for line in TYPED}
        assert {line: words.rstrip("/") for line, words in typed.items()} == TYPED
    finally:
        terminal.close()


def test_bash_offers_tools_options_and_choices(folder):
    script = f"""
        source '{BASH}'
        offer() {{
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
            _synth
            echo "${{COMPREPLY[*]}}"
        }}
        offer synth ''
        offer synth -
        offer synth edit ''
        offer synth edit --on-error ''
        offer synth cat --count --on-error = s
        offer synth cat builtin
        offer synth cat a.jsonl --select ''
        for tool in {" ".join(NAMES)}; do offer synth $tool -; done
    """
    offered = [line.split() for line in run("bash", "-c", script, cwd=folder).splitlines()]
    assert offered[:2] == [NAMES, ["--version", "-h", "--help"]]
    assert offered[2:5] == [[], ["fail", "skip"], ["skip"]]
    assert offered[5:7] == [["builtin:topics", "builtin:sample"], ["id", "body"]]
    for tool, names in zip(TOOLS, offered[7:], strict=True):
        assert names == [name for option in tool.options for name in option.names]


@needs("fish")
def test_fish_offers_tools_options_and_choices(folder):
    lines = ["synth ", "synth cat --on-error ", "synth cat --count te", "synth cat --report te"]
    lines += ["synth edit --model ", "synth edit --seed te", "synth tex", "synth help sta"]
    lines += [f"synth {name} --" for name in NAMES]
    asked = "; ".join(f"echo :; complete -C '{line}'" for line in lines)
    script = f"source '{FISH}'; {asked}"
    answers = run("fish", "--no-config", "-c", script, cwd=folder).split(":\n")[1:]
    offered = [dict(line.partition("\t")[::2] for line in a.splitlines()) for a in answers]
    assert offered[0] == {tool.name: tool.brief for tool in TOOLS}
    assert list(offered[1]) == ["fail", "skip"]
    assert [list(found) for found in offered[2:8]] == [
        ["texts/"],
        ["texts/"],
        ["builtin", "texts/"],
        [],
        [],
        ["stats"],
    ]
    for tool, found in zip(TOOLS, offered[8:], strict=True):
        assert set(found) == long_names(tool)
        assert all(found.values())


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_zsh_and_fish_files_hold_every_option(tool):
    zsh, fish = ZSH.read_text("utf-8"), FISH.read_text("utf-8")
    case = re.search(rf"^        {tool.name}\)\n(.*?)^          ;;", zsh, re.M | re.S)
    lines = re.findall(rf"^complete -c synth -n '__synth_tool_is {tool.name}'(.*)", fish, re.M)
    assert case
    for name in (name for option in tool.options for name in option.names):
        assert re.search(rf"['{{,*]{name}[=+\[,}}]", case[1]), f"zsh: {tool.name} {name}"
        flag = f" -l {name[2:]} " if name.startswith("--") else f" -s {name[1:]} "
        assert any(flag in line for line in lines), f"fish: {tool.name} {name}"


@needs("zsh")
def test_zsh_reads_its_file():
    run("zsh", "-n", str(ZSH))
