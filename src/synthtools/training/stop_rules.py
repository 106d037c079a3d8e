"""Rules that end a run before its last step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from synthtools.training.plan import Step


class StopRule(NamedTuple):
    """Ends the run when a number in the log has reached a limit."""

    part: str
    limit: float


class StopRules:
    """Called after each step; compares means over the last steps, as one batch is noisy [ours].

    Attributes:
        reason: what ended the run; None before.
    """

    WINDOW = 10

    def __init__(self, rules: Sequence[StopRule]) -> None:
        self._rules = rules
        self._seen: dict[str, list[float]] = {rule.part: [] for rule in rules}
        self.reason: str | None = None

    def begin(self, lines: Sequence[dict[str, Any]]) -> None:
        """Continues from the log of an earlier process."""
        for line in lines:
            self._note(line)

    def __call__(self, step: Step) -> bool:
        self._note(step.parts)
        for rule in self._rules:
            seen = self._seen[rule.part]
            if len(seen) < self.WINDOW:
                continue
            mean = sum(seen) / len(seen)
            if mean >= rule.limit:
                self.reason = (
                    f"{rule.part} reached {mean:.4g} (limit {rule.limit:.4g}, mean of "
                    f"{self.WINDOW} steps) at step {step.step:,}"
                )
                return True
        return False

    def _note(self, parts: dict[str, Any]) -> None:
        for name, seen in self._seen.items():
            if parts.get(name) is not None:
                seen.append(float(parts[name]))
                del seen[: -self.WINDOW]
