"""Servers that lie: answers that are wrong, endless, or lead elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from unittest.mock import patch

from faults.cases import Seen, case, sound
from faults.servers.asking import failures, generated, refused, scored
from faults.servers.server import Act, always, right_answer, send, serving

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
    {"model": "tiny", "choices": [{"text": "a", "finish_reason": "stop", "index": 1}]},
    {"model": "tiny", "choices": [{"text": "a", "finish_reason": "stop"}] * 2},
    {"model": "tiny-2", "choices": [{"text": "a", "finish_reason": "stop"}]},
    {"model": "another", "choices": [{"text": "a", "finish_reason": "stop"}]},
]


@case("answers that are no JSON, nested 100,000 deep, of other types, of another model or prompt")
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


@case(
    "log-probabilities of other tokens, negative ids, NaN, above 0, below all, too few, as words",
    True,
)
def wrong_tokens(folder: Path) -> Seen:
    changes: list[Callable[[list[int]], list[Any]]] = [
        lambda ids: [None] + [_row(token + 1) for token in ids[1:]],
        lambda ids: [None] + [_row(token) | _row(-5, -0.5, 0) for token in ids[1:]],
        lambda ids: [None] + [_row(token) | _row(2**40, -0.5, 0) for token in ids[1:]],
        lambda ids: [None] + [_row(token, float("nan")) for token in ids[1:]],
        lambda ids: [None] + [_row(token, 5.0) for token in ids[1:]],
        lambda ids: [None] + [_row(token, False) for token in ids[1:]],
        lambda ids: [None] + [_row(token, float("-inf")) for token in ids[1:]],
        lambda ids: [None] + [_row(token, -1e39) for token in ids[1:]],
        lambda ids: [None] + [_row(token, -0.1) | _row(1, -0.1, 2) for token in ids[1:]],
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
            result = refused(lambda: scored(server.url), "wrong log-probabilities of a prompt")
    return result._replace(line=result.line.replace(server.url, "http://…"))


@case("an answer without an end; one that unfolds from zstd or gzip", True)
def huge_answers(folder: Path) -> Seen:
    import gzip

    from synthtools.lm.server import server_http

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
        for after in ("nan", "inf", "-1", "1e999", "Tue", "9" * 5000, "3600"):
            server.act = always(b"busy", 503, Retry_After=after)
            begun = time.monotonic()
            # What is no time is not heeded, what is beyond the patience not waited for.
            told = "given up" if after in ("nan", "-1", "Tue") else "asks to wait"
            refused(lambda: generated(server.url, tries=1, patience=1.0), "503", told)
            sound(time.monotonic() - begun < 20, f"waited for Retry-After: {after}")
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
