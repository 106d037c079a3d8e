"""Preferences of other judges (AlpacaEval's annotations), by family of models, and agreement with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from synthtools.errors import SynthError
from synthtools.evaluate.calibration import draw_of
from synthtools.evaluate.evaluator import Evaluator
from synthtools.measure.bootstrap import intervals

_FIELDS = ("judge", "prompt_id", "model", "reference", "preference")


def wrong(record: dict[str, Any]) -> str | None:
    """What is wrong with a record of a judgment; None if nothing."""
    for name in _FIELDS:
        if name not in record:
            return f'no field "{name}" (fields: {", ".join(record)})'
    value = record["preference"]
    if type(value) not in (int, float) or not (value == 0 or 1 <= value <= 2):
        return 'field "preference" must be a number from 1 (the reference) to 2 (the model), or 0 (a draw)'
    return None


@dataclass
class Pairs:
    """A judge's preferences.

    Attributes:
        ids: number of the item that each pair is about.
        first, second: numbers of the models shown as A and as B.
        share: float64, p_A/(p_A + p_B); mass: p_A + p_B.
        models, items: names by number.
        empty: pairs without any probability on A or B, left out.
    """

    judge: str
    ids: list[int] = field(default_factory=list)
    first: list[int] = field(default_factory=list)
    second: list[int] = field(default_factory=list)
    share: list[float] = field(default_factory=list)
    mass: list[float] = field(default_factory=list)
    models: dict[str, int] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)
    empty: int = 0

    def add(self, record: dict[str, Any]) -> None:
        """Takes a record of ``id``, ``a``, ``b``, ``p_a``, ``p_b``."""
        mass = record["p_a"] + record["p_b"]
        if not mass > 0:
            self.empty += 1
            return
        for names, key, held in (
            (self.items, str(record["id"]), self.ids),
            (self.models, record["a"], self.first),
            (self.models, record["b"], self.second),
        ):
            held.append(names.setdefault(key, len(names)))
        self.share.append(record["p_a"] / mass)
        self.mass.append(mass)


@dataclass
class Judgments:
    """Preferences of judges, each of a model against a reference.

    Attributes:
        keys: (judge, prompt, model, reference); family: of the model.
        share: 0 where the reference is preferred, 1 where the model is.
    """

    keys: list[tuple[str, str, str, str]] = field(default_factory=list)
    family: list[str] = field(default_factory=list)
    share: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.keys)

    def tables(self, resamples: int, seed: int) -> dict[str, Any]:
        """By judge: its preference for each family (mean share, with an interval over prompts) and
        for each model, and what each two judges have in common."""
        judges = sorted({key[0] for key in self.keys})
        rows = {judge: self._of_judge(judge, resamples, seed) for judge in judges}
        between = [
            self._between(one, other) for i, one in enumerate(judges) for other in judges[i + 1 :]
        ]
        return {"judges": [{"judge": judge, **rows[judge]} for judge in judges], "between": between}

    def _of_judge(self, judge: str, resamples: int, seed: int) -> dict[str, Any]:
        which = [i for i, key in enumerate(self.keys) if key[0] == judge]
        share = np.array([self.share[i] for i in which])
        prompts, items = np.unique([self.keys[i][1] for i in which], return_inverse=True)
        families = {}
        for family in sorted({self.family[i] for i in which}):
            mine = np.array([self.family[i] == family for i in which])
            n = np.bincount(items[mine], minlength=len(prompts)).astype(float)
            sums = np.bincount(items[mine], share[mine], len(prompts))
            mean = float(sums.sum() / n.sum())
            draw = draw_of(seed, f"judgments {judge} {family}")
            table = []
            for _ in range(resamples):
                drawn = draw.integers(0, len(prompts), len(prompts))
                table.append([sums[drawn].sum() / max(1.0, n[drawn].sum())])
            ends = intervals(["share"], np.array(table), np.array([mean])) if table else {}
            families[family] = {
                "models": len({self.keys[i][2] for i, own in zip(which, mine, strict=True) if own}),
                "n": int(mine.sum()),
                "share": mean,
                "interval": ends.get("share"),
                "against_others": mean - float(share[~mine].mean()) if not mine.all() else None,
            }
        return {
            "references": sorted({self.keys[i][3] for i in which}),
            "n": len(which),
            "share": float(share.mean()),
            "families": families,
        }

    def _between(self, one: str, other: str) -> dict[str, Any]:
        """On (prompt, model) that both judged: where references differ, agreement is about a model
        beating either, not about one and the same pair."""
        left = {
            k[1:3]: (s, k[3]) for k, s in zip(self.keys, self.share, strict=True) if k[0] == one
        }
        right = {
            k[1:3]: (s, k[3]) for k, s in zip(self.keys, self.share, strict=True) if k[0] == other
        }
        common = sorted(left.keys() & right.keys())
        pairs = [(left[key][0], right[key][0]) for key in common]
        same = all(left[key][1] == right[key][1] for key in common)
        return {"left": one, "right": other, "same_reference": same, **_agreement(pairs)}

    def agreement(self, pairs: Pairs) -> dict[str, Any]:
        """How far a judge's pairs agree with these judgments, by judge and family of the model.

        A pair counts where its item is the judgment's prompt and its models are the judgment's model
        and reference; both orders are averaged.
        """
        names = list(pairs.models)
        items = list(pairs.items)
        seen: dict[tuple[str, str, str], list[float]] = {}
        rows = zip(pairs.ids, pairs.first, pairs.second, pairs.share, strict=True)
        for item, a, b, share in rows:
            seen.setdefault((items[item], names[a], names[b]), []).append(share)
            seen.setdefault((items[item], names[b], names[a]), []).append(1 - share)
        groups: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for (judge, prompt, model, reference), family, share in zip(
            self.keys, self.family, self.share, strict=True
        ):
            found = seen.get((prompt, model, reference))
            if found:
                pair = (sum(found) / len(found), share)
                groups.setdefault((judge, "all"), []).append(pair)
                groups.setdefault((judge, family), []).append(pair)
        return {
            "judge": pairs.judge,
            "with": [
                {"judge": judge, "family": family, **_agreement(found)}
                for (judge, family), found in sorted(groups.items())
            ],
        }


def _agreement(pairs: list[tuple[float, float]]) -> dict[str, Any]:
    """``n`` with a preference on both sides, ``agreement`` (share of one winner), Cohen's ``kappa``;
    ``ties``, left out."""
    decided = [(a > 0.5, b > 0.5) for a, b in pairs if a != 0.5 and b != 0.5]
    found = {"n": len(decided), "ties": len(pairs) - len(decided), "agreement": None, "kappa": None}
    if not decided:
        return found
    left, right = np.array(decided, np.int64).T
    n, a, b = len(decided), int(left.sum()), int(right.sum())
    same = int((left == right).sum())
    # In whole numbers: agreement at chance is then exactly 0.
    chance = a * b + (n - a) * (n - b)
    kappa = (same * n - chance) / (n * n - chance) if chance < n * n else None
    return found | {"agreement": same / n, "kappa": kappa}


def judgments(evaluator: Evaluator, path: str) -> Judgments:
    """Reads judgments: the fields ``judge``, ``prompt_id``, ``model``, ``reference``, ``preference``
    (1: the reference, 2: the model, 0: a draw), and perhaps ``model_family``.

    Raises:
        SynthError: there are none.
    """
    found = Judgments()
    for record in evaluator.records(path, wrong, limited=False):
        judge, prompt, model, reference = (str(record[name]) for name in _FIELDS[:4])
        found.keys.append((judge, prompt, model, reference))
        found.family.append(str(record.get("model_family") or record["model"]))
        value = record["preference"]
        found.share.append(0.5 if value == 0 else value - 1)
    if not found:
        raise SynthError(f"{path}: no judgments in it")
    return found
