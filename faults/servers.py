"""Servers that die, dawdle and lie: what scoring and generating make of it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

from faults.cases import Seen, case, model, nothing_left, run, running, seen, sound
from synthtools.errors import SynthError, UsageError

# Given the handler and the body of the request, says True where it has answered in its own way.
Act = Callable[[BaseHTTPRequestHandler, dict[str, Any]], bool]


class Server:
    """Serves the model ``tiny``: goes on with a prompt by the same answer for every prompt.

    Attributes:
        act: what is done in place of the right answer.
        requests: (path, headers) of all that came.
    """

    def __init__(self, act: Act | None = None, port: int = 0, **listed: Any) -> None:
        self.act = act or (lambda handler, body: False)
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.listed: Any = [{"id": "tiny", "owned_by": "vllm", "max_model_len": 4096, **listed}]
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append((self.path, dict(self.headers)))
                send(self, {"data": outer.listed})

            def do_POST(self) -> None:
                outer.requests.append((self.path, dict(self.headers)))
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if not outer.act(self, body):
                    send(self, right_answer(body))

            def log_message(self, *_: Any) -> None: ...

        class Listening(ThreadingHTTPServer):
            allow_reuse_address = True
            daemon_threads = True

            def handle_error(self, *_: Any) -> None: ...  # whoever asked may be gone

        self._server = Listening(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def serving(act: Act | None = None, **listed: Any) -> Iterator[Server]:
    server = Server(act, **listed)
    try:
        yield server
    finally:
        server.stop()


def send(handler: BaseHTTPRequestHandler, value: Any, code: int = 200, **headers: str) -> None:
    """Answers with JSON, or with bytes as they are."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    handler.send_response(code)
    handler.send_header("Content-Length", str(len(content)))
    for name, text in headers.items():
        handler.send_header(name.replace("_", "-"), text)
    handler.end_headers()
    handler.wfile.write(content)


def right_answer(body: dict[str, Any]) -> dict[str, Any]:
    text = f"an answer with the seed {body.get('seed')}"
    choice: dict[str, Any] = {"finish_reason": "stop"}
    if "messages" in body:
        choice["message"] = {"content": text}
    else:
        choice["text"] = text
    if isinstance(body.get("prompt"), list):
        rows = [{str(token): {"logprob": -1.5, "rank": 1}} for token in body["prompt"][1:]]
        choice["prompt_logprobs"] = [None, *rows]
    return {"model": "tiny", "choices": [choice], "usage": {}}


