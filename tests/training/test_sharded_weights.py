"""What a rank holds before the first step: its rows of the very model that one process has."""

from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import distributed
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import AutoConfig, AutoModelForCausalLM

from synthtools.lm.pretrained import load_tokenizer
from synthtools.training import models
from synthtools.training.architectures import configuration
from synthtools.training.parallel import Ranks, local, shard
from synthtools.training.plan import Lora, StartModel
from synthtools.training.sharded_weights import drawn, fill


def rows_of(whole, ranks):
    pieces = torch.chunk(whole, ranks.count)
    return pieces[ranks.rank] if ranks.rank < len(pieces) else whole[:0]


@pytest.mark.parametrize("name", ["llama-tiny", "gpt2-tiny", "gpt-neox-tiny", "opt"])
def test_drawn_rows_are_those_of_the_model_that_one_process_draws(name):
    if name == "opt":  # embeddings with a row of zeros for padding
        sizes = {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 64, "vocab_size": 99}
        config = AutoConfig.for_model(name, num_hidden_layers=2, num_attention_heads=2, **sizes)
    else:
        config = configuration(name, 99, 64, 1, 2)
    torch.manual_seed(5)
    whole = AutoModelForCausalLM.from_config(config)
    next_draw = torch.rand(3)
    for ranks in (Ranks(0, 2, "cpu"), Ranks(2, 3, "cpu")):
        model, rows = drawn(lambda: AutoModelForCausalLM.from_config(config), 5, ranks)
        assert torch.equal(torch.rand(3), next_draw)
        assert all(weight.is_meta for weight in model.parameters())
        for weight, expected in whole.named_parameters():
            assert torch.equal(rows[weight], rows_of(expected, ranks)), weight
        for buffer, expected in whole.named_buffers():
            assert torch.equal(model.get_buffer(buffer), expected), buffer


def test_an_initialisation_that_mixes_parameters_draws_the_whole_model():
    sizes = {"hidden_size": 32, "state_size": 4, "num_hidden_layers": 2, "vocab_size": 99}
    config = AutoConfig.for_model("mamba", **sizes)
    torch.manual_seed(5)
    whole = AutoModelForCausalLM.from_config(config).state_dict()
    ranks = Ranks(1, 2, "cpu")
    model, rows = drawn(lambda: AutoModelForCausalLM.from_config(config), 5, ranks)
    assert not rows
    for name, value in model.state_dict().items():
        assert torch.equal(value, whole[name]), name


@contextmanager
def second_of_three():
    """A group of three processes of which this one is the second; the others are not there."""
    distributed.init_process_group("fake", rank=1, world_size=3, store=FakeStore())
    try:
        yield Ranks(1, 3, "cpu")
    finally:
        distributed.destroy_process_group()


@pytest.mark.parametrize("source", ["drawn", "float32", "bfloat16", "mixed"])
def test_a_rank_has_its_rows_of_the_weights(base, tmp_path, source):
    tokenizer = load_tokenizer(str(base))
    lora = None
    if source == "drawn":
        start = StartModel("gpt-neox-tiny")
    else:
        model = AutoModelForCausalLM.from_pretrained(base)
        if source != "float32":
            # The configuration says what not all files keep.
            model.config.dtype = torch.bfloat16
            model.to(torch.bfloat16).save_pretrained(tmp_path)
        if source == "mixed":
            weights = load_file(tmp_path / "model.safetensors")
            weights["model.norm.weight"] = weights["model.norm.weight"].float() + 1e-7
            save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
        start = StartModel(None, str(tmp_path if source != "float32" else base))
        lora = Lora(4, 8.0, 0.0)
    whole = models.build(start, tokenizer, 64, lora, 3)
    with second_of_three() as ranks:
        built = models.build(start, tokenizer, 64, lora, 3, ranks=ranks)
        shard(built.model, models.blocks(built.model), False, torch.float32, ranks)
        if built.rows:
            fill(built.model, built.rows, "cpu")
    assert (built.parameters, built.trained) == (whole.parameters, whole.trained)
    expected = dict(whole.model.named_parameters())
    for name, weight in built.model.named_parameters():
        own, theirs = local(weight), expected.pop(name)
        assert own.dtype == torch.float32 and weight.requires_grad == theirs.requires_grad
        assert torch.equal(own, rows_of(theirs.detach(), ranks)), name
    assert not expected
    for name, buffer in built.model.named_buffers():
        assert torch.equal(buffer, whole.model.get_buffer(name)), name
