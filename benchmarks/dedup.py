"""``synth dedup`` end to end beside datasketch, and its recall and precision beside all pairs.

Speeds are in MB of input by second of CPU time (user and system, of one core), which other work on the
machine disturbs least.

The input is that of ``data``; a tenth of the documents come again with some words changed. Datasketch's MinHash and
MinHashLSH do the same on a part of it: read, sign, query, insert, write. For recall and precision every
pair of --documents is compared by its true Jaccard index.

    BENCH_MEGABYTES=200 BENCH_DOCUMENTS=3000 BENCH_TEXTS=FILE python -m benchmarks dedup
"""

import json
import os
import random
import re
import resource
import sys
import tempfile
from pathlib import Path

import orjson

from benchmarks.common import machine, texts
from benchmarks.data import seconds

MEGABYTES = float(os.environ.get("BENCH_MEGABYTES", 200))
PEER_MEGABYTES = 4.0
DOCUMENTS = int(os.environ.get("BENCH_DOCUMENTS", 3000))
REAL = os.environ.get("BENCH_TEXTS")  # JSONL with a field text

DATASKETCH = """
import json, re, sys
from datasketch import MinHash, MinHashLSH
lsh = MinHashLSH(threshold=0.8, num_perm=128)
with open(sys.argv[2], "w") as out:
    for number, line in enumerate(open(sys.argv[1])):
        tokens = re.findall(r"\\w+|[^\\w\\s]+", json.loads(line)["text"].lower())
        signature = MinHash(num_perm=128)
        signature.update_batch({" ".join(tokens[i : i + 5]).encode() for i in range(len(tokens) - 4)})
        if not lsh.query(signature):
            lsh.insert(number, signature)
            out.write(line)
"""


def cpu(*command: object) -> float:
    """Seconds of CPU time of a process on one core."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds(*command, cores=1)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def changed(text: str, draw: random.Random, share: float) -> str:
    """The text with a share of its words replaced."""
    words = text.split(" ")
    for index in draw.sample(range(len(words)), int(len(words) * share)):
        words[index] = f"w{draw.randrange(10**6)}"
    return " ".join(words)


def written(path: Path, documents: list[str]) -> float:
    """Writes JSONL with a tenth of near-duplicates; returns its MB."""
    draw = random.Random(0)
    with open(path, "wb") as file:
        for number, text in enumerate(documents):
            file.write(orjson.dumps({"id": number, "text": text}) + b"\n")
            if number % 10 == 0:
                near = changed(text, draw, draw.choice([0, 0.01, 0.03, 0.1]))
                file.write(orjson.dumps({"id": -number, "text": near}) + b"\n")
    return path.stat().st_size / 1e6


def similar_pairs(documents: list[str], least: float) -> set[tuple[int, int]]:
    """All pairs whose sets of shingles have at least so large a Jaccard index, each compared."""
    import numpy as np
    from scipy.sparse import csr_array

    numbers: dict[str, int] = {}
    columns: list[int] = []
    starts = [0]
    for text in documents:
        tokens = re.findall(r"\w+|[^\w\s]+", text.lower())
        own = {" ".join(tokens[i : i + 5]) for i in range(max(1, len(tokens) - 4))}
        columns += [numbers.setdefault(shingle, len(numbers)) for shingle in own]
        starts.append(len(columns))
    shape = (len(documents), len(numbers))
    sets = csr_array((np.ones(len(columns), np.int32), columns, starts), shape)
    sizes, others = np.diff(starts), sets.T.tocsr()
    found = set()
    for first in range(0, len(documents), 500):
        common = (sets[first : first + 500] @ others).tocoo()
        left, right = common.row + first, common.col
        like = common.data >= least * (sizes[left] + sizes[right] - common.data)
        found |= set(zip(left[like].tolist(), right[like].tolist(), strict=True))
    return {(a, b) for a, b in found if a < b}


def accuracy(folder: Path) -> None:
    """Precision and recall of pairs in one cluster, by the index that all pairs have: of texts of BENCH_TEXTS as they
    are, else of topics of which a third comes again with up to 8 % of its words changed."""
    if REAL:
        with open(REAL) as file:
            lines = (line for line, _ in zip(file, range(DOCUMENTS), strict=False))
            documents = [json.loads(line)["text"] for line in lines]
    else:
        draw = random.Random(1)
        documents = texts(40)[: DOCUMENTS * 2 // 3]
        documents += [
            changed(text, draw, draw.uniform(0, 0.08)) for text in documents[: DOCUMENTS // 3]
        ]
    path = folder / "pairs.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"text": text}) + b"\n" for text in documents))
    true = similar_pairs(documents, 0.8)
    for more in ((), ("--verify",)):
        out = folder / "marked.jsonl"
        seconds(sys.executable, "-m", "synthtools", "dedup", path, "--near", "--mark", "-o", out, "--force", *more)  # fmt: skip
        clusters: dict[int, list[int]] = {}
        for number, line in enumerate(out.read_bytes().splitlines()):
            clusters.setdefault(orjson.loads(line)["cluster"], []).append(number)
        pairs = {(a, b) for one in clusters.values() for b in one for a in one if a < b}
        print(
            f"{len(documents):,} documents, {len(true):,} pairs of J ≥ 0.8 {' '.join(more)}: recall "
            f"{len(pairs & true) / max(1, len(true)):.4f}, precision {len(pairs & true) / max(1, len(pairs)):.4f}"
        )


def main() -> None:
    synth = (sys.executable, "-m", "synthtools", "dedup")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large, small, one = (folder / f"{n}.jsonl" for n in ("large", "small", "one"))
        size, small_size = written(large, texts(MEGABYTES)), written(small, texts(PEER_MEGABYTES))
        one.write_bytes(small.read_bytes().splitlines(keepends=True)[0])
        start = cpu(sys.executable, "-c", DATASKETCH, one, folder / "peer")
        spent = cpu(sys.executable, "-c", DATASKETCH, small, folder / "peer")
        peer = small_size / (spent - start)
        out = ("-o", folder / "out.jsonl", "--force", "--jobs", 1)
        ways = ("--exact", "--normalize", "--near", "--near --hash sha1", "--near --verify")
        for way in ways:
            words = (*way.split(), *out)
            start = min(cpu(*synth, one, *words) for _ in range(2))
            speed = size / (cpu(*synth, large, *words) - start)
            line = f"dedup {way}: {speed:.0f} MB/s a core"
            if "--near" in way:
                line += f"; datasketch {peer:.2f}: × {speed / peer:.0f}"
            print(line, flush=True)
        accuracy(folder)
        print(f"({size:.0f} MB of JSONL, datasketch on {small_size:.0f} MB; {machine()})")