def always(value: Any, code: int = 200, **headers: str) -> Act:
    """Answers everything alike."""

    def act(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> bool:
        send(handler, value, code, **headers)
        return True

    return act


def generated(url: str, *, tries: int = 2, timeout: float = 5.0, patience: float = 1.0) -> Any:
    """Answers to three prompts, in this process."""
    from synthtools.lm import server_pool
    from synthtools.lm.generation import Prompt, Sampling, Traffic, open_generator
    from synthtools.lm.loading import ModelName
    from synthtools.lm.scorer import Settings

    settings = Settings(ModelName("tiny"), server=url)
    traffic = Traffic(tries=tries, timeout=timeout, patience=patience, requests=2)
    prompts = [Prompt(b"%d" % number, f"prompt {number}") for number in range(3)]
    with (
        patch.object(server_pool, "_FIRST_PAUSE", 0.01),
        open_generator(
            settings, Sampling(max_new_tokens=8), 0, lambda _: None, servers=[], traffic=traffic
        ) as generator,
    ):
        return list(generator.generate(prompts))


def scored(url: str) -> Any:
    """Scores of two texts, in this process."""
    from synthtools.lm import server_backend
    from synthtools.lm.loading import ModelName
    from synthtools.lm.scorer import Settings, open_model
    from synthtools.lm.scores import Request

    settings = Settings(ModelName("tiny", tokenizer=str(model())), server=url)
    request = Request(candidates=1)
    with patch.object(server_backend.time, "sleep"), open_model(settings, request) as opened:
        return opened.score(opened.tokenise(["a text to score", "and another"]), request)


def refused(work: Callable[[], Any], *words: str) -> Seen:
    """What is told of work that must fail in one line."""
    try:
        work()
    except (SynthError, UsageError) as error:
        line = " ".join(str(error).split())
        for word in words:
            sound(word in line, f"the line does not say {word!r}: {line}")
        return Seen(line, error.exit_code)
    sound(False, "was taken for an answer")
    return Seen()


def failures(work: Callable[[], Any], *words: str) -> Seen:
    """What answers tell that did not come; none may be taken for one."""
    answers = work()
    sound(all(answer.error and not answer.text for answer in answers), f"was taken: {answers[0]}")
    for word in words:
        sound(word in answers[0].error, f"does not say {word!r}: {answers[0].error}")
    return Seen(answers[0].error, 1)


# ---------------------------------------------------------------- dead and slow


@case("a server killed in the middle of generate; started again, `--resume`")
def killed(folder: Path) -> Seen:
    data = folder / "prompts.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"question {n}"}) + "\n" for n in range(40)))
    words: list[object] = ["generate", "--model", "tiny", "--max-new-tokens", 4]
    words += ["--shard-size", 10, "--requests", 2, "--patience", 1, data]
    with serving() as server:
        seen(run(*words, "--server", server.url, "-o", folder / "whole"), code=0)
        port = server.port
        given = [0]

        def die(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> bool:
            given[0] += 1
            if given[0] > 15:
                handler.connection.close()
                threading.Thread(target=server.stop).start()
            return given[0] > 15

        server.act = die
        done = run(*words, "--server", server.url, "-o", folder / "out")
        result = seen(done, server.url, more=True)
    back = Server(port=port)
    try:
        done = run(*words, "--server", back.url, "-o", folder / "out", "--resume")
        sound(done.returncode == 0, f"resumed: {done.stderr!r}")
        asked = len([path for path, _ in back.requests if "completions" in path])
        sound(asked < 40 - 10, f"{asked} of 40 were asked again")
    finally:
        back.stop()
    names = sorted(path.name for path in (folder / "whole").iterdir())
    nothing_left(folder / "out", *names)
    for name in names:
        if name.startswith("part-"):
            same = (folder / "out" / name).read_bytes() == (folder / "whole" / name).read_bytes()
            sound(same, f"{name} differs")
    return result._replace(line=result.line.replace(server.url, "http://…"))


@case("a server that sends a byte a while: no answer is waited for longer than --timeout", True)
def dripping(folder: Path) -> Seen:
    def drip(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.02)
        return True

    begun = time.monotonic()
    with serving(drip) as server:
        result = failures(lambda: generated(server.url, tries=1, timeout=0.5), "no answer in 0.5 s")
    sound(time.monotonic() - begun < 15, "was waited for")
    return result._replace(line=result.line.replace(server.url, "http://…"))


# ---------------------------------------------------------------- wrong and malicious

_ODD: list[Any] = [
    b"",
    b"no JSON",
    b"[" * 100_000,
    b"\xff\xfe",
    b"null",
    [],
    {},
    {"model": "tiny"},
    {"model": "tiny", "choices": {}},
    {"model": "tiny", "choices": [None]},
    {"model": "tiny", "choices": [{"text": 1, "finish_reason": "stop"}]},
    {"model": "tiny", "choices": [{"text": "\ud800", "finish_reason": "stop"}]},
    {"model": "tiny", "choices": [{"text": "a", "finish_reason": None}]},
    {"model": "tiny", "choices": [{"text": "a", "finish_reason": "stop"}], "usage": [1]},
    {
        "model": "tiny",
        "choices": [{"text": "a", "finish_reason": "stop"}],
        "usage": {"prompt_tokens": float("inf")},
    },
    {"model": "another", "choices": [{"text": "a", "finish_reason": "stop"}]},
]


@case("answers that are no JSON, nested 100,000 deep, of other types, of another model")
def wrong_json(folder: Path) -> Seen:
    with serving() as server:
        for odd in _ODD:
            server.act = always(odd)
            result = failures(lambda: generated(server.url, tries=1))
            refused(lambda: scored(server.url))
    return result._replace(line=result.line.replace(server.url, "http://…"))


def _with_rows(change: Callable[[list[int]], list[Any]]) -> Act:
    def act(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> bool:
        answer = right_answer(body)
        answer["choices"][0]["prompt_logprobs"] = change(body["prompt"])
        send(handler, answer)
        return True

    return act


def _row(token: Any, logprob: Any = -1.0, rank: Any = 1) -> dict[str, Any]:
    return {str(token): {"logprob": logprob, "rank": rank}}


@case("log-probabilities of other tokens, negative ids, NaN, above 0, too few, as words", True)
def wrong_tokens(folder: Path) -> Seen:
    changes: list[Callable[[list[int]], list[Any]]] = [
        lambda ids: [None] + [_row(token + 1) for token in ids[1:]],
        lambda ids: [None] + [_row(token) | _row(-5, -0.5, 0) for token in ids[1:]],
        lambda ids: [None] + [_row(token) | _row(2**40, -0.5, 0) for token in ids[1:]],
        lambda ids: [None] + [_row(token, float("nan")) for token in ids[1:]],
        lambda ids: [None] + [_row(token, 5.0) for token in ids[1:]],
        lambda ids: [None] + [_row(token, "a") for token in ids[1:]],
        lambda ids: [None] + [_row(token, None) for token in ids[1:]],
        lambda ids: [None] + [_row(token, -1.0, "a") | _row(1, -2.0, 1) for token in ids[1:]],
        lambda ids: [None] + [[] for _ in ids[1:]],
        lambda ids: [None] + [_row(token) for token in ids[1:-1]],
        lambda ids: [],
    ]
    with serving() as server:
        sound(len(scored(server.url)) == 2, "the right answer is not taken")
        for change in changes:
            server.act = _with_rows(change)
            result = refused(lambda: scored(server.url), "gives no log-probabilities of a prompt")
    return result._replace(line=result.line.replace(server.url, "http://…"))


@case("an answer without an end; one that unfolds from zstd or gzip", True)
def huge_answers(folder: Path) -> Seen:
    import gzip

    from synthtools.lm import server_http

    def endless(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> bool:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"a" * 65536)
        except OSError:
            return True

    with patch.object(server_http, "LARGEST", 4 << 20), serving(endless) as server:
        result = failures(lambda: generated(server.url, tries=1), "an answer of more than 4 MiB")
        refused(lambda: scored(server.url), "an answer of more than 4 MiB")
        server.act = always(gzip.compress(b" " * (100 << 20)), Content_Encoding="gzip")
        failures(lambda: generated(server.url, tries=1), "compressed answer")
    line = result.line.replace(server.url, "http://…").replace("4 MiB", "1024 MiB")
    return result._replace(line=line)


@case("a redirection to another server: neither prompt nor key goes there", True)
def redirected(folder: Path) -> Seen:
    with serving() as other, serving() as server, patch.dict(os.environ, OPENAI_API_KEY="secret"):
        for code in (301, 302, 303, 307, 308):
            server.act = always(b"", code, Location=f"{other.url}/v1/completions")
            result = refused(lambda: scored(server.url), f"refuses: HTTP {code}")
            failures(lambda: generated(server.url, tries=1), f"HTTP {code}")
        sound(not other.requests, "the other server was asked")
        sound(all(h.get("Authorization") == "Bearer secret" for _, h in server.requests), "the key")
    return result._replace(line=result.line.replace(server.url, "http://…"))


@case("line ends in the key and in the URL; headers of a megabyte; odd Retry-After")
def headers(folder: Path) -> Seen:
    with serving() as server:
        for key in ("a\r\nX-Evil: 1", "ä", "a\0b"):
            with patch.dict(os.environ):
                os.environ.pop("OPENAI_API_KEY", None)
                if "\0" not in key:
                    os.environ["OPENAI_API_KEY"] = key
                    result = refused(lambda: scored(server.url), "OPENAI_API_KEY")
        sound(not server.requests, "a request went out")
        for url in (
            "http://[::1",
            "http://x\r\nHost: y",
            "file:///etc/passwd",
        ):
            refused(lambda url=url: scored(url), "--server")
        server.act = always(right_answer({"prompt": "a"}), X_Large="a" * 1_000_000)
        failures(lambda: generated(server.url, tries=1))
        for after in ("nan", "inf", "-1", "1e999", "Tue", "9" * 5000):
            server.act = always(b"busy", 503, Retry_After=after)
            begun = time.monotonic()
            refused(lambda: generated(server.url, tries=1, patience=0.0), "503")
            sound(time.monotonic() - begun < 70, f"waited for Retry-After: {after}")
    return result


@case("a list of models that holds anything but models", True)
def wrong_models(folder: Path) -> Seen:
    odd = [
        None,
        {},
        [None],
        ["tiny"],
        [{"name": "tiny"}],
        [{"id": None}],
        [{"id": 1}],
        [{"id": "tiny", "root": {}}],
    ]
    odd += [[{"id": "tiny", "max_model_len": value}] for value in ("a", -5, 0, True, 1e999)]
    with serving() as server:
        for listed in odd:
            server.listed = listed
            result = refused(lambda: scored(server.url))
    return result._replace(line=result.line.replace(server.url, "http://…"))


assert running
