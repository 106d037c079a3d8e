"""``synth generate`` by batch files: requests out, results in, against a provider that is a function."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synthtools.cli.app import build
from synthtools.curate import batch_files, selected_answers
from synthtools.errors import SynthError, UsageError

RECORDS = [{"id": n, "prompt": f"question {n % 5}", "x": n} for n in range(12)]


def generate(*words: object) -> None:
    build()(["generate", *map(str, words)], standalone_mode=False)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    return path


def asked(*paths: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def result(request: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What OpenAI writes of a request (the form in its documentation)."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": f"{request['body']['messages'][-1]['content']} {request['body']['seed']}",
                },
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
    }
    response = {"status_code": 200, "request_id": "r", "body": body}
    one = {"id": "batch_req_1", "custom_id": request["custom_id"], "response": response}
    return {**one, "error": None, **more}


ASK = ("-m", "gpt-4o-mini", "-n", "2", "--temperature", "0.5", "--seed", "3")
NAMED = (*ASK, "--answers-as", "gpt-4o-mini-*")


def write(path: Path, results: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in results))
    return path


def test_out_and_in_again(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    requests = tmp_path / "requests.jsonl"
    generate(source, *ASK, "--system", "Be brief.", "--batch-out", requests, "--json")
    report = json.loads(capfd.readouterr().out)
    assert (report["kind"], report["requests"]) == ("generate-batch", 24)
    out = asked(requests)
    assert len({one["custom_id"] for one in out}) == 24
    assert {(one["method"], one["url"]) for one in out} == {("POST", "/v1/chat/completions")}
    first = out[0]["body"]
    assert first.pop("seed") != out[1]["body"]["seed"]
    assert first == {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "question 0"},
        ],
        "max_tokens": 1024,
        "temperature": 0.5,
        "top_p": 0.9,
    }
    # Results come in any order.
    results = write(tmp_path / "results.jsonl", [result(one) for one in asked(requests)[::-1]])
    answers = tmp_path / "answers.jsonl"
    generate(source, *NAMED, "--system", "Be brief.", "--batch-in", results, "-o", answers)
    rows = asked(answers)
    assert [(row["id"], row["x"], row["generate_sample"]) for row in rows] == [
        (n, n, sample) for n in range(12) for sample in (0, 1)
    ]
    assert [row["response"] for row in rows] == [
        f"question {n % 5} {one['body']['seed']}"
        for n, one in zip([n for n in range(12) for _ in "ab"], asked(requests), strict=True)
    ]
    assert rows[0]["model"] == "gpt-4o-mini" and rows[0]["generate_tokens"] == 4
    assert not list(tmp_path.glob(".*"))


def test_what_is_missing_or_failed_is_a_bad_record(source: Path, tmp_path: Path) -> None:
    requests, results = tmp_path / "requests.jsonl", tmp_path / "results.jsonl"
    generate(source, *ASK, "--batch-out", requests)
    found = [result(one) for one in asked(requests)]
    found[3] = result(asked(requests)[3], response=None, error={"code": "x", "message": "expired"})
    body = {"error": {"message": "too many\nwords"}}
    found[4] = result(asked(requests)[4], response={"status_code": 400, "body": body})
    found[6]["response"]["body"]["model"] = "other"
    found[7]["response"]["body"]["choices"] = []
    del found[9]
    write(results, found)
    answers, rejects = tmp_path / "answers.jsonl", tmp_path / "rejects.jsonl"
    words = (source, *NAMED, "--batch-in", results, "-o", answers)
    with pytest.raises(SynthError, match=r"prompts.jsonl:2: .*results.jsonl:4: expired"):
        generate(*words)
    assert not answers.exists()
    generate(*words, "--on-error", "skip", "--rejects", rejects)
    reasons = [one["reason"].replace(str(results), "R") for one in asked(rejects)]
    assert reasons[:2] == ["R:4: expired", "R:5: HTTP 400: too many words"]
    assert reasons[2].startswith("R:7: answers as 'other', was asked for gpt-4o-mini")
    assert reasons[3:] == ["R:8: answers one prompt with choices []", "no result in R"]
    assert len(asked(answers)) == 24 - 5
    # The failed ones were sent again; what came before stays.
    sent = [asked(requests)[n] for n in (3, 4, 6, 7, 9)]
    again = write(tmp_path / "again.jsonl", [result(one) for one in [*sent, asked(requests)[0]]])
    generate(*words, "--force", "--batch-in", again)
    whole = tmp_path / "whole.jsonl"
    write(results, [result(one) for one in asked(requests)])
    generate(source, *NAMED, "--batch-in", results, "-o", whole)
    assert whole.read_bytes() == answers.read_bytes()


def test_validated_results_come_in_parts(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checks take some thousand prompts at a time; results of later ones belonged to no prompt."""
    monkeypatch.setattr(selected_answers, "_TOGETHER", 5)
    requests, answers = tmp_path / "requests.jsonl", tmp_path / "answers.jsonl"
    generate(source, *ASK, "--batch-out", requests)
    results = write(tmp_path / "results.jsonl", [result(one) for one in asked(requests)])
    rejects = tmp_path / "bad.jsonl"
    words = (source, *NAMED, "--batch-in", results, "--on-error", "skip", "--rejects", rejects)
    report, prices = tmp_path / "r.json", ("--price-in", "1e6", "--price-out", "2e6")
    rule = ("--validate", "!regex=^question 1", "--report", report, *prices)
    generate(*words, *rule, "-o", answers)
    # Refused answers are paid for too.
    assert json.loads(report.read_text())["cost"] == 24 * (9 + 2 * 4)
    assert [one["x"] for one in asked(answers)] == [
        n for n in range(12) for _ in "ab" if n % 5 != 1
    ]
    assert len(asked(rejects)) == 6 and "refused by !regex" in asked(rejects)[0]["reason"]
    with pytest.raises(SynthError, match="belongs to no prompt"):
        generate(*words, "--seed", "4", "--validate", "words=1..", "-o", tmp_path / "other.jsonl")
    assert not (tmp_path / "other.jsonl").exists()


