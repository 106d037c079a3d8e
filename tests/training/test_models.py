"""What is trained: presets with the published sizes, adapters as peft has them, plain heads."""

import json
import re

import pytest
import torch
import typer
from safetensors.torch import load_file

from synthtools.cli.app import build as build_cli
from synthtools.errors import SynthError, UsageError
from synthtools.lm.model_name import ModelName
from synthtools.lm.pretrained import load_tokenizer, load_weights
from synthtools.training.architectures import ARCHITECTURES, configuration
from synthtools.training.models import build, save
from synthtools.training.parallel import Ranks
from synthtools.training.plan import Lora, Plan, StartModel
from synthtools.training.step_cost import flops_per_token

# Parameters with the vocabulary that the papers use.
PUBLISHED = {
    "gpt2": (50257, 1024, 124.4e6),
    "gpt2-medium": (50257, 1024, 354.8e6),
    "olmo-237m": (50304, 2048, 237e6),
    "olmo-1b": (50304, 2048, 1176.8e6),
    "llama-2b": (32000, 4096, 1.75e9),
    "pythia-70m": (50304, 2048, 70.4e6),
    "pythia-160m": (50304, 2048, 162.3e6),
    "pythia-410m": (50304, 2048, 405.3e6),
    "pythia-1b": (50304, 2048, 1011.8e6),
    "pythia-1.4b": (50304, 2048, 1414.6e6),
    "pythia-2.8b": (50304, 2048, 2775.2e6),
    "pythia-6.9b": (50432, 2048, 6857.3e6),
    "pythia-12b": (50688, 2048, 11846.1e6),
}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_presets_have_the_published_sizes(name):
    from transformers import AutoModelForCausalLM

    vocabulary, context, published = PUBLISHED[name]
    config = configuration(name, vocabulary, context, 0, 0)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    count = sum(p.numel() for p in model.parameters())
    assert count == pytest.approx(published, rel=0.01)
    # About six operations a parameter, attention apart.
    assert 3.5 * count < flops_per_token(count, config, 0) <= 6 * count


def test_every_preset_is_tested_or_tiny_or_the_built_in():
    tiny = {name for name in ARCHITECTURES if name.endswith("-tiny")}
    assert set(ARCHITECTURES) == {*PUBLISHED, *tiny, "llama-prior"}


def test_the_help_names_every_preset():
    command = typer.main.get_command(build_cli()).commands["train"]
    (arch,) = [p for p in command.params if p.name == "arch"]
    assert set(ARCHITECTURES) == set(re.findall(r"[a-z0-9]+(?:-[a-z0-9.]+)*", arch.help)) & {
        *ARCHITECTURES
    }


def test_a_configuration_file_is_an_architecture(tmp_path):
    configuration("qwen3-tiny", 99, 64, 1, 2).save_pretrained(tmp_path)
    for name in (tmp_path, tmp_path / "config.json"):
        found = configuration(str(name), 300, 128, 3, 4)
        assert (found.model_type, found.vocab_size, found.eos_token_id) == ("qwen3", 300, 4)
        assert found.max_position_embeddings == 128
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(SynthError, match="not a configuration"):
        configuration(str(tmp_path / "other.json"), 300, 128, 3, 4)
    with pytest.raises(UsageError, match="gpt9"):
        configuration("gpt9", 300, 128, 3, 4)


def test_adapters_are_those_of_peft(base, tmp_path):
    from peft import LoraConfig, PeftModel, get_peft_model

    tokenizer = load_tokenizer(str(base))
    lora = Lora(4, 8.0, 0.0)
    start = StartModel(None, str(base))
    built = build(start, tokenizer, 64, lora, seed=3)
    tokens = torch.arange(20)[None] % 300

    torch.manual_seed(3)
    plain = load_weights(ModelName(str(base)), torch.float32, "cpu")
    theirs = get_peft_model(
        plain,
        LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    names = {n for n, p in theirs.named_parameters() if p.requires_grad}
    ours = {n for n, p in built.adapters.named_parameters() if p.requires_grad}
    assert names == ours and not any("lm_head" in name for name in ours)
    assert 0 < built.trained < 0.2 * built.parameters
    torch.manual_seed(0)
    state = {n: torch.randn_like(p) * 0.1 for n, p in theirs.named_parameters() if n in names}
    theirs.load_state_dict(state, strict=False)
    built.adapters.load_state_dict(state, strict=False)
    expected = theirs(input_ids=tokens).logits
    torch.testing.assert_close(built.model(input_ids=tokens).logits, expected)

    # Saved alone, peft loads them; merged, they are a model of their own; ``lm`` reads both.
    alone, merged = tmp_path / "alone", tmp_path / "merged"
    for folder, how in ((alone, lora), (merged, Lora(4, 8.0, 0.0, (), True))):
        folder.mkdir()
        plan = Plan(start, how, None, None, 64, None, 1.0, 0)
        save(built, plan, tokenizer, "card", folder, [], Ranks(0, 1, "cpu"))
    config = json.loads((alone / "adapter_config.json").read_text())
    assert config["r"] == 4 and config["target_modules"] == sorted(config["target_modules"])
    assert (
        not (alone / "model.safetensors").exists() and not (merged / "adapter_config.json").exists()
    )
    assert len(load_file(alone / "adapter_model.safetensors")) == len(names)
    again = PeftModel.from_pretrained(
        load_weights(ModelName(str(base)), torch.float32, "cpu"), alone
    )
    torch.testing.assert_close(again(input_ids=tokens).logits, expected, rtol=1e-4, atol=1e-5)
    for folder in (alone, merged):
        model = load_weights(ModelName(str(folder)), torch.float32, "cpu")
        logits = model(input_ids=tokens).logits
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
        assert all(weight.requires_grad for weight in model.parameters())  # can be trained on


def test_what_cannot_be_built_is_one_line(base, tmp_path):
    tokenizer = load_tokenizer("builtin")
    with pytest.raises(UsageError, match="6,144 tokens"):
        build(StartModel(None, str(base)), tokenizer, 64, None, 0)
    with pytest.raises(UsageError, match="--lora-targets"):
        build(
            StartModel(None, str(base)), load_tokenizer(str(base)), 64, Lora(4, 8, 0, ("nope",)), 0
        )
    # A model whose logits are capped after the output layer.
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        "gemma2",
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        vocab_size=400,
        final_logit_softcapping=0.01,
        attn_logit_softcapping=None,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(SynthError, match="a scale or a cap on the logits"):
        build(StartModel(None, str(tmp_path)), load_tokenizer(str(base)), 64, None, 0)
