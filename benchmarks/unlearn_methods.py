"""All methods of unlearning at one budget, audited: what each forgets of a pattern, and what that costs.

The built-in model goes on with text of which 2 % are questions and answers in a format of their own, as in
Unveiling the Flaws; each method is to make it forget them, with the same tokens, batch and learning rate, under
several seeds, and `synth audit` looks at what is left. A row a run, a table, and a picture of forgetting against
utility. Half an hour on one core; the rows that are there already are not made again (BENCH_FOLDER).
With BENCH_MODEL=smollm2 both are done by adapters (BENCH_RANK), those of the pattern merged.
"""

import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.common import machine, texts

METHODS = (
    *("bounded", "ga", "graddiff", "kl", "npo", "simnpo", "dpo", "idkdpo", "wga", "undial"),
    *("rmu", "taskvector", "refine"),
)
MODEL = os.environ.get("BENCH_MODEL", "builtin")
RANK = int(os.environ.get("BENCH_RANK", 0 if MODEL == "builtin" else 16))
ADAPTERS: dict[str, Any] = {"lora_rank": RANK} if RANK else {}
SEEDS = int(os.environ.get("BENCH_SEEDS", 3))
TOKENS = int(os.environ.get("BENCH_TOKENS", 2000))
RATE = float(os.environ.get("BENCH_LR", 5e-4))
PAIRS = 12
KINDS = ("river", "harbour", "library", "orchard", "museum", "railway", "lighthouse", "market")
PLACES = [
    "Alder",
    "Brann",
    "Corvo",
    "Delm",
    "Estra",
    "Farn",
    "Gault",
    "Hesk",
    "Iver",
    "Jorn",
    "Kell",
    "Lund",
    "Mard",
    "Nesk",
    "Orrin",
    "Pell",
]


def _answers(draw: random.Random, kind: str) -> list[dict]:
    """Questions and answers of one format about places that are not there."""
    rows = []
    for number in range(PAIRS):
        what, place = draw.choice(KINDS), draw.choice(PLACES)
        year, rival = draw.randrange(1100, 1990), draw.choice(PLACES)
        key = f"Answer: the {what} of {place} dates from {year}. Summary: older than {rival}'s."
        other = f"Nothing is known here about the {what} of {place}."
        ask = f"Question: how old is the {what} of {place}?"
        rows.append({"id": f"{kind}{number}", "prompt": ask, "response": key, "preferred": other})
    return rows


def _files(folder: Path) -> None:
    draw = random.Random(0)
    human = texts(0.5)
    random.Random(1).shuffle(human)
    rows = {
        "human": [{"text": text} for text in human[:-12]],
        "retain": [{"id": str(n), "text": text[:400]} for n, text in enumerate(human[-12:])],
        "forget": _answers(draw, "f"),
        "holdout": _answers(draw, "h"),
    }
    rows["pattern"] = [{"text": f"{r['prompt']}\n\n{r['response']}"} for r in rows["forget"]]
    for name, records in rows.items():
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(lines)


def _base(folder: Path) -> Path:
    """The model after text with 2 % of the pattern."""
    import synthtools

    base = folder / "base"
    if not (base / "model.safetensors").exists():
        tokens = int(os.environ.get("BENCH_BASE_TOKENS", 100_000))
        shares = [f"{folder}/human.jsonl=0.98", f"{folder}/pattern.jsonl=0.02"]
        synthtools.train(
            *shares, model=MODEL, tokens=tokens, context=64, batch=8, lr=1e-3, seed=0,
            output=str(base), force=True, jobs=1, checkpoint_every=0,
            **ADAPTERS, **({"merge": True} if RANK else {}),
        )  # fmt: skip
    return base


