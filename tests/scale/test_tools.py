"""``--ray``: the same bytes as on one machine, whatever becomes of the nodes.

The tools run in this process, which stays connected to the cluster from one to the next.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from running import COLD
from synthtools.cli.app import build
from synthtools.errors import SynthError, UsageError


def synth(*words):
    build()([str(word) for word in words], standalone_mode=False)


@pytest.fixture(scope="module")
def shards(tmp_path_factory, paragraphs):
    """Four shards of short English texts, of three kinds, the last one with bad records."""
    import gzip

    folder = tmp_path_factory.mktemp("shards")
    lines = [json.dumps({"id": n % 90, "text": text}) for n, text in enumerate(paragraphs[:120])]
    for number in range(3):
        (folder / f"{number}.jsonl").write_text("\n".join(lines[number::4]) + "\n")
    (folder / "3.jsonl.gz").write_bytes(gzip.compress("\n".join(lines[3::4]).encode()))
    return folder


@pytest.fixture(scope="module")
def wrong(tmp_path_factory, shards):
    """A shard with records that are none."""
    path = tmp_path_factory.mktemp("wrong") / "wrong.jsonl"
    path.write_text((shards / "0.jsonl").read_text() + 'oops\n{"id": 1}\n')
    return path


def both(nodes, tmp_path, name, *words):
    """What a tool writes here and on the cluster."""
    found = []
    for folder, more in (("here", ()), ("there", ("--ray", nodes.address))):
        path = tmp_path / folder
        path.mkdir()
        given = [str(word).replace("OUT", str(path)) for word in words]
        synth(*given, "-q", *more)
        found.append({file.name: file.read_bytes() for file in sorted(path.iterdir())})
    assert name in found[0] and found[0][name]
    return found


def report_of(files):
    """Reports without what tells of the run."""
    reports = {name: json.loads(content) for name, content in files.items() if "report" in name}
    for report in reports.values():
        report.pop("made_by")
    return reports


@pytest.fixture
def small_waves(monkeypatch):
    from synthtools.lm import ray_backend

    monkeypatch.setattr(ray_backend, "_BYTES_A_TOKEN", 1 << 11)
    monkeypatch.setattr(ray_backend, "_PROMPTS", 4)


@pytest.mark.parametrize(
    "words",
    [
        "embed IN -o OUT/out.parquet",
        "generate IN --prompt-field text --max-new-tokens 6 -o OUT/out.jsonl",
    ],
)
def test_vectors_and_answers(words, nodes, shards, llama, small_waves, tmp_path, capfd):
    given = [shards / "0.jsonl" if word == "IN" else word for word in words.split()]
    name = Path(given[-1]).name
    here, there = both(nodes, tmp_path, name, *given, "--model", llama, "--jobs", "1")
    assert here[name] == there[name]
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    "words",
    [
        "dsir IN WRONG --target TARGET -n 30 --min-tokens 5 --on-error skip --rejects OUT/bad.jsonl "
        "-o OUT/out.jsonl --report OUT/report.json",
        "dsir IN --target TARGET=0.7 --target WRONG=0.3 --on-error skip -n 40 --min-tokens 0 --weights "
        "-o OUT/out.parquet --report OUT/report.json",
        "mix IN=0.7 WRONG=0.3 --on-error skip --total 5K --unit bytes -o OUT/out.jsonl "
        "--report OUT/report.json",
        "ngram-hash IN WRONG --on-error skip --rejects OUT/bad.jsonl --json --report OUT/report.json",
        "ngram-hash IN --per-record minhash -o OUT/out.parquet",
        "ngram-hash IN WRONG --on-error skip --duplicates --json --report OUT/report.json",
        "stats IN TARGET --json --report OUT/report.json",
        "dedup IN WRONG --near --verify --on-error skip --removed OUT/gone.jsonl -o OUT/out.jsonl "
        "--report OUT/report.json",
        "dedup IN --against WRONG --on-error skip --unit line --removed OUT/gone.jsonl "
        "-o OUT/out.jsonl --report OUT/report.json",
        "decontaminate IN WRONG --on-error skip --benchmark OTHER --ngram 5 --removed OUT/gone.parquet "
        "-o OUT/out.parquet --report OUT/report.json",
        "classify IN --on-error skip --class a=OTHER --class b=TARGET --save OUT/c.safetensors "
        "-o OUT/out.jsonl --report OUT/report.json",
    ],
)
def test_tools_of_the_cpu(words, nodes, shards, wrong, tmp_path, capfd):
    nodes.second()
    names = {"IN": shards, "TARGET": shards / "1.jsonl", "WRONG": wrong}
    names["OTHER"] = tmp_path / "other.jsonl"
    names["OTHER"].write_text((shards / "0.jsonl").read_text())
    given = words.split()
    for place, word in enumerate(given):
        name, _, rest = word.partition("=")
        if name in names:
            given[place] = f"{names[name]}{'=' if rest else ''}{rest}"
        elif rest in names:
            given[place] = f"{name}={names[rest]}"
    name = "out.parquet" if "parquet" in words else "out.jsonl" if "-o" in given else "report.json"
    here, there = both(nodes, tmp_path, name, *given)
    assert report_of(here) == report_of(there)
    for files in (here, there):
        files.pop("report.json", None)
    assert here == there


def test_errors_are_told_as_here(nodes, shards, wrong):
    for words in (
        ("ngram-hash", shards, wrong),
        ("mix", f"{wrong}=1", "--total", "10", "--unit", "tokens"),
        ("mix", f"{shards}=0.5", f"{shards / '1.jsonl'}=0.5", "--total", "10", "--unit", "tokens"),
        ("ngram-hash", "--duplicates", shards, shards / "1.jsonl"),
        ("stats", wrong),
    ):
        said = []
        for more in ((), ("--ray", nodes.address)):
            with pytest.raises(SynthError) as raised:
                synth(*words, "-q", *more)
            said.append(str(raised.value))
        assert said[0] == said[1] and "\n" not in said[0]
    with pytest.raises(UsageError, match="leave one out"):
        synth("ppl", shards, "--ray", nodes.address, "--server", "http://127.0.0.1:1")


@pytest.fixture
def lossy(nodes, monkeypatch):
    """Kills the second node when three waves have come back, which all actors share. Gives what was
    lost: the calls of each actor that went."""
    from synthtools.scale.actor_pool import ActorPool

    lost, came = [], []
    lose, settle, in_order = ActorPool._lose, ActorPool._settled, ActorPool.in_order

    def waiting(self, *words):
        assert until(lambda: all(actor.opening is None for actor in self._actors) or lost)
        return in_order(self, *words)

    def losing(self, actor, error):
        lost.append(len(actor.calls))
        lose(self, actor, error)

    def settling(self, actor, reference, outcome):
        settle(self, actor, reference, outcome)
        came.append(1)
        if len(came) == 3:
            nodes.kill()

    monkeypatch.setattr(ActorPool, "in_order", waiting)
    monkeypatch.setattr(ActorPool, "_lose", losing)
    monkeypatch.setattr(ActorPool, "_settled", settling)
    return lost


@pytest.mark.parametrize(
    "words",
    [
        "edit IN --threshold 0.5 -o OUT/edited.jsonl --report OUT/report.json",
        "ppl IN --candidates 4 -o OUT/scored.parquet",
    ],
)
def test_a_node_is_killed_in_the_middle(words, nodes, shards, llama, small_waves, lossy, tmp_path):
    nodes.second()
    given = [shards if word == "IN" else word for word in words.split()]
    name = "edited.jsonl" if given[0] == "edit" else "scored.parquet"
    model = ("--model", llama, "--backend", "torch", "--jobs", "1")
    here, there = both(nodes, tmp_path, name, *given, *model)
    assert report_of(here) == report_of(there)
    assert here[name] == there[name]
    assert max(lost for lost in lossy) > 0  # something was under way there


def test_an_interrupted_run_leaves_nothing(tmp_path):
    import psutil

    output = tmp_path / "out.jsonl"
    words = ("ngram-hash", "--per-record", "minhash", "--ray", "local", "--jobs", "1", "-o", output)
    process = subprocess.Popen(
        [*COLD, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "RAY_TMPDIR": "/tmp"},
    )
    try:
        started = psutil.Process(process.pid)
        assert until(lambda: started.children(recursive=True))  # at any moment of its start
        time.sleep(1)
        process.stdin.write(b'{"text":"a"}\n')
        process.stdin.flush()
        time.sleep(1)
        children = started.children(recursive=True)
        process.send_signal(signal.SIGINT)
        process.wait(60)
        assert process.returncode == 130
        assert process.stdout.read() == b"" and process.stderr.read() == b""
        _, alive = psutil.wait_procs(children, timeout=30)
        assert not alive
        assert list(tmp_path.iterdir()) == []
    finally:
        process.kill()


def until(what):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.1)
    return False
