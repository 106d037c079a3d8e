"""Questions from concepts of documents (SynthLLM)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from synthtools.curate.concept_graph import (
    CONCEPTS,
    FROM_DOCUMENT,
    ConceptGraph,
    DocumentConcepts,
    concepts_in,
)
from synthtools.curate.prompts import UnusableRecord
from synthtools.errors import RecordError, UsageError
from synthtools.lm.generation import Prompt


@pytest.mark.parametrize(
    ("value", "topics", "concepts"),
    [
        (
            "Topics: Algebra; Fields\nConcepts: root; Prime  number.",
            ["algebra", "fields"],
            ["root", "prime number"],
        ),
        ("**Topics:** a\n\n- **Concepts**: b; b ;; *c*", ["a"], ["b", "c"]),
        ("concepts: x: y", [], ["x: y"]),
        (["A b", "c", 5], [], ["a b", "c"]),
    ],
)
def test_concepts_are_read(value: Any, topics: list[str], concepts: list[str]) -> None:
    assert concepts_in(value) == DocumentConcepts(topics, concepts)


@pytest.mark.parametrize("value", ["Concepts:", "Topics: a", "the concepts: a", [], 3])
def test_what_holds_no_concepts(value: Any) -> None:
    with pytest.raises(UnusableRecord, match="no concepts"):
        concepts_in(value)


ABOUT = [
    *[(["t"], ["a", "b"])] * 3,
    (["t", "u"], ["c", "a"]),
    (["u"], ["d"]),
]


def graph() -> ConceptGraph:
    made = ConceptGraph()
    for number, (topics, concepts) in enumerate(ABOUT):
        made.add(f"doc{number}", f"Text {number}.", DocumentConcepts(topics, concepts))
    return made


def test_steps_are_taken_by_how_often_two_are_together() -> None:
    """From topic t alone (u is a neighbour) to a, b and c, which are with it in 4, 3 and 1 documents."""
    names = "tabucd"
    walks = ["".join(names[node] for node in walk) for walk in graph().walks(1, 3000)]
    assert walks == ["".join(names[node] for node in walk) for walk in graph().walks(1, 3000)]
    starts = Counter(walk[0] for walk in walks)
    assert abs(starts["t"] - 1500) < 4 * 27.4  # the root of 3000/4
    # Each has but one topic to go to; then from u: c and a once, d once.
    last = Counter(walk[2] for walk in walks if walk.startswith("ut"))
    total = sum(last.values())
    for name, share in (("a", 4 / 8), ("b", 3 / 8), ("c", 1 / 8)):
        assert abs(last[name] / total - share) < 4 * (share * (1 - share) / total) ** 0.5
    assert all(len(set(walk)) == len(walk) for walk in walks)
    # After d, which is with u alone, there is no way on.
    assert {walk for walk in walks if "d" in walk} == {"tud"}


def test_references_are_the_most_alike() -> None:
    made = graph()
    nodes = [set(topics) | set(concepts) for topics, concepts in ABOUT]
    names = "tabucd"
    for walk in made.walks(2, 50):
        about = {names[node] for node in walk}
        likeness = [len(about & one) / len(about | one) for one in nodes]
        order = sorted((n for n in range(5) if likeness[n]), key=lambda n: (-likeness[n], n))
        assert made.references(walk) == order[:2]


def says(said: str, prompt: Prompt) -> str:
    if said.startswith(CONCEPTS):
        number = int(said.rpartition(" ")[2])
        return f"Topics: topic {number % 2}\nConcepts: " + "; ".join(
            f"c{number + n}" for n in range(4)
        )
    return f"Question {prompt.seed(0) % 1000}?"


def test_three_levels_in_a_pipe(generate: Any, tmp_path: Path) -> None:
    documents = [{"id": f"d{n}", "text": f"Number {n}"} for n in range(6)]
    (asked, *_) = generate(documents, says, "--style", "synthllm-1")
    assert asked["response"].startswith("Question")
    assert generate.models[0].prompts[0].messages[0]["content"].startswith(FROM_DOCUMENT)
    known = generate(documents, says, "--style", "concepts")
    assert known[1]["concepts"] == "Topics: topic 1\nConcepts: c1; c2; c3; c4"
    assert known[1]["concepts_model"] == "builtin" and "response" not in known[1]
    joined = generate(known, says, "--style", "synthllm-2")
    for number, record in enumerate(joined):
        topic, *concepts = record["combination"].split("; ")
        assert topic == f"topic {number % 2}" and len(set(concepts)) == 3
        assert set(concepts) <= {f"c{number + n}" for n in range(4)}
        content = generate.models[0].prompts[number].messages[0]["content"]
        assert f"concepts: {record['combination']}." in content and record["text"] in content
    assert joined != generate(known, says, "--style", "synthllm-2", "--seed", "1")
    walked = generate(known, says, "--style", "synthllm-3")
    assert len(walked) == 6
    more = generate(known, says, "--style", "synthllm-3", "--combinations", "70")
    assert more[:6] == walked and len({record["id"] for record in more}) == 70
    for record in walked:
        assert {"id", "combination", "documents", "prompt", "response"} <= set(record)
        assert all(f"Number {name[1:]}" in record["prompt"] for name in record["documents"])
        assert record["combination"] in record["prompt"]
    assert any(len(set(record["documents"])) == 2 for record in walked)


def test_what_the_levels_refuse(generate: Any) -> None:
    with pytest.raises(RecordError, match='no field "concepts": --style concepts writes'):
        generate([{"text": "a"}], says, "--style", "synthllm-3")
    with pytest.raises(RecordError, match="holds no concepts"):
        generate([{"text": "a", "concepts": "none"}], says, "--style", "synthllm-2")
    for arguments in (
        ("--combinations", "2"),
        ("--passages", "9"),
        ("--style", "synthllm-1", "--passages", "9"),
    ):
        with pytest.raises(UsageError, match="belongs to"):
            generate([{"text": "a"}], says, *arguments)