@pytest.mark.parametrize(
    "other", [("--seed", "4"), ("--temperature", "0.6"), ("--system", "s"), ("-n", "1")]
)
def test_results_of_other_requests_are_an_error(
    source: Path, tmp_path: Path, other: tuple[str, str]
) -> None:
    requests, answers = tmp_path / "requests.jsonl", tmp_path / "answers.jsonl"
    generate(source, *ASK, "--batch-out", requests)
    results = write(tmp_path / "results.jsonl", [result(one) for one in asked(requests)])
    words = (source, *NAMED, *other, "--batch-in", results, "-o", answers, "--on-error", "skip")
    with pytest.raises(SynthError, match=r"results.jsonl:\d+: custom_id \w+ belongs to no prompt"):
        generate(*words)
    assert not answers.exists()
    write(results, [{"id": 1}])
    with pytest.raises(SynthError, match=r'results.jsonl:1: no text in the field "custom_id"'):
        generate(*words)


def test_more_requests_than_a_file_takes(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = tmp_path / "requests.jsonl"
    generate(source, *ASK, "--batch-out", requests)
    whole = requests.read_bytes()
    monkeypatch.setattr(batch_files, "LINES", 10)
    with pytest.raises(SynthError, match="already there; --force"):
        generate(source, *ASK, "--batch-out", requests)
    assert requests.read_bytes() == whole
    generate(source, *ASK, "--batch-out", requests, "--force")
    parts = [requests, tmp_path / "requests-2.jsonl", tmp_path / "requests-3.jsonl"]
    assert [len(asked(part)) for part in parts] == [10, 10, 4]
    assert b"".join(part.read_bytes() for part in parts) == whole
    monkeypatch.setattr(batch_files, "BYTES", max(map(len, whole.splitlines(keepends=True))) * 2)
    generate(source, *ASK, "--batch-out", tmp_path / "b.jsonl")
    sizes = [part.stat().st_size for part in tmp_path.glob("b*.jsonl")]
    assert len(sizes) == 12 and max(sizes) <= batch_files.BYTES


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--batch-out needs one --model"),
        (("-m", "a", "-m", "b"), "--batch-out needs one --model"),
        (("-m", "a", "--self-instruct", "5"), "asks again"),
        (("-m", "a", "--cache", "c"), "does not go with --cache"),
        (("-m", "a", "--batch-in", "r.jsonl"), "one at a time"),
        (("-m", "a", "-o", "x.jsonl"), "a report goes to stdout"),
    ],
)
def test_what_does_not_go_together(source: Path, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        generate(source, "--batch-out", source.parent / "requests.jsonl", *words)
