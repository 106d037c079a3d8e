"""Documents that are rephrased passage by passage."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthtools.curate.passages import passages
from synthtools.curate.prompts import STYLES
from synthtools.errors import SynthError
from synthtools.lm.generation import Prompt

TEXT = '# A title\n\nOne two three. "Four five," he said! Six (seven.) Eight... nine\n- ten. 日本。次の。 '


def test_passages_end_between_sentences() -> None:
    assert passages(TEXT, 5) == [
        "# A title\n\nOne two three. ",
        '"Four five," he said! ',
        "Six (seven.) Eight... nine\n- ten. ",
        "日本。次の。 ",
    ]
    assert passages("One sentence of seven words is whole. Two.", 3) == [
        "One sentence of seven words is whole. ",
        "Two.",
    ]
    assert [passages(text, 3) for text in ("", " ... \n")] == [[""], [" ... \n"]]


@given(st.text() | st.lists(st.sampled_from(TEXT.split(" "))).map(" ".join), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_nothing_of_a_text_is_lost(text: str, most: int) -> None:
    found = passages(text, most)
    assert "".join(found) == text
    if text.isascii() and len(found) > 1:  # the words of each, unless one sentence alone is longer
        for part in found:
            assert len(re.findall(r"\w+", part)) <= most or len(passages(part, most)) == 1


def rephrase(said: str, prompt: Prompt) -> str:
    return f" [{said.partition(chr(10) * 2)[2]}] "


DOCUMENTS = [
    {"id": "a", "text": "One two. Three four. Five.", "more": 1},
    {"id": "b", "text": "Six seven."},
    {"id": "c", "text": "Eight nine. Bad ten. Bad eleven."},
]
ARGUMENTS = ("--style", "wrap-easy", "--passages", "2", "--system", "S")


def test_documents_are_rephrased_by_passages(generate: Any) -> None:
    one, two, _ = generate(DOCUMENTS, rephrase, *ARGUMENTS)
    assert (one["id"], one["text"], one["more"]) == ("a", DOCUMENTS[0]["text"], 1)
    assert one["response"] == "[One two.]\n\n[Three four.]\n\n[Five.]"
    assert (one["passages"], two["passages"], two["response"]) == (3, 1, "[Six seven.]")
    assert one["generate_prompt_tokens"] == 3 * 7
    assert one["generate_tokens"] == len(" [One two.]  [Three four.]  [Five.] ")
    asked = generate.models[0].prompts
    assert asked[1].messages == (
        {"role": "system", "content": "S"},
        {"role": "user", "content": f"{STYLES['wrap-easy']}\n\nThree four."},
    )
    assert len({prompt.seed(0) for prompt in asked}) == 7


def test_a_dry_run_counts_passages(
    generate: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The documents have 3, 1 and 3 passages, each a request whose prompt has 7 tokens."""
    output = ("-o", str(tmp_path / "o.jsonl"))
    generate(DOCUMENTS, rephrase, *ARGUMENTS, "-n", "2", "--dry-run", "--json", *output)
    plan = json.loads(capfd.readouterr().out)
    assert (plan["prompts"], plan["requests"], plan["prompt_tokens"]) == (7, 14, 14 * 7)


def test_a_refused_passage_marks_its_document(generate: Any, tmp_path: Path) -> None:
    rejects, report = tmp_path / "bad.jsonl", tmp_path / "r.json"
    rules = ("--validate", "!regex=Bad", "--retries", "1", "--on-error", "skip")
    kept = ("--rejects", str(rejects), "--report", str(report))
    written = generate(DOCUMENTS, rephrase, *ARGUMENTS, *rules, *kept)
    assert [record["id"] for record in written] == ["a", "b"]
    (bad,) = map(json.loads, rejects.read_text().splitlines())
    rule = "the answer is refused by !regex=Bad"
    assert bad["reason"] == f"passage 2 of 3: {rule}: ' [Bad ten.] ' (2 answers)"
    assert json.loads(bad["raw"]) == DOCUMENTS[2]
    found = json.loads(report.read_text())
    assert found["made_by"]["counts"]["reasons"] == {f"a passage: {rule}": 1}
    assert found["validation"][0]["refused"] == {"!regex=Bad": 4}


def test_passages_are_kept_as_they_come(generate: Any, tmp_path: Path) -> None:
    """A run that is killed in the middle of a document asks for the passages alone that are left."""
    left = [3]

    def says(said: str, prompt: Prompt) -> str:
        left[0] -= 1
        if not left[0]:
            raise SynthError("gone")
        return rephrase(said, prompt)

    output = tmp_path / "o.jsonl"
    with pytest.raises(SynthError, match="gone"):
        generate(DOCUMENTS, says, *ARGUMENTS, "-o", str(output))
    generate(DOCUMENTS, says, *ARGUMENTS, "-o", str(output), "--resume")
    assert len(generate.models[0].prompts) == 5
    written = [json.loads(line) for line in output.read_text().splitlines()]
    assert written == generate(DOCUMENTS, rephrase, *ARGUMENTS)
