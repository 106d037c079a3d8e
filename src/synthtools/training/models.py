"""The trained model: new or continued, with or without adapters; and saving it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from synthtools.errors import SynthError, UsageError, parameter
from synthtools.lm.model_name import ModelName
from synthtools.lm.pretrained import load_configuration, load_mapped, load_weights
from synthtools.records.exclusive_rename import rename_new
from synthtools.training import attention
from synthtools.training.architectures import configuration
from synthtools.training.parallel import ALONE, Ranks, whole
from synthtools.training.plan import WORK, Lora, Plan, StartModel
from synthtools.training.run_directory import saving
from synthtools.training.sharded_weights import drawn, reporting_dtype


@dataclass
class BuiltModel:
    """A causal language model of transformers for training, including adapters; ``adapters``: peft's wrapper,
    None without; ``parameters``, ``trained``: numbers of parameters; ``rows``: this rank's rows of meta
    parameters, by name (``sharded_weights.drawn``)."""

    model: Any
    adapters: Any
    parameters: int
    trained: int
    rows: dict[str, Tensor] = field(default_factory=dict)


def build(
    start: StartModel,
    tokenizer: Any,
    context: int,
    lora: Lora | None,
    seed: int,
    dtype: torch.dtype = torch.float32,
    ranks: Ranks = ALONE,
) -> BuiltModel:
    """Makes or loads the model on the CPU; with several ranks without its memory before it is sharded: new
    weights are on the meta device, loaded ones are mapped in their stored type.

    Raises:
        UsageError: the tokenizer has more tokens than the model, or the context is too long for it.
        SynthError: the model cannot be loaded, or is not supported.
    """
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    name = attention.register()
    many = ranks.count > 1
    rows: dict[str, Tensor] = {}
    if start.model is None:
        config = _configuration(start, tokenizer, context)

        def make() -> Any:
            return AutoModelForCausalLM.from_config(config, attn_implementation=name)

        model, rows = drawn(make, seed, ranks) if many else (make(), rows)
    else:
        named = ModelName(start.model, start.revision)
        model = load_mapped(named) if many else load_weights(named, dtype, "cpu")
        model.set_attn_implementation(name)
        size = model.get_input_embeddings().weight.shape[0]
        if len(tokenizer) > size:
            raise UsageError(
                f"the tokenizer has {len(tokenizer):,} tokens, {start.model} only {size:,}: use the "
                "model's own"
            )
    if not many:
        require_plain_head(model, start.name)
    model.train()
    adapters = None
    if lora is not None:
        with reporting_dtype(model, dtype) if many else nullcontext():
            adapters = with_adapters(model, lora)
        model = adapters.get_base_model()
    counts = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return BuiltModel(
        model, adapters, sum(n for n, _ in counts), sum(n for n, yes in counts if yes), rows
    )


def on_meta(config: Any) -> Any:
    """A model of a configuration, without memory for its weights."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def _configuration(start: StartModel, tokenizer: Any, context: int) -> Any:
    assert start.architecture is not None
    ends = tokenizer.bos_token_id, tokenizer.eos_token_id
    return configuration(start.architecture, len(tokenizer), context, *ends)


def frozen(model: ModelName, half: bool, ranks: Ranks = ALONE) -> Any:
    """A frozen model for comparison, on the CPU; for several ranks see ``build``."""
    if ranks.count > 1:
        loaded = load_mapped(model)
    else:
        loaded = load_weights(model, frozen_dtype(model, half), "cpu")
    loaded.set_attn_implementation(attention.register())
    if ranks.count == 1:
        require_plain_head(loaded, model.name)
    return loaded.eval().requires_grad_(False)


def frozen_dtype(model: ModelName, half: bool) -> torch.dtype:
    """The type of a frozen model's weights.

    Args:
        half: compute in bfloat16; weights stored in bfloat16 then stay so. Others become float32, so that
            distances to them are exact.
    """
    saved = load_configuration(model).dtype
    return torch.bfloat16 if half and saved in (torch.bfloat16, "bfloat16") else torch.float32


@torch.no_grad()
def require_plain_head(model: Any, name: str) -> None:
    """Checks that logits are hidden states times output weights, as our head assumes.

    Raises:
        SynthError: they are not.
    """
    head, training = model.get_output_embeddings(), model.training
    vocabulary = model.config.get_text_config().vocab_size
    tokens = torch.arange(4, device=head.weight.device)[None] % vocabulary
    model.eval()
    hidden = model.base_model(input_ids=tokens, use_cache=False).last_hidden_state
    logits = model(input_ids=tokens, use_cache=False).logits
    ours = hidden.float() @ head.weight.float().T
    tolerance = 1e-3 if hidden.dtype == torch.float32 else 5e-2
    if not torch.allclose(ours, logits.float(), rtol=tolerance, atol=tolerance):
        raise SynthError(
            f"{name}: its output layer has a bias, a scale or a cap on the logits, which the trainer does "
            "not support"
        )
    model.train(training)


