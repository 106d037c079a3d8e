"""200 hostile strings through every pattern that meets text: none takes time that grows with its square."""

from __future__ import annotations

import itertools
import json
import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from faults.cases import Seen, case, sound
from synthtools.errors import SynthError, UsageError

# What repeats, and what stands around it: each breaks some expression that gives back what it has taken.
_REPEATED = (
    *(" ", "\n", "\n ", "a", "A", "1", "1,", ".", ". ", "a.", '."a', "?)", "[", "<<", "* ", "**1"),
    *("-", "'\\", '"\\', "Question: ", "Answer :", "answer is ", "1. ", "$-", "=:"),
)
_AROUND = (
    *(("", ""), ("Question:", "!"), ("1.", ""), ("#### ", "x"), ("'", "\\"), ("[", "{")),
    *(("a", "\n="), ("KEY ", " - 5")),
)
HOSTILE = list(itertools.product(_AROUND, _REPEATED))

Use = Callable[[str], object]

# What meets no text of models and records: expressions for names of files, options of a word, our own text.
EXEMPT = {
    "records.file_patterns": "the user's own pattern on names of files",
    "cli.app": "the user's own words on the command line",
    "cli.parameters": "an option of a word",
    "curate.conditions": "conditions of the user's own; their expressions are RE2's",
    "curate.fingerprint_store": "names of our files",
    "curate.reshaped_records": "templates and constants of the user's own",
    "cli.model_options": "an option",
    "lm.vllm.vllm_engine": "lines of the engine's log",
    "evaluate.generations": "paths within reports, and names of files as they are",
    "reports.compare": "conditions of the user's own",
    "measure.frequencies": "the user's own expressions",
    "records.output_lock": "names of our files",
    "records.atomic_files": "a name",
    "records.outputs": "names of our files",
    "records.shard_directory": "names of our shards",
    "records.remote_paths": "a name",
    "reports.document": "the JSON that we write, whose strings hold no line ends",
    "records.value_cache": "one run of any characters within a line of ours",
    "scale.orphans": "names of Ray's sessions",
    "training.run_directory": "an error of a library",
}


def uses() -> dict[str, dict[str, Use]]:
    """What applies patterns to a text, by module."""
    from synthtools import errors, redaction
    from synthtools.cli import quantities
    from synthtools.curate import (
        concept_graph,
        error_extrapolation,
        passages,
        rationales,
        self_instruct,
    )
    from synthtools.evaluate import (
        danger_zone,
        followbench_rules,
        generative_tasks,
        ifeval,
        judge,
        tasks,
    )
    from synthtools.lm import chat, load_errors, model_files, text_tokenizer, tokenizer_faults
    from synthtools.measure import corpus_comparison, expressions
    from synthtools.records import (
        conversion,
        encoders,
        field_paths,
        jsonl,
        natural_order,
        sink,
    )
    from synthtools.text import rouge

    shipped = [task for task in tasks.shipped().values() if task.extract]
    given: dict[str, dict[str, Any]] = {
        "keywords:existence": {"keywords": ["a.", "1"]},
        "keywords:forbidden_words": {"forbidden_words": ["a a", "."]},
        "length_constraints:number_paragraphs": {"num_paragraphs": 2},
        "length_constraints:nth_paragraph_first_word": {
            "num_paragraphs": 1,
            "nth_paragraph": 1,
            "first_word": "a",
        },
        "detectable_content:number_placeholders": {"num_placeholders": 3},
        "detectable_content:postscript": {"postscript_marker": "P.P.S"},
        "detectable_format:number_bullet_lists": {"num_bullets": 3},
        "detectable_format:number_highlighted_sections": {"num_highlights": 3},
        "detectable_format:multiple_sections": {"section_spliter": "1.", "num_sections": 3},
        "detectable_format:title": {},
    }

    def read_tasks(text: str) -> object:
        answer = SimpleNamespace(text=text, finish_reason="length")
        return [
            self_instruct.SelfInstruct._read(SimpleNamespace(plain=plain), answer)  # type: ignore[arg-type]
            for plain in (False, True)
        ]

    def kept(text: str) -> None:
        for kind, origin, example in (
            *(("content", origin, 0) for origin in followbench_rules._RULES),
            *(("format", "", example) for example in followbench_rules.FORMAT_EXAMPLES),
        ):
            followbench_rules.kept(kind, origin, example, 5, text, text)

    def read_concepts(text: str) -> None:
        with suppress(concept_graph.UnusableRecord):
            concept_graph.concepts_in(f"Topics: {text}\n{text}Concepts{text}: {text}")

    return {
        "errors": {"printable": errors.printable},
        "redaction": {"hide": redaction.hide},
        "cli.quantities": {"count": quantities.count, "part": quantities.part},
        "curate.concept_graph": {"concepts_in": read_concepts},
        "curate.passages": {"passages": lambda t: passages.passages(f"A b.{t} C d.", 1)},
        "curate.error_extrapolation": {"pair_in": error_extrapolation.pair_in},
        "curate.rationales": {
            "reached": lambda t: rationales.reached(f"the answer is {t}", "7"),
            "reached in all": lambda t: rationales.reached(t, t),
        },
        "curate.self_instruct": {"tasks": read_tasks},
        "evaluate.generative_tasks": {
            **{
                f"{task.name} extracted": partial(_extracted, generative_tasks.extracted, task)
                for task in shipped
            },
            "same": lambda t: generative_tasks.same(t, "7"),
        },
        "evaluate.danger_zone": {"refuses": danger_zone.refuses},
        "evaluate.followbench_rules": {
            "kept": kept,
            "examples": lambda t: followbench_rules.kept("example", "", 0, 5, "{answer}a" * 9, t),
        },
        "evaluate.ifeval": {
            **{name: partial(ifeval.RULES[name], **more) for name, more in given.items()},
            "sentences": ifeval.sentences,
            "words": ifeval.words,
            "capital words": ifeval.capital_words,
        },
        "evaluate.judge": {
            "reasons": lambda t: judge.FailureCounts().add(t),
            "rating": lambda t: judge.verdict_of(t, "KEY", judge.rating(1, 10)),
            "rating behind the code": judge.rating(1, 10).read,
            "choice": lambda t: judge.verdict_of(t, "KEY", judge.CHOICE),
            "yes or no": judge.yes_no(2).read,
        },
        "lm.chat": {"marks": lambda t: chat.re.split("(\ue000\\d+\ue001)", f"\ue000{t}")},
        "lm.load_errors": {
            "mismatch": lambda t: load_errors._MISMATCH.findall(f"size mismatch for {t}")
        },
        "lm.model_files": {"layer": model_files._LAYER.findall},
        "lm.text_tokenizer": {"byte": text_tokenizer._BYTE.fullmatch},
        "lm.tokenizer_faults": {
            f"{words}…": partial(_without_panics, tokenizer_faults._RUST, words)
            for words in ("thread '", "thread '' panicked at ")
        },
        "measure.corpus_comparison": {"words": corpus_comparison._WORD.findall},
        "measure.expressions": {"claim": expressions.parse},
        "records.field_paths": {"conditions": field_paths.conditions, "path": field_paths.parse},
        "records.encoders": {"quoted": encoders._QUOTED.search},
        "records.conversion": {
            "tokens": lambda t: list(conversion._TOKEN.finditer(t.encode())),
            "line ends": lambda t: conversion._LINE_END.sub(b" ", t.encode()),
        },
        "records.sink": {"tokens": lambda t: sink._TOKEN.sub(b"", json.dumps(t).encode())},
        "records.natural_order": {"number": natural_order.as_number, "order": natural_order.order},
        "records.jsonl": {"object": lambda t: jsonl.parse_object(b'{"a": ' + t.encode() + b"}")},
        "text.rouge": {"words": rouge._WORD.findall},
    }


