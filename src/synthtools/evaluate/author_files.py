"""Files in the formats of the benchmarks' authors, so that their scripts and ours read each other's."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthtools.errors import OutputExistsError, parameter
from synthtools.evaluate.answers import Item, ModelAnswers
from synthtools.evaluate.evaluator import EvaluationOptions
from synthtools.records.atomic_files import write_whole
from synthtools.records.jsonl import json_bytes


def write(options: EvaluationOptions, name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Writes records under the directory ``author_files``.

    Args:
        name: of the file, its folders before it on lines of their own; characters that a file name cannot
            hold become underscores.

    Raises:
        OutputExistsError
    """
    safe = "/".join(
        "".join(c if c.isalnum() or c in "-_. " else "_" for c in part).lstrip(".") or "_"
        for part in name.split("\n")
    )
    path = Path(options.author_files or "") / safe
    if path.exists() and not options.force:
        raise OutputExistsError(f"{path}: exists; use {parameter('force')} to replace it")
    os.makedirs(path.parent, exist_ok=True)
    write_whole(path, b"".join(json_bytes(row) + b"\n" for row in rows), options.force)


def followbench(answer: str, prompt: str) -> dict[str, Any]:
    """A line of FollowBench's ``<model>_<type>_constraint.jsonl``."""
    return {"prompt_new": prompt, "choices": [{"message": {"content": answer}}]}


def fastchat_answers(one: ModelAnswers, items: Sequence[Item]) -> list[dict[str, Any]]:
    """Lines of FastChat's ``model_answer/<model>.jsonl``. Times are 0: equal answers, equal bytes."""
    return [
        {
            "question_id": item.key,
            "answer_id": hashlib.blake2b(
                "\0".join((one.model, item.id, *turns)).encode(), digest_size=11
            ).hexdigest(),
            "model_id": one.model,
            "choices": [{"index": 0, "turns": list(turns)}],
            "tstamp": 0.0,
        }
        for item, turns in zip(items, one.turns, strict=True)
        if turns is not None
    ]
