"""The figures of an audit with intervals, and the findings: forgotten, kept or hidden.

Intervals are 95 %, by the bias-corrected bootstrap over texts [ours]; members and non-members are drawn apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from synthtools.evaluate.memorised_text import ContinuedTexts, TextLikelihoods
from synthtools.evaluate.paired_comparison import PairedDifference, Samples, compared
from synthtools.measure.bootstrap import intervals, resampled


class TaskResults(NamedTuple):
    """One model's sections by suite (see ``suites``), and its samples."""

    sections: dict[str, dict[str, Any]]
    samples: Samples


def head(section: dict[str, Any]) -> str:
    """The main figure of a suite's section."""
    return str(next(iter(section.get("per_item") or section["figures"])))


def changes(
    base: TaskResults, own: TaskResults, resamples: int, seed: int
) -> list[PairedDifference]:
    """The main figure of each suite against the base's, with Holm's correction over the suites."""
    fields = {
        name: {head(section): section["per_item"][head(section)]}
        for name, section in own.sections.items()
        if section.get("per_item") and base.samples.get(name) and own.samples.get(name)
    }
    rows = compared(base.samples, own.samples, fields, resamples, seed)
    return [row for row in rows if row["figure"] in fields[row["suite"]]]


ATTACKS = ("loss", "zlib", "min_k", "min_k_plus")
# Recovery counts from this share of the probability that unlearning removed, or from this much probability if
# that is not known [ours].
_BACK = 0.1
# A loss counts as back at the base's within this factor [ours].
_BACK_AGAIN = 1.001


@dataclass
class ModelProbes:
    """Measurements of one model; None for those not made.

    Attributes:
        forget, holdout, retain, neutral, paraphrased: likelihoods of these texts (after other prompts).
        answered, continued, reworded: continuations of the prompt alone, of the prompt and half of the text,
            of another wording of the prompt; likewise ``…_holdout`` of the holdout.
        rounded: by bits, likelihoods of forget with rounded weights, and its continuations there.
        wrong: mean loss of each text's wrong ones, float64 [texts]; neutral_entropy: of the base.
        relearned, relearned_holdout: losses of some of forget and of the holdout while the model learns them
            (``training.loss_curve``), float64 [steps + 1, texts]; relearn_rate: at this rate.
        tasks: its results on suites.
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
    relearned: np.ndarray | None = None
    relearned_holdout: np.ndarray | None = None
    relearn_rate: float | None = None
    tasks: TaskResults | None = None


def _known(values: np.ndarray) -> np.ndarray:
    return np.asarray(values[~np.isnan(values)])


class _Estimates:
    """Figures, computed from how often each text is drawn."""

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
        if len(known := _known(values)):
            self.add(name, lambda t: float(t[0] @ known) / max(1.0, t[0].sum()), [len(known)])

    def difference(self, name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
        """Of the means of two independent samples."""
        a, b = _known(ours), _known(theirs)
        if len(a) and len(b):
            self.add(
                name, lambda t: t[0] @ a / t[0].sum() - t[1] @ b / t[1].sum(), [len(a), len(b)]
            )

    def above(self, name: str, least: float = 0.0) -> bool:
        """Whether the whole interval lies above a number."""
        return name in self.intervals and self.intervals[name][0] > least


def separation(members: np.ndarray, others: np.ndarray) -> np.ndarray:
    """1 where a member's loss is below a non-member's, ½ where they are equal: float64 [members, others] of the
    texts with a loss. The mean is the AUC (1: members are always likelier)."""
    mine, others = _known(members)[:, None], _known(others)
    return np.asarray(np.where(mine < others, 1.0, 0.0) + 0.5 * (mine == others))


def leakage(auc: float, retrained: float) -> float:
    """PrivLeak of MUSE: (AUC − AUC_retrained) / AUC_retrained, with 1 − AUC for AUC as in MUSE: below 0 if
    members can still be identified, above 0 if their low likelihood identifies them."""
    return (retrained - auc) / (1 - retrained) if retrained < 1 else float("nan")


def truth_ratio(forget: TextLikelihoods, wrong: np.ndarray) -> np.ndarray:
    """TOFU's R: exp(−mean loss of the wrong texts) / exp(−loss of the right one), float64 [texts]."""
    return np.asarray(np.exp(forget.loss - wrong))


