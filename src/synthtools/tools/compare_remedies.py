"""What to do about what ``synth compare`` found: commands for these inputs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

_MUCH = 0.01  # share of copies


def remedies(
    pair: Mapping[str, Any], reference: str, other: str, documents: int
) -> list[dict[str, str]]:
    """Commands of ``synth``, each with the finding that it is for. ``reference``, ``other``: paths of the
    inputs; ``documents``: of the other."""
    numbers = pair["numbers"]
    differs = {answer["question"]: answer["differs"] for answer in pair["answers"]}
    narrower = any(
        effect["differs"] and effect["value"] < 1
        for answer in pair["answers"]
        if answer["question"] == "diversity"
        for effect in answer["effects"]
    )
    one, two = shlex.quote(reference), shlex.quote(other)
    stem = shlex.quote(pair["other"])
    proposals = []

    def add(finding: str, command: str) -> None:
        proposals.append({"finding": finding, "command": f"synth {command}"})

    near = numbers["near_duplicates"]
    if near["between"]:
        add("copies of the reference", f"dedup {two} --near --against {one} -o {stem}.new.jsonl")
    if near["within_other"] > _MUCH:
        add("copies within", f"dedup {two} --near -o {stem}.unique.jsonl")
    if differs["coverage"] or differs.get("keywords"):
        add(
            "other topics or words: take what is most like the reference",
            f"dsir {two} --target {one} -n {max(1, documents // 2)} -o {stem}.chosen.jsonl",
        )
    ratio = numbers["perplexity"]["ratio"]
    if differs["perplexity"] and ratio is not None and ratio < 1:
        add(
            "easy to predict: keep human text in the mixture",
            f"mix {one}=0.75 {two}=0.25 -o mixed.jsonl",
        )
        add(
            "easy to predict: edit human text instead of training on generated text",
            f"edit {one} --threshold 0.99 -o edited.jsonl",
        )
    elif narrower:
        add("narrow: keep human text in the mixture", f"mix {one}=0.75 {two}=0.25 -o mixed.jsonl")
    return proposals