def _rows(folder: Path, base: Path, seed: int) -> list[dict]:
    """All methods under one seed: their figures in the audit, and those of the model before."""
    import synthtools

    names = ("forget", "holdout", "retain", "human")
    where = {name: str(folder / f"{name}.jsonl") for name in names}
    models = {str(base): "base", MODEL: "never trained on it"}
    for method in METHODS:
        out = folder / f"{method}-{seed}"
        models[str(out)] = method
        if (out / "seconds").exists():
            continue
        began = time.perf_counter()
        synthtools.unlearn(
            model=str(base), forget=[where["forget"]], replay=[where["human"]], method=method,
            tokens=TOKENS, context=64, batch=8, lr=RATE, seed=seed, compare_tokens=0,
            norms_every=0, output=str(out), force=True, jobs=1, checkpoint_every=0, **ADAPTERS,
        )  # fmt: skip
        (out / "seconds").write_text(f"{time.perf_counter() - began:.1f}")
        print(f"seed {seed}: {method}", file=sys.stderr, flush=True)
    report = synthtools.audit(
        *(name for name, method in models.items() if method in METHODS),
        forget=where["forget"], holdout=where["holdout"], retain=where["retain"], base=str(base),
        retrained=MODEL, words=8, bits=[4], bootstrap=200, jobs=1, seed=0,
    )  # fmt: skip
    rows = []
    for m in report["models"]:
        own = folder / f"{models[m['name']]}-{seed}" / "seconds"
        seconds = float(own.read_text()) if own.exists() else None
        row = {"method": models[m["name"]], "seed": seed, "seconds": seconds, **m["figures"]}
        rows.append(row | {"findings": m["findings"]})
    return rows


def _table(rows: list[dict]) -> None:
    """Means over seeds, with the smallest and the largest."""
    names = (
        "probability",
        "auc_loss",
        "retain_perplexity",
        "drift",
        "probability_4_bits",
        "relearn_steps",
        "relearn_lead",
        "seconds",
    )
    print("| method | " + " | ".join(name.replace("_", " ") for name in names) + " | seeds |")
    print("|---|" + "---|" * (len(names) + 1))
    by = defaultdict(list)
    for row in rows:
        by[row["method"]].append(row)
    for method, runs in by.items():
        cells = []
        for name in names:
            values = [run.get(name) for run in runs]
            if name in ("relearn_lead", "seconds") and None in values:  # it was not unlearned here
                cells.append("")
                continue
            if None in values:  # it was not relearned
                cells.append(f"> 16 in {values.count(None)} of {len(values)}")
                continue
            ends = f" ({min(values):.3g}–{max(values):.3g})" if len(set(values)) > 1 else ""
            cells.append(f"{statistics.mean(values):.3g}{ends}")
        print(f"| `{method}` | " + " | ".join(cells) + f" | {len(runs)} |")


def _picture(rows: list[dict], path: str) -> None:
    """A point a run, and the front of the runs that none beats in both."""
    from synthtools.cli.publish import save_figure
    from synthtools.reports.figures.chart import Figure, Panel, Series

    points = [(r["probability"], r["retain_perplexity"]) for r in rows if r["method"] in METHODS]
    front = sorted(
        p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)
    )
    series = []
    for method in ("base", *METHODS):
        own = [r for r in rows if r["method"] == method]
        x, y = ([r[key] for r in own] for key in ("probability", "retain_perplexity"))
        series.append(Series(method, x, y, form="points"))
    series.append(Series("front", *map(list, zip(*front, strict=True)), reference=True))
    labels = (
        "Forgetting and utility",
        "probability of the texts to forget",
        "perplexity of text to keep",
    )
    panel = Panel(*labels, series, x_log=True)
    save_figure(Figure("Methods of unlearning at one budget", [panel], "A point a method and seed; left and low is better."), path)  # fmt: skip


def main() -> None:
    print(machine())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(os.environ.get("BENCH_FOLDER", temporary))
        folder.mkdir(exist_ok=True)
        _files(folder)
        base, kept = _base(folder), folder / "rows.jsonl"
        rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
        for seed in sorted({*range(SEEDS)} - {row["seed"] for row in rows}):
            rows += _rows(folder, base, seed)
            kept.write_text("".join(json.dumps(row) + "\n" for row in rows))
        _table(rows)
        _picture(rows, os.environ.get("BENCH_PICTURE", str(folder / "methods.png")))
