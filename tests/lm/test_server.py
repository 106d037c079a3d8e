"""The server backend against a server of ours that answers as vLLM does, or does not."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthtools.errors import SynthError, UsageError
from synthtools.lm import server_backend
from synthtools.lm.loading import ModelName
from synthtools.lm.scorer import LanguageModel, Settings, open_model
from synthtools.lm.scores import Request, Sequence

Answer = tuple[int, bytes]


class Server:
    """Answers like a vLLM server with the tiny Llama, unless ``instead`` says otherwise.

    Attributes:
        instead: given (path, body), an answer in place of the right one, or None.
        requests: bodies of the completions asked for.
    """

    url: str
    stop: Callable[[], None]

    def __init__(self, model: LanguageModel, root: str) -> None:
        self.model = model
        self.listed: Any = {
            "data": [{"id": "tiny", "root": root, "max_model_len": model.description["context"]}]
        }
        self.instead: Callable[[str, Any], Answer | None] = lambda path, body: None
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._lock = threading.Lock()

    def answer(self, path: str, body: Any, headers: dict[str, str]) -> Answer:
        with self._lock:
            self.headers.append(headers)
            if body is not None:
                self.requests.append(body)
            other = self.instead(path, body)
        if other is not None:
            return other
        if path == "/v1/models":
            return 200, json.dumps(self.listed).encode()
        if path == "/v1/completions":
            return 200, json.dumps(
                {"choices": [{"prompt_logprobs": self._logprobs(body)}]}
            ).encode()
        return 404, b"{}"

    def _logprobs(self, body: Any) -> list[Any]:
        """As vLLM: none for the first token; the k best by rank, and the observed one."""
        tokens = np.array(body["prompt"], np.int32)
        k = body["prompt_logprobs"]
        with self._lock:
            (found,) = self.model._engine.run([Sequence(tokens, 1)], Request(600))
        assert found.candidates is not None
        rows: list[Any] = [None]
        for place, token in enumerate(tokens[1:]):
            ids = found.candidates.ids[place].tolist()
            ranks = {identifier: rank for rank, identifier in enumerate(ids, 1)}
            row = {}
            for identifier in dict.fromkeys([int(token), *ids[:k]]):
                logprob = found.candidates.logprobs[place][ranks[identifier] - 1]
                row[str(identifier)] = {
                    "logprob": float(logprob),
                    "rank": ranks[identifier],
                    "decoded_token": "x",
                }
            rows.append(row)
        return rows


@pytest.fixture
def server(tiny: LanguageModel, llama: Path, serve: Callable[..., Any]) -> Server:
    running = Server(tiny, str(llama))
    loopback = serve(running.answer)
    running.url, running.stop = loopback.url, loopback.stop
    return running


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries, none of them taken."""
    pauses: list[float] = []
    monkeypatch.setattr(server_backend.time, "sleep", pauses.append)
    return pauses


def opened(url: str, **settings: Any) -> LanguageModel:
    model = ModelName(settings.pop("model", "builtin"), tokenizer=settings.pop("tokenizer", None))
    return open_model(Settings(model, server=url, **settings), Request())


def refused(action: Callable[[], Any]) -> str:
    with pytest.raises(SynthError) as raised:
        action()
    line = str(raised.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    "request_", [Request(), Request(8), Request(1), Request(8, 0.05), Request(3, 0.05, 1e-6)]
)
def test_the_same_scores_as_torch(
    server: Server,
    llama: Path,
    open_on_cpu: Callable[..., LanguageModel],
    paragraphs: list[str],
    request_: Request,
) -> None:
    with opened(server.url, stride=50) as model:
        # One token less than the server's length: it generates one.
        assert model.description["context"] == 127
        assert model.description["backend"] == "server"
        assert model.description["name"] == "tiny"
        torch_model = open_on_cpu(llama, context=127, stride=50)
        texts = ["", "a", *paragraphs[:6], " ".join(paragraphs[:8])]
        tokens = model.tokenise(texts)
        for left, right in zip(
            model.score(tokens, request_), torch_model.score(tokens, request_), strict=True
        ):
            np.testing.assert_array_equal(left.ids, right.ids)
            # Padding to another length rounds in another way.
            np.testing.assert_allclose(left.logprobs, right.logprobs, rtol=0, atol=1e-5)
            assert (left.candidates is None) == (right.candidates is None)
            if left.candidates is None or right.candidates is None:
                continue
            for one, other in zip(left.candidates, right.candidates, strict=True):
                np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
    assert {r["max_tokens"] for r in server.requests} == {1}
    assert max(len(r["prompt"]) for r in server.requests) == 127


def test_names_of_the_served_model(server: Server, llama: Path) -> None:
    for name in ("builtin", "tiny", str(llama)):
        with opened(server.url, model=name) as model:
            assert model.description["name"] == "tiny"
    line = refused(lambda: opened(server.url, model="other"))
    assert line == f"{server.url}: does not serve other; --model takes tiny"
    server.listed["data"].append({"id": "second", "root": "x", "max_model_len": 128})
    assert "--model takes tiny, second" in refused(lambda: opened(server.url))
    server.listed["data"].clear()
    assert "does not serve builtin" in refused(lambda: opened(server.url))


