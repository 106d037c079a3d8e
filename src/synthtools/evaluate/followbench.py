"""FollowBench (arXiv 2310.20410): how many of the added constraints an answer keeps.

Instructions come in groups: level 0 and five levels, each adding one constraint to the one before.
With s_ij = 1 if the answer to instruction i keeps constraint j of its n,

    HSR = mean_i Π_j s_ij        SSR = mean_i (1/n) Σ_j s_ij        CSL = mean over groups of the
                                                                    levels kept in a row from level 1

per level, and as means over levels [ours]. If the authors have a rule, it decides about all constraints at
once; otherwise a judge does, which sees the instruction of each level.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from synthtools.evaluate import answers, followbench_rules, judge_prompts
from synthtools.evaluate.answer_suite import (
    ItemSamples,
    SuiteData,
    evaluated,
    followbench_line,
    verdicts_on,
    write_author_file,
)
from synthtools.evaluate.estimates import Ratios
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator
from synthtools.evaluate.judge import Question, Verdict, verdict_fields, yes_no

LEVELS = (1, 2, 3, 4, 5)
TYPES = ("content", "situation", "style", "format", "example", "mixed")
PROMPTS = (judge_prompts.CONSTRAINTS,)


def fault(record: dict[str, Any]) -> str | None:
    """Why a record cannot be an instruction."""
    kinds = {"constraint_type": str, "prompt": str, "example_id": int, "level": int}
    for name, kind in kinds.items():
        if type(record.get(name)) is not kind:
            return f'field "{name}" must be of type {kind.__name__}'
    if record["constraint_type"] not in TYPES:
        return f"unknown type of constraint {record['constraint_type']!r}"
    if not 0 <= record["level"] <= LEVELS[-1]:
        return f"level {record['level']}: from 0 to 5"
    return None


DATA = SuiteData("followbench", ("followbench_en", "followbench"), ("all", "test"), fault)
files, items = DATA.files, DATA.items


class Instruction(NamedTuple):
    """An instruction with constraints.

    Attributes:
        kind, example: type of the constraints and number of the example; they identify the group.
        path: the instructions from level 0 to this one.
    """

    id: str
    kind: str
    example: int
    origin: str
    level: int
    target: str
    path: tuple[str, ...]

    @property
    def has_rule(self) -> bool:
        return followbench_rules.has_rule(self.kind, self.origin, self.example)

    def rule_verdict(self, answer: str) -> list[bool]:
        """The same verdict for each constraint, as a rule decides about all at once."""
        known = self.kind, self.origin, self.example, self.level, self.target
        return [followbench_rules.kept(*known, answer)] * self.level

    def question(self, model: str, answer: str) -> Question:
        steps = []
        for number, words in enumerate(self.path):
            name = "No added constraint" if not number else f"Added constraints: {number}"
            steps.append(f"{name}\n{words}")
        return Question(
            f"followbench\0{model}\0{self.id}",
            judge_prompts.CONSTRAINTS,
            {"steps": "\n\n".join(steps), "answer": answer, "count": str(self.level)},
            yes_no(self.level),
        )


def instructions(evaluator: Evaluator) -> list[Instruction]:
    """The instructions of levels 1 to 5, up to the limit."""
    groups: dict[tuple[str, int], dict[int, str]] = defaultdict(dict)
    records = list(DATA.records(evaluator, limited=False))
    for record in records:
        group = groups[record["constraint_type"], record["example_id"]]
        group[record["level"]] = record["prompt"]
    made = []
    for record in records:
        kind, example, level = record["constraint_type"], record["example_id"], record["level"]
        if level:
            path = tuple(groups[kind, example].get(number, "") for number in range(level + 1))
            origin, target = str(record.get("origin") or ""), str(record.get("target") or "")
            made.append(Instruction(str(record["id"]), kind, example, origin, level, target, path))
    return made[evaluator.share(len(made))]


def run(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """Judges the answers.

    Returns:
        The section: HSR and SSR by level and over levels, CSL; ``models``, each with HSR and SSR by
        type and level (``types``); ``judge``: its account; ``dropped``: instructions left out for
        all models because one of them has no answer or no readable verdict.
    """
    asked = instructions(evaluator)
    items = [answers.Item(one.id, (one.path[-1],)) for one in asked]
    models = answers.of_models(evaluator, name, items)
    _write_author_files(evaluator.options, asked, models)
    judge = evaluator.answer_judge() if any(not one.has_rule for one in asked) else None

    def samples_of(model: answers.ModelAnswers) -> list[ItemSamples]:
        def questions(place: int, turns: tuple[str, ...]) -> list[Question]:
            one = asked[place]
            return [] if one.has_rule else [one.question(model.model, turns[0])]

        verdicts = verdicts_on(judge, model, questions) if judge else [()] * len(asked)
        each = zip(asked, model.turns, verdicts, strict=True)
        return [[_sample(model.model, *parts)] for parts in each]

    def estimate(model: answers.ModelAnswers, samples: dict[int, ItemSamples]) -> dict[str, Any]:
        kept = {}
        for place, (row,) in samples.items():
            one = asked[place]
            kept[(one.kind, one.example), one.level] = row["kept"]
        return model.account() | _estimates(kept, evaluator.options, name)

    per_item = {"hsr": "hard", "ssr": "soft"}
    return evaluated(name, evaluator, models, samples_of, estimate, per_item) | {
        "by_rule": sum(one.has_rule for one in asked),
        "judge": judge.account() if judge else None,
    }


def _sample(
    model: str, instruction: Instruction, turns: tuple[str, ...] | None, verdicts: Sequence[Verdict]
) -> dict[str, Any]:
    """``kept``: which constraints are kept, None if unknown."""
    kept = verdicts[0].value if verdicts else None
    if instruction.has_rule and turns is not None:
        kept = instruction.rule_verdict(turns[0])
    row = {
        "id": instruction.id,
        "model": model,
        "type": instruction.kind,
        "level": instruction.level,
        "dropped": kept is None,
        "kept": kept,
        "hard": None if kept is None else int(all(kept)),
        "soft": None if kept is None else sum(kept) / len(kept),
        "response": turns[0] if turns else None,
        "by": "rule" if instruction.has_rule else "judge",
    }
    return row | (verdict_fields(verdicts[0]) if verdicts else {})


def _estimates(
    kept: dict[tuple[tuple[str, int], int], list[bool]], options: EvaluationOptions, name: str
) -> dict[str, Any]:
    """A model's figures, intervals and table of types. ``kept``: which constraints are kept, by group and
    level."""
    ratios, by_type = Ratios(), Ratios()
    groups: dict[tuple[str, int], dict[int, bool]] = defaultdict(dict)
    for (group, level), flags in kept.items():
        groups[group][level] = all(flags)
        for rate, value in (("hsr", float(all(flags))), ("ssr", sum(flags) / len(flags))):
            ratios.add(f"{rate}_level_{level}", group, value)
            by_type.add(f"{rate} {group[0]} {level}", group, value)
    for group, levels in groups.items():
        row = [levels.get(level) for level in LEVELS]
        if None not in row:  # otherwise the number of levels kept in a row is unknown
            count = (*row, False).index(False)
            ratios.add("csl", group, count)
            by_type.add(f"csl {group[0]}", group, count)
    rates = ("hsr", "ssr")
    by_level = [f"{rate}_level_{level}" for rate in rates for level in LEVELS]
    present = sorted({level for _, level in kept})
    means = {rate: [f"{rate}_level_{n}" for n in present] for rate in rates if present}
    estimate = ratios.estimate([*by_level, "csl"], options, name, means)
    names = [f"{rate} {kind} {level}" for rate in rates for kind in TYPES for level in LEVELS]
    table = by_type.values([*names, *(f"csl {kind}" for kind in TYPES)])
    types = [
        {
            "type": kind,
            **{rate: [table[f"{rate} {kind} {level}"] for level in LEVELS] for rate in rates},
            "csl": table[f"csl {kind}"],
        }
        for kind in TYPES
        if any(group[0] == kind for group in groups)
    ]
    figures = {key: estimate["figures"].get(key) for key in (*rates, "csl", *by_level)}
    return {"figures": figures, "intervals": estimate["intervals"], "types": types}


def _write_author_files(
    options: EvaluationOptions, asked: Sequence[Instruction], models: Sequence[answers.ModelAnswers]
) -> None:
    """The answers in the format of the authors' scripts, a file per model and type."""
    for model in models if options.author_files else ():
        kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for one, turns in zip(asked, model.turns, strict=True):
            if turns is not None:
                kinds[one.kind].append(followbench_line(turns[0], one.path[-1]))
        for kind, rows in kinds.items():
            name = f"api_output\n{model.model}_{kind}_constraint.jsonl"
            write_author_file(options, name, rows)
