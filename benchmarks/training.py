"""The trainer beside a bare loop, beside transformers' Trainer; the head beside full logits.

The model, the optimizer and the rows of a step are the same for all three. Trainer gets the documents as its
users give them: one to a row, padded to the longest of a batch; what is compared is tokens of text learned a
second. The head's memory is the peak of a whole process over one that makes the same tensors and no loss.
Each figure is the median over turns, in processes of their own.
"""

import os
import statistics
import tempfile
from importlib.util import find_spec
from pydoc_data.topics import topics

import numpy as np

from benchmarks.common import apart, machine

MODULE = "benchmarks.training"
ARCH = os.environ.get("BENCH_ARCH", "llama-prior")
CONTEXT = int(os.environ.get("BENCH_CONTEXT", 512))
ROWS = int(os.environ.get("BENCH_ROWS", 8))
VOCABULARY = int(os.environ.get("BENCH_VOCABULARY", 0))  # 0: the tokenizer's
STEPS = int(os.environ.get("BENCH_STEPS", 12))
TURNS = int(os.environ.get("BENCH_TURNS", 3))
# Steps before the clock starts.
WARM = 2
VOCABULARIES = (32_000, 128_000)
HEAD_ROWS, HEAD_WIDTH = 4096, 512


def model_and_tokens():
    import torch
    from transformers import AutoModelForCausalLM

    from synthtools.lm.pretrained import load_tokenizer
    from synthtools.training import attention
    from synthtools.training.architectures import configuration
    from synthtools.training.corpus import text_encoder

    tokenizer = load_tokenizer("builtin")
    # Whole pages of documentation, from a line to a book: documents as they come.
    documents = [e.ids for e in text_encoder(tokenizer)([topics[name] for name in sorted(topics)])]
    np.random.default_rng(0).shuffle(documents)
    torch.manual_seed(0)
    config = configuration(
        ARCH, VOCABULARY or len(tokenizer), CONTEXT, tokenizer.bos_token_id, tokenizer.eos_token_id
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    attention.register()
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config)
    return model, documents, tokenizer, device


def ours(way: str = "packed") -> float:
    """Tokens a second of our loop.

    Args:
        way: ``packed``; ``padded``, a document a row; ``recomputed``, with activation checkpointing; ``sharded``,
            through the exchange of several processes with one.
    """
    import tempfile
    from pathlib import Path

    from synthtools.training import attention, models, parallel
    from synthtools.training.language_model_task import LanguageModelTask, ModelWithHead, RowStream
    from synthtools.training.loop import train
    from synthtools.training.packers import Blend, CutPacker, WholePacker
    from synthtools.training.parallel import Ranks
    from synthtools.training.plan import Settings

    model, documents, _, device = model_and_tokens()
    model.set_attn_implementation(attention.NAME)
    starts = np.concatenate([[0], np.cumsum([len(d) for d in documents])])
    tokens = np.concatenate(documents)
    packed = CutPacker(tokens, starts, CONTEXT, 0)
    blend = Blend(
        [WholePacker(tokens, starts, CONTEXT, 0, None, False) if way == "padded" else packed]
    )
    half, ranks = device != "cpu", Ranks(0, 1, device)
    root = ModelWithHead(model, half)
    if way == "recomputed":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if way == "sharded":
        import torch

        store = torch.distributed.HashStore()
        backend = "nccl" if half else "gloo"
        torch.distributed.init_process_group(backend, store=store, rank=0, world_size=1)
        parallel.shard(root, models.blocks(model), half, torch.float32, ranks)
    task = LanguageModelTask(root, RowStream("train", blend, ROWS), ROWS, ranks, [None])
    steps = []
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            steps=STEPS + WARM, rows=ROWS, micro_rows=ROWS, learning_rate=1e-3, bfloat16=half
        )
        train(
            task,
            settings,
            ranks=ranks,
            checkpoints=Path(folder) / "c",
            job={},
            on_step=steps.append,
        )
    first, last = steps[WARM - 1], steps[-1]
    return (last.tokens - first.tokens) / (last.seconds - first.seconds)


