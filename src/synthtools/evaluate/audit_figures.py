"""The figures of an audit with intervals, and what they say: forgotten, kept, or hidden.

Intervals are 95 %, by the bias-corrected bootstrap over texts [ours]; members and non-members are drawn apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypedDict

import numpy as np

from synthtools.evaluate.memorised_text import ContinuedTexts, TextLikelihoods
from synthtools.measure.bootstrap import intervals, resampled

ATTACKS = ("loss", "zlib", "min_k", "min_k_plus")
# What came back counts from this share of what was taken away, or this much probability where it is not
# known how much that was [ours].
_BACK = 0.1


@dataclass
class ModelProbes:
    """What was measured of one model; None where it was not.

    Attributes:
        forget, holdout, retain, neutral, paraphrased: likelihoods of these texts (after other prompts).
        answered, continued, reworded: how it goes on after the prompt alone, after the prompt and half
            of the text, after another wording of the prompt; likewise ``…_holdout`` of the holdout.
        rounded: by bits, likelihoods of forget with rounded weights, and its continuations there.
        wrong: mean loss of each text's wrong ones, float64 [texts]; neutral_entropy: of the base.
        relearned: steps until the loss of some of forget was the base's again, None where it never was.
    """

    forget: TextLikelihoods
    holdout: TextLikelihoods
    continued: ContinuedTexts
    continued_holdout: ContinuedTexts
    answered: ContinuedTexts | None = None
    answered_holdout: ContinuedTexts | None = None
    retain: TextLikelihoods | None = None
    neutral: TextLikelihoods | None = None
    neutral_entropy: np.ndarray | None = None
    paraphrased: TextLikelihoods | None = None
    reworded: ContinuedTexts | None = None
    wrong: np.ndarray | None = None
    rounded: dict[int, tuple[TextLikelihoods, ContinuedTexts]] = field(default_factory=dict)
    relearned: int | None = None
    relearn_steps: int | None = None


class AuditedModel(TypedDict):
    """A model's figures, their intervals by name, what they say."""

    name: str
    figures: dict[str, float | None]
    intervals: dict[str, list[float]]
    findings: list[str]


