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
        report.pop("samples", None)
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
    from synthtools.scale.actor_pool import ActorPool, HeldObject

    lost, came = [], []
    lose, settle, in_order = ActorPool._lose, ActorPool._settled, HeldObject.in_order

    def waiting(self, *words):
        assert until(lambda: all(self in actor.holds for actor in self.pool._actors) or lost)
        return in_order(self, *words)

    def losing(self, actor, error):
        lost.append(len(actor.calls))
        lose(self, actor, error)

    def settling(self, actor, reference, outcome):
        settle(self, actor, reference, outcome)
        came.append(1)
        if len(came) == 3:
            nodes.kill()

    monkeypatch.setattr(HeldObject, "in_order", waiting)
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


@pytest.fixture
def evaluation(shards, paragraphs, llama, make_model, tmp_path):
    """The words of an evaluation with a scorer, a generator, and a judge that is another model."""
    data = tmp_path / "data"
    words = [text.split() for text in paragraphs if len(text.split()) > 14][:36]

    def written(path, records):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return path

    rows = (
        {"id": i, "prompt": " ".join(w[:6]), "choices": [w[6], " ".join(w[7:9])], "answer": i % 2}
        for i, w in enumerate(words)
    )
    written(data / "arc_easy/test.jsonl", rows)
    rows = ({"id": i, "prompt": f"{i} and 3 are", "answer": str(i + 3)} for i in range(9))
    written(data / "sums/test.jsonl", rows)
    task = {"kind": "exact_match", "prompt": "{prompt}", "max_new_tokens": 3, "data": ["sums"]}
    written(tmp_path / "sums.json", [task])
    rows = (
        {"prompt": f"Say {i}", "response": " ".join(w[k : k + 5]), "model": model}
        for i, w in enumerate(words[:4])
        for k, model in enumerate(("one", "other"))
    )
    answers = written(tmp_path / "answers.jsonl", rows)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    judge = make_model("llama", num_hidden_layers=1, max_position_embeddings=1024, **sizes)
    suites = f"arc_easy,{tmp_path / 'sums.json'},perplexity,self-preference"
    return [
        *("eval", llama, "--suite", suites, "--data", data, "--valid", f"n={shards / '1.jsonl'}"),
        *("--judge", judge, "--target", "other", "--answers", answers, "--bootstrap", "5"),
        *("--samples", "OUT/samples.jsonl", "--report", "OUT/report.json", "--jobs", "1"),
    ]


def test_a_node_is_killed_in_the_middle_of_an_evaluation(
    evaluation, nodes, small_waves, lossy, tmp_path, capfd
):
    """Three models; the node that is left has room for one actor."""
    nodes.second()
    here, there = both(nodes, tmp_path, "samples.jsonl", *evaluation)
    assert report_of(here) == report_of(there)
    assert here["samples.jsonl"] == there["samples.jsonl"]
    assert max(lossy) > 0
    assert len(report_of(here)["report.json"]["suites"]) == 4


def test_evaluations_are_resumed_and_share_a_cache(
    evaluation, nodes, small_waves, tmp_path, monkeypatch, capfd
):
    from synthtools.scale.actor_pool import ActorPool

    ray = ("--ray", nodes.address)

    def run(name, *more):
        (tmp_path / name).mkdir(exist_ok=True)
        given = [str(word).replace("OUT", str(tmp_path / name)) for word in evaluation]
        synth(*given, "-q", "--limit", "20", *more)
        report = json.loads((tmp_path / name / "report.json").read_text())
        return (tmp_path / name / "samples.jsonl").read_bytes(), report

    samples, whole = run("whole")
    settled, came = ActorPool._settled, []

    def failing(self, *of):
        came.append(1)
        settled(self, *of)
        if len(came) == 4:
            raise SynthError("the head is gone")

    with monkeypatch.context() as patched, pytest.raises(SynthError, match="head is gone"):
        patched.setattr(ActorPool, "_settled", failing)
        run("broken", *ray)
    resumed = run("broken", "--resume")
    assert resumed[0] == samples and resumed[1]["suites"] == whole["suites"]
    cache = ("--cache", tmp_path / "cache")
    run("1", "--shard", "1/2", *cache, *ray)
    run("2", "--shard", "2/2", *cache)
    joined = run("joined", *cache)
    assert joined[0] == samples and joined[1]["suites"] == whole["suites"]
    assert joined[1]["cache"]["added"] == 0


def test_what_cannot_be_placed_is_refused(evaluation, nodes):
    ray = ("--ray", nodes.address)
    for more, said in (
        (("--server", "http://127.0.0.1:1"), "--server asks one: leave one out"),
        (("--backend", "server"), "--backend server needs --server"),
    ):
        with pytest.raises(UsageError, match=said):
            synth(*evaluation, *ray, *more)
    without = [evaluation[0], *evaluation[2:]]
    with pytest.raises(UsageError, match="--ray needs a model that it places"):
        synth(*without, *ray, "--judge-server", "http://127.0.0.1:1")


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
