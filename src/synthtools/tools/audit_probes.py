"""What ``synth audit`` asks of one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from synthtools.evaluate import suites
from synthtools.evaluate.audit_figures import ModelProbes, TaskResults
from synthtools.evaluate.evaluator import Evaluator
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
from synthtools.tools.audit_options import Options


@dataclass(frozen=True)
class ModelAudit:
    """What is asked of every model.

    Attributes:
        sets: items by name of the set.
        suites: of tasks; rejects: takes their bad records.
        tell: given remarks.
    """

    options: Options
    sets: Mapping[str, list[AuditItem]]
    suites: Sequence[str]
    tell: Callable[[str], None]

    def probed(
        self, name: str, rendering: ItemRendering, base: ModelProbes | None, rejects: Rejects
    ) -> ModelProbes:
        """All that is asked of one model. ``base``: of the base, None of itself or where there is none."""
        options, sets, tell = self.options, self.sets, self.tell
        tell(f"{name}: asking for the texts")
        settings = replace(options.settings(name), backend="torch")
        request = ScoreRequest(distribution=True)
        forget, holdout = sets["forget"], sets["holdout"]
        sampling = SamplingSettings(0.0, 1.0, None, 4 * options.words)
        with open_model(settings, request, tell) as model:
            scores = {key: likelihoods(model, items, rendering) for key, items in sets.items()}
            wrong = None
            if all(item.wrong for item in forget):
                others = ([i._replace(text=text) for text in i.wrong] for i in forget)
                means = [likelihoods(model, items, rendering).loss.mean() for items in others]
                wrong = np.array(means)
            few = min(options.relearn_texts, len(forget), len(holdout))
            learned = [_short(model, items[:few], rendering) for items in (forget, holdout)]
            begin = model.begin
        with open_generator(settings, sampling, options.seed, tell) as generator:
            words = options.words
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
        for bits in options.bits or (8, 4):
            tell(f"{name}: with weights of {bits} bits")
            coarse = replace(settings, bits=bits)
            with open_model(coarse, request, tell) as model:
                rounded = likelihoods(model, forget, rendering)
            with open_generator(coarse, sampling, options.seed, tell) as generator:
                back = continuations(generator, forget, rendering, words, halves=True)
            probes.rounded[bits] = rounded, back
        if options.base is not None:
            self._beside_base(probes, settings, rendering, base)
            if options.relearn_steps:
                tell(f"{name}: relearning {few} texts")
                self._relearn(probes, settings, learned, begin, base)
        if self.suites:
            tell(f"{name}: {', '.join(self.suites)}")
            rows: list[dict[str, Any]] = []
            with Evaluator(
                options.evaluation(), settings, keep=rows.extend, rejects=rejects, remark=tell
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
        if neutral is None or self.options.base is None:
            return
        observed = replace(settings, observer=ModelName(self.options.base))
        with open_model(observed, ScoreRequest(distribution=True), self.tell) as model:
            probes.neutral = likelihoods(model, neutral, rendering)
        probes.neutral_entropy = probes.neutral.entropy if base is None else base.neutral_entropy

    def _relearn(
        self,
        probes: ModelProbes,
        settings: ModelSettings,
        learned: Sequence[list[Tokenised]],
        begin: list[int],
        base: ModelProbes | None,
    ) -> None:
        from synthtools.training.loss_curve import loss_curve, slow_rate

        model, steps, device = settings.model, self.options.relearn_steps, settings.devices
        rate = self.options.relearn_lr or (None if base is None else base.relearn_rate)
        if rate is None:
            rate = slow_rate(model, learned[1], begin, max(1, steps // 2), device)
        probes.relearn_rate = rate
        probes.relearned, probes.relearned_holdout = (
            loss_curve(model, texts, begin, steps, rate, device) for texts in learned
        )


def _short(
    model: LanguageModel, items: Sequence[AuditItem], rendering: ItemRendering
) -> list[Tokenised]:
    """The tokens of texts, those that one pass of the model holds after at most half of it for the prompt."""
    cut = []
    for tokens in rendering.tokens(model, items):
        prompt = tokens.prompt[-(model.capacity // 2) :]
        cut.append(tokens._replace(prompt=prompt, ids=tokens.ids[: model.capacity - len(prompt)]))
    return cut
