"""No secret is printed or written, and nothing else is lost."""

from __future__ import annotations

import pytest

from synthtools.cli import terminal
from synthtools.redaction import hidden, hide, know


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:s3cret@host:8000/v1", "http://***@host:8000/v1"),
        ("http://user:12345@host/", "http://***@host/"),
        ("https://token@host/a b", "https://***@host/a b"),
        ("http://user:p@ss@host", "http://***@host"),
        ("http://user:a/b?c#d@host: Invalid port", "http://***@host: Invalid port"),
        ("a http://u:p@h, s3://k:v@bucket/x", "a http://***@h, s3://***@bucket/x"),
        ("https://h/x?a=1&X-Amz-Signature=0aF&b=2", "https://h/x?a=1&X-Amz-Signature=***&b=2"),
        ("https://h/x?sv=1&sig=a%2Fb; next", "https://h/x?sv=1&sig=***; next"),
        ("https://h/x?key=abc: no server answers", "https://h/x?key=***: no server answers"),
        ("(s3://b/f?token=a.b), then", "(s3://b/f?token=***), then"),
        ("GET /v1?api_key=abc 401", "GET /v1?api_key=*** 401"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ('{"authorization": "Basic dXNlcjpwdw=="}', '{"authorization": "***"}'),
        ("x-api-key=abc, next", "x-api-key=***, next"),
        ('{"Set-Cookie": "a=b; c=d"}', '{"Set-Cookie": "***"}'),
        ("wrong: Bearer abcdef123456", "wrong: Bearer ***"),
        ("provided: sk-abcdefghijklmnopqrst.", "provided: ***."),
    ],
)
def test_what_is_hidden(text: str, shown: str) -> None:
    assert hide(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8000/v1",
        "http://host:8000: no server answers to me@example.org",
        "hf://datasets/org/name@main/file.jsonl",
        "https://h/x?author=a&keyword=b&page=2",
        "a basic understanding, the bearer of news: 3 > 2 & 1 = 1",
        'part-3.jsonl:7: no field "text" (fields: id, body; use --text-field)',
        "me@example.org; a://b",
    ],
)
def test_what_is_not(text: str) -> None:
    assert hide(text) == text


def test_keys_in_use_however_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", 'a"b/c d&e')
    assert hide(r'a"b/c d&e, a\"b/c d&e, a%22b%2Fc%20d%26e, a"b') == '***, ***, ***, a"b'
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")  # what vLLM's documentation sends
    assert hide("EMPTY") == "EMPTY"
    know("https://me:p%40ssword-1@host:1/v1")
    assert hide("p%40ssword-1 p@ssword-1 bWU6cEBzc3dvcmQtMQ==") == "*** *** ***"


def test_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a-long-token")
    value = {"a": ["a-long-token", 1, None, {"http://u:p@h": (2.5, True)}], "n": float("inf")}
    assert hidden(value) == {
        "a": ["***", 1, None, {"http://***@h": [2.5, True]}],
        "n": float("inf"),
    }
    assert list(hidden({"http://a:1@h": 1, "http://b:2@h": 2}).values()) == [1, 2]


def test_the_log_of_a_calling_program(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "synthtools")
    before = terminal.LOGGED.set(True)
    try:
        terminal.remark("http://me:secret@h: waiting for it")
    finally:
        terminal.LOGGED.reset(before)
    assert caplog.messages == ["http://***@h: waiting for it"]