class _Estimates:
    """Figures as functions of how often each text is drawn."""

    def __init__(self, resamples: int, seed: int) -> None:
        self._resamples, self._seed = resamples, seed
        self.figures: dict[str, float | None] = {}
        self.intervals: dict[str, list[float]] = {}

    def add(
        self, name: str, figure: Callable[[Sequence[np.ndarray]], float], sizes: Sequence[int]
    ) -> None:
        value = figure([np.ones(size) for size in sizes])
        self.figures[name] = None if np.isnan(value) else float(value)
        draws = resampled(sizes, self._resamples if min(sizes) > 1 else 0, self._seed)
        table = np.array([[figure(times)] for times in draws]).reshape(-1, 1)
        ends = intervals([name], table, np.array([value])).get(name)
        if ends is not None:
            self.intervals[name] = ends

    def mean(self, name: str, values: np.ndarray) -> None:
        known = values[~np.isnan(values)]
        if len(known):
            self.add(name, lambda t: float(t[0] @ known) / max(1.0, t[0].sum()), [len(known)])

    def difference(self, name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
        """Of the means of two samples of their own."""
        a, b = (values[~np.isnan(values)] for values in (ours, theirs))
        if len(a) and len(b):
            self.add(
                name, lambda t: t[0] @ a / t[0].sum() - t[1] @ b / t[1].sum(), [len(a), len(b)]
            )

    def above(self, name: str, least: float = 0.0) -> bool:
        """Whether the whole interval lies above a number."""
        return name in self.intervals and self.intervals[name][0] > least


def separation(members: np.ndarray, others: np.ndarray) -> np.ndarray:
    """1 where a member's loss is below another's, ½ where they are equal: float64 [members, others],
    whose mean is the AUC (1: members are always likelier)."""
    mine = members[:, None]
    return np.asarray(np.where(mine < others, 1.0, 0.0) + 0.5 * (mine == others))


def leakage(auc: float, retrained: float) -> float:
    """PrivLeak of MUSE: (AUC − AUC_retrained) / AUC_retrained of 1 − AUC, as MUSE defines it: below 0 where
    members can still be identified, above 0 where their low likelihood identifies them."""
    return (retrained - auc) / (1 - retrained) if retrained < 1 else float("nan")


def truth_ratio(forget: TextLikelihoods, wrong: np.ndarray) -> np.ndarray:
    """TOFU's R: exp(−mean loss of the wrong texts) / exp(−loss of the right one), float64 [texts]."""
    return np.asarray(np.exp(forget.loss - wrong))


def same_distribution(ours: np.ndarray, retrained: np.ndarray) -> float:
    """p of the two-sample Kolmogorov–Smirnov test: forget quality, of truth ratios in TOFU."""
    from scipy.stats import ks_2samp

    a, b = (values[~np.isnan(values)] for values in (ours, retrained))
    return float(ks_2samp(a, b).pvalue) if len(a) and len(b) else float("nan")


def audited(
    name: str,
    own: ModelProbes,
    retrained: ModelProbes | None,
    base: ModelProbes | None,
    resamples: int,
    seed: int,
) -> AuditedModel:
    """One row of the table.

    Args:
        retrained: of the model that never saw the texts; base: before they were forgotten.
    """
    got = _Estimates(resamples, seed)
    got.mean("probability", own.forget.probability)
    got.mean("exact_memorization", own.forget.exact)
    got.mean("extraction_strength", own.forget.strength)
    got.mean("rouge_continued", own.continued.rouge)
    got.mean("exact_continued", own.continued.exact)
    got.difference("continued_excess", own.continued.rouge, own.continued_holdout.rouge)
    if own.answered is not None and own.answered_holdout is not None:
        got.mean("rouge_answered", own.answered.rouge)
        got.difference("answered_excess", own.answered.rouge, own.answered_holdout.rouge)
    if own.reworded is not None and own.paraphrased is not None:
        got.mean("paraphrase_probability", own.paraphrased.probability)
        got.mean("rouge_reworded", own.reworded.rouge)
        if own.answered_holdout is not None:
            got.difference("reworded_excess", own.reworded.rouge, own.answered_holdout.rouge)
    _membership(got, own, retrained)
    for bits, (likelihoods, continued) in own.rounded.items():
        got.mean(f"probability_{bits}_bits", likelihoods.probability)
        got.mean(f"rouge_{bits}_bits", continued.rouge)
        got.mean(f"back_{bits}_bits", likelihoods.probability - own.forget.probability)
    if own.relearn_steps is not None:
        # Where it never came back, the steps that were tried, and the finding says so.
        got.figures["relearn_steps"] = own.relearned
    if own.neutral is not None and own.neutral_entropy is not None:
        kl, tokens = own.neutral.cross - own.neutral_entropy, own.neutral.tokens
        got.add("drift", lambda t: t[0] @ kl / max(1.0, t[0] @ tokens), [len(kl)])
    if own.retain is not None:
        nll, count = own.retain.loss * own.retain.tokens, own.retain.tokens
        nll = np.where(count > 0, nll, 0.0)
        got.add(
            "retain_perplexity",
            lambda t: float(np.exp(t[0] @ nll / max(1.0, t[0] @ count))),
            [len(nll)],
        )
    return {
        "name": name,
        "figures": got.figures,
        "intervals": got.intervals,
        "findings": _findings(got, own, retrained, base),
    }


def _membership(got: _Estimates, own: ModelProbes, retrained: ModelProbes | None) -> None:
    pairs = {name: (getattr(own.forget, name), getattr(own.holdout, name)) for name in ATTACKS}
    if own is retrained:
        retrained = None
    if retrained is not None:
        sides = ((own.forget, retrained.forget), (own.holdout, retrained.holdout))
        apart = [one.loss - other.loss for one, other in sides]
        pairs["reference"] = (apart[0], apart[1])
    for name, (members, others) in pairs.items():
        table = separation(members[~np.isnan(members)], others[~np.isnan(others)])
        if not table.size:
            continue
        got.add(f"auc_{name}", partial(_weighted, table), table.shape)
        if retrained is not None and name in ATTACKS:
            both = (getattr(x, name) for x in (retrained.forget, retrained.holdout))
            theirs = separation(*(values[~np.isnan(values)] for values in both))
            if theirs.shape == table.shape:
                got.add(f"leakage_{name}", partial(_leakage, table, theirs), table.shape)
    if retrained is not None:
        got.figures["quality_loss"] = same_distribution(own.forget.loss, retrained.forget.loss)
        if own.wrong is not None and retrained.wrong is not None:
            got.figures["forget_quality"] = same_distribution(
                truth_ratio(own.forget, own.wrong), truth_ratio(retrained.forget, retrained.wrong)
            )


def _leakage(table: np.ndarray, retrained: np.ndarray, times: Sequence[np.ndarray]) -> float:
    return leakage(_weighted(table, times), _weighted(retrained, times))


def _weighted(table: np.ndarray, times: Sequence[np.ndarray]) -> float:
    return float(times[0] @ table @ times[1] / (times[0].sum() * times[1].sum()))


def relearning(steps: int, known: int | None, most: int | None) -> str | None:
    """What it says that a model learns the texts again in so many steps; None where one that never saw
    them needs no more.

    Args:
        known: steps of that one, None if they were not enough; most: that it had, None without one.
    """
    if known is not None and known <= steps:
        return None
    other = ""
    if most is not None:
        needed = f"more than {most}" if known is None else str(known)
        other = f"; a model that never saw them needs {needed}"
    return f"it learns some again in {steps} step{'s' if steps > 1 else ''}{other}"


def _findings(
    got: _Estimates, own: ModelProbes, retrained: ModelProbes | None, base: ModelProbes | None
) -> list[str]:
    """What is remarkable, in words."""
    lines = []
    ways = {
        "continued_excess": "after half of the text",
        "reworded_excess": "after another wording of the prompt",
    }
    plain = got.intervals.get("answered_excess", [0.0, np.inf])[1]
    if blocked := [words for name, words in ways.items() if got.above(name, plain)]:
        lines.append(
            f"only the plain prompt is blocked: it writes the texts {' and '.join(blocked)}"
        )
    elif shown := [words for name, words in ways.items() if got.above(name)]:
        lines.append(f"it writes the texts {' and '.join(shown)}")
    if got.above("auc_loss", 0.5):
        lines.append("the texts are still likelier to it than others of their kind")
    for bits, (likelihoods, _) in own.rounded.items():
        gain = float(np.nanmean(likelihoods.probability - own.forget.probability))
        taken = 1.0
        if base is not None and base is not own:
            taken = float(np.nanmean(base.forget.probability - own.forget.probability))
        if got.above(f"back_{bits}_bits") and gain > _BACK * max(0.0, taken):
            lines.append(f"rounded to {bits} bits it has the texts back")
    if own.relearned and own is not retrained:
        known = None if retrained is None else retrained.relearned
        most = None if retrained is None else retrained.relearn_steps
        if line := relearning(own.relearned, known, most):
            lines.append(line)
    return lines
