"""Scoring and training on a GPU: tokens a second and MFU of models with random weights, in under 10 minutes.

Training and unlearning: see ``gpu_training``. Scoring:

For SmolLM2-135M's shape and that of a Llama of 1.2 billion parameters, in bfloat16: ours without and with the
8 best tokens of the certain ones, the bare forward pass over the same batches (see ``scoring``), the same
through vLLM in process where it is installed, the output layer alone (bfloat16 in, float32 sums) beside a
product of float32 copies, as in TensorFloat-32, and the peak memory. Text is random tokens in documents of 50
to 2,000. MFU counts 2 FLOP a parameter and token, without the embedding, and the attention.

Without a GPU it runs a tiny shape, to show that it works.
"""

import statistics
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import gpu_training
from benchmarks.common import in_turns, machine, reported
from benchmarks.scoring import bare
from synthtools.lm.load_errors import quiet_transformers
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.pretrained import load_tokenizer
from synthtools.lm.scores import ScoreRequest, Sequence
from synthtools.lm.torch.float32_product import float32_product, operands
from synthtools.lm.torch.torch_engine import torch_engine

# Dense bfloat16 FLOP a second, as NVIDIA gives them.
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}
ON_GPU = torch.cuda.is_available()
DEVICE = "cuda:0" if ON_GPU else "cpu"
CONTEXT = 2048 if ON_GPU else 128


@dataclass(frozen=True)
class Shape:
    """A Llama; ``tokens`` are scored in a turn."""

    name: str
    width: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    tokens: int

    def save(self, folder: Path) -> Path:
        """Random weights and the built-in model's tokenizer, as a directory."""
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            hidden_size=self.width,
            intermediate_size=self.inner,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            vocab_size=self.vocabulary,
            max_position_embeddings=2 * CONTEXT,
            tie_word_embeddings=True,
        )
        torch.manual_seed(0)
        with quiet_transformers(), torch.device(DEVICE):
            LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
        load_tokenizer("builtin").save_pretrained(folder)
        return folder

    def flops(self, model: Any, lengths: list[int]) -> float:
        """Of one pass over sequences of these lengths."""
        body = sum(p.numel() for p in model.base_model.layers.parameters())
        products = 2 * (body + self.vocabulary * self.width) * sum(lengths)
        # Queries × keys and weights × values, each token with those before it.
        return products + 2 * self.layers * self.width * sum(n * n for n in lengths)


SHAPES = (
    (
        Shape("135M", 576, 1536, 30, 9, 3, 49_152, 2_000_000),
        Shape("1.2B", 2048, 8192, 16, 32, 8, 128_256, 500_000),
    )
    if ON_GPU
    else (Shape("tiny", 64, 128, 2, 4, 2, 6_144, 2_000),)
)


def sequences_of(shape: Shape) -> list[Sequence]:
    random = np.random.default_rng(0)
    lengths = random.integers(CONTEXT // 40, CONTEXT, 2 * shape.tokens // CONTEXT + 1)
    return [Sequence(random.integers(0, 6_144, n).astype(np.int32), 1) for n in map(int, lengths)]


def print_rate(what: str, tokens: int, seconds: float, flops: float, more: str = "") -> None:
    name = torch.cuda.get_device_name() if ON_GPU else ""
    peak = next((peak for part, peak in PEAKS.items() if part in name), None)
    mfu = f", MFU {100 * flops / seconds / peak:.1f} %" if peak else ""
    print(f"{what}: {tokens / seconds:,.0f} tokens/s{mfu}{more}", flush=True)


def seconds_of(work: Any, turns: int = 5) -> float:
    """Median, after one uncounted run."""
    times = []
    for turn in range(turns + 1):
        start = time.perf_counter()
        work()
        if ON_GPU:
            torch.cuda.synchronize()
        if turn:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def heads(shape: Shape, weight: torch.Tensor) -> None:
    """The output layer on some thousand rows: ours beside float32 copies."""
    states = torch.randn(4096 if ON_GPU else 128, shape.width).to(DEVICE, weight.dtype)
    copy = weight.float()
    torch.backends.cuda.matmul.allow_tf32 = True

    def ours() -> None:
        one, other = operands(states, weight)
        float32_product(one, other.T)

    mine, theirs = seconds_of(ours), seconds_of(lambda: states.float() @ copy.T)
    torch.backends.cuda.matmul.allow_tf32 = False
    print(
        f"{shape.name}, output layer of {len(states):,} rows: {1e3 * mine:.2f} ms, float32 copies in "
        f"TensorFloat-32 {1e3 * theirs:.2f} ms: ratio {theirs / mine:.2f}",
        flush=True,
    )


def by_torch(shape: Shape, folder: Path, sequences: list[Sequence]) -> float:
    """The torch backend's lines; the FLOP of a pass."""
    settings = ModelSettings(ModelName(str(folder)), dtype="bfloat16", devices=DEVICE)
    engine = torch_engine(settings, CONTEXT, print)
    lengths = [len(s.tokens) for s in sequences]
    flops = shape.flops(engine.replica._model, lengths)
    for request in (ScoreRequest(), ScoreRequest(8, 0.99)):
        if ON_GPU:
            torch.cuda.reset_peak_memory_stats()
        mine, theirs, ratio = in_turns(
            partial(engine.run, sequences, request), partial(bare, engine, sequences)
        )
        memory = f", peak {torch.cuda.max_memory_allocated() / 1e9:.1f} GB" if ON_GPU else ""
        what = f"{shape.name}, k={request.candidates}"
        print_rate(what, sum(lengths), mine, flops, f", {ratio:.2f} × the bare pass{memory}")
        print_rate(f"{shape.name}, bare forward pass", sum(lengths), theirs, flops)
    heads(shape, engine.replica._weight)
    engine.close()
    return flops


def by_vllm(shape: Shape, folder: Path, sequences: list[Sequence], flops: float) -> None:
    from synthtools.lm.vllm.vllm_engine import open_engine

    settings = ModelSettings(ModelName(str(folder)), backend="vllm", dtype="bfloat16")
    request = ScoreRequest(8, 0.99)
    engine = open_engine(settings, CONTEXT, request)
    seconds = seconds_of(partial(engine.run, sequences, request), turns=2)
    tokens = sum(len(s.tokens) for s in sequences)
    print_rate(f"{shape.name}, vLLM in process, k=8", tokens, seconds, flops)
    engine.close()


def main() -> None:
    start = time.monotonic()
    for shape in SHAPES:
        sequences = sequences_of(shape)
        with tempfile.TemporaryDirectory() as made:
            folder = shape.save(Path(made))
            flops = None
            with reported(f"{shape.name}, torch"):
                flops = by_torch(shape, folder, sequences)
            torch.cuda.empty_cache()
            if flops is not None and find_spec("vllm"):
                with reported(f"{shape.name}, vLLM"):
                    by_vllm(shape, folder, sequences, flops)
            elif flops is not None:
                print(f"{shape.name}, vLLM in process: not installed; left out")
    torch.cuda.empty_cache()
    gpu_training.report(ON_GPU)
    print(f"({machine()}; {time.monotonic() - start:.0f} s)")


if __name__ == "__main__":
    main()
