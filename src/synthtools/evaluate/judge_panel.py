"""Several judges of the same answers; each is asked all questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from synthtools.evaluate.judge import Judge, Question, Verdict


@dataclass
class JudgePanel:
    """Several judges as one: each is asked all questions, and a verdict is the mean of theirs. Without one of
    their verdicts there is none, so that the panel is the same for all answers."""

    judges: Sequence[Judge]
    _scores: dict[str, dict[tuple[str, int], float]] = field(default_factory=dict)

    def ask(self, questions: Sequence[Question]) -> list[Verdict]:
        """Verdicts in the order of the questions."""
        by_judge = [judge.ask(questions) for judge in self.judges]
        return list(map(self._together, questions, zip(*by_judge, strict=True)))

    def _together(self, question: Question, votes: tuple[Verdict, ...]) -> Verdict:
        form, rows, problems = question.form, [], []
        for judge, vote in zip(self.judges, votes, strict=True):
            scores = self._scores.setdefault(judge.name, {})
            if vote.value is None:
                problems.append(f"{judge.name}: {vote.problem}")
                continue
            rows.append(form.numbers(vote.value))
            scores |= {(question.key, place): value for place, value in enumerate(rows[-1])}
        means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        return Verdict(
            None if problems else form.of_numbers(means),
            "\n\n".join(f"{j.name}: {v.reply}" for j, v in zip(self.judges, votes, strict=True)),
            max(vote.tries for vote in votes),
            "; ".join(problems) or None,
            votes[0].asked,
            votes[0].prompt,
            votes,
        )

    @property
    def name(self) -> str:
        """The judges' models."""
        return ", ".join(judge.name for judge in self.judges)

    def by_judge(self, verdicts: Sequence[Verdict]) -> dict[str, Sequence[Verdict]]:
        """See ``Judge.by_judge``."""
        names = [judge.name for judge in self.judges]
        votes = zip(*(verdict.votes for verdict in verdicts), strict=True)
        return dict(zip(names, votes, strict=False))

    def account(self) -> dict[str, Any]:
        """The panel's part of the report: each judge's account, means and agreement (see ``panel_of``;
        for a choice, 1 is A and 0 is B; for a constraint, 1 is kept)."""
        _, panel = panel_of(self._scores)
        accounts = [judge.account() for judge in self.judges]
        return {"model": self.name, "panel": panel if self._scores else None, "judges": accounts}


def panel_of(scores: Mapping[str, Mapping[Any, float]]) -> tuple[dict[Any, float], dict[str, Any]]:
    """The mean scores of several judges for the units that all of them judged.

    Args:
        scores: by judge and unit.

    Returns:
        The means by unit; and ``judges`` (n, mean of each), ``n``, ``left_out`` (units that not all of
        them judged), Krippendorff's ``alpha`` of all, and of each pair (``between``).
    """
    units = dict.fromkeys(unit for table in scores.values() for unit in table)
    whole = [unit for unit in units if all(unit in table for table in scores.values())]
    rows = {name: np.array([table[unit] for unit in whole]) for name, table in scores.items()}
    means = np.mean([*rows.values()], axis=0).tolist()
    return dict(zip(whole, means, strict=True)), {
        "judges": [
            {"judge": name, "n": len(table), "mean": float(rows[name].mean()) if whole else None}
            for name, table in scores.items()
        ],
        "n": len(whole),
        "left_out": len(units) - len(whole),
        "alpha": krippendorff(np.transpose([*rows.values()])),
        "between": [
            {"left": a, "right": b, "alpha": krippendorff(np.transpose([rows[a], rows[b]]))}
            for a, b in combinations(rows, 2)
        ],
    }


def krippendorff(units: Iterable[Sequence[float]] | np.ndarray) -> float | None:
    """Krippendorff's α with the interval metric (2011): 1 − observed/expected disagreement.

    Args:
        units: the judges' values for each unit; units with fewer than two are ignored.

    Returns:
        1 if all agree, 0 at chance; None if no unit counts or all values are equal.
    """
    pairable = [np.array(values, np.float64) for values in units if len(values) > 1]
    if not pairable:
        return None
    everything = np.concatenate(pairable)
    # Σ (a − b)² over all pairs of m values is 2 m² times their variance.
    observed = sum(2 * len(v) ** 2 * v.var() / (len(v) - 1) for v in pairable)
    expected = 2 * len(everything) ** 2 * everything.var() / (len(everything) - 1)
    return float(1 - observed / expected) if expected > 0 else None