def same_distribution(ours: np.ndarray, retrained: np.ndarray) -> float:
    """p of the two-sample Kolmogorov–Smirnov test: forget quality, of truth ratios in TOFU."""
    from scipy.stats import ks_2samp

    a, b = _known(ours), _known(retrained)
    return float(ks_2samp(a, b).pvalue) if len(a) and len(b) else float("nan")


def audited(
    name: str,
    own: ModelProbes,
    retrained: ModelProbes | None,
    base: ModelProbes | None,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """One row of the table: a model's figures, their intervals by name, and findings; the mean loss of relearned
    texts before and after each step, and of as many holdout texts; suites compared with the base.

    Args:
        retrained: the model that never saw the texts; base: the model before unlearning.
    """
    estimates = _Estimates(resamples, seed)
    another = None if own is retrained else retrained
    estimates.mean("probability", own.forget.probability)
    estimates.mean("exact_memorization", own.forget.exact)
    estimates.mean("extraction_strength", own.forget.strength)
    estimates.mean("rouge_continued", own.continued.rouge)
    estimates.mean("exact_continued", own.continued.exact)
    estimates.difference("continued_excess", own.continued.rouge, own.continued_holdout.rouge)
    if own.answered is not None and own.answered_holdout is not None:
        estimates.mean("rouge_answered", own.answered.rouge)
        estimates.difference("answered_excess", own.answered.rouge, own.answered_holdout.rouge)
    if own.reworded is not None and own.paraphrased is not None:
        estimates.mean("paraphrase_probability", own.paraphrased.probability)
        estimates.mean("rouge_reworded", own.reworded.rouge)
        if own.answered_holdout is not None:
            estimates.difference("reworded_excess", own.reworded.rouge, own.answered_holdout.rouge)
    _membership(estimates, own, another)
    for bits, (likelihoods, continued) in own.rounded.items():
        estimates.mean(f"probability_{bits}_bits", likelihoods.probability)
        estimates.mean(f"rouge_{bits}_bits", continued.rouge)
        estimates.mean(f"back_{bits}_bits", likelihoods.probability - own.forget.probability)
    curves = _relearned(estimates, own, another, base)
    if own.neutral is not None and own.neutral_entropy is not None:
        kl, tokens = own.neutral.cross - own.neutral_entropy, own.neutral.tokens
        estimates.add("drift", lambda t: t[0] @ kl / max(1.0, t[0] @ tokens), [len(kl)])
    if own.retain is not None:
        count = own.retain.tokens
        nll = np.where(count > 0, own.retain.loss * count, 0.0)
        estimates.add(
            "retain_perplexity",
            lambda t: float(np.exp(t[0] @ nll / max(1.0, t[0] @ count))),
            [len(nll)],
        )
    utility: list[PairedDifference] = []
    if own.tasks is not None:
        if base is not None and base is not own and base.tasks is not None:
            utility = changes(base.tasks, own.tasks, resamples, seed)
        _tasks(estimates, own.tasks, utility)
    return {
        "name": name,
        "figures": estimates.figures,
        "intervals": estimates.intervals,
        "findings": _findings(estimates, own, retrained, base),
        "relearned": curves,
        "utility": utility,
    }


def _tasks(estimates: _Estimates, tasks: TaskResults, utility: Sequence[PairedDifference]) -> None:
    for suite, section in tasks.sections.items():
        main = head(section)
        estimates.figures[f"{suite}_{main}"] = section["figures"][main]
        if ends := (section.get("intervals") or {}).get(main):
            estimates.intervals[f"{suite}_{main}"] = ends
    for row in utility:
        estimates.figures[f"{row['suite']}_change"] = row["difference"]
        estimates.figures[f"{row['suite']}_change_p"] = row["p_holm"]
        if row["interval"]:
            estimates.intervals[f"{row['suite']}_change"] = row["interval"]


def _relearned(
    estimates: _Estimates, own: ModelProbes, retrained: ModelProbes | None, base: ModelProbes | None
) -> dict[str, list[float]]:
    """Adds the figures of the loss curves, and returns the curves."""
    if own.relearned is None or own.relearned_holdout is None:
        return {}
    curves = {"forget": own.relearned.mean(1), "holdout": own.relearned_holdout.mean(1)}
    known = base if base is not None else own
    assert known.relearned is not None
    goal = _BACK_AGAIN * float(known.relearned[0].mean())
    estimates.figures["relearn_steps"] = steps_until(curves["forget"], goal)
    estimates.figures["relearn_steps_holdout"] = steps_until(curves["holdout"], goal)
    step = 1
    while step < len(own.relearned):
        estimates.figures[f"relearn_loss_{step}"] = float(curves["forget"][step])
        step *= 2
    means = [own.relearned_holdout[1:].mean(0), own.relearned[1:].mean(0)]
    if retrained is not None and retrained.relearned is not None:
        # The same texts: removes differences in difficulty.
        assert retrained.relearned_holdout is not None
        means[0] -= retrained.relearned_holdout[1:].mean(0)
        means[1] -= retrained.relearned[1:].mean(0)
    estimates.difference("relearn_lead", *means)
    return {name: curve.tolist() for name, curve in curves.items()}


def steps_until(losses: np.ndarray, goal: float) -> float | None:
    """Steps until a loss is at most ``goal``, interpolated linearly between steps; None if it never is.
    ``losses``: before the first and after each step."""
    reached = np.flatnonzero(losses <= goal)
    if not len(reached):
        return None
    last = int(reached[0])
    if last == 0:
        return 0.0
    return last - float((goal - losses[last]) / (losses[last - 1] - losses[last]))


def _membership(estimates: _Estimates, own: ModelProbes, retrained: ModelProbes | None) -> None:
    pairs = {name: (getattr(own.forget, name), getattr(own.holdout, name)) for name in ATTACKS}
    if retrained is not None:
        pairs["reference"] = (
            own.forget.loss - retrained.forget.loss,
            own.holdout.loss - retrained.holdout.loss,
        )
    for name, (members, others) in pairs.items():
        table = separation(members, others)
        if not table.size:
            continue
        estimates.add(f"auc_{name}", partial(_weighted, table), table.shape)
        if retrained is not None and name in ATTACKS:
            theirs = separation(getattr(retrained.forget, name), getattr(retrained.holdout, name))
            if theirs.shape == table.shape:
                estimates.add(f"leakage_{name}", partial(_leakage, table, theirs), table.shape)
    if retrained is not None:
        estimates.figures["quality_loss"] = same_distribution(
            own.forget.loss, retrained.forget.loss
        )
        if own.wrong is not None and retrained.wrong is not None:
            estimates.figures["forget_quality"] = same_distribution(
                truth_ratio(own.forget, own.wrong), truth_ratio(retrained.forget, retrained.wrong)
            )


def _leakage(table: np.ndarray, retrained: np.ndarray, times: Sequence[np.ndarray]) -> float:
    return leakage(_weighted(table, times), _weighted(retrained, times))


def _weighted(table: np.ndarray, times: Sequence[np.ndarray]) -> float:
    return float(times[0] @ table @ times[1] / (times[0].sum() * times[1].sum()))


def _findings(
    estimates: _Estimates, own: ModelProbes, retrained: ModelProbes | None, base: ModelProbes | None
) -> list[str]:
    """Findings in words."""
    lines = []
    ways = {
        "continued_excess": "after half of the text",
        "reworded_excess": "after another wording of the prompt",
    }
    plain = estimates.intervals.get("answered_excess", [0.0, np.inf])[1]
    if blocked := [words for name, words in ways.items() if estimates.above(name, plain)]:
        lines.append(
            f"only the plain prompt is blocked: it writes the texts {' and '.join(blocked)}"
        )
    elif shown := [words for name, words in ways.items() if estimates.above(name)]:
        lines.append(f"it writes the texts {' and '.join(shown)}")
    if estimates.above("auc_loss", 0.5):
        lines.append("the texts are still likelier to it than others of their kind")
    for bits, (likelihoods, _) in own.rounded.items():
        gain = float(np.nanmean(likelihoods.probability - own.forget.probability))
        taken = 1.0
        if base is not None and base is not own:
            taken = float(np.nanmean(base.forget.probability - own.forget.probability))
        if estimates.above(f"back_{bits}_bits") and gain > _BACK * max(0.0, taken):
            lines.append(f"rounded to {bits} bits it has the texts back")
    steps = estimates.figures.get("relearn_steps", 0.0)
    if steps != 0 and own is not retrained and estimates.above("relearn_lead"):
        lines.append("it learns some of the texts again sooner than others of their kind")
    return lines
