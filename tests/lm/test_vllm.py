"""vLLM, in process and as a server, against torch: the same numbers within the rounding of a type.

An engine takes half a minute to start: one of each kind serves all tests.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from synthtools.curate.edited_records import edited_by_model
from synthtools.curate.token_edit import Rules
from synthtools.errors import SynthError
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.open_models import open_model
from synthtools.lm.scorer import LanguageModel, Tokenised
from synthtools.lm.scores import ScoreRequest, Scores
from synthtools.records.inputs import find_shards
from synthtools.records.reader import read
from synthtools.records.record_keys import RecordKeys
from synthtools.records.rejects import Rejects

pytestmark = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")

Open = Callable[..., LanguageModel]
K = 8
# The server takes one token less than its length, in which 128 fit.
CONTEXT = 127
STRIDE = 50
LAYOUT: dict[str, Any] = {"context": CONTEXT, "stride": STRIDE}


def opened(name: Path, **settings: Any) -> LanguageModel:
    return open_model(ModelSettings(ModelName(str(name)), **LAYOUT, **settings), ScoreRequest(K))


@pytest.fixture(scope="module")
def torch_model(llama: Path, open_on_cpu: Open) -> LanguageModel:
    return open_on_cpu(llama, **LAYOUT)


@pytest.fixture(scope="module")
def engine(llama: Path) -> Iterator[LanguageModel]:
    with opened(llama, backend="vllm", dtype="float32", devices="cpu") as model:
        yield model


@pytest.fixture(scope="module")
def url(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running server of vLLM."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(llama)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    command += ["--enforce-eager", "--max-model-len", "128"]
    command += ["--kv-cache-memory-bytes", "64000000"]
    command += ["--hf-overrides", '{"head_dtype":"float32"}']
    with open(log, "wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            address = f"http://127.0.0.1:{port}"
            end = time.monotonic() + 300
            while True:
                if server.poll() is not None or time.monotonic() > end:
                    pytest.fail(f"no server: {log.read_text()[-2000:]}")
                try:
                    httpx.get(f"{address}/v1/models").raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.5)
            yield address
        finally:
            server.terminate()
            server.wait(60)


@pytest.fixture(scope="module")
def served(url: str, llama: Path) -> Iterator[LanguageModel]:
    with opened(llama, server=url) as model:
        assert model.description["backend"] == "server"
        yield model


@pytest.fixture(params=["engine", "served"])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    """vLLM in process, then the server."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def texts(documents: list[str], paragraphs: list[str]) -> list[str]:
    return ["", "a", *paragraphs[:30], documents[1][:1500] + " é 語 👩‍👧"]


def compare(left: Scores, right: Scores, tolerance: float) -> int:
    """Holds scores against each other.

    Returns:
        On how many positions the candidates were compared as sets.
    """
    np.testing.assert_array_equal(left.ids, right.ids)
    np.testing.assert_allclose(left.logprobs, right.logprobs, rtol=0, atol=tolerance)
    if left.candidates is None or right.candidates is None:
        assert left.candidates is right.candidates is None
        return 0
    np.testing.assert_array_equal(left.candidates.present, right.candidates.present)
    np.testing.assert_allclose(
        left.candidates.logprobs, right.candidates.logprobs, rtol=0, atol=tolerance
    )
    # Where two candidates are as good as equal, either may come first.
    gaps = -np.diff(right.candidates.logprobs, axis=1).min(1, initial=np.inf)
    apart = gaps > 10 * tolerance
    np.testing.assert_array_equal(
        np.sort(left.candidates.ids[apart][:, :-1]), np.sort(right.candidates.ids[apart][:, :-1])
    )
    return int(apart.sum())


@pytest.mark.parametrize(
    "request_",
    [
        ScoreRequest(),
        ScoreRequest(K),
        ScoreRequest(1),
        ScoreRequest(3),
        ScoreRequest(K, 0.01, 1e-7),
    ],
)
def test_the_same_as_torch_token_by_token(
    model: LanguageModel, torch_model: LanguageModel, texts: list[str], request_: ScoreRequest
) -> None:
    tokens = model.tokenise(texts)
    found = model.score(tokens, request_)
    expected = torch_model.score(tokens, request_)
    compared = sum(compare(a, b, 1e-3) for a, b in zip(found, expected, strict=True))
    if request_ == ScoreRequest(K):
        assert compared > 300
    worst = max(
        (
            np.abs(a.logprobs - b.logprobs).max(initial=0)
            for a, b in zip(found, expected, strict=True)
        )
    )
    assert worst < 1e-4


