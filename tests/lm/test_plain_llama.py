"""A plain Llama without transformers: the same bits, the same tokens, and anything else is left to it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from synthtools.errors import SynthError
from synthtools.lm.gguf import SMOLLM2, converted
from synthtools.lm.model_name import ModelName
from synthtools.lm.plain_llama import plain_llama
from synthtools.lm.plain_tokenizer import plain_tokenizer
from synthtools.lm.pretrained import (
    context_length,
    describe,
    load_configuration,
    load_tokenizer,
    load_weights,
)
from synthtools.lm.text_tokenizer import TextTokenizer
from synthtools.lm.torch.llama import Llama, load_scorer
from synthtools.lm.torch.rounded_weights import round_weights

SHAPES: dict[str, dict[str, Any]] = {
    "grouped": {"num_attention_heads": 6, "num_key_value_heads": 2, "hidden_size": 96},
    "one_key_head": {"num_attention_heads": 4, "num_key_value_heads": 1, "hidden_size": 64},
    "wide_heads": {"num_attention_heads": 2, "head_dim": 80, "hidden_size": 64},
    "tied": {"num_attention_heads": 2, "hidden_size": 48, "tie_word_embeddings": True},
    "other_base": {
        "num_attention_heads": 2,
        "hidden_size": 64,
        "rope_parameters": {"rope_type": "default", "rope_theta": 250000},
        "rms_norm_eps": 1e-5,
    },
    "one_layer": {"num_attention_heads": 1, "hidden_size": 30, "num_hidden_layers": 1},
}
TYPES = [torch.float32, torch.bfloat16]


def directory(name: str, make_model: Callable[..., Path]) -> str:
    """The built-in model, smollm2 (skipped where it is not installed), or a random one."""
    if name in SHAPES:
        sizes = {"intermediate_size": 100, "num_hidden_layers": 3, "initializer_range": 0.3}
        return str(make_model("llama", **(sizes | SHAPES[name])))
    if name == SMOLLM2:
        try:
            converted(name)
        except SynthError as error:
            pytest.skip(str(error))
    return name


def edit_json(path: Path, **members: Any) -> None:
    """Changes members of a JSON object; removes those that are ``...``."""
    held = json.loads(path.read_text()) | members
    path.write_text(json.dumps({key: one for key, one in held.items() if one is not ...}))


@pytest.fixture
def copy(llama: Path, tmp_path: Path) -> Path:
    """A model directory of one's own to change."""
    return Path(shutil.copytree(llama, tmp_path / "model"))


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("name", [*SHAPES, "builtin", SMOLLM2])
def test_states_and_logits_have_the_bits_of_transformers(
    name: str, dtype: torch.dtype, make_model: Callable[..., Path]
) -> None:
    model = ModelName(directory(name, make_model))
    ours, theirs = (load(model, dtype, "cpu") for load in (load_scorer, load_weights))
    assert isinstance(ours, Llama)
    assert ours.dtype == theirs.dtype == dtype
    assert sum(one.numel() for one in ours.parameters()) == theirs.num_parameters()
    size = theirs.config.vocab_size
    generator = torch.Generator().manual_seed(0)
    # Few tokens of the large model: a CPU may emulate bfloat16.
    shapes = [(1, 8), (2, 16)] if name == SMOLLM2 else [(1, 1), (1, 8), (5, 16), (3, 64), (2, 100)]
    for rows, length in shapes:
        ids = torch.randint(0, size, (rows, length), generator=generator)
        with torch.inference_mode():
            states = [one.base_model(input_ids=ids).last_hidden_state for one in (ours, theirs)]
            logits = [one(input_ids=ids, use_cache=False).logits for one in (ours, theirs)]
        assert states[0].dtype == dtype
        assert torch.equal(*states), (rows, length)
        assert torch.equal(*logits), (rows, length)


@pytest.mark.parametrize("name", ["grouped", "builtin", SMOLLM2])
def test_what_is_read_of_a_configuration_is_what_transformers_reads(
    name: str, make_model: Callable[..., Path]
) -> None:
    model = ModelName(directory(name, make_model), "a revision")
    ours, theirs = plain_llama(model), load_configuration(model)
    assert ours is not None
    for key in vars(ours).keys() - {"rope_theta"}:
        assert getattr(ours, key) == getattr(theirs, key), key
    assert ours.rope_theta == theirs.rope_parameters["rope_theta"]
    assert context_length(ours) == context_length(theirs)
    assert describe(model, ours) == describe(model, theirs)


