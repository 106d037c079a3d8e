"""Models asked many questions, with an account of what came back."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from synthtools.errors import SynthError

if TYPE_CHECKING:
    from synthtools.lm.generation import Answer, Generator, Prompt


@dataclass
class FailureCounts:
    """Why things failed, counted: reasons that differ in numbers alone are one, in the words of the first."""

    _kinds: dict[str, tuple[str, int]] = field(default_factory=dict)

    def add(self, reason: str) -> None:
        """Counts a reason."""
        kind = re.sub(r"\d[\d,.]*", "#", reason)
        first, count = self._kinds.get(kind, (reason, 0))
        self._kinds[kind] = first, count + 1

    def total(self) -> int:
        """How many there were."""
        return sum(count for _, count in self._kinds.values())

    def table(self) -> dict[str, int]:
        """Reasons and counts, the most frequent first."""
        return dict(sorted(self._kinds.values(), key=lambda pair: -pair[1]))


def ask(
    generator: Generator, prompts: Sequence[Prompt], on_failure: Callable[[str], None]
) -> list[Answer]:
    """Answers in the order of the prompts; one that did not come has an ``error``.

    If the engine goes away, the answers so far are kept and the rest have its reason.

    Args:
        on_failure: called with the reason why the engine is gone.
    """
    from synthtools.lm.generation import failed

    found: dict[int, Answer] = {}
    try:
        answers = generator.generate(prompts, lambda place, answer: found.update({place: answer}))
        for place, answer in enumerate(answers):
            found[place] = answer
    except SynthError as error:
        on_failure(f"{generator.name}: {error}")
        gone = failed(str(error))
        return [found.get(place, gone) for place in range(len(prompts))]
    return [found[place] for place in range(len(prompts))]
