"""The tools that read data, whole processes from JSONL, beside the bare parse and their peers.

The input is made by repetition (every copy with a mark of its own) from --texts FILE, a JSONL file
with a field text, or from the standard library's topics. Peers run on a part of it, where they are
installed (pip install data-selection datasketch).
"""

import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import orjson

from benchmarks.common import machine, texts

MEGABYTES = float(os.environ.get("BENCH_MEGABYTES", 200))
PEER_MEGABYTES = 4.0


def seconds(*command: object, cores: int | None = None) -> float:
    """Wall time of a process, on the first so many cores."""
    allowed = sorted(os.sched_getaffinity(0))
    start = time.perf_counter()
    subprocess.run(
        list(map(str, command)),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed[: cores or len(allowed)]),
    )
    return time.perf_counter() - start


def written(path: Path, megabytes: float) -> float:
    """Writes JSONL of about so many MB; returns how many it has."""
    documents = texts(megabytes)
    with open(path, "wb") as file:
        for number, text in enumerate(documents):
            file.write(orjson.dumps({"id": number, "text": text, "source": "topics"}) + b"\n")
    return path.stat().st_size / 1e6


PARSE = """
import orjson, sys
total = 0
with open(sys.argv[1], "rb") as file:
    for line in file:
        total += len(orjson.loads(line)["text"])
"""

DSIR = """
import sys, tempfile
from data_selection import HashedNgramDSIR
raw, target = sys.argv[1:3]
with tempfile.TemporaryDirectory() as folder:
    found = HashedNgramDSIR([raw], [target], cache_dir=folder + "/cache", num_proc=1)
    found.fit_importance_estimator(num_tokens_to_fit="all")
    found.compute_importance_weights()
    found.resample(out_dir=folder + "/out", num_to_sample=100, cache_dir=folder + "/resampled")
"""

FEATURISER = """
import json, sys
from data_selection.hashed_ngram_dsir import get_ngram_counts
for line in open(sys.argv[1]):
    get_ngram_counts(json.loads(line)["text"])
"""

DATASKETCH = """
import json, re, sys
from datasketch import MinHash
for line in open(sys.argv[1]):
    tokens = re.findall(r"\\w+|[^\\w\\s]+", json.loads(line)["text"].lower())
    signature = MinHash(num_perm=128)
    signature.update_batch({" ".join(tokens[i : i + 5]).encode() for i in range(len(tokens) - 4)})
"""


def main() -> None:
    synth = (sys.executable, "-m", "synthtools")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large, small, target = folder / "large.jsonl", folder / "small.jsonl", folder / "t.jsonl"
        size, small_size = written(large, MEGABYTES), written(small, PEER_MEGABYTES)
        written(target, 2)
        one, few = folder / "one.jsonl", folder / "few.jsonl"
        one.write_bytes(small.read_bytes().splitlines(keepends=True)[0])
        few.write_bytes(b"".join(target.read_bytes().splitlines(keepends=True)[:200]))

        def ours(*arguments: object, cores: int = 1) -> float:
            """MB/s of a tool without what it takes to start."""
            tool, *rest = arguments
            more = ("--jobs", cores)
            start = min(seconds(*synth, tool, one, *rest, *more, cores=cores) for _ in range(2))
            spent = min(seconds(*synth, tool, large, *rest, *more, cores=cores) for _ in range(2))
            starts.append(start)
            return size / max(1e-9, spent - start)

        def python(code: str, path: Path, megabytes: float, *more: object) -> float:
            start = min(seconds(sys.executable, "-c", code, few, *more, cores=1) for _ in range(2))
            spent = seconds(sys.executable, "-c", code, path, *more, cores=1)
            return megabytes / max(1e-9, spent - start)

        starts: list[float] = []
        dsir = ("dsir", "--target", target, "-n", 1, "--top-k", "--min-tokens", 0)
        parse = python(PARSE, large, size)
        print(f"bare parse (orjson by line): {parse:.0f} MB/s a core")
        rows = {
            "ngram-hash": (("ngram-hash",), FEATURISER, ()),
            "ngram-hash --top 40": (("ngram-hash", "--top", 40), FEATURISER, ()),
            "minhash": (("ngram-hash", "--per-record", "minhash"), DATASKETCH, ()),
            "minhash --hash fast": (
                ("ngram-hash", "--per-record", "minhash", "--hash", "fast"),
                DATASKETCH,
                (),
            ),
            "dsir": (dsir, DSIR, (target,)),
            "dsir --hash sha256": ((*dsir, "--hash", "sha256"), DSIR, (target,)),
        }
        for label, (command, peer, more) in rows.items():
            speed = ours(*command)
            line = f"{label}: {speed:.0f} MB/s a core = {speed / parse:.2f} of the bare parse"
            module = "datasketch" if peer is DATASKETCH else "data_selection"
            if find_spec(module):
                other = python(peer, small, small_size, *more)
                line += f"; {module} {other:.2f}: × {speed / other:.0f}"
            if (os.cpu_count() or 1) > 1:
                line += f"; two cores × {ours(*command, cores=2) / speed:.2f}"
            print(f"{line}; start {starts[-1]:.1f} s", flush=True)
        print(f"({size:.0f} MB of JSONL, peers on {small_size:.0f} MB; {machine()})")