def test_prompts(model: LanguageModel, torch_model: LanguageModel, paragraphs: list[str]) -> None:
    tokens = model.tokenise(paragraphs[:3], [paragraphs[5], " ".join(paragraphs[6:12]), ""])
    assert len(tokens[1].prompt) > CONTEXT
    for left, right in zip(
        model.score(tokens, ScoreRequest(K)),
        torch_model.score(tokens, ScoreRequest(K)),
        strict=True,
    ):
        compare(left, right, 1e-3)


def test_a_window_may_fill_the_whole_context(
    model: LanguageModel, torch_model: LanguageModel, documents: list[str]
) -> None:
    (text,) = model.tokenise([documents[0]])
    tokens = [Tokenised(text.ids[:n], text.prompt) for n in (CONTEXT - 2, CONTEXT - 1, CONTEXT)]
    for left, right in zip(
        model.score(tokens, ScoreRequest(1)),
        torch_model.score(tokens, ScoreRequest(1)),
        strict=True,
    ):
        compare(left, right, 1e-3)


@pytest.mark.parametrize(
    "rules", [Rules(0.002, temperature=3.0), Rules(0.002, top_k=K, top_p=0.3, rejection="authors")]
)
def test_edits_give_the_same_bytes(
    model: LanguageModel,
    torch_model: LanguageModel,
    texts: list[str],
    rules: Rules,
    tmp_path: Path,
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))

    def edited(by: LanguageModel) -> list[bytes]:
        keys = RecordKeys()
        batches = (
            (batch, keys.of(batch.column("id"), batch.column("text")))
            for batch in read(find_shards([str(source)]), Rejects())
        )
        found = edited_by_model(batches, by, rules, "text", seed=0)
        return [line for batch in found for line in batch.json_lines()]

    found = edited(model)
    assert found == edited(torch_model)
    assert sum(json.loads(line)["edit_changed"] for line in found) > 20


def test_the_same_twice(model: LanguageModel, texts: list[str]) -> None:
    tokens = model.tokenise(texts)
    once, again = model.score(tokens, ScoreRequest(K)), model.score(tokens, ScoreRequest(K))
    for left, right in zip(once, again, strict=True):
        compare(left, right, 1e-5)


def test_bfloat16(llama: Path, open_on_cpu: Open, texts: list[str]) -> None:
    reference = open_on_cpu(llama, dtype="bfloat16", **LAYOUT)
    with opened(llama, backend="vllm", dtype="bfloat16", devices="cpu") as model:
        tokens = model.tokenise(texts)
        found = np.concatenate([s.logprobs for s in model.score(tokens, ScoreRequest())])
    expected = np.concatenate([s.logprobs for s in reference.score(tokens, ScoreRequest())])
    assert found.mean() == pytest.approx(expected.mean(), rel=1e-3)


def test_stdout_carries_records_and_stderr_nothing(
    llama: Path, torch_model: LanguageModel, paragraphs: list[str]
) -> None:
    texts = paragraphs[:5]
    command = [sys.executable, "-m", "synthtools", "ppl", "-m", str(llama), "--backend", "vllm"]
    command += ["--dtype", "float32", "--devices", "cpu"]
    command += ["--context", str(CONTEXT), "--stride", str(STRIDE)]
    done = subprocess.run(
        command,
        input="".join(json.dumps({"text": text}) + "\n" for text in texts).encode(),
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.stderr == b""
    assert done.returncode == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    expected = torch_model.score(torch_model.tokenise(texts), ScoreRequest())
    assert [line["text"] for line in lines] == texts
    for line, scores in zip(lines, expected, strict=True):
        assert line["nll"] == pytest.approx(-scores.logprobs.mean(dtype=float), abs=1e-4)


def test_an_engine_that_cannot_start_says_why_in_one_line(llama: Path) -> None:
    before = dict(os.environ)
    with pytest.raises(SynthError) as raised:
        opened(llama, backend="vllm", dtype="float32", devices="cpu", kv_cache_bytes=1)
    line = str(raised.value)
    assert line.startswith(f"{llama}: vLLM does not start: ")
    assert "\n" not in line
    # The next engine is as quiet, and the caller's environment its own.
    mine = ("VLLM_", "HF_HUB_", "CUDA_VISIBLE")
    after = {name: value for name, value in os.environ.items() if name.startswith(mine)}
    assert after == {name: value for name, value in before.items() if name.startswith(mine)}
