"""Documents of a packed row do not see each other, in any architecture."""

import copy
import itertools

import pytest
import torch

from synthtools.errors import SynthError
from synthtools.training import attention
from synthtools.training.architectures import ARCHITECTURES, configuration
from synthtools.training.language_model_task import ModelWithHead

TINY = [name for name in ARCHITECTURES if name.endswith("-tiny")]


def model_of(name, context=32, vocabulary=50, **more):
    torch.manual_seed(0)
    from transformers import AutoModelForCausalLM

    config = configuration(name, vocabulary, context, 0, 0)
    for key, value in more.items():
        setattr(config, key, value)
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention.register())


def plain_twin(model):
    """The same weights with transformers' own attention."""
    from transformers import AutoModelForCausalLM

    twin = AutoModelForCausalLM.from_config(
        copy.deepcopy(model.config), attn_implementation="eager"
    )
    twin.load_state_dict(model.state_dict())
    return twin


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", TINY)
def test_packed_logits_equal_those_of_each_document_alone(name, recompute):
    model = model_of(name).train()
    if recompute:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    pieces = [torch.randint(1, 50, (1, n)) for n in (13, 1, 18)]
    positions = torch.cat([torch.arange(p.shape[1]) for p in pieces])[None]
    rows = [torch.cat(pieces, 1), torch.randint(1, 50, (1, 32))]
    where = torch.cat([positions, torch.arange(32)[None]])
    logits = model(
        input_ids=torch.cat(rows),
        position_ids=where,
        attention_mask=None,
        use_cache=False,
        **attention.boundaries(where, variable_length=False),
    ).logits
    twin = plain_twin(model).train()
    alone = [twin(input_ids=piece, use_cache=False).logits for piece in pieces]
    torch.testing.assert_close(logits[:1], torch.cat(alone, 1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        logits[1:], twin(input_ids=rows[1], use_cache=False).logits, rtol=1e-4, atol=1e-5
    )
    logits.sum().backward()
    sum(a.sum() for a in alone).backward()


def test_a_sliding_window_is_kept():
    more = {
        "use_sliding_window": True,
        "sliding_window": 5,
        "layer_types": ["sliding_attention", "full_attention"],
    }
    model = model_of("qwen3-tiny", **more).eval()
    assert model.model.layers[0].self_attn.sliding_window == 5
    twin = plain_twin(model).eval()
    tokens = torch.randint(1, 50, (2, 20))
    ours = model(input_ids=tokens, use_cache=False).logits
    torch.testing.assert_close(ours, twin(input_ids=tokens).logits, rtol=1e-4, atol=1e-5)
    wide = model_of("qwen3-tiny").eval()
    wide.load_state_dict(model.state_dict())
    assert not torch.allclose(ours, wide(input_ids=tokens).logits, atol=1e-4)


def test_boundaries_of_the_variable_length_kernel():
    positions = torch.tensor([[0, 1, 2, 0, 1], [0, 1, 2, 3, 4]])
    found = attention.boundaries(positions, variable_length=True)
    starts = found["document_starts"].tolist()
    assert starts[:4] == [0, 3, 5, 10] and set(starts[4:]) == {10} and found["longest"] == 5
    assert len(starts) - 1 == 4  # a power of two
    assert attention.boundaries(torch.arange(5)[None], variable_length=False) == {}


@pytest.mark.parametrize("name", TINY)
def test_the_variable_length_kernel_is_given_bfloat16_under_autocast(name, monkeypatch):
    def kernel(query, key, value, starts, starts_again, longest, longest_again, **more):
        assert {x.dtype for x in (query, key, value)} == {torch.bfloat16}
        assert starts is starts_again and longest == longest_again == 32
        assert more["window_size"] == (-1, 0)
        pieces = [
            torch.nn.functional.scaled_dot_product_attention(
                *(x[a:b].transpose(0, 1) for x in (query, key, value)),
                is_causal=True,
                scale=more["scale"],
                enable_gqa=more["enable_gqa"],
            ).transpose(0, 1)
            for a, b in itertools.pairwise(starts.tolist())
            if a < b
        ]
        return torch.cat(pieces)

    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", kernel)
    model = model_of(name).eval()
    tokens = torch.randint(1, 50, (2, 32))
    where = torch.cat([torch.arange(n) for n in (13, 1, 18, 32)]).reshape(2, 32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        ours, masked = (
            model(
                input_ids=tokens,
                position_ids=where,
                attention_mask=None,
                use_cache=False,
                **attention.boundaries(where, variable_length),
            ).logits
            for variable_length in (True, False)
        )
    torch.testing.assert_close(ours, masked, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(("dropout", "variable_length"), [(0.0, True), (0.1, False)])
@pytest.mark.parametrize("name", ["llama-tiny", "gpt2-tiny"])
def test_dropout_of_attention_takes_the_mask(name, dropout, variable_length):
    field = "attn_pdrop" if name == "gpt2-tiny" else "attention_dropout"
    model = model_of(name, **{field: dropout})
    assert ModelWithHead(model, bfloat16=True).variable_length == variable_length
    assert not ModelWithHead(model, bfloat16=False).variable_length


def test_capped_attention_is_refused():
    q = torch.zeros(1, 2, 3, 4)
    with pytest.raises(SynthError, match="soft-capped"):
        attention.attend(torch.nn.Identity(), q, q, q, None, softcap=30.0)
