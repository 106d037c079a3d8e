"""Several judges of the same answers, each of which is asked everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from synthtools.evaluate import agreement
from synthtools.evaluate.judge import Judge, Question, Verdict


@dataclass
class Panel:
    """Several judges as one: each is asked all questions, and a verdict is the mean of theirs.

    Where one of them gives none, there is none: the panel is the same for all answers.
    """

    judges: Sequence[Judge]
    _scores: dict[str, dict[tuple[str, int], float]] = field(default_factory=dict)

    def ask(self, questions: Sequence[Question]) -> list[Verdict]:
        """Verdicts in the order of the questions."""
        by_judge = [judge.ask(questions) for judge in self.judges]
        return [
            self._together(question, votes)
            for question, votes in zip(questions, zip(*by_judge, strict=True), strict=True)
        ]

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
        """The panel's part of the report: each judge's account, means and agreement (see
        ``agreement.panel``; of a choice 1 is A and 0 is B, of a constraint 1 is kept)."""
        _, panel = agreement.panel(self._scores)
        accounts = [judge.account() for judge in self.judges]
        return {"model": self.name, "panel": panel if self._scores else None, "judges": accounts}
