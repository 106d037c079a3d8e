"""Peak memory of each process until a model is sharded over several, against the whole model's size.

A llama of BENCH_LAYERS layers of 17M parameters (24: 410M), drawn, then continued from float32 and from
bfloat16 files, on BENCH_RANKS processes with gloo. Memory of its own is what the process holds beside pages
of files, which the system takes back when it needs them.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

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


class _Tokens:
    """Of a tokenizer what a model's configuration takes."""

    bos_token_id = eos_token_id = 0

    def __len__(self) -> int:
        return VOCABULARY


class _Peak(threading.Thread):
    """The most memory of its own and the most in all, in bytes above those at its start; looks often."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._end = threading.Event()
        self._before = self._now()
        self.own = self.all = 0
        self.start()

    def _now(self) -> tuple[int, int]:
        fields = dict(line.split(":") for line in open("/proc/self/status"))
        own, files = (int(fields[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile"))
        return own, own + files

    def run(self) -> None:
        while not self._end.wait(0.002):
            own, every = self._now()
            self.own = max(self.own, own - self._before[0])
            self.all = max(self.all, every - self._before[1])

    def end(self) -> None:
        self._end.set()
        self.join()


def of_a_rank(source: str) -> None:
    """Builds and shards a model as training does; prints what this process needed for it."""
    import torch
    from torch.distributed.fsdp import fully_shard  # noqa: F401 (its memory is not the model's)
    from transformers import AutoConfig, AutoModelForCausalLM

    from synthtools.training import models, parallel
    from synthtools.training.plan import Settings, StartModel
    from synthtools.training.trainer import on_ranks

    ranks = parallel.join("cpu")
    folder = Path(source)
    start = StartModel(None, source) if folder.is_dir() else StartModel(source)
    tokenizer = _Tokens()
    AutoModelForCausalLM.from_config(AutoConfig.for_model(**SHAPE | {"hidden_size": 32}))
    ranks.wait()
    peak = _Peak()
    built = models.build(start, tokenizer, 64, None, 0, torch.float32, ranks)
    settings = Settings(steps=1, rows=RANKS, micro_rows=1, learning_rate=0.0)
    root = on_ranks(built.model, settings, ranks, source, torch.float32, built.rows)
    peak.end()
    own = sum(parallel.local(weight).nbytes for weight in root.parameters())
    print("RANK", json.dumps([peak.own, peak.all, own, 4 * built.parameters]), flush=True)
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
        for dtype in ("float32", "bfloat16"):
            sources[f"from {dtype} files"] = f"{folder}/{dtype}"
            model.to(getattr(torch, dtype)).save_pretrained(f"{folder}/{dtype}")
        del model
        for name, source in sources.items():
            words = ["-m", "torch.distributed.run", "--nproc-per-node", str(RANKS)]
            words += ["--master-port", str(20000 + os.getpid() % 20000)]
            words += ["-m", "benchmarks.sharded_memory", source]
            told = subprocess.run(
                [sys.executable, *words], check=True, stdout=subprocess.PIPE, text=True
            ).stdout
            figures = [json.loads(x[5:]) for x in told.splitlines() if x.startswith("RANK")]
            own, every, part, whole = map(max, zip(*figures, strict=True))
            print(
                f"{name}, {RANKS} processes: own memory at most {own / whole:.2f} of the whole model "
                f"({whole / 1e9:.2f} GB), pages of files included {every / whole:.2f}; "
                f"a process's part is {part / whole:.2f}"
            )


if __name__ == "__main__":
    of_a_rank(sys.argv[1])
