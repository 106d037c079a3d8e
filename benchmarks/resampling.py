"""The next generation trained on a mixture with synthetic text: on all of it, resampled by its origin, on its human part.

After Drayson et al. (arXiv 2502.15654), one generation. RESAMPLING_TEXTS names JSONL of human text with a field text. A third
of it is held out, a third calibrates `synth origin`, beside what the built-in model writes after its beginnings, and a third
is mixed with as many documents that the model wrote after other beginnings. The built-in model is trained on for as many tokens in every way. Told
are the perplexity of held-out human text and how varied the trained model writes, mean and ends over RESAMPLING_SEEDS (3).
"""

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import synthtools
from benchmarks.common import machine
from synthtools.draws import lane_of, record_uniforms

SEEDS = int(os.environ.get("RESAMPLING_SEEDS", 3))
DOCUMENTS, LETTERS, BEGINNING = 450, 1200, 32
TOKENS, NEW_TOKENS, RATE = 80_000, 200, 3e-4
WAYS = ("all", "resampled", "human")
FIGURES = (
    "human perplexity",
    "distinct words, MTLD",
    "lexical diversity (1 - self-BLEU)",
    "synthetic share",
)

Records = list[dict[str, Any]]


def _thirds(seed: int) -> list[Records]:
    """Human documents, cut to so many letters: held out, to calibrate with, to be mixed."""
    import numpy as np

    place = os.environ.get("RESAMPLING_TEXTS")
    if place is None:
        sys.exit("resampling: name JSONL of human text by RESAMPLING_TEXTS; left out")
    whole = [one["text"][:LETTERS] for one in synthtools.cat(place)]
    draws = record_uniforms(seed, np.arange(len(whole), dtype=np.uint64), lane_of("resampling"))
    chosen = [whole[i] for i in np.argsort(draws)[:DOCUMENTS]]
    records = [{"id": f"human-{i}", "text": text} for i, text in enumerate(chosen)]
    return [records[part::3] for part in range(3)]


def _written(model: str, human: Records, name: str, seed: int) -> Records:
    """What a model writes after the beginnings of documents, with them."""
    answers = synthtools.generate(
        human, model=model, continue_=BEGINNING, max_new_tokens=NEW_TOKENS, seed=seed, jobs=1
    )
    return [
        {"id": f"{name}-{one['id']}", "text": one["beginning"] + one["response"]} for one in answers
    ]


def _saved(path: Path, records: Iterable[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return str(path)


def _figures(folder: Path, seed: int) -> dict[str, dict[str, float]]:
    """Of each way."""
    held_out, known, human = _thirds(seed)
    machine_known, machine = (
        _written("builtin", some, name, seed)
        for some, name in ((known, "known"), (human, "machine"))
    )
    mixture = _saved(folder / "mixture.jsonl", human + machine)
    judged = synthtools.origin(
        mixture,
        human=[_saved(folder / "human.jsonl", known)],
        synthetic=[_saved(folder / "machine.jsonl", machine_known)],
        per_record=True,
        seed=seed,
        jobs=1,
    )
    # Documents that are too short to be judged are in no set.
    every = [one for one in judged if one["origin"] is not None]
    resampled = synthtools.sample(
        every, count=len(every), by="origin", with_replacement=True, seed=seed
    )
    kept = [one for one in every if not one["id"].startswith("machine")]
    sets = {"all": every, "resampled": list(resampled), "human": kept}
    found = {}
    for way in WAYS:
        model = str(folder / way)
        share = sum(one["id"].startswith("machine") for one in sets[way]) / len(sets[way])
        # With replacement an id comes again: every draw is a document of its own.
        data = [{"id": i, "text": one["text"]} for i, one in enumerate(sets[way])]
        synthtools.train(
            _saved(folder / f"{way}.jsonl", data), model="builtin", tokens=TOKENS, batch=8, lr=RATE,
            context=256, seed=seed, output=model, force=True, jobs=1, checkpoint_every=0,
        )  # fmt: skip
        perplexity = synthtools.ppl(held_out, model=model, summary=True, jobs=1)
        group = synthtools.stats(_written(model, held_out, way, seed), jobs=1)["groups"][0]
        found[way] = dict(
            zip(
                FIGURES,
                (
                    perplexity["perplexity"],
                    group["vocabulary"]["mtld"],
                    group["lexical_diversity"]["pooled"],
                    share,
                ),
                strict=True,
            )
        )
        print(f"seed {seed}: {way} {found[way]}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    print(machine())
    runs = []
    for seed in range(SEEDS):
        with tempfile.TemporaryDirectory() as name:
            runs.append(_figures(Path(name), seed))
    print("| trained on | " + " | ".join(FIGURES) + " |")
    print("|---|" + "---|" * len(FIGURES))
    for way in WAYS:
        cells = []
        for figure in FIGURES:
            values = [run[way][figure] for run in runs]
            cells.append(f"{statistics.mean(values):.3g} ({min(values):.3g}–{max(values):.3g})")
        print(f"| {way} | " + " | ".join(cells) + " |")
