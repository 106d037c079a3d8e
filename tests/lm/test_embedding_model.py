"""Vectors from causal models and sentence encoders against transformers' own hidden states."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, PreTrainedTokenizerFast

from synthtools.errors import SynthError, UsageError
from synthtools.lm.embedding_model import EmbeddingModel, open_embedding_model, unit_length
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings

POSITIONS = 64


@pytest.fixture(scope="session")
def word_pieces(documents: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer as BERT has it, with special tokens around a text."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(
        documents[:20], trainers.WordPieceTrainer(vocab_size=500, special_tokens=special)
    )
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(name, made.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]"
    )


@pytest.fixture(scope="session")
def encoders(tmp_path_factory: Any, word_pieces: PreTrainedTokenizerFast) -> dict[str, Path]:
    """Directories of a BERT (saved with its masked output layer) and a RoBERTa."""
    found = {}
    for kind, auto in (("bert", AutoModelForMaskedLM), ("roberta", AutoModel)):
        torch.manual_seed(0)
        config = AutoConfig.for_model(
            kind,
            vocab_size=len(word_pieces),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=POSITIONS,
            pad_token_id=0,
            initializer_range=0.3,
        )
        found[kind] = tmp_path_factory.mktemp(kind)
        auto.from_config(config).save_pretrained(found[kind])
        word_pieces.save_pretrained(found[kind])
    return found


@pytest.fixture
def texts(paragraphs: list[str]) -> list[str]:
    return ["", *paragraphs[:6], "a", " ".join(paragraphs[:8])]


def opened(folder: Path, pooling: str | None = None, **more: Any) -> EmbeddingModel:
    kinds = {name: more.pop(name) for name in ("unit", "most", "remark") if name in more}
    settings = ModelSettings(ModelName(str(folder)), devices="cpu", **more)
    return open_embedding_model(settings, pooling, **kinds)


def states(folder: Path, tokens: Any) -> np.ndarray:
    model: Any = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(torch.tensor([list(map(int, tokens))])).last_hidden_state[0].numpy()


PICK = {"mean": lambda s: s.mean(axis=0), "cls": lambda s: s[0], "last": lambda s: s[-1]}


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("pooling", sorted(PICK))
def test_short_texts_have_the_pooled_hidden_states_of_transformers(
    kind, pooling, encoders, texts, word_pieces
):
    model = opened(encoders[kind], pooling)
    longest = POSITIONS - (kind == "roberta")
    assert model.description["context"] == longest
    vectors = model.embed(model.tokenise(texts))
    compared = 0
    for text, vector in zip(texts, vectors, strict=True):
        tokens = word_pieces(text)["input_ids"]
        if 2 < len(tokens) <= longest:
            expected = PICK[pooling](states(encoders[kind], tokens))
            assert np.abs(vector - expected).max() < 1e-5
            compared += 1
    assert compared >= 4
    assert not vectors[0].any()


@pytest.mark.parametrize("pooling", sorted(PICK))
def test_a_long_text_goes_through_windows(pooling, encoders, texts):
    folder = encoders["bert"]
    model = opened(folder, pooling, context=32, stride=20)
    (text,) = model.tokenise(texts[-1:])
    ids = text.ids.tolist()
    assert len(ids) > 100
    (vector,) = model.embed([text])
    around = lambda some: [2, *some, 3]  # noqa: E731 (the tokenizer's [CLS] and [SEP])
    if pooling == "last":
        expected = states(folder, around(ids[-30:]))[-1]
    else:
        total, weight, reached, start = 0.0, 0, 0, 0
        while reached < len(ids):
            found = states(folder, around(ids[start : start + 30]))
            new = found[1 + reached - start :] if reached > start else found[1:]
            counted = 1 + len(new)
            total = total + (
                found[0] + new.sum(axis=0) if pooling == "mean" else found[0] * counted
            )
            weight += counted
            reached, start = min(start + 30, len(ids)), start + 20
        expected = total / weight
    assert np.abs(vector - expected).max() < 1e-5


@pytest.mark.parametrize("pooling", sorted(PICK))
def test_a_vector_is_a_function_of_its_text(pooling, encoders, texts):
    # Texts of every length up to the longest, so that some fill what they are padded to.
    texts = [*texts, *(" ".join(["word"] * n) for n in range(1, POSITIONS + 1, 3)), "word " * 62]
    model = opened(encoders["bert"], pooling)
    tokenised = model.tokenise(texts)
    together = model.embed(tokenised)
    alone = np.concatenate([model.embed([text]) for text in tokenised])
    assert np.array_equal(together, alone)
    small = opened(encoders["bert"], pooling, batch_tokens=70, cores=1)
    assert np.array_equal(together, small.embed(tokenised))


def test_the_last_token_of_a_causal_model(llama, texts):
    model = opened(llama, "last", context=48)
    tokenised = model.tokenise(texts)
    begin = model._model._begin.tolist()
    for text, vector in zip(tokenised[1:], model.embed(tokenised)[1:], strict=True):
        ends = begin + text.ids.tolist()[-(48 - len(begin)) :]
        assert np.abs(vector - states(llama, ends)[-1]).max() < 1e-4
    assert len(tokenised[-1].ids) > 48


def test_only_the_first_tokens_count_where_that_is_asked_for(llama, texts):
    whole, cut = opened(llama), opened(llama, most=7)
    (text,) = whole.tokenise(texts[-1:])
    (short,) = cut.tokenise(texts[-1:])
    assert short.ids.tolist() == text.ids.tolist()[:7]
    assert cut.description["max_tokens"] == 7


def sentence_transformer(folder: Path, encoder: Path, inside: str = "", **config: Any) -> Path:
    """The layout of sentence-transformers around an encoder."""
    modules = [("Transformer", inside), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    (folder / inside).mkdir(parents=True, exist_ok=True)
    for file in encoder.iterdir():
        (folder / inside / file.name).write_bytes(file.read_bytes())
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / inside / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": 40, "do_lower_case": False})
    )
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    "config, pooling",
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"word_embedding_dimension": 32, "pooling_mode": "lasttoken"}, "last"),
    ],
)
@pytest.mark.parametrize("inside", ["", "0_Transformer"])
def test_the_layout_of_sentence_transformers(
    config, pooling, inside, encoders, texts, word_pieces, tmp_path
):
    folder = sentence_transformer(tmp_path / "st", encoders["bert"], inside, **config)
    model = opened(folder)
    told = model.description
    assert (told["pooling"], told["context"], told["unit_length"]) == (pooling, 40, True)
    assert told["name"] == str(folder)
    vectors = model.embed(model.tokenise(texts[1:4]))
    for text, vector in zip(texts[1:4], vectors, strict=True):
        tokens = word_pieces(text)["input_ids"]
        if len(tokens) <= 40:
            expected = PICK[pooling](states(encoders["bert"], tokens))
            assert np.abs(vector - expected / np.linalg.norm(expected)).max() < 1e-6
    assert opened(folder, "last").description["pooling"] == "last"


def test_what_is_not_known_of_a_layout_is_said(encoders, tmp_path):
    maximum = sentence_transformer(tmp_path / "a", encoders["bert"], pooling_mode_max_tokens=True)
    with pytest.raises(SynthError, match="pooling_mode_max_tokens.*--pooling mean"):
        opened(maximum)
    assert opened(maximum, "mean").description["pooling"] == "mean"
    dense = sentence_transformer(tmp_path / "b", encoders["bert"], pooling_mode="mean")
    listed = json.loads((dense / "modules.json").read_text())
    listed[2]["type"] = "sentence_transformers.models.Dense"
    (dense / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(SynthError, match="module Dense"):
        opened(dense)
    (dense / "modules.json").write_text('{"a": 1}')
    with pytest.raises(SynthError, match="not a list of modules"):
        opened(dense)
    (dense / "modules.json").write_text("[")
    with pytest.raises(SynthError, match="not JSON"):
        opened(dense)
    prompted = sentence_transformer(tmp_path / "c", encoders["bert"], pooling_mode="mean")
    (prompted / "config_sentence_transformers.json").write_text('{"default_prompt_name": "query"}')
    told: list[str] = []
    opened(prompted, remark=told.append)
    assert "default prompt (query)" in told[0]


def test_refusals(encoders, llama):
    with pytest.raises(UsageError, match="--pooling cls"):
        opened(llama, "cls")
    with pytest.raises(UsageError, match="special tokens"):
        opened(encoders["bert"], context=2)
    with pytest.raises(UsageError, match="--stride 31"):
        opened(encoders["bert"], context=32, stride=31)
    with pytest.raises(SynthError, match="at most 63"):
        opened(encoders["roberta"], context=64)


def test_numbers_that_are_none_are_told(llama, monkeypatch):
    model = opened(llama)
    monkeypatch.setattr(
        model._model, "embed", lambda texts, pooling: np.full((1, 2), np.nan, np.float32)
    )
    with pytest.raises(SynthError, match="--dtype"):
        model.embed(model.tokenise(["a"]))


def test_unit_length_leaves_zeros():
    found = unit_length(np.array([[3, 4], [0, 0], [1e-30, 0]], np.float32))
    assert np.allclose(found, [[0.6, 0.8], [0, 0], [1, 0]])
