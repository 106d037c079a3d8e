"""FollowBench (arXiv 2310.20410): how many added constraints does an answer keep?

Instructions come in groups: level 0, and five levels each of which adds one constraint to the one before.
With s_ij = 1 where the answer to instruction i keeps constraint j of its n,

    HSR = mean_i Π_j s_ij        SSR = mean_i (1/n) Σ_j s_ij        CSL = mean over groups of the
                                                                    levels kept in a row from level 1

per level, and as means over levels [ours]. Where the authors have a rule it decides for all constraints at
once; else a judge that is shown how the instruction grew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from synthtools.evaluate import answers, author_files, followbench_rules, judge_prompts
from synthtools.evaluate.answer_suite import ItemSamples, SuiteData, evaluated, verdicts_on
from synthtools.evaluate.estimates import Ratios
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator
from synthtools.evaluate.judge import Judge, Question, verdict_fields, yes_no

LEVELS = (1, 2, 3, 4, 5)
TYPES = ("content", "situation", "style", "format", "example", "mixed")
PROMPTS = (judge_prompts.CONSTRAINTS,)
DATA = SuiteData("followbench", ("followbench_en", "followbench"), ("all", "test"))
files = DATA.files


class Instruction(NamedTuple):
    """An instruction with constraints.

    Attributes:
        group: type and number of the example; path: the instructions from level 0 to this one.
    """

    id: str
    kind: str
    example: int
    origin: str
    level: int
    target: str
    path: tuple[str, ...]

    @property
    def group(self) -> tuple[str, int]:
        return self.kind, self.example

    @property
    def ruled(self) -> bool:
        """A rule decides."""
        return followbench_rules.has_rule(self.kind, self.origin, self.example)


def items(name: str, options: EvaluationOptions) -> dict[str, Any]:
    """Its prompts, see ``suites.items``."""
    return {DATA.file(options): wrong}


def wrong(record: dict[str, Any]) -> str | None:
    """What is wrong with a record of an instruction; None if nothing."""
    kinds = {"constraint_type": str, "prompt": str, "example_id": int, "level": int}
    for name, kind in kinds.items():
        if type(record.get(name)) is not kind:
            return f'field "{name}" must be of type {kind.__name__}'
    if record["constraint_type"] not in TYPES:
        return f"unknown type of constraint {record['constraint_type']!r}"
    if not 0 <= record["level"] <= LEVELS[-1]:
        return f"level {record['level']}: from 0 to 5"
    return None


def instructions(evaluator: Evaluator) -> list[Instruction]:
    """The instructions of levels 1 to 5; the limit counts them."""
    paths: dict[tuple[str, int], dict[int, str]] = defaultdict(dict)
    records = list(evaluator.records(DATA.file(evaluator.options), wrong, limited=False))
    for record in records:
        group = record["constraint_type"], record["example_id"]
        paths[group][record["level"]] = record["prompt"]
    found = []
    for record in records:
        kind, example, level = record["constraint_type"], record["example_id"], record["level"]
        path = paths[kind, example]
        if level:
            steps = tuple(path.get(number, "") for number in range(level + 1))
            origin, target = str(record.get("origin") or ""), str(record.get("target") or "")
            found.append(
                Instruction(str(record["id"]), kind, example, origin, level, target, steps)
            )
    return found[: evaluator.options.limit]


def _question(model: str, instruction: Instruction, answer: str) -> Question:
    steps = []
    for number, words in enumerate(instruction.path):
        name = "No added constraint" if not number else f"Added constraints: {number}"
        steps.append(f"{name}\n{words}")
    return Question(
        f"followbench\0{model}\0{instruction.id}",
        judge_prompts.CONSTRAINTS,
        {"steps": "\n\n".join(steps), "answer": answer, "count": str(instruction.level)},
        yes_no(instruction.level),
    )


def run(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """Judges the answers.

    Returns:
        The section: HSR and SSR by level and over levels, CSL; ``models``, each with HSR and SSR by
        type and level (``types``); ``judge``, its account; ``dropped``, instructions left out for
        all models because one of them has no answer or no readable verdict.
    """
    asked = instructions(evaluator)
    items = [answers.Item(one.id, (one.path[-1],)) for one in asked]
    found = answers.answered(evaluator, name, items)
    _write(evaluator, asked, found)
    judge = evaluator.answer_judge() if any(not one.ruled for one in asked) else None

    def estimate(_: answers.ModelAnswers, samples: dict[int, ItemSamples]) -> dict[str, Any]:
        kept = {(asked[i].group, asked[i].level): row["kept"] for i, (row,) in samples.items()}
        return _estimates(kept, evaluator.options, name)

    def samples_of(one: answers.ModelAnswers) -> list[ItemSamples]:
        return _judged(judge, one, asked)

    per_item = {"hsr": "hard", "ssr": "soft"}
    return evaluated(name, evaluator, found, samples_of, estimate, per_item) | {
        "by_rule": sum(one.ruled for one in asked),
        "judge": judge.account() if judge else None,
    }


def _judged(
    judge: Judge | None, one: answers.ModelAnswers, asked: Sequence[Instruction]
) -> list[ItemSamples]:
    """The sample of each instruction: ``kept``, which constraints are kept (a rule decides for all), None
    where it is not known."""

    def questions(place: int, turns: tuple[str, ...]) -> list[Question]:
        instruction = asked[place]
        return [] if instruction.ruled else [_question(one.model, instruction, turns[0])]

    verdicts = verdicts_on(judge, one, questions) if judge else [()] * len(asked)
    samples = []
    for instruction, turns, given in zip(asked, one.turns, verdicts, strict=True):
        kept = given[0].value if given else None
        if instruction.ruled and turns is not None:
            _, kind, example, origin, level, target, _ = instruction
            rule = followbench_rules.kept(kind, origin, example, level, target, turns[0])
            kept = [rule] * level
        row = {
            "id": instruction.id,
            "model": one.model,
            "type": instruction.kind,
            "level": instruction.level,
            "dropped": kept is None,
            "kept": kept,
            "hard": None if kept is None else int(all(kept)),
            "soft": None if kept is None else sum(kept) / len(kept),
            "response": turns[0] if turns else None,
            "by": "rule" if instruction.ruled else "judge",
        }
        samples.append([row | (verdict_fields(given[0]) if given else {})])
    return samples


def _estimates(
    kept: dict[tuple[tuple[str, int], int], list[bool]], options: EvaluationOptions, name: str
) -> dict[str, Any]:
    ratios = Ratios()
    cells = Ratios()
    groups: dict[tuple[str, int], dict[int, bool]] = defaultdict(dict)
    for (group, level), flags in kept.items():
        groups[group][level] = all(flags)
        for kind, value in (("hsr", float(all(flags))), ("ssr", sum(flags) / len(flags))):
            ratios.add(f"{kind}_level_{level}", group, value)
            cells.add(f"{kind} {group[0]} {level}", group, value)
    for group, levels in groups.items():
        row = [levels.get(level) for level in LEVELS]
        if None not in row:  # else it is not known how far it goes
            count = (*row, False).index(False)
            ratios.add("csl", group, count)
            cells.add(f"csl {group[0]}", group, count)
    by_level = [f"{kind}_level_{level}" for kind in ("hsr", "ssr") for level in LEVELS]
    held = {level for _, level in kept}
    means = {
        kind: [f"{kind}_level_{level}" for level in LEVELS if level in held]
        for kind in (("hsr", "ssr") if held else ())
    }
    estimate = ratios.estimate([*by_level, "csl"], options, name, means)
    order = ["hsr", "ssr", "csl", *by_level]
    names = [f"{kind} {t} {n}" for kind in ("hsr", "ssr") for t in TYPES for n in LEVELS]
    table = cells.values([*names, *(f"csl {t}" for t in TYPES)])
    types = [
        {
            "type": kind,
            "hsr": [table[f"hsr {kind} {level}"] for level in LEVELS],
            "ssr": [table[f"ssr {kind} {level}"] for level in LEVELS],
            "csl": table[f"csl {kind}"],
        }
        for kind in TYPES
        if any(group[0] == kind for group in groups)
    ]
    figures = {key: estimate["figures"].get(key) for key in order}
    return {"figures": figures, "intervals": estimate["intervals"], "types": types}


def _write(
    evaluator: Evaluator, asked: Sequence[Instruction], found: Sequence[answers.ModelAnswers]
) -> None:
    """The answers as the authors' scripts read them, a file a model and type."""
    directory = evaluator.options.author_files
    if directory is None:
        return
    for one in found:
        kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for instruction, turns in zip(asked, one.turns, strict=True):
            if turns is not None:
                line = author_files.followbench(turns[0], instruction.path[-1])
                kinds[instruction.kind].append(line)
        for kind, rows in kinds.items():
            name = f"api_output\n{one.model}_{kind}_constraint.jsonl"
            author_files.write(directory, name, rows, evaluator.options.force)
