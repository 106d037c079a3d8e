"""Muon beside AdamW: the same small model from scratch on as many tokens, each at the best of several learning rates.

OPTIMIZER_TEXTS names records of text (else the built-in topics), a tenth of which is held out. Every rate is tried under the first
seed, the best goes on under the others. Told are held-out perplexity, mean and ends over OPTIMIZER_SEEDS (3), and the time of a step.
"""

import json
import os
import statistics
import tempfile
from pathlib import Path

import synthtools
from benchmarks.common import machine

SEEDS = int(os.environ.get("OPTIMIZER_SEEDS", 3))
TOKENS = int(os.environ.get("OPTIMIZER_TOKENS", 1_000_000))
RATES = (1e-3, 3e-3, 9e-3)
CONTEXT, ROWS, VOCABULARY = 256, 16, 4096


def perplexity(folder: Path, optimizer: str, rate: float, seed: int) -> tuple[float, float]:
    """Of the held-out text after a run, and milliseconds of a step."""
    model = folder / "model"
    report = synthtools.train(
        str(folder / "train.jsonl"),
        arch="llama-tiny",
        tokenizer=str(folder / "tokenizer"),
        context=CONTEXT,
        batch=ROWS,
        tokens=TOKENS,
        lr=rate,
        optimizer=optimizer,
        valid=[f"held={folder / 'held.jsonl'}"],
        cache=str(folder / "tokens"),
        output=str(model),
        seed=seed,
        jobs=1,
        force=True,
    )
    log = [json.loads(line) for line in (model / "training" / "log.jsonl").open()]
    # The last step's time holds the validation too.
    first, last = log[1], log[-2]
    seconds = (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])
    return report["valid"]["held"], 1e3 * seconds


def main() -> None:
    texts = os.environ.get("OPTIMIZER_TEXTS", "builtin:topics")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for number, record in enumerate(synthtools.cat(texts)):
            name = "train.jsonl" if number % 10 else "held.jsonl"
            with open(folder / name, "a") as file:
                file.write(json.dumps({"text": record["text"]}) + "\n")
        synthtools.train(
            str(folder / "train.jsonl"),
            train_tokenizer=VOCABULARY,
            tokens=CONTEXT,
            context=CONTEXT,
            output=str(folder / "tokenizer"),
            batch=1,
        )
        for optimizer in ("adamw", "muon"):
            tried = {rate: perplexity(folder, optimizer, rate, 0) for rate in RATES}
            best = min(tried, key=lambda rate: tried[rate][0])
            runs = [tried[best]]
            runs += [perplexity(folder, optimizer, best, seed) for seed in range(1, SEEDS)]
            found = [value for value, _ in runs]
            others = ", ".join(f"{rate:g}: {value:.1f}" for rate, (value, _) in tried.items())
            print(
                f"{optimizer}: perplexity {statistics.mean(found):.1f} ({min(found):.1f}–{max(found):.1f}) at a rate "
                f"of {best:g} (seed 0, {others}); {statistics.median(ms for _, ms in runs):.0f} ms a step",
                flush=True,
            )
    print(f"({TOKENS:,} tokens, llama-tiny, {SEEDS} seeds; {machine()})")


if __name__ == "__main__":
    main()
