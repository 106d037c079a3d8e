"""Peak memory of each process that trains a model sharded over several, against the whole model's size.

A llama of BENCH_LAYERS layers of 17M parameters (24: 410M), drawn, then continued from float32 and from
bfloat16 files, on BENCH_RANKS processes with gloo: until it is sharded, in two steps (of BENCH_PIECES
micro-batches a process), and while it is saved; for the steps also what the trainer estimates. Memory of its own
is what the process holds beside pages of files, which the system takes back when it needs them.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from synthtools.training.packers import Rows

RANKS = int(os.environ.get("BENCH_RANKS", "2"))
SHAPE = {
    "model_type": "llama",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": int(os.environ.get("BENCH_LAYERS", "24")),
    "num_attention_heads": 16,
    "tie_word_embeddings": True,
}
VOCABULARY = 6144
PIECES = int(os.environ.get("BENCH_PIECES", "1"))
# Types of the files that the model is continued from, besides the one that is drawn.
FILES = os.environ.get("BENCH_FILES", "float32,bfloat16").split(",")
CONTEXT = 64


class _Tokens:
    """Of a tokenizer what a model's configuration takes."""

    bos_token_id = eos_token_id = 0

    def __len__(self) -> int:
        return VOCABULARY

    def save_pretrained(self, folder: Path) -> None:
        """Nothing."""


class _Words:
    """Rows of a step, as of a blend."""

    def batch(self, step: int, count: int, end: int) -> Rows:
        places = np.tile(np.arange(CONTEXT), (count, 1))
        tokens = (places * 7919 + step) % VOCABULARY
        return Rows(tokens, places, tokens, np.zeros(count, np.int64))


class _Peak(threading.Thread):
    """The most memory of its own and the most in all, in bytes above those at its start; looks often."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._before = self._now()
        self.peaks: list[tuple[float, float]] = []
        self.next_phase()
        self.start()

    def _now(self) -> tuple[int, int]:
        fields = dict(line.split(":") for line in open("/proc/self/status"))
        own, files = (int(fields[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile"))
        return own, own + files

    def next_phase(self) -> None:
        self.peaks.append((0.0, 0.0))

    def run(self) -> None:
        while True:
            own, every = (now - then for now, then in zip(self._now(), self._before, strict=True))
            before = self.peaks[-1]
            self.peaks[-1] = max(before[0], own), max(before[1], every)
            time.sleep(0.002)


def of_a_rank(source: str) -> None:
    """Shards, trains and saves a model as training does; prints what this process needed for it."""
    import torch
    from torch.distributed.fsdp import fully_shard  # noqa: F401 (its memory is not the model's)
    from transformers import AutoConfig, AutoModelForCausalLM

    from synthtools.training import loop, models, parallel, step_cost
    from synthtools.training.language_model_task import LanguageModelTask, RowStream
    from synthtools.training.plan import Plan, Settings, StartModel
    from synthtools.training.trainer import on_ranks

    ranks = parallel.join("cpu")
    folder = Path(source)
    start = StartModel(None, source) if folder.is_dir() else StartModel(source)
    tokenizer = _Tokens()
    AutoModelForCausalLM.from_config(AutoConfig.for_model(**SHAPE | {"hidden_size": 32}))
    ranks.wait()
    peak = _Peak()
    built = models.build(start, tokenizer, CONTEXT, None, 0, torch.float32, ranks)
    rows = RANKS * PIECES
    settings = Settings(steps=2, rows=rows, micro_rows=1, learning_rate=0.0)
    root = on_ranks(built.model, settings, ranks, source, torch.float32, built.rows)
    config = built.model.config
    counts = built.parameters, built.trained
    estimate = step_cost.memory_bytes(*counts, config, CONTEXT, settings, ranks.count)
    own = sum(parallel.local(weight).nbytes for weight in root.parameters())
    layer = max(sum(p.numel() for p in block.parameters()) for block in models.blocks(built.model))
    ranks.wait()
    peak.next_phase()
    stream = RowStream("train", _Words(), rows)
    task = LanguageModelTask(root, stream, 1, ranks, [None])
    output = folder.parent / "trained"
    before = time.process_time()
    loop.train(task, settings, ranks=ranks, checkpoints=output, job={}, on_step=lambda step: None)
    ranks.wait()
    seconds = time.process_time() - before
    peak.next_phase()
    plan = Plan(start, None, None, None, CONTEXT, None, 1.0, 0)
    output.mkdir(exist_ok=True)
    models.save(built, plan, tokenizer, "", output, list(output.glob("*.safetensors")), ranks)
    ranks.wait()
    figures = {"peaks": peak.peaks, "part": own, "layer": 4 * layer, "whole": 4 * built.parameters}
    figures |= {"seconds": seconds, "estimate": estimate}
    print("RANK", json.dumps(figures), flush=True)
    ranks.leave()


def main() -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with tempfile.TemporaryDirectory() as folder:
        shape = Path(folder) / "shape.json"
        shape.write_text(json.dumps(SHAPE))
        config = AutoConfig.for_model(**SHAPE, vocab_size=VOCABULARY)
        model = AutoModelForCausalLM.from_config(config)
        sources = {"drawn": str(shape)}
        for dtype in filter(None, FILES):
            sources[f"from {dtype} files"] = f"{folder}/{dtype}"
            model.to(getattr(torch, dtype)).save_pretrained(f"{folder}/{dtype}")
        del model
        for name, source in sources.items():
            words = ["-m", "torch.distributed.run", "--nproc-per-node", str(RANKS)]
            words += ["--master-port", str(20000 + os.getpid() % 20000)]
            words += ["-m", "benchmarks.sharded_memory", source]
            printed = subprocess.run(
                [sys.executable, *words], check=True, stdout=subprocess.PIPE, text=True
            ).stdout
            figures = [json.loads(x[5:]) for x in printed.splitlines() if x.startswith("RANK")]
            whole, layer, part = (figures[0][name] for name in ("whole", "layer", "part"))
            print(
                f"{name}, {RANKS} processes, a process's part {part / whole:.2f} of the whole model "
                f"({whole / 1e9:.2f} GB), a layer {layer / whole:.2f}"
            )
            for number, phase in enumerate(("until sharded", "steps", "saving")):
                own, every = (max(f["peaks"][number][n] for f in figures) / whole for n in (0, 1))
                print(
                    f"  {phase}: own memory at most {own:.2f} of it, with pages of files {every:.2f}"
                )
            estimate = figures[0]["estimate"] / whole
            seconds = max(f["seconds"] for f in figures)
            print(
                f"  estimated for the steps: {estimate:.2f} of it; they took {seconds:.1f} CPU seconds",
                flush=True,
            )


if __name__ == "__main__":
    of_a_rank(sys.argv[1])
