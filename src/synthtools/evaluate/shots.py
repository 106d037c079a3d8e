"""Examples before a question: from their own split, else other items, and never the question itself."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from synthtools.errors import SynthError, UsageError, parameter
from synthtools.evaluate import tasks


def split_of(task: tasks.BenchmarkTask, data: str) -> str | None:
    """The file of a task's examples, its train or dev split by name; None where the data hold no more
    than its items."""
    items = tasks.files_of(task, data)
    for names in (task.shots_data, task.data or (task.name,)):
        try:
            path = tasks.find_data(data, names, task.shots_split, task.name) if names else items
        except SynthError:
            continue
        if not os.path.samefile(path, items):
            return path
    return None


class _Example(NamedTuple):
    """An example: identity and group of its question (see ``Shots``), and question with answer."""

    identity: Any
    group: Any
    words: str


class Shots:
    """The examples of a task: the first that share the field ``by`` with a question. A record with the
    question's text and choices is left out; where the examples are other items, so is one of its group.
    """

    def __init__(
        self,
        task: tasks.BenchmarkTask,
        records: Iterable[dict[str, Any]],
        other_items: bool = False,
    ) -> None:
        self._fewer = 0
        self._task = task
        self._other_items = other_items
        self._held: dict[Any, list[_Example]] = {}
        for record in records:
            held = self._held.setdefault(self._key(record), [])
            if not self._enough(held):
                held.append(_Example(*self._identity(record), tasks.solved(task, record)))
            elif task.by is None:
                break

    def before(self, record: dict[str, Any]) -> str:
        """The text before a record's question.

        Raises:
            UsageError: there are not as many examples.
        """
        task, held = self._task, self._held.get(self._key(record), [])
        others = len(held) - self._other_items
        if others < task.shots:
            of = f" of {task.by} {self._key(record)!r}" if task.by else ""
            raise UsageError(
                f"suite {task.name}: only {max(0, others)} examples{of}, of {task.shots}: lower {parameter('shots')}"
            )
        identity, group = self._identity(record)
        words = [
            one.words
            for one in held
            if one.identity != identity and (group is None or one.group != group)
        ][: task.shots]
        self._fewer += len(words) < task.shots
        parts = [tasks.described(task, record), *words]
        return "".join(part + "\n\n" for part in parts if part)

    def account(self) -> dict[str, Any]:
        """Their part of the report: ``shots``; ``shots_from``, split, other items or None;
        ``fewer_shots``, questions with fewer, as the others would be the question or of its group."""
        source = "other items" if self._other_items else "split"
        return {
            "shots": self._task.shots,
            "shots_from": source if self._task.shots else None,
            "fewer_shots": self._fewer,
        }

    def _key(self, record: dict[str, Any]) -> Any:
        return record.get(self._task.by) if self._task.by else None

    def _identity(self, record: dict[str, Any]) -> tuple[Any, Any]:
        choices = record.get("choices")
        question = tasks.filled(self._task, {**record, "choices": None, "options": ""})
        group = record.get(self._task.group) if self._other_items else None
        return (_plain(question), _plain(choices)), _plain(group)

    def _enough(self, held: list[_Example]) -> bool:
        """Whether enough are left for any question, whichever examples it excludes."""
        if len(held) <= self._task.shots:
            return False
        most = Counter(one.identity for one in held).most_common(1)[0][1]
        groups = Counter(one.group for one in held if one.group is not None)
        most += max(groups.values(), default=0)
        return len(held) - most >= self._task.shots


def _plain(value: Any) -> Any:
    """Equal for texts that differ in case and blanks alone, and for lists in another order."""
    if value is None:
        return None
    if isinstance(value, list):
        return tuple(sorted(map(_plain, value)))
    return " ".join(str(value).split()).casefold()
