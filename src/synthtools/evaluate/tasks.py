"""Tasks from local records: which fields make the prompt, the choices, the right answer.

A task is a JSON file; shipped ones are in ``tasks/``, the user's are named by their path. Templates name fields
of a record in braces: ``Question: {prompt}\\nAnswer:``. Further placeholders are ``{options}`` (the choices on
lettered lines) and, for code, ``{tests}``, ``{imports}``, ``{completion}``.
"""

from __future__ import annotations

import os
import string
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from synthtools.errors import SynthError
from synthtools.records.jsonl import parse_value

KINDS = ("multiple_choice", "exact_match", "code")
# Groups as in the papers: bilingual, coding, math in Flaws; general, biomed, finance in ToEdit.
GROUPS = ("bilingual", "coding", "math", "general", "biomed", "finance")


@dataclass(frozen=True)
class BenchmarkTask:
    """A task.

    Attributes:
        name: of the suite.
        kind: one of ``KINDS``.
        about: a description, in a line.
        prompt: template of the text before the answer.
        choice: template of a choice after the prompt.
        letters: the choices are part of the prompt (``{options}``) and letters are scored.
        labels: scored instead of a record's choices.
        gap: a placeholder in the prompt for the choice; the text after it is scored.
        answer: for exact_match, template of a full right answer, for examples.
        program: for code, template of the program.
        extract: expressions that find the answer in the model's text; of the first that matches, the last match
            counts.
        extract_loosely: the same for a second, more lenient figure.
        stop: strings that end an answer.
        max_new_tokens: of an answer.
        description: a template before the examples.
        shots: examples before each question; shots_split, shots_data: where they come from; by: a field
            that they must share with the question; group: a field that they must not share with it, if they
            are other items.
        data: names of the directory or file of the data; split: names of the file in it.
        groups: of ``GROUPS``.
    """

    name: str
    kind: str
    prompt: str
    about: str = ""
    choice: str = " {choice}"
    letters: bool = False
    labels: tuple[str, ...] = ()
    gap: str | None = None
    answer: str | None = None
    program: str | None = None
    extract: tuple[str, ...] = ()
    extract_loosely: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    max_new_tokens: int = 256
    description: str | None = None
    shots: int = 0
    shots_split: tuple[str, ...] = ("train", "dev", "validation")
    shots_data: tuple[str, ...] = ()
    by: str | None = None
    group: str = "group"
    data: tuple[str, ...] = ()
    split: tuple[str, ...] = ("test", "all", "validation", "dev")
    groups: tuple[str, ...] = ()


@cache
def shipped() -> dict[str, BenchmarkTask]:
    """The shipped tasks, by name."""
    folder = resources.files("synthtools.evaluate") / "tasks"
    files = {file.name: file for file in folder.iterdir()}
    names = {name: name.removesuffix(".json") for name in sorted(files)}
    return {task: _task(task, files[name].read_text("utf-8"), name) for name, task in names.items()}


def load(path: str) -> BenchmarkTask:
    """A task from a file of the user's. Raises SynthError: the file cannot be read or is not a task."""
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SynthError(f"{path}: cannot be read as a task: {error}") from error
    return _task(Path(path).stem, text, path)


def _task(name: str, text: str, place: str) -> BenchmarkTask:
    try:
        given = parse_value(text.encode("utf-8"))
    except ValueError as error:
        raise SynthError(f"{place}: not a task: {error}") from error
    if not isinstance(given, dict):
        raise SynthError(f"{place}: not a task: it must be a JSON object")
    known = {field.name: field for field in fields(BenchmarkTask)}
    values: dict[str, Any] = {"name": name}
    for key, value in given.items():
        if key not in known or key == "name":
            raise SynthError(f"{place}: unknown field {key!r} (there are: {', '.join(known)})")
        kind = str(known[key].type)
        if kind.startswith("tuple") and isinstance(value, list):
            value = tuple(value)
            right = all(isinstance(one, str) for one in value)
        else:
            right = type(value).__name__ in kind.split(" | ")
        if not right:
            raise SynthError(f"{place}: field {key!r} must be of type {kind}")
        values[key] = value
    if values.get("kind") not in KINDS:
        raise SynthError(f"{place}: field 'kind' must be one of {', '.join(KINDS)}")
    if "prompt" not in values:
        raise SynthError(f"{place}: no field 'prompt'")
    return BenchmarkTask(**values)


def files_of(task: BenchmarkTask, data: str | None) -> str:
    """The file of a task's items in a data directory. Raises SynthError: it is missing."""
    assert data is not None
    return find_data(data, task.data or (task.name,), task.split, task.name)


def find_data(data: str, names: tuple[str, ...], splits: tuple[str, ...], suite: str) -> str:
    """The file of a suite's data. ``data``: a directory of many suites, the suite's own directory, or the file.

    Args:
        names: of its directory or file; splits: of the file in its directory.

    Raises:
        SynthError: it is missing or ambiguous.
    """
    if os.path.isfile(data):
        return data
    if not os.path.isdir(data):
        raise SynthError(f"{data}: does not exist")
    spelled = [f"{before}{name}" for name in names for before in ("", "eval_")]
    for folder in spelled:
        # ``data`` may be the directory of the suite itself.
        base = os.path.basename(os.path.abspath(data))
        whole = data if base == folder else os.path.join(data, folder)
        if os.path.isdir(whole):
            entries = sorted(n for n in os.listdir(whole) if not n.startswith("."))
            for split in splits:
                for name in entries:
                    if name.split(".")[0] == split:
                        return os.path.join(whole, name)
            if len(entries) == 1:
                return os.path.join(whole, entries[0])
            raise SynthError(
                f"{whole}: no file named {', '.join(splits)} (files: {', '.join(entries) or 'none'})"
            )
    for name in sorted(os.listdir(data)):
        if name.split(".")[0] in spelled and os.path.isfile(os.path.join(data, name)):
            return os.path.join(data, name)
    raise SynthError(
        f"{data}: no {names[0]}/ or eval_{names[0]}/ with {splits[0]}.jsonl[.zst|.gz] "
        f"or .parquet, which suite {suite} reads"
    )