def test_the_older_spelling_of_a_configuration_is_read(copy: Path) -> None:
    edit_json(
        copy / "config.json",
        rope_parameters=...,
        dtype=...,
        head_dim=...,
        rope_theta=500000.0,
        rope_scaling=None,
        torch_dtype="float32",
    )
    ours, theirs = (
        load(ModelName(str(copy)), torch.float32, "cpu") for load in (load_scorer, load_weights)
    )
    assert isinstance(ours, Llama)
    ids = torch.arange(2, 50)[None]
    with torch.inference_mode():
        assert torch.equal(ours(ids).logits, theirs(ids).logits)


def test_weights_in_several_files_are_read(copy: Path) -> None:
    whole = load_scorer(ModelName(str(copy)), torch.float32, "cpu")
    (copy / "model.safetensors").rename(copy / "whole")
    weights = load_file(copy / "whole")
    (copy / "whole").unlink()
    names = sorted(weights)
    index = {}
    for number, part in enumerate((names[::2], names[1::2])):
        save_file({name: weights[name] for name in part}, copy / f"model-{number}.safetensors")
        index |= dict.fromkeys(part, f"model-{number}.safetensors")
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    parts = load_scorer(ModelName(str(copy)), torch.float32, "cpu")
    assert isinstance(parts, Llama)
    ids = torch.arange(2, 50)[None]
    with torch.inference_mode():
        assert torch.equal(whole(ids).logits, parts(ids).logits)


@pytest.mark.parametrize("bits", [4, 8])
def test_rounded_weights_are_the_same(bits: int, llama: Path) -> None:
    ours, theirs = (
        round_weights(load(ModelName(str(llama)), torch.float32, "cpu"), bits)
        for load in (load_scorer, load_weights)
    )
    ids = torch.arange(2, 50)[None]
    with torch.inference_mode():
        assert torch.equal(ours(ids).logits, theirs(ids).logits)


OTHERS: list[dict[str, Any]] = [
    {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
    {"rope_parameters": ..., "rope_theta": 1e4, "rope_scaling": {"type": "linear", "factor": 2.0}},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 0.0}},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 10**400}},
    {"rope_parameters": ...},
    {"partial_rotary_factor": 0.5},
    {"hidden_act": "gelu"},
    {"attention_bias": True},
    {"mlp_bias": True},
    {"attention_bias": 0},
    {"quantization_config": {"quant_method": "fp8"}},
    {"attn_implementation": "someone/kernel"},
    {"model_type": "mistral"},
    {"architectures": ["LlamaForSequenceClassification"]},
    {"num_hidden_layers": 0},
    {"num_hidden_layers": True},
    {"hidden_size": 63},
    {"num_attention_heads": None},
    {"num_key_value_heads": 3},
    {"head_dim": 31},
    {"head_dim": 512},
    {"rms_norm_eps": 0.0},
    {"rms_norm_eps": float("nan")},
    {"rms_norm_eps": 1},
    {"pad_token_id": 600},
    {"pad_token_id": "0"},
    {"initializer_range": 2.0},
    {"dtype": "float8_e4m3fn"},
    {"logit_scale": 2.0},
    {"per_layer_config": {"0": {"hidden_act": "gelu"}}},
]


@pytest.mark.parametrize("change", OTHERS, ids=str)
def test_other_configurations_are_left_to_transformers(change: dict[str, Any], copy: Path) -> None:
    assert plain_llama(ModelName(str(copy))) is not None
    edit_json(copy / "config.json", **change)
    assert plain_llama(ModelName(str(copy))) is None


@pytest.mark.parametrize("content", ["", "[]", "{", "null", "[" * 100000])
def test_no_configuration_is_left_to_transformers(content: str, copy: Path) -> None:
    (copy / "config.json").write_text(content)
    assert plain_llama(ModelName(str(copy))) is None


def more(weights: dict[str, torch.Tensor]) -> None:
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(16)


def a_number(weights: dict[str, torch.Tensor]) -> None:
    weights["scale"] = torch.tensor(1.0)


def whole_numbers(weights: dict[str, torch.Tensor]) -> None:
    weights["model.norm.weight"] = weights["model.norm.weight"].to(torch.int32)


def fewer(weights: dict[str, torch.Tensor]) -> None:
    del weights["model.layers.1.mlp.up_proj.weight"]


