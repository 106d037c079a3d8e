"""Self-BLEU and mean pairwise distance beside their plain forms, and ``synth stats`` as a whole.

The plain forms compare each with each: sacreBLEU's sentence BLEU against all other sentences, and
the cosines of all pairs in a loop. (pip install sacrebleu)
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import machine, texts
from benchmarks.data import seconds, written
from synthtools.measure.diversity import semantic_diversity
from synthtools.text.self_bleu import self_bleu_of, sentences

MEGABYTES = float(os.environ.get("BENCH_MEGABYTES", 100))
SENTENCES = int(os.environ.get("BENCH_SENTENCES", 2000))
# The plain form is quadratic: so many of the sentences, each against all others.
SCORED = 20
VECTORS = 1500


def timed(work) -> tuple[float, object]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def self_bleu() -> None:
    from sacrebleu.metrics import BLEU

    lines = [line for text in texts(3) for line in sentences(text)][:SENTENCES]
    peer = BLEU(effective_order=True)

    def plainly() -> list[float]:
        return [
            peer.sentence_score(lines[i], lines[:i] + lines[i + 1 :]).score for i in range(SCORED)
        ]

    self_bleu_of([lines[:3]])  # compiled
    ours, scores = timed(lambda: self_bleu_of([lines])[0])
    plain, expected = timed(plainly)
    apart = max(abs(a - b) for a, b in zip(scores, expected, strict=False))
    whole = plain / SCORED * len(lines)
    print(
        f"self-BLEU of {len(lines):,} sentences: {ours:.3f} s; sacreBLEU plainly {whole:.0f} s (from "
        f"{SCORED} sentences): × {whole / ours:,.0f}; largest difference {apart:.1e}"
    )


def pairwise() -> None:
    vectors = np.random.default_rng(0).normal(0.1, 1, (VECTORS, 384)).astype(np.float32)

    def plainly() -> float:
        unit = [v / np.linalg.norm(v) for v in vectors.astype(np.float64)]
        total = sum(
            1 - float(a @ b) for i, a in enumerate(unit) for j, b in enumerate(unit) if i < j
        )
        return 2 * total / (VECTORS * (VECTORS - 1))

    ours, found = timed(lambda: semantic_diversity(vectors)["value"])
    plain, expected = timed(plainly)
    print(
        f"mean distance of {VECTORS:,} vectors: {ours:.4f} s; pair by pair {plain:.1f} s: "
        f"× {plain / ours:,.0f}; difference {abs(found - expected):.1e}"
    )


def whole() -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "large.jsonl"
        size = written(path, MEGABYTES)
        command = (sys.executable, "-m", "synthtools", "stats", path)
        seconds(*command, "--sample", 1)  # compiled
        print(f"synth stats of {size:.0f} MB: {seconds(*command):.1f} s")


def main() -> None:
    self_bleu()
    pairwise()
    whole()
    print(f"({machine()})")
