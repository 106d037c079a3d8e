"""``synth dedup`` end to end beside datasketch, and its recall and precision beside all pairs.

Speeds are in MB of input by second of CPU time (user and system, of one core), which other work on the
machine disturbs least.

The input is that of ``data``; a tenth of the documents come again with some words changed. Datasketch, rensa and the
algorithms of text-dedup and datatrove do the same on a part of it, as far as they are installed (or lie in BENCH_PEERS,
a directory of pip install --target): read, sign, look for what shares a band, write. For recall and precision every
pair of BENCH_DOCUMENTS is compared by its true Jaccard index.

    BENCH_MEGABYTES=200 BENCH_DOCUMENTS=3000 BENCH_TEXTS=FILE BENCH_PEERS=DIR python -m benchmarks dedup
"""

import json
import os
import random
import re
import resource
import subprocess
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

# What each package does to sign documents and to find those that share a band, in memory; each reads the
# file and writes the first of what is alike. The rest of their programs (pipelines, caches) is left out.
PEER = """
import json, os, sys
sys.path.append(os.environ.get("BENCH_PEERS", "."))
{}
kept = []
for number, line in enumerate(open(sys.argv[1])):
    if first(number, json.loads(line)["text"]):
        kept.append(line)
open(sys.argv[2], "w").writelines(kept)
"""
# A table of buckets for each band, for packages that leave it to the file system or to a data set.
TABLES = """
tables = {}
def unmet(bands):
    met = [(i, band) in tables for i, band in enumerate(bands)]
    tables.update(dict.fromkeys(enumerate(bands)))
    return not any(met)
"""
PEERS = {
    "datasketch": """
import re
from datasketch import MinHash, MinHashLSH
lsh = MinHashLSH(threshold=0.8, num_perm=128)
def first(number, text):
    tokens = re.findall(r"\\w+|[^\\w\\s]+", text.lower())
    signature = MinHash(num_perm=128)
    signature.update_batch({" ".join(tokens[i : i + 5]).encode() for i in range(len(tokens) - 4)})
    new = not lsh.query(signature)
    if new:
        lsh.insert(number, signature)
    return new
""",
    "rensa": """
import re
from rensa import RMinHash, RMinHashLSH
lsh = RMinHashLSH(threshold=0.8, num_perm=128, num_bands=16)
def first(number, text):
    tokens = re.findall(r"\\w+|[^\\w\\s]+", text.lower())
    signature = RMinHash(num_perm=128, seed=1)
    signature.update([" ".join(tokens[i : i + 5]) for i in range(len(tokens) - 4)])
    new = not lsh.query(signature)
    if new:
        lsh.insert(number, signature)
    return new
""",
    "text_dedup": TABLES
    + """
import numpy as np
from text_dedup.minhash import RNG, SIGNATURE_COLUMN, embed_func
from text_dedup.utils import optimal_param, sha1_hash
bands, rows = optimal_param(0.8, 128)
prime, most = np.uint64((1 << 61) - 1), np.uint64((1 << 32) - 1)
draws = [RNG.randint(one, prime, size=(128,), dtype=np.uint64) for one in (1, 0)]
ranges = [(i * rows, (i + 1) * rows) for i in range(bands)]
def first(number, text):
    found = embed_func(
        text, number, num_perm=128, ngram_size=5, min_length=5, hashranges=ranges, permutations=draws,
        hash_func=sha1_hash, dtype=np.uint64, max_hash=most, modulo_prime=prime,
    )
    return unmet(found[SIGNATURE_COLUMN])
""",
    # Its words are those between white space here: spaCy, which it takes by default, is slower.
    "datatrove": TABLES
    + """
import types
from datatrove.pipeline.dedup import minhash
minhash.load_word_tokenizer = lambda language: types.SimpleNamespace(word_tokenize=str.split)
signer = minhash.MinhashDedupSignature("signatures")
hashed = signer._hash_func
signer._hash_func = lambda text: hashed(text.encode())  # as xxhash 4 wants it
def first(number, text):
    shingles = signer.get_shingles(text)
    return not len(shingles) or unmet([tuple(band) for band in signer.get_signature(shingles)])
""",
}


def peer_speed(name: str, folder: Path, small: Path, size: float, one: Path) -> float | None:
    """MB/s a core of a package without what it takes to start; None where it is not installed."""
    code = PEER.format(PEERS[name])
    work = (sys.executable, "-c", code)
    try:
        start = cpu(*work, one, folder / "peer")
    except subprocess.CalledProcessError:
        return None
    return size / (cpu(*work, small, folder / "peer") - start)


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
        gone = {number for one in clusters.values() for number in one[1:]}
        right = gone & {number for pair in true for number in pair}
        print(
            f"{len(documents):,} documents, {len(true):,} pairs of J ≥ 0.8 {' '.join(more)}: recall "
            f"{len(pairs & true) / max(1, len(true)):.4f}, precision {len(pairs & true) / max(1, len(pairs)):.4f}; of {len(gone):,} records removed "
            f"{len(right):,} are in such a pair"
        )


def main() -> None:
    synth = (sys.executable, "-m", "synthtools", "dedup")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large, small, one = (folder / f"{n}.jsonl" for n in ("large", "small", "one"))
        size, small_size = written(large, texts(MEGABYTES)), written(small, texts(PEER_MEGABYTES))
        one.write_bytes(small.read_bytes().splitlines(keepends=True)[0])
        peers = {name: peer_speed(name, folder, small, small_size, one) for name in PEERS}
        out = ("-o", folder / "out.jsonl", "--force", "--jobs", 1)
        ways = ("--exact", "--normalize", "--near", "--near --hash sha1", "--near --verify")
        for way in ways:
            words = (*way.split(), *out)
            start = min(cpu(*synth, one, *words) for _ in range(2))
            speed = size / (cpu(*synth, large, *words) - start)
            line = f"dedup {way}: {speed:.0f} MB/s a core"
            if "--near" in way:
                line += "".join(
                    f"; {name} {peer:.2f}: × {speed / peer:.1f}"
                    if peer
                    else f"; {name} is not installed"
                    for name, peer in peers.items()
                )
            print(line, flush=True)
        accuracy(folder)
        print(f"({size:.0f} MB of JSONL, peers on {small_size:.0f} MB; {machine()})")
