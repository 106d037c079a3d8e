"""Preferences of other judges (AlpacaEval's annotations) by model family, and agreement with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from synthtools.errors import SynthError
from synthtools.evaluate.estimates import draw_of
from synthtools.evaluate.evaluator import Evaluator
from synthtools.measure.bootstrap import intervals

_FIELDS = ("judge", "prompt_id", "model", "reference", "preference")
# Their names in AlpacaEval's annotations.
_ANNOTATION = ("annotator", "instruction", "generator_2", "generator_1", "preference")


def as_judgment(record: dict[str, Any]) -> dict[str, Any]:
    """An annotation of AlpacaEval as a judgment; others as they are."""
    if "generator_2" not in record:
        return record
    return {own: record.get(name) for own, name in zip(_FIELDS, _ANNOTATION, strict=True)}


def fault(record: dict[str, Any]) -> str | None:
    """Why a record cannot be a judgment."""
    record = as_judgment(record)
    for name in _FIELDS:
        if name not in record:
            return f'no field "{name}" (fields: {", ".join(record)})'
    return preference_fault(record["preference"])


def preference_fault(value: Any) -> str | None:
    """Why a value is not on AlpacaEval's scale."""
    if type(value) not in (int, float) or not (value == 0 or 1 <= value <= 2):
        return 'field "preference" must be a number from 1 (the reference) to 2 (the model), or 0 (a draw)'
    return None


def share_of(preference: float) -> float:
    """A preference on AlpacaEval's scale as a share: 0 the reference's, 1 the model's, ½ a draw."""
    return 0.5 if preference == 0 else preference - 1


def fastchat_judge(record: dict[str, Any]) -> str:
    """The judge of one of FastChat's judgments: [name, prompt], or a name."""
    judge = record.get("judge")
    return str(judge[0] if isinstance(judge, list) and judge else judge)


class Pair(NamedTuple):
    """A judge's preference between the texts of two models about an item, shown as A and as B:
    share p_A/(p_A + p_B), mass p_A + p_B."""

    item: str
    first: str
    second: str
    share: float
    mass: float


@dataclass
class Pairs:
    """A judge's preferences; ``empty``: pairs without any probability on A or B, left out."""

    judge: str
    pairs: list[Pair] = field(default_factory=list)
    empty: int = 0

    def add(self, record: dict[str, Any]) -> None:
        """Takes a record of ``id``, ``a``, ``b``, ``p_a``, ``p_b``."""
        mass = record["p_a"] + record["p_b"]
        if mass > 0:
            share = record["p_a"] / mass
            self.pairs.append(Pair(str(record["id"]), record["a"], record["b"], share, mass))
        else:
            self.empty += 1


class Judgment(NamedTuple):
    """A judge's preference between a model (of a family) and a reference; ``share``: 0 where the reference
    is preferred, 1 where the model is."""

    judge: str
    prompt: str
    model: str
    reference: str
    family: str
    share: float


def judgments(evaluator: Evaluator, path: str) -> list[Judgment]:
    """Reads judgments: the fields ``judge``, ``prompt_id``, ``model``, ``reference``, ``preference`` (1: the
    reference, 2: the model, 0: a draw), optionally ``model_family``. Raises SynthError: the file has none."""
    rows = []
    for record in map(as_judgment, evaluator.records(path, fault, limited=False)):
        judge, prompt, model, reference = (str(record[name]) for name in _FIELDS[:4])
        family = str(record.get("model_family") or model)
        share = share_of(record["preference"])
        rows.append(Judgment(judge, prompt, model, reference, family, share))
    if not rows:
        raise SynthError(f"{path}: contains no judgments")
    return rows


def tables(rows: Sequence[Judgment], resamples: int, seed: int) -> dict[str, Any]:
    """Each judge's preference for each family (mean share, with an interval over prompts), and the agreement
    of each pair of judges."""
    judges: dict[str, list[Judgment]] = {name: [] for name in sorted({row.judge for row in rows})}
    for row in rows:
        judges[row.judge].append(row)
    return {
        "judges": [
            {"judge": name, **_of_judge(name, own, resamples, seed)} for name, own in judges.items()
        ],
        "between": [
            {"left": one, "right": other, **_between(judges[one], judges[other])}
            for one, other in combinations(judges, 2)
        ],
    }