def narrower(weights: dict[str, torch.Tensor]) -> None:
    weights["model.layers.0.mlp.up_proj.weight"] = torch.zeros(3, 64)


@pytest.mark.parametrize("change", [more, a_number, whole_numbers, fewer, narrower])
def test_other_weights_are_left_to_transformers(
    change: Callable[[dict[str, torch.Tensor]], None],
    copy: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = load_file(copy / "model.safetensors")
    change(weights)
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    by_transformers = object()
    monkeypatch.setattr("synthtools.lm.torch.llama.load_weights", lambda *_: by_transformers)
    assert load_scorer(ModelName(str(copy)), torch.float32, "cpu") is by_transformers


# ---------------------------------------------------------------- tokenizers


def assert_same_tokenizer(name: str) -> None:
    plain = plain_tokenizer(name)
    assert plain is not None
    loaded = load_tokenizer(name)
    for key in ("name_or_path", "bos_token_id", "eos_token_id"):
        assert getattr(plain, key) == getattr(loaded, key), key
    assert set(plain.all_special_ids) == set(loaded.all_special_ids)
    ours, theirs = TextTokenizer(plain), TextTokenizer(loaded)
    assert ours.identity == theirs.identity
    assert ours.special_ids == theirs.special_ids
    assert (ours.adds_bos, ours.size) == (theirs.adds_bos, theirs.size)
    assert ours.surfaces == theirs.surfaces
    text = "Some text, <|endoftext|> <|im_start|>é😀\n\tand more"
    assert ours.encode([text])[0].tolist() == theirs.encode([text])[0].tolist()


@pytest.mark.parametrize("name", ["grouped", "builtin", SMOLLM2])
def test_a_plain_tokenizer_is_that_of_transformers(
    name: str, make_model: Callable[..., Path]
) -> None:
    assert_same_tokenizer(directory(name, make_model))


def test_special_tokens_of_all_roles_are_those_of_transformers(copy: Path) -> None:
    path = copy / "tokenizer.json"
    held = json.loads(path.read_text())
    (first,) = held["added_tokens"]
    for number, content in ((598, "<pad>"), (599, "<unk>")):
        held["added_tokens"].append({**first, "id": number, "content": content})
    vocabulary = held["model"]["vocab"]
    held["model"]["vocab"] = {t: i for t, i in vocabulary.items() if i < 598}
    merges = held["model"]["merges"]
    held["model"]["merges"] = merges[: len(merges) - (len(vocabulary) - 598)]
    path.write_text(json.dumps(held))
    edit_json(copy / "tokenizer_config.json", pad_token="<pad>", unk_token="<unk>", bos_token=None)
    assert_same_tokenizer(str(copy))


@pytest.mark.parametrize(
    "change",
    [
        {"tokenizer_class": "LlamaTokenizerFast"},
        {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}},
        {"extra_special_tokens": ["a"]},
        {"image_token": "<image>"},
        {"bos_token": "<not there>"},
        {"bos_token": "the"},
        {"bos_token": {"__type": "AddedToken", "content": "<|endoftext|>"}},
        {"model_max_length": "many"},
        {"split_special_tokens": True},
        {"fast_tokenizer_files": ["tokenizer.4.0.0.json"]},
    ],
    ids=str,
)
def test_other_tokenizers_are_left_to_transformers(change: dict[str, Any], copy: Path) -> None:
    assert plain_tokenizer(str(copy)) is not None
    edit_json(copy / "tokenizer_config.json", **change)
    assert plain_tokenizer(str(copy)) is None


@pytest.mark.parametrize("name", ["added_tokens.json", "special_tokens_map.json"])
def test_older_files_of_tokenizers_are_left_to_transformers(name: str, copy: Path) -> None:
    (copy / name).write_text("{}")
    assert plain_tokenizer(str(copy)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"post_processor": None},
        {
            "padding": {
                "strategy": "BatchLongest",
                "direction": "Right",
                "pad_to_multiple_of": None,
            }
            | {"pad_id": 0, "pad_type_id": 0, "pad_token": "<|endoftext|>"}
        },
        {
            "truncation": {
                "direction": "Right",
                "max_length": 5,
                "strategy": "LongestFirst",
                "stride": 0,
            }
        },
        {"model": {}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_definitions_of_tokenizers_are_left_to_transformers(
    change: dict[str, Any], copy: Path
) -> None:
    edit_json(copy / "tokenizer.json", **change)
    assert plain_tokenizer(str(copy)) is None
