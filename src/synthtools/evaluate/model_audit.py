"""What an audit asks of one model: its likelihood of texts, how it continues them, with rounded weights too, how fast
it learns them again, and tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from synthtools.evaluate import suites
from synthtools.evaluate.audit_figures import ModelProbes, TaskResults
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator
from synthtools.evaluate.memorised_text import (
    AuditItem,
    ItemRendering,
    continuations,
    likelihoods,
)
from synthtools.evaluate.paired_comparison import by_suite
from synthtools.lm.generation import SamplingSettings
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.open_models import open_generator, open_model
from synthtools.lm.scorer import LanguageModel, Tokenised
from synthtools.lm.scores import ScoreRequest
from synthtools.records.rejects import Rejects

# Tokens of texts and those before each, and a learning rate or None → the rate and the loss curves.
Relearning = Callable[
    [ModelSettings, Sequence[list[Tokenised]], list[int], float | None],
    tuple[float, Sequence[np.ndarray]],
]


@dataclass(frozen=True)
class ModelAudit:
    """What is asked of every model.

    Attributes:
        sets: items by name of the set.
        words: of a continuation; bits: widths that weights are rounded to.
        base: the model before unlearning.
        relearn: measures how fast a model learns ``relearn_texts`` texts of both kinds again; None: it is not.
        suites: of tasks, run as in ``evaluation``.
        tell: given remarks.
    """

    sets: Mapping[str, list[AuditItem]]
    words: int
    bits: Sequence[int]
    seed: int
    base: str | None
    relearn: Relearning | None
    relearn_texts: int
    suites: Sequence[str]
    evaluation: EvaluationOptions
    tell: Callable[[str], None]

    def probed(
        self,
        settings: ModelSettings,
        rendering: ItemRendering,
        base: ModelProbes | None,
        rejects: Rejects,
    ) -> ModelProbes:
        """All that is asked of one model. ``base``: of the base, None of itself or where there is none; ``rejects``:
        takes bad records of the suites."""
        sets, tell, words = self.sets, self.tell, self.words
        name, settings = settings.model.name, replace(settings, backend="torch")
        tell(f"{name}: asking for the texts")
        request = ScoreRequest(distribution=True)
        forget, holdout = sets["forget"], sets["holdout"]
        sampling = SamplingSettings(0.0, 1.0, None, 4 * words)
        with open_model(settings, request, tell) as model:
            scores = {key: likelihoods(model, items, rendering) for key, items in sets.items()}
            wrong = None
            if all(item.wrong for item in forget):
                others = ([i._replace(text=text) for text in i.wrong] for i in forget)
                means = [likelihoods(model, items, rendering).loss.mean() for items in others]
                wrong = np.array(means)
            few = min(self.relearn_texts, len(forget), len(holdout))
            learned = [_short(model, items[:few], rendering) for items in (forget, holdout)]
            begin = model.begin
        with open_generator(settings, sampling, self.seed, tell) as generator:
            continued, others_continued = (
                continuations(generator, items, rendering, words, halves=True)
                for items in (forget, holdout)
            )
            asked = all(item.prompt for items in (forget, holdout) for item in items)
            answered = [
                continuations(generator, items, rendering, words)
                for items in ((forget, holdout) if asked else ())
            ]
            reworded = None
            if "paraphrases" in sets:
                reworded = continuations(generator, sets["paraphrases"], rendering, words)
        probes = ModelProbes(scores["forget"], scores["holdout"], continued, others_continued)
        if answered:
            probes.answered, probes.answered_holdout = answered
        probes.retain, probes.paraphrased = scores.get("retain"), scores.get("paraphrases")
        probes.reworded, probes.wrong = reworded, wrong
        for bits in self.bits:
            tell(f"{name}: with weights of {bits} bits")
            coarse = replace(settings, bits=bits)
            with open_model(coarse, request, tell) as model:
                rounded = likelihoods(model, forget, rendering)
            with open_generator(coarse, sampling, self.seed, tell) as generator:
                back = continuations(generator, forget, rendering, words, halves=True)
            probes.rounded[bits] = rounded, back
        if self.base is not None:
            self._beside_base(probes, settings, rendering, base)
        if self.relearn is not None:
            tell(f"{name}: relearning {few} texts")
            rate = None if base is None else base.relearn_rate
            probes.relearn_rate, curves = self.relearn(settings, learned, begin, rate)
            probes.relearned, probes.relearned_holdout = curves
        if self.suites:
            tell(f"{name}: {', '.join(self.suites)}")
            rows: list[dict[str, Any]] = []
            with Evaluator(
                self.evaluation, settings, keep=rows.extend, rejects=rejects, remark=tell
            ) as evaluator:
                sections = {suite: suites.run(suite, evaluator) for suite in self.suites}
            probes.tasks = TaskResults(sections, by_suite(rows))
        return probes

    def _beside_base(
        self,
        probes: ModelProbes,
        settings: ModelSettings,
        rendering: ItemRendering,
        base: ModelProbes | None,
    ) -> None:
        neutral = self.sets.get("neutral", self.sets.get("retain"))
        if neutral is None or self.base is None:
            return
        observed = replace(settings, observer=ModelName(self.base))
        with open_model(observed, ScoreRequest(distribution=True), self.tell) as model:
            probes.neutral = likelihoods(model, neutral, rendering)
        probes.neutral_entropy = probes.neutral.entropy if base is None else base.neutral_entropy


def _short(
    model: LanguageModel, items: Sequence[AuditItem], rendering: ItemRendering
) -> list[Tokenised]:
    """The tokens of texts, those that one pass of the model holds after at most half of it for the prompt."""
    cut = []
    for tokens in rendering.tokens(model, items):
        prompt = tokens.prompt[-(model.capacity // 2) :]
        cut.append(tokens._replace(prompt=prompt, ids=tokens.ids[: model.capacity - len(prompt)]))
    return cut
