"""The server backend against a server of ours that answers as vLLM does, or does not."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import running
from synthtools.errors import SynthError, UsageError
from synthtools.lm.generation import ServerTraffic
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.open_models import open_model
from synthtools.lm.scorer import LanguageModel
from synthtools.lm.scores import ScoreRequest, Sequence
from synthtools.lm.server import server_http, server_pool

Answer = tuple[int, bytes]


class Server:
    """Answers like a vLLM server with the tiny Llama, unless ``instead`` says otherwise.

    Attributes:
        instead: given (path, body), an answer in place of the right one, or None.
        change: of the right rows, given them and the prompt.
        model_name: that it answers as.
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
        self.change: Callable[[list[Any], list[int]], Any] = lambda rows, prompt: None
        self.model_name = "tiny"
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._lock = threading.Lock()

    def answer(self, path: str, body: Any, headers: dict[str, str]) -> Answer:
        with self._lock:
            self.headers.append(headers)
        with self._lock:
            if path == "/v1/completions":
                self.requests.append(body)
            other = self.instead(path, body)
        if other is not None:
            return other
        if path == "/v1/models":
            return 200, json.dumps(self.listed).encode()
        if path == "/v1/completions":
            rows = self._logprobs(body)
            self.change(rows, body["prompt"])
            choice = {"index": 0, "prompt_logprobs": rows}
            return 200, json.dumps({"model": self.model_name, "choices": [choice]}).encode()
        if path == "/tokenize":
            (ids,) = self.model.tokenizer.encode([body["prompt"]])
            return 200, json.dumps({"tokens": ids.tolist(), "count": len(ids)}).encode()
        return 404, b"{}"

    def _logprobs(self, body: Any) -> list[Any]:
        """As vLLM: none for the first token; the k best by rank, and the observed one."""
        tokens = np.array(body["prompt"], np.int32)
        k = body["prompt_logprobs"]
        with self._lock:
            (found,) = self.model._engine.run([Sequence(tokens, 1)], ScoreRequest(600))
        assert found.candidates is not None
        surfaces = self.model.tokenizer.surfaces
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
                    "decoded_token": surfaces[identifier].decode("utf-8", "replace"),
                }
            rows.append(row)
        return rows

    def decoded(self, token: int) -> str:
        return self.model.tokenizer.surfaces[token].decode("utf-8", "replace")


def change_rows(change: Callable[[list[Any], list[int]], Any], when: Any = None) -> Any:
    """A server's answers with their rows changed, where ``when`` of the prompt says so."""

    def act(self: Server, path: str, body: Any) -> Answer | None:
        if path != "/v1/completions" or (when is not None and not when(body["prompt"])):
            return None
        rows = json.loads(json.dumps(self.rows(body)))
        changed = change(rows, body["prompt"])
        reply = {
            "model": "tiny",
            "choices": [{"prompt_logprobs": rows if changed is None else changed}],
        }
        return 200, json.dumps(reply).encode()

    return act


@pytest.fixture
def server(tiny: LanguageModel, llama: Path, serve: Callable[..., Any]) -> Server:
    running = Server(tiny, str(llama))
    loopback = serve(running.answer)
    running.url, running.stop = loopback.url, loopback.stop
    return running


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_pool, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(server_pool, "_LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(server_http, "_FIRST_PAUSE", 0.001)


def opened(
    url: str, candidates: int = 0, remark: Callable[[str], None] = lambda _: None, **settings: Any
) -> LanguageModel:
    model = ModelName(settings.pop("model", "builtin"), tokenizer=settings.pop("tokenizer", None))
    settings["traffic"] = ServerTraffic(patience=settings.pop("patience", 300.0))
    return open_model(
        ModelSettings(model, server=url, **settings), ScoreRequest(candidates), remark
    )


def refused(action: Callable[[], Any]) -> str:
    with pytest.raises(SynthError) as raised:
        action()
    line = str(raised.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    "request_",
    [
        ScoreRequest(),
        ScoreRequest(8),
        ScoreRequest(1),
        ScoreRequest(8, 0.05),
        ScoreRequest(3, 0.05, 1e-6),
        ScoreRequest(distribution=True),
        ScoreRequest(8, 0.05, distribution=True),
    ],
)
def test_the_same_scores_as_torch(
    server: Server,
    llama: Path,
    open_on_cpu: Callable[..., LanguageModel],
    paragraphs: list[str],
    request_: ScoreRequest,
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
            if left.distribution is not None and right.distribution is not None:
                np.testing.assert_array_equal(left.distribution.rank, right.distribution.rank)
                assert np.isnan(left.distribution.entropy).all()
            assert (left.distribution is None) == (not request_.distribution)
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


def test_a_server_that_is_down(server: Server) -> None:
    server.stop()
    line = refused(lambda: opened(server.url))
    assert line.startswith(f"{server.url}: no server answers (")


def test_a_server_that_goes_down_on_the_way(server: Server) -> None:
    told: list[str] = []
    with opened(server.url, patience=0.1, remark=told.append) as model:
        server.stop()
        line = refused(lambda: model.score(model.tokenise(["some text"]), ScoreRequest()))
    assert line.startswith(f"{server.url}: no server answers (")
    assert line.endswith("; given up after 0 s")
    assert len(told) == 1 and "waiting for it" in told[0]


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503])
def test_a_busy_server_is_asked_again(server: Server, tiny: LanguageModel, code: int) -> None:
    failures = [code, code, code]

    def busy(path: str, body: Any) -> Answer | None:
        if path == "/v1/completions" and failures:
            return failures.pop(), b'{"error": {"message": "busy"}}'
        return None

    server.instead = busy
    with opened(server.url) as model:
        tokens = model.tokenise(["some text", "another"])
        found = model.score(tokens, ScoreRequest())
    assert not failures
    for left, right in zip(found, tiny.score(tokens, ScoreRequest()), strict=True):
        np.testing.assert_array_equal(left.logprobs, right.logprobs)


