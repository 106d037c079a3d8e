"""An interrupted ``synth compare`` goes on with the scores that it kept."""

import json
import signal
import subprocess
import time
from importlib.util import find_spec
from typing import ClassVar
from unittest import mock

import numpy as np
import pytest

import running
from compared_corpora import document
from synthtools.lm.scorer import NO_PROMPT, Tokenised
from synthtools.lm.scores import Scores
from synthtools.measure.scored_sample import scored_samples
from synthtools.records.value_journal import ValueJournal


@pytest.fixture
def two_files(tmp_path):
    draw = np.random.default_rng(4)
    for name in "ab":
        texts = [document(draw, "plain", 9) for _ in range(240)]
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    return [tmp_path / f"{name}.jsonl" for name in "ab"]


@pytest.mark.skipif(not find_spec("matplotlib"), reason="needs matplotlib")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_run_is_resumed_with_its_scores(number, two_files, tmp_path):
    page, journal = tmp_path / "page.html", tmp_path / ".page.html.scores.jsonl"
    words = ["compare", *map(str, two_files), "-o", str(page), "--sample", "240", "--json"]
    killed = subprocess.Popen([*running.COLD, *words], stderr=subprocess.PIPE)
    while killed.poll() is None and not (
        journal.exists() and journal.read_bytes().count(b"\n") > 3
    ):
        time.sleep(0.002)
    killed.send_signal(number)
    killed.communicate()
    assert killed.returncode == (130 if number == signal.SIGTERM else -number)
    kept = journal.read_bytes()
    assert kept.count(b'"key"') >= 3 and not page.exists()
    assert "--resume continues with them" in running.synth(*words, code=1)
    if number == signal.SIGTERM:
        return
    for name, value in (("seed", "2"), ("sample", "239"), ("dtype", "bfloat16")):
        told = running.synth(*words, "--resume", f"--{name}", value, code=1)
        assert f"a run with other arguments ({name}); --force starts over" in told
    read = two_files[1].read_text()
    two_files[1].write_text(read.replace("W1 ", "W3 ", 1))
    assert "with other inputs; --force" in running.synth(*words, "--resume", code=1)
    two_files[1].write_text(read)
    assert journal.read_bytes() == kept
    resumed = running.run(*words, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    batches = kept[: kept.rindex(b"\n")].count(b'"key"')
    assert (
        f"{batches} scored batches of the earlier run are there already" in resumed.stderr.decode()
    )
    assert not journal.exists()
    part = page.read_text().partition("<footer>")[0]
    whole = running.synth(*words, "--force")
    assert page.read_text().partition("<footer>")[0] == part and "<svg" in part
    reports = [json.loads(printed) for printed in (resumed.stdout, whole)]
    for one in reports:
        del one["made_by"]
    assert reports[0] == reports[1]


def test_what_a_resumed_run_takes_up_is_not_scored_again(tmp_path):
    """A time budget chooses the sample once; a changed text is scored anew."""
    scored = []

    class Model:
        description: ClassVar = {"name": "m"}

        def tokenise(self, texts):
            return [
                Tokenised(np.frombuffer(t.encode(), np.uint8).astype(np.int32), NO_PROMPT)
                for t in texts
            ]

        def score(self, documents, request):
            scored.extend(documents)
            return [
                Scores(one.ids, np.full(len(one.ids), -np.pi, np.float32), None)
                for one in documents
            ]

    texts = [f"text {i}" for i in range(300)]
    found = []
    for again, budget in ((False, 1e9), (True, 0.0), (True, 0.0)):
        with mock.patch("synthtools.measure.scored_sample._BUDGET", budget):
            journal = ValueJournal(tmp_path / "journal", {}, again)
            scored.clear()
            (sample,) = scored_samples(
                Model(), [texts], None, 6, lambda *_: None, lambda _: None, journal
            )
            journal.close()
        found.append(
            (len(sample), sample.longer, [one.tobytes() for one in sample.logprobs], len(scored))
        )
        texts = [*texts[:-1], "changed"] if again else texts
    assert found[0][:3] == found[1][:3] and found[0][0] == 300 and found[0][1] == 290
    assert [count for *_, count in found] == [300, 9, 9 + 3]
