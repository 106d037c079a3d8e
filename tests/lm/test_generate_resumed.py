"""A run of ``synth generate`` that is killed goes on: the same bytes, and nothing asked for twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthtools.errors import SynthError

PROMPTS = 60
KILLED_AT = 35


def completion(body: dict[str, Any], name: str) -> bytes:
    text = f"{body['prompt']} answered {body['seed']}"
    choice = {"text": text, "finish_reason": "stop"}
    usage = {"prompt_tokens": 2, "completion_tokens": 3}
    return json.dumps({"model": name, "choices": [choice], "usage": usage}).encode()


@pytest.mark.parametrize("ending", ["/", ".jsonl"])
def test_killed_and_resumed(ending: str, serve: Callable[..., Any], tmp_path: Path) -> None:
    source = tmp_path / "prompts.jsonl"
    source.write_text(
        "".join(json.dumps({"id": i, "prompt": f"p{i}"}) + "\n" for i in range(PROMPTS))
    )
    asked: Counter[str] = Counter()
    lock = threading.Lock()
    reached, going_on = threading.Event(), threading.Event()

    def answer(path: str, body: Any, headers: Any) -> Any:
        if body is None:
            return 200, json.dumps({"data": [{"id": "m"}]}).encode()
        with lock:
            asked[body["prompt"]] += 1
            stuck = len(asked) > KILLED_AT and not going_on.is_set()
        if stuck:
            reached.set()
            going_on.wait(60)
        return 200, completion(body, "m")

    server = serve(answer)

    def start(output: str, *more: str) -> subprocess.Popen[bytes]:
        command = [
            *(sys.executable, "-m", "synthtools", "generate", str(source), "-n", "2", "--plain"),
            *("--server", server.url, "--requests", "4", "-o", f"{tmp_path / output}{ending}"),
            *(("--shard-size", "25") if ending == "/" else ()),
            *more,
        ]
        return subprocess.Popen(command, stderr=subprocess.PIPE)

    first = start("killed")
    assert reached.wait(60)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    name = "killed/.answers.jsonl" if ending == "/" else ".killed.jsonl.answers.jsonl"
    kept = (tmp_path / name).read_text().count('"key"')
    assert kept >= KILLED_AT
    if ending == "/":
        assert (tmp_path / "killed" / "part-00000.jsonl").exists()
    # A line that the kill cut.
    with open(tmp_path / name, "a") as journal:
        journal.write('{"key": "0:half')
    before = asked.copy()
    going_on.set()
    second = start("killed", "--resume")
    told = second.communicate()[1].decode()
    assert second.returncode == 0, told
    assert "answers of the earlier run are there already" in told
    # What was under way at the kill is asked for once more; nothing else is.
    # (The server may have counted those only after the kill.)
    again = sum((asked - before).values())
    assert 2 * PROMPTS - kept <= again <= 2 * PROMPTS - kept + 4
    whole = start("whole")
    assert whole.wait() == 0
    killed, undisturbed = (
        {
            str(path.relative_to(tmp_path)).removeprefix(name): path.read_bytes()
            for path in tmp_path.rglob("*")
            if str(path.relative_to(tmp_path)).startswith(name)
            and path.is_file()
            and path.suffix == ".jsonl"
        }
        for name in ("killed", "whole")
    )
    assert killed == undisturbed and len(killed) == (5 if ending == "/" else 1)
    assert not (tmp_path / name).exists()
    other = start("killed", "--resume", "--seed", "5")
    assert ("was started with other" if ending == "/" else "--force") in other.communicate()[
        1
    ].decode()
    assert other.returncode == 1


def test_a_journal_of_another_job_is_dropped(tmp_path: Path) -> None:
    from synthtools.records.value_journal import ValueJournal

    path = tmp_path / "journal"
    journal = ValueJournal(path, {"tool": "a"}, again=False)
    journal.add("x", {"text": "é\n"})
    journal.close()
    taken = ValueJournal(path, {"tool": "a"}, again=True)
    assert len(taken) == 1 and taken.get("y") is None
    assert taken.get("x")["text"] == "é\n"
    taken.add("y", {"text": "b"})
    taken.close()
    assert len(ValueJournal(path, {"tool": "a"}, again=True)) == 2
    with pytest.raises(SynthError, match="with other tool; "):
        ValueJournal(path, {"tool": "b"}, again=True)
    assert len(ValueJournal(path, {"tool": "b"}, again=False)) == 0
    ValueJournal(path, {"tool": "a"}, again=False).remove()
    assert not path.exists()
