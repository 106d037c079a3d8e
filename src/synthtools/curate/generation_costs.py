"""The cost of answers, estimated from a few prompts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypedDict

import numpy as np

from synthtools.curate.prompts import PromptedRecords
from synthtools.errors import SynthError
from synthtools.lm.generation import Generator, Prompt
from synthtools.lm.token_budget import Spending

# Prompts in a dry run: enough to estimate the length of answers, at little cost.
SAMPLED = 16


class SampledPrompts(NamedTuple):
    """Prompts of a corpus: their number, passages and bytes, and a sample drawn by their keys."""

    number: int
    passages: int
    size: int
    sample: list[Prompt]


def sampled(
    items: Iterable[PromptedRecords], seed: int, passages: Callable[[Prompt], int]
) -> SampledPrompts:
    """One pass over the prompts; the sample depends only on the seed and the records. ``passages``: number of requests
    for a prompt."""
    count = size = requests = 0
    drawn: list[tuple[int, int, Prompt]] = []
    for _, prompts, keys in items:
        for prompt, key in zip(prompts, keys.tolist(), strict=True):
            count += 1
            size += prompt.size
            requests += passages(prompt)
            prompt = prompt._replace(key=int(key).to_bytes(8, "little"))
            drawn.append((prompt.seed(seed), count, prompt))
        drawn = sorted(drawn)[:SAMPLED]
    return SampledPrompts(count, requests, size, [prompt for _, _, prompt in drawn])


class CostEstimate(TypedDict):
    """The cost of one model's answers, with a 95 % interval of ``tokens`` and ``seconds`` at the speed of the sample.
    ``sampled`` and ``failed``: prompts of the sample."""

    requests: int
    prompt_tokens: int
    tokens: int
    tokens_low: int
    tokens_high: int
    seconds: float
    sampled: int
    failed: int


def estimate(prompts: SampledPrompts, generator: Generator, answers_each: float) -> CostEstimate:
    """Generates answers to the sample and scales their cost to all prompts, with ``answers_each`` answers per prompt.

    Raises:
        SynthError: none of the sample is answered, or a server reports no numbers of tokens.
    """
    from scipy.special import stdtrit

    start = time.perf_counter()
    answers = list(generator.generate(prompts.sample))
    seconds = time.perf_counter() - start
    spent = Spending(budget=("tokens", float("inf")))
    lengths, sizes, prompt_tokens = [], [], []
    for prompt, answer in zip(prompts.sample, answers, strict=True):
        if answer.error is None:
            spent.add(answer, prompt)
            lengths.append(answer.tokens or 0)
            sizes.append(prompt.size)
            prompt_tokens.append(answer.prompt_tokens or 0)
    if not lengths:
        raise SynthError(f"none of {len(answers)} prompts was answered: {answers[0].error}")
    average = float(np.mean(lengths))
    degrees = len(lengths) - 1
    reach = (
        stdtrit(degrees, 0.975) * np.std(lengths, ddof=1) / len(lengths) ** 0.5 if degrees else 0
    )
    # Tokens of a prompt are linear in its size, with those of the chat template as a constant.
    line = np.polyfit(sizes, prompt_tokens, 1) if np.ptp(sizes) else [np.mean(prompt_tokens)]
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