def _of_judge(judge: str, rows: Sequence[Judgment], resamples: int, seed: int) -> dict[str, Any]:
    share = np.array([row.share for row in rows])
    prompts, items = np.unique([row.prompt for row in rows], return_inverse=True)
    families = {}
    for family in sorted({row.family for row in rows}):
        mine = np.array([row.family == family for row in rows])
        n = np.bincount(items[mine], minlength=len(prompts)).astype(float)
        sums = np.bincount(items[mine], share[mine], len(prompts))
        mean = float(sums.sum() / n.sum())
        draw, size = draw_of(seed, f"judgments {judge} {family}"), len(prompts)
        picks = (draw.integers(0, size, size) for _ in range(resamples))
        table = [[sums[which].sum() / max(1.0, n[which].sum())] for which in picks]
        families[family] = {
            "models": len({row.model for row in rows if row.family == family}),
            "n": int(mine.sum()),
            "share": mean,
            "interval": intervals(["share"], np.array(table), np.array([mean])).get("share"),
            "against_others": mean - float(share[~mine].mean()) if not mine.all() else None,
        }
    return {
        "references": sorted({row.reference for row in rows}),
        "n": len(rows),
        "share": float(share.mean()),
        "families": families,
    }


def _between(one: Sequence[Judgment], other: Sequence[Judgment]) -> dict[str, Any]:
    """Agreement on each (prompt, model) that both judged. If their references differ, they did not judge the
    same pair of answers (``same_reference``)."""
    left, right = ({(row.prompt, row.model): row for row in rows} for rows in (one, other))
    common = [(left[key], right[key]) for key in sorted(left.keys() & right.keys())]
    same = all(a.reference == b.reference for a, b in common)
    return {"same_reference": same, **_agreement([(a.share, b.share) for a, b in common])}


def with_judgments(own: Pairs, rows: Sequence[Judgment]) -> dict[str, Any]:
    """Agreement of a judge's pairs with judgments, by judge and model family. A pair is compared with a
    judgment of the same prompt (its item), model and reference; both orders are averaged."""
    shares: dict[tuple[str, str, str], list[float]] = {}
    for pair in own.pairs:
        shares.setdefault((pair.item, pair.first, pair.second), []).append(pair.share)
        shares.setdefault((pair.item, pair.second, pair.first), []).append(1 - pair.share)
    groups: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in rows:
        same = shares.get((row.prompt, row.model, row.reference))
        if same:
            both = (sum(same) / len(same), row.share)
            groups.setdefault((row.judge, "all"), []).append(both)
            groups.setdefault((row.judge, row.family), []).append(both)
    return {
        "judge": own.judge,
        "with": [
            {"judge": other, "family": family, **_agreement(both)}
            for (other, family), both in sorted(groups.items())
        ],
    }


def _agreement(pairs: list[tuple[float, float]]) -> dict[str, Any]:
    """``n`` pairs with a preference on both sides, ``agreement`` (share with the same winner), Cohen's
    ``kappa``; ``ties``, left out."""
    decided = [(a > 0.5, b > 0.5) for a, b in pairs if a != 0.5 and b != 0.5]
    n, ties = len(decided), len(pairs) - len(decided)
    if not decided:
        return {"n": 0, "ties": ties, "agreement": None, "kappa": None}
    left, right = np.array(decided, np.int64).T
    a, b = int(left.sum()), int(right.sum())
    same = int((left == right).sum())
    # In integers, so that kappa at chance is exactly 0.
    chance = a * b + (n - a) * (n - b)
    kappa = (same * n - chance) / (n * n - chance) if chance < n * n else None
    return {"n": n, "ties": ties, "agreement": same / n, "kappa": kappa}
