"""The house: imports point one way, and help costs no more than Python itself."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from synthtools.cli.app import TOOLS

SOURCE = Path(__file__).resolve().parent.parent / "src" / "synthtools"

# What each folder may import of the others; itself and errors always.
ALLOWED = {
    "scale": set(),
    "records": {"scale"},
    "lm": {"scale"},
    "text": {"records"},
    "measure": {"lm", "records", "text"},
    "curate": {"lm", "records", "text"},
    "evaluate": {"measure", "lm", "records", "text"},
    "training": {"lm", "records", "reports"},
    "prior": set(),
    "warm": {"cli", "lm"},
    "reports": {"evaluate", "measure", "records"},
    "cli": {
        "reports",
        "measure",
        "curate",
        "evaluate",
        "lm",
        "records",
        "scale",
        "text",
        "training",
    },
    "tools": {
        "reports",
        "measure",
        "cli",
        "curate",
        "evaluate",
        "lm",
        "records",
        "scale",
        "text",
        "training",
        "warm",
    },
}

HEAVY = (
    "torch",
    "transformers",
    "pyarrow",
    "vllm",
    "rich",
    "httpx",
    "tokenizers",
    "zstandard",
    "scipy",
    "numba",
    "sklearn",
    "umap",
    "matplotlib",
    "ray",
)


def imported(path: Path) -> set[str]:
    """Names of the modules that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def test_every_folder_is_placed():
    folders = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    assert folders == set(ALLOWED)


@pytest.mark.parametrize("folder", sorted(ALLOWED))
def test_imports_point_one_way(folder):
    for path in (SOURCE / folder).rglob("*.py"):
        for name in imported(path):
            parts = name.split(".")
            if parts[0] == "synthtools" and len(parts) > 1 and (SOURCE / parts[1]).is_dir():
                assert parts[1] == folder or parts[1] in ALLOWED[folder], f"{path}: {name}"


@pytest.mark.parametrize("folder", sorted(set(ALLOWED) - {"lm", "training"}))
def test_only_lm_and_training_know_torch(folder):
    for path in (SOURCE / folder).rglob("*.py"):
        heavy = {name.split(".")[0] for name in imported(path)} & {"transformers", "vllm", "httpx"}
        assert not heavy, f"{path}: {heavy}"


def test_only_lm_knows_engines():
    for path in SOURCE.rglob("*.py"):
        if "vllm" in {name.split(".")[0] for name in imported(path)}:
            assert path.name in ("vllm_backend.py", "vllm_generation.py")


def test_only_scale_knows_ray():
    for path in SOURCE.rglob("*.py"):
        if "ray" in {name.split(".")[0] for name in imported(path)}:
            assert path.parent.name == "scale", path


def modules_after(*arguments: str) -> set[str]:
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('|'.join(sys.modules), file=sys.stderr))\n"
        f"sys.argv = ['synth', *{list(arguments)!r}]\n"
        "from synthtools.cli.app import main\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:2000]
    return {name.split(".")[0] for name in done.stderr.strip().splitlines()[-1].split("|")}


@pytest.mark.parametrize("tool", [None, *TOOLS])
def test_help_loads_nothing_heavy(tool):
    arguments = ["--help"] if tool is None else [tool, "--help"]
    assert not modules_after(*arguments) & {*HEAVY, "numpy", "orjson"}


def test_a_jsonl_pipe_needs_no_arrow(tmp_path):
    records = tmp_path / "a.jsonl"
    records.write_text('{"text": "a"}\n')
    loaded = modules_after("cat", str(records), "-o", str(tmp_path / "b.jsonl"))
    assert not loaded & set(HEAVY)
    assert (tmp_path / "b.jsonl").read_bytes() == records.read_bytes()


def named_in(folder: Path) -> set[str]:
    """What the docstring of a folder lists, a line each."""
    lines = (folder / "__init__.py").read_text().splitlines()
    return {line.partition("``")[2].partition("``")[0] for line in lines if line.startswith("- ")}


@pytest.mark.parametrize("folder", ["curate", "lm", "measure", "records", "scale", "text"])
def test_a_folder_names_each_of_its_files(folder):
    files = {path.stem for path in (SOURCE / folder).glob("*.py")} - {"__init__"}
    assert named_in(SOURCE / folder) == files


def test_the_package_names_its_folders_and_files():
    files = {path.stem for path in SOURCE.glob("*.py")} - {"__init__", "__main__"}
    assert named_in(SOURCE) == files | set(ALLOWED)