def test_a_server_that_stays_busy(server: Server) -> None:
    with opened(server.url, patience=0.1) as model:
        server.instead = lambda path, body: (503, b'{"error": {"message": "over\\nloaded"}}')
        line = refused(lambda: model.score(model.tokenise(["some text"]), ScoreRequest()))
    assert line == f"{server.url}: HTTP 503: over loaded; given up after 0 s"


def test_a_wait_that_the_server_asks_for(server: Server, tiny: LanguageModel) -> None:
    """Retry-After is kept within the patience; a longer one is not begun."""
    times: list[float] = []

    def busy_once(path: str, body: Any) -> Any:
        times.append(time.monotonic())
        return (429, b"{}", {"Retry-After": "0.4"}) if len(times) == 1 else None

    with opened(server.url) as model:
        tokens = model.tokenise(["some text"])
        server.instead = busy_once
        model.score(tokens, ScoreRequest())
        assert times[1] - times[0] >= 0.4
        server.instead = lambda path, body: (429, b"{}", {"Retry-After": "301"})
        line = refused(lambda: model.score(tokens, ScoreRequest()))
    assert line.endswith("HTTP 429: {}; asks to wait 301 s, where --patience leaves 300 s")


@pytest.mark.parametrize(
    ("header", "after"),
    [
        # The three forms of RFC 9110, 5.6.7, at 08:49:07 of that day.
        ("Sun, 06 Nov 1994 08:49:37 GMT", 30.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 30.0),
        ("Sun Nov  6 08:49:37 1994", 30.0),
        ("Sun, 06 Nov 1994 08:49:00 GMT", 0.0),
        ("12.5", 12.5),
        ("nan", 0.0),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("soon", None),
        (None, None),
    ],
)
def test_when_to_ask_again(
    header: str | None, after: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 784111747.0)
    headers = {} if header is None else {"retry-after": header}
    with pytest.raises(server_http.BusyError) as busy:
        server_http.read(server_http.ServerReply(429, headers, b"{}"))
    assert busy.value.after == after


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((400, b'{"error": {"message": "prompt too long"}}'), "refuses: HTTP 400: prompt too long"),
        ((401, b"no entry"), "refuses: HTTP 401: no entry"),
        ((404, b'{"message": "no such model"}'), "refuses: HTTP 404: no such model"),
        ((200, b"<html>welcome</html>"), "the answer is not JSON"),
        ((200, b"[]"), "the answer is not a JSON object"),
        ((200, b"{}"), "answers as None"),
        ((200, b'{"model": "tiny-2", "choices": [{}]}'), "answers as 'tiny-2', was asked for tiny"),
        ((200, b'{"model": "tiny", "choices": []}'), "answers one prompt with choices []"),
        ((200, b'{"model": "tiny", "choices": [{}, {}]}'), "with choices [0, 0]"),
        ((200, b'{"model": "tiny", "choices": [{"index": 1}]}'), "with choices [1]"),
        ((200, b'{"model": "tiny", "choices": [1]}'), "has no choices"),
        (
            (200, b'{"model": "tiny", "choices": [{"text": "a"}]}'),
            "wrong log-probabilities of a prompt: none at all; only vLLM's servers do",
        ),
        ((200, b'{"model": "tiny", "choices": [{"prompt_logprobs": null}]}'), "none at all"),
        (
            (200, b'{"model": "tiny", "choices": [{"prompt_logprobs": [null]}]}'),
            "of 1 tokens, sent",
        ),
    ],
)
def test_answers_that_are_no_scores(server: Server, answer: Answer, reason: str) -> None:
    with opened(server.url) as model:
        server.instead = lambda path, body: answer
        line = refused(lambda: model.score(model.tokenise(["some text"]), ScoreRequest()))
    assert line.startswith(f"{server.url}: ")
    assert reason in line


