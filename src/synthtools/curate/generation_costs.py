"""What answers will cost: an estimate from a few prompts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypedDict

import numpy as np

from synthtools.curate.prompts import PromptedRecords
from synthtools.errors import SynthError
from synthtools.lm.generation import Generator, Prompt
from synthtools.lm.token_budget import Spending

# Of a dry run: enough to show how long answers are, at hardly any price.
SAMPLED = 16


class SampledPrompts(NamedTuple):
    """Prompts of a corpus: how many there are, of how many passages, their bytes, and a sample drawn by their keys."""

    number: int
    passages: int
    size: int
    sample: list[Prompt]


def sampled(
    items: Iterable[PromptedRecords], seed: int, passages: Callable[[Prompt], int]
) -> SampledPrompts:
    """One pass over the prompts; which are drawn depends on the seed and the records alone.

    Args:
        passages: how often a model is asked for one of them.
    """
    count = size = asked = 0
    drawn: list[tuple[int, int, Prompt]] = []
    for _, prompts, keys in items:
        for prompt, key in zip(prompts, keys.tolist(), strict=True):
            count += 1
            size += prompt.size
            asked += passages(prompt)
            prompt = prompt._replace(key=int(key).to_bytes(8, "little"))
            drawn.append((prompt.seed(seed), count, prompt))
        drawn = sorted(drawn)[:SAMPLED]
    return SampledPrompts(count, asked, size, [prompt for _, _, prompt in drawn])


class CostEstimate(TypedDict):
    """What the answers of one model take; ``tokens_low`` and ``tokens_high`` are a 95 % interval.

    Attributes:
        requests: answers asked for; failed: of the sample, prompts without an answer.
        seconds: at the speed of the sample.
    """

    requests: int
    prompt_tokens: int
    tokens: int
    tokens_low: int
    tokens_high: int
    seconds: float
    sampled: int
    failed: int


def estimate(prompts: SampledPrompts, generator: Generator, answers_each: float) -> CostEstimate:
    """Has the sample answered and scales what it took up to all prompts.

    Args:
        answers_each: answers to each prompt.

    Raises:
        SynthError: none of the sample is answered, or a server reports no numbers of tokens.
    """
    from scipy.special import stdtrit

    start = time.perf_counter()
    answers = list(generator.generate(prompts.sample))
    seconds = time.perf_counter() - start
    spent = Spending(budget=("tokens", float("inf")))
    lengths, sizes, asked = [], [], []
    for prompt, answer in zip(prompts.sample, answers, strict=True):
        if answer.error is None:
            spent.add(answer, prompt)
            lengths.append(answer.tokens or 0)
            sizes.append(prompt.size)
            asked.append(answer.prompt_tokens or 0)
    if not lengths:
        raise SynthError(f"none of {len(answers)} prompts was answered: {answers[0].error}")
    average = float(np.mean(lengths))
    degrees = len(lengths) - 1
    reach = (
        stdtrit(degrees, 0.975) * np.std(lengths, ddof=1) / len(lengths) ** 0.5 if degrees else 0
    )
    # A prompt has the tokens of its chat template and those of its text: a line through the sample.
    line = np.polyfit(sizes, asked, 1) if np.ptp(sizes) else [np.mean(asked)]
    each = max(0.0, float(np.polyval(line, prompts.size / prompts.number)))
    requests = prompts.number * answers_each
    return {
        "requests": round(prompts.passages * answers_each),
        "prompt_tokens": round(requests * each),
        "tokens": round(requests * average),
        "tokens_low": round(requests * max(0.0, average - reach)),
        "tokens_high": round(requests * (average + reach)),
        "seconds": requests * seconds / len(answers),
        "sampled": len(answers),
        "failed": len(answers) - len(lengths),
    }
