"""Models that bring code or point elsewhere, servers that answer anything, memory that runs out."""

from __future__ import annotations

import gzip
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from synthtools.errors import SynthError, UsageError
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.pretrained import load_weights
from synthtools.lm.scorer import LanguageModel
from synthtools.lm.scores import ScoreRequest
from synthtools.lm.server import server_engine, server_http


@pytest.fixture
def copy(llama: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(llama, tmp_path / "model"))


def refused(folder: Path) -> str:
    with pytest.raises(SynthError) as raised:
        load_weights(ModelName(str(folder)), torch.float32, "cpu")
    return str(raised.value)


@pytest.mark.parametrize("name", ["../a.safetensors", "/a.safetensors", "b/../../a", 1, None])
def test_an_index_may_not_name_files_elsewhere(copy: Path, name: Any) -> None:
    (copy / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"model.norm.weight": name}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "names a file outside the directory" in refused(copy)


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation"])
def test_kernels_of_the_hub_are_code(copy: Path, key: str) -> None:
    config = json.loads((copy / "config.json").read_text()) | {key: "someone/kernel"}
    (copy / "config.json").write_text(json.dumps(config))
    assert "code from the Hub and never run here" in refused(copy)


def test_adapters_are_safetensors_and_name_no_modules(llama: Path, tmp_path: Path) -> None:
    config = {"peft_type": "LORA", "base_model_name_or_path": str(llama), "r": 2}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    (tmp_path / "adapter_model.bin").write_bytes(b"a pickle")
    assert "has no adapter_model.safetensors" in refused(tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    config |= {"megatron_config": {"a": 1}, "megatron_core": "os"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    assert "for Megatron" in refused(tmp_path)


# ---------------------------------------------------------------- answers


def client_of(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.Client:
    return httpx.Client(base_url="http://x", transport=httpx.MockTransport(answer))


class Dripping(httpx.SyncByteStream):
    def __iter__(self) -> Any:
        while True:
            time.sleep(0.02)
            yield b" "


def test_answers_are_bounded_in_size_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_http, "LARGEST", 1000)
    with client_of(lambda _: httpx.Response(200, stream=httpx.ByteStream(b"a" * 1000))) as client:
        assert server_http.ask(client, "GET", "/", None).content == b"a" * 1000
    with (
        client_of(lambda _: httpx.Response(200, stream=httpx.ByteStream(b"a" * 1001))) as client,
        pytest.raises(httpx.ReadError, match="an answer of more than"),
    ):
        server_http.ask(client, "GET", "/", None)
    with client_of(lambda _: httpx.Response(200, stream=Dripping())) as client:
        client.timeout = httpx.Timeout(0.1)
        with pytest.raises(httpx.ReadTimeout, match="not whole after"):
            server_http.ask(client, "GET", "/", None)


def test_nothing_is_unpacked_that_was_not_asked_for() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept-encoding"] == "identity"
        return httpx.Response(
            200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(gzip.compress(b"{}"))
        )

    with client_of(answer) as client, pytest.raises(httpx.DecodingError):
        server_http.ask(client, "GET", "/", None)


def test_deep_answers_are_no_json() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        server_http.ServerReply(200, {}, b"[" * 100_000).json()
    assert server_http.message_of(server_http.ServerReply(500, {}, b"[" * 100_000)).startswith(
        "[[["
    )


@pytest.mark.parametrize("key", ["a\nX-Evil: 1", "ä", "a\x00b"])
def test_a_key_that_no_header_may_hold(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_http.os, "environ", {"OPENAI_API_KEY": key})
    with pytest.raises(UsageError, match="OPENAI_API_KEY"):
        server_engine.connect(ModelSettings(ModelName("m"), server="http://127.0.0.1:9"))


def test_urls_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("http://[::1", "http://x\r\ny"):
        with pytest.raises(UsageError, match="--server"):
            server_engine.connect(ModelSettings(ModelName("m"), server=url))


# ---------------------------------------------------------------- memory

_CPU = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 17179869184 bytes."


@pytest.mark.parametrize("failure", [torch.OutOfMemoryError("CUDA"), RuntimeError(_CPU)])
def test_batches_are_halved_and_it_is_said_once(
    llama: Path,
    open_on_cpu: Callable[..., LanguageModel],
    paragraphs: list[str],
    failure: RuntimeError,
) -> None:
    told: list[str] = []
    with open_on_cpu(llama) as model:
        texts = model.tokenise(paragraphs[:40])
        expected = model.score(texts, ScoreRequest())
        replica = model._engine.replica  # type: ignore[attr-defined]
        replica._remark = told.append
        whole = replica._hidden

        def starved(ids: torch.Tensor) -> torch.Tensor:
            if len(ids) > 4:
                raise failure
            return whole(ids)

        replica._hidden = starved
        found = model.score(texts, ScoreRequest())
        for mine, theirs in zip(found, expected, strict=True):
            assert mine.logprobs.tolist() == theirs.logprobs.tolist()
        assert len(told) == 1 and "going on with smaller batches" in told[0]

        def never(ids: torch.Tensor) -> torch.Tensor:
            raise failure

        replica._hidden = never
        with pytest.raises(MemoryError):
            model.score(texts[:1], ScoreRequest())