def test_other_names_that_are_allowed(server: Server) -> None:
    server.model_name = "tiny-2026-01-31"
    assert "--answers-as allows another name" in refused(lambda: opened(server.url))
    with opened(server.url, answers_as="tiny-????-??-??") as model:
        assert model.description["name"] == "tiny"


def each_row(change: Callable[[dict[str, Any], str], Any]) -> Callable[[list[Any], list[int]], Any]:
    """Changes the row of every token but the first, given it and the token."""

    def act(rows: list[Any], prompt: list[int]) -> None:
        for row, token in zip(rows[1:], prompt[1:], strict=True):
            change(row, str(token))

    return act


def number(value: Any) -> Callable[[list[Any], list[int]], Any]:
    return each_row(lambda row, token: row[token].update(logprob=value))


def all_equal(value: float) -> Callable[[list[Any], list[int]], Any]:
    return each_row(lambda row, token: [one.update(logprob=value) for one in row.values()])


def swapped(rows: list[Any], prompt: list[int]) -> None:
    rows[1], rows[-1] = rows[-1], rows[1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (number(0.5), "0.5 at token 1; start the server with --logprobs-mode raw_logprobs"),
        (number(False), "False at token 1"),
        (number(float("-inf")), "-inf at token 1"),
        (number(float("nan")), "nan at token 1"),
        (number(-1e39), "-1e+39 at token 1"),
        (number("-1"), "'-1' at token 1"),
        (each_row(lambda row, token: row[token].update(rank="1")), "has no ranks and numbers"),
        (each_row(lambda row, token: row[token].pop("logprob")), "has no ranks and numbers"),
        (number(None), "None at token 1"),
        # Eight candidates of probability 1, and of a half.
        (all_equal(0.0), "probabilities of token 1 that add to"),
        (all_equal(math.log(0.5)), "probabilities of token 1 that add to"),
        (all_equal(-30.0), "which no model of 600 tokens does"),
        (each_row(lambda row, token: row[token].update(rank=0)), "of rank 0"),
        (each_row(lambda row, token: row[token].update(rank=True)), "of rank True"),
        (each_row(lambda row, token: row.update({"-5": row[token]})), "token -5 of rank"),
        (each_row(lambda row, token: row.update({str(1 << 40): row[token]})), "of rank"),
        (
            each_row(
                lambda row, token: [one.update(rank=600 - one["rank"]) for one in row.values()]
            ),
            "that do not follow the probabilities",
        ),
        (each_row(lambda row, token: row.pop(token)), "of another token than token 1"),
        (
            each_row(lambda row, token: [row.pop(t) for t in list(row) if t != token]),
            "1 candidates of token",
        ),
        (lambda rows, prompt: rows.__setitem__(0, rows[1]), "of the first token too"),
        (
            lambda rows, prompt: rows.__setitem__(2, None),
            "none of token 2; start the server with --no-enable-prefix-caching",
        ),
        (lambda rows, prompt: rows.pop(), "tokens, sent were"),
        (lambda rows, prompt: rows.append(rows[-1]), "tokens, sent were"),
        (lambda rows, prompt: rows.insert(1, rows.pop()), "of another token than token"),
        (swapped, "of another token than token 1"),
    ],
)
def test_numbers_that_cannot_be_are_refused_at_connect(
    server: Server, change: Callable[..., Any], reason: str
) -> None:
    server.change = change
    line = refused(lambda: opened(server.url, candidates=8))
    assert line.startswith(f"{server.url}: ")
    assert reason in line


def test_numbers_that_cannot_be_are_refused_later(server: Server) -> None:
    with opened(server.url, candidates=8) as model:
        server.change = all_equal(0.0)
        line = refused(lambda: model.score(model.tokenise(["some text"]), ScoreRequest(8)))
    assert "that add to" in line


# ---------------------------------------------------------------- the probe


@pytest.mark.parametrize(("places", "nats"), [(slice(1, None), 0.2), (slice(1, 2), 2.5)])
@pytest.mark.parametrize("when", ["half again", "whole"])
def test_a_prefix_cache_that_gives_other_numbers(
    server: Server, when: str, places: slice, nats: float
) -> None:
    """Numbers that are possible, but not those that the same tokens had a request before."""
    lengths: list[int] = []

    def change(rows: list[Any], prompt: list[int]) -> None:
        lengths.append(len(prompt))
        if len(lengths) == {"whole": 2, "half again": 3}[when]:
            for row in rows[places]:
                for one in row.values():
                    one["logprob"] -= nats

    server.change = change
    line = refused(lambda: opened(server.url))
    assert "other numbers in another request" in line and "--no-enable-prefix-caching" in line
    assert lengths[0] < lengths[1]


