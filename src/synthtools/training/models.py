"""The model that is trained: new or continued, whole or through adapters; and how it is saved."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from synthtools.errors import SynthError, UsageError, parameter
from synthtools.lm.model_name import ModelName
from synthtools.lm.pretrained import load_configuration, load_weights
from synthtools.records.exclusive_rename import rename_new
from synthtools.training import attention
from synthtools.training.architectures import configuration
from synthtools.training.parallel import Ranks, whole
from synthtools.training.plan import WORK, Lora, Plan, StartModel
from synthtools.training.run_directory import saving


@dataclass
class BuiltModel:
    """A causal language model of transformers to be trained, adapters inside it; ``adapters``: peft's view
    of it, None without; ``parameters``, ``trained``: their numbers."""

    model: Any
    adapters: Any
    parameters: int
    trained: int


def build(
    start: StartModel,
    tokenizer: Any,
    context: int,
    lora: Lora | None,
    seed: int,
    dtype: torch.dtype = torch.float32,
) -> BuiltModel:
    """Makes or loads the model, on the CPU; the same weights on every rank.

    Raises:
        UsageError: the tokenizer has more tokens than the model, or the context is too long for it.
        SynthError: the model cannot be loaded, or is of a kind that is not supported.
    """
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    name = attention.register()
    if start.model is None:
        assert start.architecture is not None
        config = configuration(
            start.architecture,
            len(tokenizer),
            context,
            tokenizer.bos_token_id,
            tokenizer.eos_token_id,
        )
        model = AutoModelForCausalLM.from_config(config, attn_implementation=name)
    else:
        model = load_weights(ModelName(start.model, start.revision), dtype, "cpu")
        model.set_attn_implementation(name)
        size = model.get_input_embeddings().weight.shape[0]
        if len(tokenizer) > size:
            raise UsageError(
                f"the tokenizer has {len(tokenizer):,} tokens, {start.model} only {size:,}: use the "
                "model's own"
            )
    _require_plain_head(model, start)
    adapters = None
    if lora is not None:
        adapters = with_adapters(model, lora)
        model = adapters.get_base_model()
    counts = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return BuiltModel(
        model, adapters, sum(n for n, _ in counts), sum(n for n, yes in counts if yes)
    )


def frozen(model: ModelName, half: bool) -> Any:
    """A model that is compared with and never trained, on the CPU.

    Args:
        half: computed in bfloat16; then weights that were saved so are held so. Others stay in
            float32, so that distances to them are exact.
    """
    saved = load_configuration(model.base() or model).dtype
    dtype = torch.bfloat16 if half and saved in (torch.bfloat16, "bfloat16") else torch.float32
    loaded = load_weights(model, dtype, "cpu")
    loaded.set_attn_implementation(attention.register())
    _require_plain_head(loaded, StartModel(None, model.name))
    return loaded.eval().requires_grad_(False)


@torch.no_grad()
def _require_plain_head(model: Any, start: StartModel) -> None:
    """The logits must be hidden states times output weights, and nothing more: our head computes so."""
    head = model.get_output_embeddings()
    tokens = torch.arange(4)[None] % model.config.get_text_config().vocab_size
    model.eval()
    hidden = model.base_model(input_ids=tokens, use_cache=False).last_hidden_state
    logits = model(input_ids=tokens, use_cache=False).logits
    ours = hidden.float() @ head.weight.float().T
    tolerance = 1e-3 if hidden.dtype == torch.float32 else 5e-2
    if not torch.allclose(ours, logits.float(), rtol=tolerance, atol=tolerance):
        raise SynthError(
            f"{start.model or start.architecture}: its output layer has a bias, a scale or a cap on the "
            "logits, which the trainer does not support"
        )
    model.train()


def with_adapters(model: Any, lora: Lora) -> Any:
    """peft's view of a model that has got adapters.

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


def gathered(model: Any, ranks: Ranks) -> dict[str, Tensor]:
    """Whole parameters by name, on the CPU of the first rank; empty on the others."""
    weights = {}
    for name, weight in model.named_parameters():
        value = whole(weight.detach())
        if ranks.first:
            weights[name] = value.cpu()
    return weights


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
    """Saves the model as a directory of transformers, whole or not at all.

    Args:
        replaced: weights that it takes the place of.
        beside: further files of text, by name.

    Raises:
        SynthError: the disk is full, writing is not permitted, or other weights appeared.
    """
    if ranks.count > 1:
        weights = gathered(built.model, ranks)
        if not ranks.first:
            return
        # A model that was never sharded saves as transformers saves, tied weights once.
        built = build(plan.start, tokenizer, plan.context, plan.lora, 0)
        built.model.load_state_dict(weights, strict=False)
    dtype = getattr(torch, plan.save_dtype)
    partial = output / WORK / ".model.partial"
    with saving(output, "the model"):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        if built.adapters is not None and plan.lora is not None and not plan.lora.merge:
            _save_adapters(built, plan.start, dtype, partial)
        else:
            model = built.model if built.adapters is None else built.adapters.merge_and_unload()
            model.to(dtype).save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        for name, text in {"README.md": card, **(beside or {})}.items():
            (partial / name).write_text(text, encoding="utf-8")
        for path in replaced:
            path.unlink(missing_ok=True)
        mode = (partial / "README.md").stat().st_mode  # as the umask says
        for file in sorted(partial.iterdir(), key=_turn):
            if _turn(file):
                file.chmod(mode)
                rename_new(file, output / file.name)
            else:
                os.replace(file, output / file.name)
        partial.rmdir()


def _turn(file: Path) -> int:
    """The weights last, and their index after them: a directory that has it is a whole model."""
    return 2 if file.name.endswith(".index.json") else int(file.suffix == ".safetensors")


def _save_adapters(built: BuiltModel, start: StartModel, dtype: torch.dtype, folder: Path) -> None:
    from peft import get_peft_model_state_dict

    config = built.adapters.peft_config["default"]
    # An absolute path, so that the adapters can be loaded from anywhere.
    name = start.model or ""
    config.base_model_name_or_path = os.path.abspath(name) if os.path.isdir(name) else name
    config.revision = start.revision
    config.inference_mode = True
    if isinstance(config.target_modules, set):  # whose order is another one in each process
        config.target_modules = sorted(config.target_modules)
    config.save_pretrained(str(folder))
    state = get_peft_model_state_dict(built.adapters)
    save_file(
        {name: value.to(dtype).contiguous() for name, value in state.items()},
        folder / "adapter_model.safetensors",
    )