def fault(task: BenchmarkTask, record: dict[str, Any], solved: bool = False) -> str | None:
    """Why a record is not a valid item of the task, or (``solved``) example; None if it is."""
    for name in _names(task, solved):
        if name not in record:
            return f'no field "{name}" (fields: {", ".join(record)})'
        if name in ("prompt", "context") and not isinstance(record[name], str):
            return f'field "{name}" is not a text'
    if task.kind == "multiple_choice":
        given = task.labels or record.get("choices")
        choices = given if isinstance(given, list | tuple) else ()
        if len(choices) < 2 or not all(isinstance(c, str) and c for c in choices):
            return 'field "choices" must be a list of two or more texts'
        if len(choices) > len(string.ascii_uppercase):
            return 'field "choices" holds more than 26'
        if _gold(record.get("answer"), choices) is None:
            return f'field "answer" must be a place in the choices, 0 to {len(choices) - 1}, or one of them'
        if task.gap is not None and record["prompt"].count(task.gap) != 1:
            return f'field "prompt" must hold one {task.gap!r}'
    return None


def _names(task: BenchmarkTask, solved: bool) -> list[str]:
    made = {"options", "completion", "choice", "tests", "imports"}
    templates = (task.prompt, task.description, task.program, task.answer if solved else None)
    names = {n for t in templates if t for _, n, _, _ in string.Formatter().parse(t) if n}
    if task.kind == "exact_match" and not (solved and task.answer):
        names.add("answer")
    if task.kind == "code" and "tests" in names:
        names.add("test_list")
    return sorted(names - made)


def _gold(answer: Any, choices: Iterable[str]) -> int | None:
    choices = list(choices)
    if type(answer) is int:
        return answer if 0 <= answer < len(choices) else None
    if isinstance(answer, str):
        if answer in choices:
            return choices.index(answer)
        if answer in string.ascii_uppercase[: len(choices)]:
            return string.ascii_uppercase.index(answer)
    return None


@dataclass(frozen=True)
class ChoiceQuestion:
    """A multiple-choice item as presented to a model.

    Attributes:
        prompts: the text before each choice (the same for all, unless a gap is filled).
        endings: the scored text after each prompt.
        lengths: characters of each choice, for the normalised accuracy; if a gap is filled, of the text up to
            the end of the choice, as in the harness.
        gold: the right choice.
    """

    prompts: list[str]
    endings: list[str]
    lengths: list[int]
    gold: int


def question(task: BenchmarkTask, record: dict[str, Any], shots: str = "") -> ChoiceQuestion:
    """A record as a question. ``shots``: examples before it."""
    choices = list(task.labels or record["choices"])
    gold = _gold(record["answer"], choices)
    assert gold is not None
    prompt = filled(task, record)
    if task.gap is not None:
        before, _, after = prompt.partition(task.gap)
        return ChoiceQuestion(
            [f"{shots}{before}{choice}" for choice in choices],
            [after] * len(choices),
            [len(before + choice) for choice in choices],
            gold,
        )
    shown = list(string.ascii_uppercase[: len(choices)]) if task.letters else choices
    endings = [task.choice.replace("{choice}", one) for one in shown]
    return ChoiceQuestion([shots + prompt] * len(choices), endings, list(map(len, shown)), gold)


def filled(task: BenchmarkTask, record: dict[str, Any]) -> str:
    """The prompt of a record."""
    return task.prompt.format_map(_fields(record))


def described(task: BenchmarkTask, record: dict[str, Any]) -> str | None:
    """The text before the examples of a record."""
    return task.description.format_map(_fields(record)) if task.description else None


def _fields(record: dict[str, Any]) -> dict[str, Any]:
    values = dict(record)
    if isinstance(record.get("choices"), list):
        lettered = zip(string.ascii_uppercase, record["choices"], strict=False)
        values["options"] = "\n".join(f"{letter}. {choice}" for letter, choice in lettered)
    for name, source in (("tests", "test_list"), ("imports", "test_imports")):
        values.setdefault(name, "\n".join(record.get(source) or []))
    if isinstance(record.get("subject"), str):
        values["subject"] = record["subject"].replace("_", " ")
    return values


def program(task: BenchmarkTask, record: dict[str, Any], completion: str) -> str:
    """The program made from a completion."""
    assert task.program is not None
    return task.program.format_map({**_fields(record), "completion": completion})


def solved(task: BenchmarkTask, record: dict[str, Any]) -> str:
    """A record with its right answer, as an example."""
    if task.kind == "multiple_choice":
        asked = question(task, record)
        return asked.prompts[asked.gold] + asked.endings[asked.gold]
    return f"{filled(task, record)} {(task.answer or '{answer}').format_map(_fields(record))}"
