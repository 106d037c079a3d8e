"""Training and unlearning on a GPU: tokens a second, MFU and peak memory of models of 124M and about 1B parameters, in bfloat16.

Packed rows (PyTorch's variable-length attention) beside a padded document a row, by tokens learned; packed rows with activation checkpointing,
and through FSDP and NCCL with one process; a step of unlearning. Each in a process of its own. Without a GPU a tiny model shows that it works.
"""

import os

from benchmarks.common import apart_with_memory, reported
from synthtools.training import step_cost

# Architecture, vocabulary, rows a step, context.
_GPU = (("gpt2", 50_304, 16, 1024), ("olmo-1b", 50_304, 8, 1024))
_CPU = (("llama-tiny", 6_144, 2, 64),)


def _flops(arch: str, vocabulary: int, context: int) -> tuple[int, float]:
    """Parameters, and FLOP a token."""
    import torch
    from transformers import AutoModelForCausalLM

    from synthtools.training.architectures import configuration

    config = configuration(arch, vocabulary, context, None, None)
    with torch.device("meta"):
        parameters = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
    return parameters, step_cost.flops_per_token(parameters, config, context)


def report(on_gpu: bool) -> None:
    """Prints a line for each figure."""
    peak = step_cost.peak_flops("cuda:0") if on_gpu else None
    for arch, vocabulary, rows, context in _GPU if on_gpu else _CPU:
        shape = {"ARCH": arch, "VOCABULARY": vocabulary, "ROWS": rows, "CONTEXT": context}
        steps = {"STEPS": 12 if on_gpu else 2}
        os.environ.update({f"BENCH_{name}": str(value) for name, value in (shape | steps).items()})
        parameters, flops = _flops(arch, vocabulary, context)
        print(f"{arch}: {parameters / 1e6:,.0f}M parameters, {rows} rows of {context}", flush=True)
        for what, module, *words in (
            ("training, packed", "training", "ours", "packed"),
            ("training, padded", "training", "ours", "padded"),
            ("training, packed, activation checkpointing", "training", "ours", "recomputed"),
            ("training, packed, FSDP with one process", "training", "ours", "sharded"),
            ("unlearning (bounded, replay, KL)", "unlearning", "ours"),
        ):
            rate = 0.0
            with reported(f"{arch}, {what}"):
                rate, memory = apart_with_memory(f"benchmarks.{module}", *words)
            if not rate:
                continue
            # Unlearning reads replay with the original too: half of the rows, a third of a step's work.
            work = flops * (7 / 6 if module == "unlearning" else 1)
            mfu = f", MFU {100 * rate * work / peak:.1f} %" if peak else ""
            step = rows * context / rate if what != "training, padded" else None
            time = f", {1e3 * step:.0f} ms a step" if step else ""
            print(
                f"{arch}, {what}: {rate:,.0f} tokens/s{mfu}{time}, peak {memory:.1f} GB", flush=True
            )