def test_urls(server: Server) -> None:
    for ending in ("", "/", "/v1", "/v1/"):
        with opened(server.url + ending) as model:
            assert model.description["name"] == "tiny"
    with pytest.raises(UsageError, match="not a URL"):
        opened("127.0.0.1:8000")


def test_the_key_is_sent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    with opened(server.url):
        pass
    assert server.headers[-1]["Authorization"] == "Bearer a-key"


def test_contexts(server: Server) -> None:
    with opened(server.url, context=64) as model:
        assert model.description["context"] == 64
    assert "takes at most 127 tokens" in refused(lambda: opened(server.url, context=128))
    del server.listed["data"][0]["max_model_len"]
    assert "does not say its context length" in refused(lambda: opened(server.url))


def test_a_server_that_is_down(server: Server, patience: list[float]) -> None:
    server.stop()
    line = refused(lambda: opened(server.url))
    assert line.startswith(f"{server.url}: no server answers (")
    assert not patience


def test_a_server_that_goes_down_on_the_way(server: Server, patience: list[float]) -> None:
    with opened(server.url) as model:
        server.stop()
        line = refused(lambda: model.score(model.tokenise(["some text"]), Request()))
    assert line.startswith(f"{server.url}: ")
    assert len(patience) == 5


@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_a_busy_server_is_asked_again(
    server: Server, tiny: LanguageModel, patience: list[float], code: int
) -> None:
    failures = [code, code, code]

    def busy(path: str, body: Any) -> Answer | None:
        if body is not None and failures:
            return failures.pop(), b'{"error": {"message": "busy"}}'
        return None

    server.instead = busy
    with opened(server.url) as model:
        tokens = model.tokenise(["some text", "another"])
        found = model.score(tokens, Request())
    assert not failures
    for left, right in zip(found, tiny.score(tokens, Request()), strict=True):
        np.testing.assert_array_equal(left.logprobs, right.logprobs)
    assert all(pause > 0 for pause in patience)
    assert len(patience) == 3


def test_a_server_that_stays_busy(server: Server, patience: list[float]) -> None:
    server.instead = lambda path, body: body and (503, b'{"error": {"message": "over\\nloaded"}}')
    with opened(server.url) as model:
        line = refused(lambda: model.score(model.tokenise(["some text"]), Request()))
    assert line == f"{server.url}: HTTP 503: over loaded"
    assert patience == sorted(patience)
    assert len(patience) == 5


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((400, b'{"error": {"message": "prompt too long"}}'), "refuses: HTTP 400: prompt too long"),
        ((401, b"no entry"), "refuses: HTTP 401: no entry"),
        ((404, b'{"message": "no such model"}'), "refuses: HTTP 404: no such model"),
        ((200, b"<html>welcome</html>"), "the answer is no JSON"),
        ((200, b"[]"), "the answer is no JSON object"),
        ((200, b"{}"), "gives no log-probabilities of a prompt"),
        ((200, b'{"choices": []}'), "gives no log-probabilities of a prompt"),
        ((200, b'{"choices": [{"text": "a"}]}'), "gives no log-probabilities of a prompt"),
        (
            (200, b'{"choices": [{"prompt_logprobs": null}]}'),
            "gives no log-probabilities of a prompt",
        ),
        (
            (200, b'{"choices": [{"prompt_logprobs": [null, {}]}]}'),
            "gives no log-probabilities of a prompt",
        ),
        (
            (200, b'{"choices": [{"prompt_logprobs": [null, "a", "b", "c"]}]}'),
            "gives no log-probabilities of a prompt",
        ),
    ],
)
def test_answers_that_are_no_scores(server: Server, answer: Answer, reason: str) -> None:
    server.instead = lambda path, body: answer if body is not None else None
    with opened(server.url) as model:
        line = refused(lambda: model.score(model.tokenise(["some text"]), Request()))
    assert line.startswith(f"{server.url}")
    assert reason in line


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"<html>welcome</html>"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"data": null}'),
        (200, b'{"data": ["tiny"]}'),
        (200, b'{"data": [{}]}'),
        (404, b""),
        (500, b"\xff"),
    ],
)
def test_greetings_that_are_none(server: Server, answer: Answer) -> None:
    server.instead = lambda path, body: answer
    assert refused(lambda: opened(server.url)).startswith(server.url)


def test_fewer_candidates_than_asked_for(server: Server) -> None:
    def short(path: str, body: Any) -> Answer | None:
        if body is None:
            return None
        return 200, json.dumps(
            {
                "choices": [
                    {
                        "prompt_logprobs": [
                            None,
                            *({str(t): {"logprob": -1.0, "rank": 1}} for t in body["prompt"][1:]),
                        ]
                    }
                ]
            }
        ).encode()

    server.instead = short
    with opened(server.url) as model:
        tokens = model.tokenise(["some text"])
        assert (model.score(tokens, Request())[0].logprobs == -1).all()
        assert "gives no log-probabilities" in refused(lambda: model.score(tokens, Request(2)))


def test_a_tokenizer_that_is_not_here(server: Server, llama: Path) -> None:
    server.listed["data"][0]["root"] = "/models/elsewhere"
    assert "no such model directory" in refused(lambda: opened(server.url))
    with opened(server.url, tokenizer=str(llama)) as model:
        assert len(model.tokenise(["a"])[0].ids) == 1
