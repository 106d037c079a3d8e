"""Self-Instruct (arXiv 2212.10560): new tasks from examples of old ones, kept if they are unlike all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from synthtools.curate.answers import AnswerFields, keyed
from synthtools.curate.prompts import PromptedRecords, conversation
from synthtools.draws import lane_of, uniforms
from synthtools.errors import SynthError, parameter
from synthtools.lm.generation import Answer, Generator, Prompt
from synthtools.records.added_column import Column
from synthtools.records.batch import Batch, JsonBatch
from synthtools.records.jsonl import json_bytes
from synthtools.records.record_keys import ID_FIELD
from synthtools.text.rouge import RougePool, words

# The wording is [ours].
SELF_INSTRUCT = (
    "Here is a list of tasks that people have given to an assistant:\n\n{examples}\n\nGo on with the "
    "list: write {count} new tasks, numbered from {first}, one on a line. Each must be clear by "
    "itself, and unlike the tasks above in subject and in kind. Write the list alone."
)
# For a model that continues the list itself.
SELF_INSTRUCT_PLAIN = "Tasks for an assistant, each unlike the others:\n\n{examples}\n{first}."

EXAMPLES = 8
OF_GENERATED = 2
NEW_TASKS = 8
# Prompts per round; all use the pool as of the beginning of the round [ours].
ROUND = 32
_FRUITLESS_ROUNDS = 20
_TASKS_A_BATCH = 64
_FEWEST_WORDS, _MOST_WORDS = 3, 150
_MOST_SIMILAR = 0.7  # ROUGE-L of a new task with the pool
_LANE = lane_of("self-instruct")
# Without backtracking. Python does not convert numbers of more than some thousand digits.
_NUMBERED = re.compile(r"^[^\S\n]*+(\d{1,9}+)\s*+[.):]\s++(\S.*)", re.MULTILINE)


class GeneratedTask(NamedTuple):
    """A new task. ``similarity``: the largest ROUGE-L with the pool; ``answer``: with the task."""

    text: str
    similarity: float
    answer: Answer


@dataclass
class SelfInstruct:
    """The growth of a pool of tasks.

    Args:
        seeds: the initial tasks, in an order that depends only on them.
        plain: the model continues a list, without a conversation.

    Attributes:
        counts: of tasks by outcome.
    """

    seeds: list[str]
    seed: int
    system: str | None = None
    plain: bool = False

    def __post_init__(self) -> None:
        if len(self.seeds) < EXAMPLES:
            raise SynthError(
                f"{parameter('self_instruct')}: shows {EXAMPLES} examples, and there are only "
                f"{len(self.seeds)} records"
            )
        counted = ("kept", "too_similar", "too_short_or_long", "prompts", "failed", "rounds")
        self.counts: dict[str, int] = dict.fromkeys(counted, 0)

    def tasks(self, generator: Generator, wanted: int) -> Iterator[GeneratedTask]:
        """Generates ``wanted`` new tasks. Raises SynthError: the model produces no more."""
        pool = RougePool()
        for text in self.seeds:
            pool.add(text)
        made: list[str] = []
        fruitless = 0
        while len(made) < wanted:
            before = len(made)
            number = self.counts["rounds"]
            numbers = range(number * ROUND, (number + 1) * ROUND)
            prompts = [keyed(self._prompt(made, n), n, stage="tasks") for n in numbers]
            for answer in generator.generate(prompts):
                self.counts["prompts"] += 1
                if answer.error is not None:
                    self.counts["failed"] += 1
                    continue
                for text in self._read(answer):
                    similarity = self._similarity(pool, text)
                    if similarity is None or len(made) >= wanted:
                        continue
                    pool.add(text)
                    made.append(text)
                    self.counts["kept"] += 1
                    yield GeneratedTask(text, similarity, answer)
            self.counts["rounds"] += 1
            fruitless = 0 if len(made) > before else fruitless + 1
            if fruitless == _FRUITLESS_ROUNDS:
                raise SynthError(
                    f"{parameter('self_instruct', wanted)}: {_FRUITLESS_ROUNDS * ROUND} prompts in a row gave no "
                    f"new task; there are {len(made)} "
                    f"({self.counts['too_similar']} were too similar, "
                    f"{self.counts['too_short_or_long']} too short or too long)"
                )

    def _similarity(self, pool: RougePool, text: str) -> float | None:
        """With the pool; None if the task is not kept."""
        if not _FEWEST_WORDS <= len(words(text)) <= _MOST_WORDS:
            self.counts["too_short_or_long"] += 1
            return None
        similarity = pool.nearest(text)
        if similarity > _MOST_SIMILAR:
            self.counts["too_similar"] += 1
            return None
        return similarity

    def _prompt(self, made: list[str], number: int) -> Prompt:
        """The prompt: 8 examples, at most 2 of them generated, in random order."""
        of_made = min(OF_GENERATED, len(made))
        shown = self._drawn(self.seeds, EXAMPLES - of_made, number, 0)
        shown += self._drawn(made, of_made, number, 1)
        order = np.argsort(self._numbers(number, len(shown), 2), kind="stable")
        lines = [f"{at}. {' '.join(shown[i].split())}" for at, i in enumerate(order, 1)]
        wording = SELF_INSTRUCT_PLAIN if self.plain else SELF_INSTRUCT
        text = wording.format(examples="\n".join(lines), count=NEW_TASKS, first=EXAMPLES + 1)
        return Prompt(b"", text) if self.plain else conversation(text, self.system)

    def _numbers(self, number: int, count: int, lane: int) -> np.ndarray:
        return uniforms(self.seed, number, lane, np.arange(count), _LANE)

    def _drawn(self, texts: list[str], count: int, number: int, lane: int) -> list[str]:
        order = np.argsort(self._numbers(number, len(texts), lane), kind="stable")
        return [texts[i] for i in order[:count]]

    def _read(self, answer: Answer) -> list[str]:
        """The tasks of an answer, without a truncated last one."""
        text = f"{EXAMPLES + 1}.{answer.text}" if self.plain else answer.text
        numbered: list[Any] = _NUMBERED.findall(text)
        if self.plain and not answer.text[:1].isspace():
            numbered = _NUMBERED.findall(f"{EXAMPLES + 1}. {answer.text}")
        least = EXAMPLES if self.plain else -1
        tasks = [task.rstrip() for number, task in numbered if int(number) > least]
        if answer.finish_reason == "length" and tasks and text.rstrip().endswith(tasks[-1]):
            tasks.pop()
        return tasks


def seeds_of(items: Iterable[PromptedRecords]) -> list[str]:
    """The tasks of records, in an order that depends only on them."""
    pairs = [
        (int(key), prompt.messages[-1]["content"] if prompt.messages else prompt.identity)
        for item in items
        for key, prompt in zip(item.keys, item.prompts, strict=True)
    ]
    return [text for _, text in sorted(pairs)]


def records_of(tasks: Iterable[GeneratedTask], fields: AnswerFields, field: str) -> Iterator[Batch]:
    """New records of tasks with the fields of their answers. ``field``: of the task."""
    start = 0
    left = iter(tasks)
    while some := list(islice(left, _TASKS_A_BATCH)):
        objects = [
            {ID_FIELD: f"self-instruct-{fields.seed}-{start + i}", field: task.text}
            for i, task in enumerate(some)
        ]
        places = np.arange(start, start + len(some), dtype=np.int64)
        start += len(some)
        lines = [json_bytes(one) for one in objects]
        batch = JsonBatch("<self-instruct>", places + 1, places, lines=lines, parsed=objects)
        columns = fields.columns([task.answer for task in some])
        del columns[fields.response]
        columns["rouge_l"] = Column("float", [task.similarity for task in some])
        yield batch.adding(columns)