def _extracted(extracted: Callable[..., object], task: Any, text: str) -> None:
    extracted(text, task.extract)
    extracted(text, task.extract_loosely)


def _without_panics(pattern: re.Pattern[bytes], words: str, text: str) -> bytes:
    return pattern.sub(b"", text.replace("a", words).encode())


_BEGIN, _END = 1 << 7, 1 << 15
_MEASURABLE = 0.001
_TIMES = 16
# 16 times the time for what is linear, 256 times for what is quadratic: no machine is so busy that the
# one is taken for the other.
TOO_MUCH = 64.0
_TRIES = 3


def _text(around: tuple[str, str], repeated: str, size: int) -> str:
    return around[0] + repeated * (size // len(repeated)) + around[1]


def _seconds(use: Use, text: str) -> float:
    """Processor time of this thread."""
    start = time.thread_time()
    # A refusal is an answer, too.
    with suppress(SynthError, UsageError, ValueError):
        use(text)
    return time.thread_time() - start


def grows(use: Use, around: tuple[str, str], repeated: str) -> float | None:
    """How many times as long a text of 16 times the length takes; None where the longest takes no time.

    The shorter of the two is the first, of growing lengths, whose time can be measured. Of several
    measurements the shortest counts, and a long one is measured again: other work on the machine only
    ever adds.
    """
    size = _BEGIN
    while _seconds(use, _text(around, repeated, size)) < _MEASURABLE:
        size *= 2
        if size > _END:
            return None
    short = min(_seconds(use, _text(around, repeated, size)) for _ in range(_TRIES))
    ratio = math.inf
    for _ in range(_TRIES):
        long = _seconds(use, _text(around, repeated, _TIMES * size))
        ratio = min(ratio, long / max(short, _MEASURABLE / 2))
        if ratio <= TOO_MUCH:
            break
    return ratio


def slow(step: int = 1) -> Iterator[str]:
    """Names the uses whose time grows faster than the text.

    Args:
        step: every how manieth of the strings is tried, another one each time.
    """
    every = [(f"{m} {n}", use) for m, found in uses().items() for n, use in found.items()]
    for number, (name, use) in enumerate(every):
        for around, repeated in HOSTILE[number % step :: step]:
            ratio = grows(use, around, repeated)
            if ratio is not None and ratio > TOO_MUCH:
                yield f"{name}: {around[0]!r} {repeated!r}… {around[1]!r}: {ratio:.1f} times"


@case("200 strings made to keep regular expressions busy, at 16 times the length")
def patterns(folder: Path) -> Seen:
    found = list(slow())
    sound(not found, f"{len(found)} grow faster than the text: {'; '.join(found[:3])}")
    return Seen(f"– ({len(HOSTILE)} strings, {sum(map(len, uses().values()))} uses of patterns)")