def test_rounding_between_two_requests_is_no_fault(server: Server) -> None:
    """One token a quarter of a nat off: two steps of a logit in bfloat16."""
    requests = 0

    def change(rows: list[Any], prompt: list[int]) -> None:
        nonlocal requests
        requests += 1
        if requests > 1:
            for one in rows[3].values():
                one["logprob"] -= 0.25

    server.change = change
    with opened(server.url):
        assert requests == 3


@pytest.mark.parametrize("tokens", [[], [1, 2, 3]])
def test_another_tokenizer(server: Server, tokens: list[int]) -> None:
    content = json.dumps({"tokens": tokens}).encode()
    server.instead = lambda path, body: (200, content) if path == "/tokenize" else None
    assert "has another tokenizer than" in refused(lambda: opened(server.url))


def test_another_tokenizer_by_its_texts(server: Server) -> None:
    """A server that does not tokenise still says what each token is."""
    server.instead = lambda path, body: (404, b"{}") if path == "/tokenize" else None
    told: list[str] = []
    with opened(server.url, remark=told.append):
        assert not told
    server.change = each_row(lambda row, token: row[token].update(decoded_token=None))
    with opened(server.url, remark=told.append):
        assert len(told) == 1 and "does not say whether its tokens are those of" in told[0]
    server.change = each_row(lambda row, token: row[token].update(decoded_token="other"))
    assert "has another tokenizer than" in refused(lambda: opened(server.url))


@pytest.mark.parametrize(
    ("said", "option"),
    [
        (
            "Requested prompt logprobs of 8, which is greater than max allowed: 5",
            "--max-logprobs 8",
        ),
        ("Prefix caching with prompt logprobs not yet supported", "--no-enable-prefix-caching"),
        ("prompt_logprobs not compatible with chunked prefill", "--no-enable-chunked-prefill"),
    ],
)
def test_the_option_that_a_server_lacks(server: Server, said: str, option: str) -> None:
    content = json.dumps({"error": {"message": said}}).encode()
    server.instead = lambda path, body: (400, content) if path == "/v1/completions" else None
    line = refused(lambda: opened(server.url, candidates=8))
    assert line == f"{server.url}: refuses: HTTP 400: {said}; start it with {option}"


def test_a_context_shorter_than_the_probe(server: Server) -> None:
    with opened(server.url, context=3) as model:
        assert model.description["context"] == 3
    assert max(len(r["prompt"]) for r in server.requests) == 3


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


def test_a_tokenizer_that_is_not_here(server: Server, llama: Path) -> None:
    server.listed["data"][0]["root"] = "/models/elsewhere"
    assert "no such model directory" in refused(lambda: opened(server.url))
    with opened(server.url, tokenizer=str(llama)) as model:
        assert len(model.tokenise(["a"])[0].ids) == 1


def test_eval_goes_on_where_the_server_was_given_up(
    server: Server, llama: Path, paragraphs: list[str], tmp_path: Path
) -> None:
    """A server that is gone for longer than the patience ends an evaluation with 1; --resume asks it only
    for what it had not scored, for the samples of a run that nothing disturbed."""
    folder = tmp_path / "arc_easy"
    folder.mkdir()
    words = [text.split() for text in paragraphs if len(text.split()) > 8][:12]
    items = [
        {"prompt": " ".join(w[:4]), "choices": [" ".join(w[4:6]), " ".join(w[6:8])], "answer": 0}
        for w in words
    ]
    (folder / "test.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))

    def scored(name: str, *more: object) -> tuple[Any, int]:
        """How it ended, and how many texts were scored beside the three of the probe."""
        server.requests.clear()
        ask = ["eval", "tiny", "--server", server.url, "--tokenizer", llama, "--suite", "arc_easy"]
        ask += ["--data", tmp_path, "--patience", 0, "--requests", 1, "--bootstrap", 0, *more]
        return running.run(*ask, "--samples", tmp_path / name), len(server.requests) - 3

    done, whole = scored("whole.jsonl")
    assert done.returncode == 0 and whole > 20, done.stderr
    gone = 12
    server.instead = lambda path, body: (503, b"{}") if len(server.requests) > gone + 3 else None
    done, _ = scored("s.jsonl")
    assert done.returncode == 1 and b"HTTP 503: {}; given up after" in done.stderr
    server.instead = lambda path, body: None
    done, rest = scored("s.jsonl", "--resume")
    assert (done.returncode, rest) == (0, whole - gone), done.stderr
    assert (tmp_path / "s.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
