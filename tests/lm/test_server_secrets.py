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
        if "bad" in body["messages"][0]["content"]:
            told = f"wrong key {KEY} of {headers['Authorization']} at http://me:{PASSWORD}@here"
            return 400, json.dumps({"error": {"message": told}}).encode()
        choice = {"index": 0, "message": {"content": "yes"}, "finish_reason": "stop"}
        return 200, json.dumps({"model": "tiny", "choices": [choice]}).encode()

    return f"http://me:{PASSWORD}@127.0.0.1:{serve(answer).port}"


def refuse_secrets(folder: Path, *told: bytes) -> None:
    for text in (*told, *(path.read_bytes() for path in folder.rglob("*") if path.is_file())):
        for secret in (PASSWORD, KEY, json.dumps(KEY)[1:-1], BASIC):
            assert secret.encode() not in text, text


def test_generate(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
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
        "--prompt-field",
        "prompt",
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


def test_urls_that_are_none(tmp_path: Path) -> None:
    for url in (f"http://me:{PASSWORD}/x@h", f"me:{PASSWORD}@h", f"http://me:{PASSWORD}@h:x"):
        done = running.run("ppl", "--server", url, input=b'{"text": "a"}\n')
        assert done.returncode in (1, 2), done.stderr
        refuse_secrets(tmp_path, done.stderr)
