"""Passwords and keys of servers: not in reports, not on stderr, not in what is kept of failures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import running

PASSWORD, KEY = "correct-horse_battery", 'sk-0123456789abcdefgh/"KEY'
# What this server's password becomes in its header.
BASIC = "bWU6Y29ycmVjdC1ob3JzZV9iYXR0ZXJ5"


@pytest.fixture
def server(serve: Callable[..., Any]) -> str:
    """Serves ``tiny``, and refuses every second prompt by saying all that it was sent."""

    def answer(path: str, body: Any, headers: dict[str, str]) -> Any:
        if body is None:
            return 200, json.dumps({"data": [{"id": "tiny", "owned_by": "vllm"}]}).encode()
        if "bad" in str(body.get("prompt") or body["messages"]):
            told = f"wrong key {KEY} of {headers['Authorization']} at http://me:{PASSWORD}@here"
            return 400, json.dumps({"error": {"message": told}}).encode()
        said = {"text": "yes"} if "prompt" in body else {"message": {"content": "yes"}}
        choice = {"index": 0, **said, "finish_reason": "stop"}
        return 200, json.dumps({"model": "tiny", "choices": [choice]}).encode()

    return f"http://me:{PASSWORD}@127.0.0.1:{serve(answer).port}"


@pytest.fixture(params=["environment", "file"])
def given(
    request: Any, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> list[Any]:
    """The words of a command that is given the key."""
    if request.param == "environment":
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        return []
    file = tmp_path_factory.mktemp("keys") / "key"
    file.write_text(f"{KEY}\n")
    file.chmod(0o600)
    return ["--api-key-file", file]


def refuse_secrets(folder: Path, *told: bytes) -> None:
    for text in (*told, *(path.read_bytes() for path in folder.rglob("*") if path.is_file())):
        for secret in (PASSWORD, KEY, json.dumps(KEY)[1:-1], BASIC):
            assert secret.encode() not in text, text


def test_generate(server: str, given: list[Any], tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(
        "".join(f'{{"prompt": "{word} {n}"}}\n' for n in range(2) for word in ("good", "bad"))
    )
    ask = [
        "generate",
        tmp_path / "p.jsonl",
        "-m",
        "tiny",
        "--server",
        server,
        *given,
        *("--prompt-field", "prompt", "--cache", tmp_path / "cache"),
    ]
    done = running.run(*ask, "-o", f"{tmp_path}/a/", "--debug")
    assert done.returncode == 1 and b"wrong key *** of Basic ***" in done.stderr, done.stderr
    refuse_secrets(tmp_path, done.stdout, done.stderr)
    kept = ["--rejects", tmp_path / "rejects.jsonl", "--report", tmp_path / "report.json"]
    done = running.run(*ask, "-o", f"{tmp_path}/b/", "--on-error", "skip", *kept)
    assert done.returncode == 0, done.stderr
    refuse_secrets(tmp_path, done.stdout, done.stderr)
    report = json.loads((tmp_path / "report.json").read_text())
    port = server.rpartition(":")[2]
    assert report["made_by"]["arguments"]["server"] == [f"http://***@127.0.0.1:{port}"]
    reasons = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert [r["line"] for r in reasons] == [2, 4]
    assert "wrong key *** of Basic *** at http://***@here" in reasons[0]["reason"]
    written = "".join(path.read_text() for path in sorted((tmp_path / "b").glob("part-*")))
    assert written.count('"yes"') == 2


def test_eval(server: str, given: list[Any], tmp_path: Path) -> None:
    """Of a run whose model answers half of the questions: report, samples, journal and cache."""
    items = [{"prompt": f"{word} 1", "answer": "#### 1"} for word in ("good", "bad")]
    (tmp_path / "gsm8k").mkdir()
    path = tmp_path / "gsm8k/test.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    ask = ["eval", "tiny", "--server", server, *given, "--suite", "gsm8k", "--data", tmp_path]
    keep = ["--cache", tmp_path / "cache", "--samples", tmp_path / "samples.jsonl", "--debug"]
    done = running.run(*ask, *keep, "--shots", 0, "--report", tmp_path / "report.json")
    assert done.returncode == 0, done.stderr
    assert b"wrong key *** of Basic ***" in done.stdout + (tmp_path / "samples.jsonl").read_bytes()
    refuse_secrets(tmp_path, done.stdout, done.stderr)


def test_the_key_of_a_file(
    serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent in place of the environment's; a file that others can read, or that holds no key, is
    refused before anything is asked, without a word of what is in it."""
    monkeypatch.setenv("OPENAI_API_KEY", "of-environment")
    sent: list[str | None] = []

    def answer(path: str, body: Any, headers: dict[str, str]) -> Any:
        sent.append(headers.get("Authorization"))
        return 401, json.dumps({"error": {"message": f"not {headers['Authorization']}"}}).encode()

    file = tmp_path / "key"
    ask = ["ppl", "--server", serve(answer).url, "--api-key-file", file]

    def refused(code: int, message: str) -> None:
        done = running.run(*ask, input=b'{"text": "a"}\n')
        assert done.returncode == code and message in done.stderr.decode(), done.stderr
        assert b"\n" not in done.stderr.strip() and KEY.encode() not in done.stderr

    refused(1, f"{file}: cannot be read (No such file or directory)")
    for content, mode, message in (
        (KEY, 0o640, f"--api-key-file {file}: others can read it; chmod 600 {file}"),
        (KEY, 0o604, "others can read it"),
        (" \n", 0o600, "holds no key"),
        (f"{KEY}\n{KEY}\n", 0o600, "holds what no header may"),
        (f"{KEY}é", 0o600, "holds what no header may"),
    ):
        file.write_text(content)
        file.chmod(mode)
        refused(2, message)
    assert not sent
    file.write_text(f"{KEY}\n")
    refused(1, "not Bearer ***")
    assert set(sent) == {f"Bearer {KEY}"}


def test_urls_that_are_none(tmp_path: Path) -> None:
    for url in (f"http://me:{PASSWORD}/x@h", f"me:{PASSWORD}@h", f"http://me:{PASSWORD}@h:x"):
        done = running.run("ppl", "--server", url, input=b'{"text": "a"}\n')
        assert done.returncode in (1, 2), done.stderr
        refuse_secrets(tmp_path, done.stderr)