def bare() -> float:
    """Tokens a second of forward, backward and step on rows that lie ready."""
    import time

    import torch

    from synthtools.training.loop import optimizer_for
    from synthtools.training.plan import Settings

    model, documents, _, device = model_and_tokens()
    rows = np.concatenate(documents)[: ROWS * CONTEXT].reshape(ROWS, CONTEXT)
    rows = torch.from_numpy(rows).to(device)
    optimizer = optimizer_for(model, Settings(1, ROWS, ROWS, 1e-3))
    model.train()
    start = 0.0
    for step in range(STEPS + WARM):
        if step == WARM:
            start = time.perf_counter()
        with torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
            loss = model(input_ids=rows, labels=rows, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
    return STEPS * ROWS * (CONTEXT - 1) / (time.perf_counter() - start)


def trainer() -> float:
    """Tokens a second of transformers' Trainer."""
    import time

    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    model, documents, tokenizer, device = model_and_tokens()
    rows = [{"input_ids": d[:CONTEXT]} for d in documents]

    def collate(some):
        longest = max(len(row["input_ids"]) for row in some)
        tokens = torch.full((len(some), longest), tokenizer.eos_token_id)
        mask = torch.zeros(len(some), longest, dtype=torch.int64)
        for place, row in enumerate(some):
            tokens[place, : len(row["input_ids"])] = torch.from_numpy(row["input_ids"])
            mask[place, : len(row["input_ids"])] = 1
        return {
            "input_ids": tokens,
            "attention_mask": mask,
            "labels": tokens.masked_fill(mask == 0, -100),
        }

    learned = 0

    def counted(some):
        nonlocal learned
        batch = collate(some)
        learned += int((batch["labels"][:, 1:] != -100).sum())
        return batch

    class Clock(TrainerCallback):
        def on_step_end(self, arguments, state, control, **more):
            if state.global_step == WARM:
                self.start, self.before = time.perf_counter(), learned

    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=STEPS + WARM,
            per_device_train_batch_size=ROWS,
            learning_rate=1e-3,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
            logging_steps=10**6,
            bf16=device != "cpu",
        )
        Trainer(
            model, arguments, data_collator=counted, train_dataset=rows, callbacks=[clock]
        ).train()
    return (learned - clock.before) / (time.perf_counter() - clock.start)


def head(how: str, vocabulary: int) -> float:
    """Peak memory in MB of a head's loss and gradients."""
    import resource

    import torch

    from synthtools.training.head import head_loss
    from synthtools.training.objectives import CROSS_ENTROPY

    torch.manual_seed(0)
    hidden = torch.randn(HEAD_ROWS, HEAD_WIDTH, requires_grad=True)
    weight = torch.randn(vocabulary, HEAD_WIDTH, requires_grad=True)
    hidden.grad, weight.grad = torch.zeros_like(hidden), torch.zeros_like(weight)
    labels = torch.randint(0, vocabulary, (HEAD_ROWS,))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if how == "plain":
        torch.nn.functional.cross_entropy(hidden @ weight.T, labels).backward()
    else:
        ones = torch.full((HEAD_ROWS,), 1 / HEAD_ROWS)
        head_loss(hidden, weight, labels, ones, CROSS_ENTROPY)[0].backward()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    """Prints tokens a second and megabytes, with ratios."""
    kinds = ["ours", "bare"] + (["trainer"] if find_spec("accelerate") else [])
    figures: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(TURNS):
        for kind in kinds:
            figures[kind].append(apart(MODULE, kind))
    for kind in kinds:
        rate = statistics.median(figures[kind])
        ratio = statistics.median(
            a / b for a, b in zip(figures["ours"], figures[kind], strict=True)
        )
        print(f"{kind}: {rate:,.0f} tokens/s" + ("" if kind == "ours" else f"; ours × {ratio:.2f}"))
    for vocabulary in VOCABULARIES:
        plain, chunked = (apart(MODULE, "head", how, vocabulary) for how in ("plain", "ours"))
        print(
            f"head of {vocabulary:,} tokens, {HEAD_ROWS:,} rows: {chunked:,.0f} MB beside "
            f"{plain:,.0f} MB of full logits = {chunked / plain:.2f}"
        )
    print(f"({ARCH}, {ROWS} rows of {CONTEXT}; {machine()})")


if __name__ == "__main__":
    main()