def with_adapters(model: Any, lora: Lora) -> Any:
    """Adds adapters to a model; returns peft's wrapper.

    Raises:
        SynthError: peft is not installed.
        UsageError: no layer has this name.
    """
    try:
        from peft import LoraConfig, TaskType, get_peft_model
    except ImportError as error:
        raise SynthError("LoRA needs peft: pip install 'synthtools[lora]'") from error
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets) or "all-linear",
        task_type=TaskType.CAUSAL_LM,
    )
    try:
        adapters = get_peft_model(model, config)
    except ValueError as error:
        line = str(error).splitlines()[0]
        raise UsageError(f"{parameter('lora_targets')} {','.join(lora.targets)}: {line}") from error
    if hasattr(model.get_output_embeddings(), "lora_A"):
        raise UsageError(
            f"{parameter('lora_targets')} {','.join(lora.targets)}: the output layer can have no adapters here"
        )
    return adapters


def blocks(model: Any) -> list[torch.nn.Module]:
    """The transformer's layers: the units of sharding and of compilation."""
    names = set(model._no_split_modules or ())
    named = [m for m in model.modules() if type(m).__name__ in names]
    lists = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList)]
    return named or list(max(lists, key=len, default=[]))


def _gathered(
    model: Any, alone: bool, dtype: torch.dtype | None, folder: Path, ranks: Ranks
) -> dict[str, Tensor]:
    """Full parameters and buffers by name on the first rank, mapped from files, with only one in memory at a
    time. Empty on the other ranks.

    Args:
        alone: only the adapters.
        dtype: to save in; None for their own.
        folder: for the files.
    """
    weights: dict[str, Tensor] = {}
    trouble: Exception | None = None
    if ranks.first:
        shutil.rmtree(folder, ignore_errors=True)
    for name, weight in model.named_parameters():
        if alone and "lora_" not in name:
            continue
        value = whole(weight.detach())
        if not ranks.first or trouble is not None:
            continue  # all ranks take part in every collective, even after an error
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{len(weights)}.safetensors"
            save_file({name: value.to(dtype or value.dtype).cpu().contiguous()}, path)
            weights |= load_file(path)
        except (OSError, SafetensorError) as error:
            trouble = error
    if trouble is not None:
        raise trouble
    buffers = {} if alone or not ranks.first else {n: b.cpu() for n, b in model.named_buffers()}
    return weights | buffers


def _unsharded(plan: Plan, tokenizer: Any, weights: dict[str, Tensor], ranks: Ranks) -> BuiltModel:
    """The plan's model with these weights. It was never sharded, so transformers saves it as usual, with tied
    weights once."""
    if plan.start.model is None:
        config = _configuration(plan.start, tokenizer, plan.context)
        built = BuiltModel(on_meta(config), None, 0, 0)
    else:
        built = build(plan.start, tokenizer, plan.context, plan.lora, 0, ranks=ranks)
    built.model.load_state_dict(weights, strict=False, assign=True)
    built.model.tie_weights()
    return built


def save(
    built: BuiltModel,
    plan: Plan,
    tokenizer: Any,
    card: str,
    output: Path,
    replaced: Sequence[Path],
    ranks: Ranks,
    beside: dict[str, str] | None = None,
) -> None:
    """Saves the model as a directory of transformers, atomically.

    Args:
        replaced: weights to replace.
        beside: further text files, by name.

    Raises:
        SynthError: the disk is full, writing is not permitted, or other weights have appeared.
    """
    dtype = getattr(torch, plan.save_dtype)
    alone = built.adapters is not None and plan.lora is not None and not plan.lora.merge
    partial, parts = output / WORK / ".model.partial", output / WORK / ".parameters.partial"
    with saving(output, "the model"):
        if ranks.count > 1:
            kept = dtype if built.adapters is None else None
            weights = _gathered(built.model, alone, kept, parts, ranks)
            if not ranks.first:
                return
            built = _unsharded(plan, tokenizer, weights, ranks)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        if alone:
            _save_adapters(built, plan.start, dtype, partial)
        else:
            model = built.model if built.adapters is None else built.adapters.merge_and_unload()
            model.to(dtype).save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        for name, text in {"README.md": card, **(beside or {})}.items():
            (partial / name).write_text(text, encoding="utf-8")
        for path in replaced:
            path.unlink(missing_ok=True)
        mode = (partial / "README.md").stat().st_mode  # by the umask
        for file in sorted(partial.iterdir(), key=_write_order):
            if _write_order(file):
                file.chmod(mode)
                rename_new(file, output / file.name)
            else:
                os.replace(file, output / file.name)
        partial.rmdir()
        shutil.rmtree(parts, ignore_errors=True)


def _write_order(file: Path) -> int:
    """Sort key of files: weights last, then their index, which marks a complete model."""
    return 2 if file.name.endswith(".index.json") else int(file.suffix == ".safetensors")


def _save_adapters(built: BuiltModel, start: StartModel, dtype: torch.dtype, folder: Path) -> None:
    from peft import get_peft_model_state_dict

    config = built.adapters.peft_config["default"]
    # An absolute path, so that the adapters can be loaded from anywhere.
    name = start.model or ""
    config.base_model_name_or_path = os.path.abspath(name) if os.path.isdir(name) else name
    config.revision = start.revision
    config.inference_mode = True
    if isinstance(config.target_modules, set):  # sets have a different order in each process
        config.target_modules = sorted(config.target_modules)
    config.save_pretrained(str(folder))
    state = get_peft_model_state_dict(built.adapters)
    save_file(
        {name: value.to(dtype).contiguous() for name, value in state.items()},
        folder / "adapter_model.safetensors",
    )
