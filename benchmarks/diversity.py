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
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.self_bleu import self_bleu, token_hashes
from synthtools.text.sentences import sentence_bounds

MEGABYTES = float(os.environ.get("BENCH_MEGABYTES", 100))
SENTENCES = int(os.environ.get("BENCH_SENTENCES", 2000))
# The plain form is quadratic: so many of the sentences, each against all others.
SCORED = 20
VECTORS = 1500


def timed(work) -> tuple[float, object]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def bleu_of_sentences() -> None:
    from sacrebleu.metrics import BLEU

    buffer = TextBuffer.of(list(texts(3)))
    sentences = sentence_bounds(buffer)
    sentences = sentences._replace(
        begins=sentences.begins[:SENTENCES], ends=sentences.ends[:SENTENCES]
    )
    bounds = zip(sentences.begins, sentences.ends, strict=True)
    lines = [buffer.data[begin:end].tobytes().decode() for begin, end in bounds]
    peer = BLEU(effective_order=True)

    def plainly() -> list[float]:
        return [
            peer.sentence_score(lines[i], lines[:i] + lines[i + 1 :]).score for i in range(SCORED)
        ]

    def ours_of(first: int) -> np.ndarray:
        tokens, starts = token_hashes(buffer, sentences)
        return self_bleu(tokens, starts, np.array([0, first]))

    ours_of(3)  # compiled
    ours, scores = timed(lambda: ours_of(len(lines)))
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
    bleu_of_sentences()
    pairwise()
    whole()
    print(f"({machine()})")
