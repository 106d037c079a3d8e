"""The house: imports point one way, and help costs no more than Python itself."""

import ast
import re
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
    "measure": {"lm", "records", "scale", "text"},
    "curate": {"lm", "records", "scale", "text"},
    "evaluate": {"measure", "lm", "records", "scale", "text"},
    "training": {"lm", "records", "reports", "scale"},
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


@pytest.mark.parametrize("folder", sorted(ALLOWED))
def test_files_do_not_import_each_other_in_circles(folder):
    """Imports inside functions count too."""
    files = {}
    for path in (SOURCE / folder).rglob("*.py"):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        files[".".join(parts).removesuffix(".__init__")] = path
    graph = {}
    for name, path in files.items():
        names = imported(path) & files.keys() - {name}
        # A folder that is named on the way to one of its files is not meant.
        graph[name] = {n for n in names if not any(other.startswith(f"{n}.") for other in names)}
    assert any(graph.values()) or len(files) < 4
    while free := [name for name, needed in graph.items() if not needed & graph.keys()]:
        for name in free:
            del graph[name]
    assert not graph


@pytest.mark.parametrize("folder", sorted(set(ALLOWED) - {"lm", "training"}))
def test_only_lm_and_training_know_torch(folder):
    for path in (SOURCE / folder).rglob("*.py"):
        heavy = {name.split(".")[0] for name in imported(path)} & {"transformers", "vllm", "httpx"}
        assert not heavy, f"{path}: {heavy}"


def test_only_lm_knows_engines():
    for path in SOURCE.rglob("*.py"):
        if "vllm" in {name.split(".")[0] for name in imported(path)}:
            assert path.parent.relative_to(SOURCE).as_posix() == "lm/vllm", path


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
    return set(done.stderr.strip().splitlines()[-1].split("|"))


@pytest.mark.parametrize("tool", [None, *TOOLS])
def test_help_loads_nothing_heavy(tool):
    arguments = ["--help"] if tool is None else [tool, "--help"]
    assert not modules_after(*arguments) & {*HEAVY, "numpy", "orjson", "pydantic"}


def test_a_jsonl_pipe_needs_no_arrow(tmp_path):
    records = tmp_path / "a.jsonl"
    records.write_text('{"text": "a"}\n')
    loaded = modules_after("cat", str(records), "-o", str(tmp_path / "b.jsonl"))
    assert not loaded & {*HEAVY, "pydantic"}
    assert (tmp_path / "b.jsonl").read_bytes() == records.read_bytes()


def test_stats_imports_no_whole_scipy(tmp_path):
    records = tmp_path / "a.jsonl"
    records.write_text(
        "".join(f'{{"text": "{"a b " * (i + 200)}", "g": {i % 2}}}\n' for i in range(20))
    )
    loaded = modules_after("stats", str(records), "--by", "g", "--json")
    assert "scipy.special" in loaded
    assert not loaded & {"scipy.optimize", "scipy.stats", "pandas", "torch"}


@pytest.mark.parametrize("tool", ["ppl", "edit", "embed"])
def test_scores_of_a_plain_llama_need_no_transformers(tool, tmp_path):
    records = tmp_path / "a.jsonl"
    records.write_text('{"text": "The cat sat on the mat."}\n')
    out = ["-o", str(tmp_path / "b.jsonl")]
    loaded = modules_after(tool, str(records), "--model", "builtin", "--devices", "cpu", *out)
    unused = {"transformers", "huggingface_hub", "scipy", "pandas", "sklearn", "sympy", "pyarrow"}
    assert "torch" in loaded
    assert not loaded & unused


def named_in(folder: Path) -> set[str]:
    """What the docstring of a folder lists, a line each."""
    lines = (folder / "__init__.py").read_text().splitlines()
    return {line.partition("``")[2].partition("``")[0] for line in lines if line.startswith("- ")}


@pytest.mark.parametrize(
    "folder",
    [
        *("cli", "curate", "evaluate", "measure", "records", "scale", "text", "training"),
        *("lm", "lm/server", "lm/torch", "lm/vllm"),
    ],
)
def test_a_folder_names_each_of_its_files(folder):
    files = {path.stem for path in (SOURCE / folder).glob("*.py")} - {"__init__"}
    assert named_in(SOURCE / folder) == files


def test_files_are_short():
    for path in SOURCE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 350, path


def test_no_file_is_called_after_an_action():
    gerunds = {path.name for path in SOURCE.rglob("*.py") if path.stem.endswith("ing")}
    assert gerunds == set()


def test_two_files_of_one_name_are_of_one_tool():
    """Its options and its report; dsir is a method as well."""
    named: dict[str, set[str]] = {}
    for path in SOURCE.rglob("*.py"):
        if path.stem not in ("__init__", "__main__"):
            named.setdefault(path.stem, set()).add(path.parent.name)
    shared = {name: folders - {"tools", "reports"} for name, folders in named.items()}
    assert {name for name, folders in shared.items() if len(folders) > 1} <= {"answers"}
    assert {n for n, f in named.items() if len(f) > 1 and shared[n]} <= {"answers", "dsir"}


def test_no_two_public_classes_share_a_name():
    """But the options of tools, which are each called ``Options``."""
    owners: dict[str, list[str]] = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                owners.setdefault(node.name, []).append(path.relative_to(SOURCE).as_posix())
    del owners["Options"]
    assert not {name: places for name, places in owners.items() if len(places) > 1}


# Options of programs that are not ours (vLLM, Ray, pip, bwrap), a lane of random numbers that is called
# after one, and words that the warm process compares with.
OTHERS_OPTIONS = {
    "curate/mixture_parts.py": 1,
    "evaluate/sandbox.py": 8,
    "lm/gguf.py": 1,
    "lm/server/server_engine.py": 6,
    "lm/server/server_probe.py": 2,
    "scale/ray_cluster.py": 2,
    "training/parallel.py": 1,
    "warm/server.py": 2,
}


def test_options_are_named_in_tools_and_cli():
    """A message below them speaks of its parameter."""
    flag = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
    counts: dict[str, int] = {}
    for path in SOURCE.rglob("*.py"):
        if path.parent.name in ("tools", "cli"):
            continue
        tree = ast.parse(path.read_text())
        about = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = [one for one in ast.walk(tree) if isinstance(one, ast.Constant)]
        texts = [one for one in texts if isinstance(one.value, str) and id(one) not in about]
        if count := sum(bool(flag.search(str(one.value))) for one in texts):
            counts[path.relative_to(SOURCE).as_posix()] = count
    assert counts == OTHERS_OPTIONS


def test_the_package_names_its_folders_and_files():
    files = {path.stem for path in SOURCE.glob("*.py")} - {"__init__", "__main__"}
    assert named_in(SOURCE) == files | set(ALLOWED)


def test_the_repository_holds_nothing_that_others_packed():
    root = SOURCE.parent.parent
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    names = [name for name in listed.stdout.split("\0") if name]
    packed = (".whl", ".tar.gz", ".zip", ".so", ".jar")
    assert [name for name in names if name.endswith(packed)] == []
    large = [n for n in names if (root / n).exists() and (root / n).stat().st_size > 2 << 20]
    assert large == ["src/synthtools/prior/model.safetensors"]
