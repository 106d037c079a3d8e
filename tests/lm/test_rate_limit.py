"""Limits a minute, with a clock of our own."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from synthtools.lm.generation import Prompt, SamplingSettings, ServerTraffic
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.open_models import open_generator
from synthtools.lm.server.rate_limit import RateLimit


def test_amounts_are_spread_and_nothing_is_saved_up() -> None:
    now = [100.0]
    limit = RateLimit(120, lambda: now[0])  # two a second
    assert [limit.take(1) for _ in range(5)] == [0.0, 0.5, 1.0, 1.5, 2.0]
    now[0] += 1.2  # two of them, and a part of the third, are over
    assert limit.take(10) == pytest.approx(1.3)
    assert limit.take(1) == pytest.approx(1.3 + 5)
    now[0] += 1000
    assert [limit.take(1) for _ in range(3)] == [0.0, 0.5, 1.0]


def test_a_minute_takes_no_more_than_the_limit_and_one() -> None:
    now = [0.0]
    limit = RateLimit(50, lambda: now[0])
    turns = []
    for number in range(300):
        now[0] = max(now[0], number * 0.3)
        turns.append(now[0] + limit.take(1))
    assert turns == sorted(turns)
    for start in turns:
        assert sum(start <= turn < start + 60 for turn in turns) <= 51


@pytest.mark.parametrize(
    ("traffic", "seconds"),
    [({"requests_per_minute": 600}, 0.1), ({"tokens_per_minute": 60_000}, 0.102), ({}, 0.0)],
)
def test_requests_wait_for_their_turn(serve: Any, traffic: dict[str, int], seconds: float) -> None:
    """With a limit of tokens each waits for the prompt (2 tokens of 4 bytes) and the longest answer (100) before
    it: 0.102 s at 1,000 a second."""
    came: list[float] = []

    def answer(path: str, body: Any, headers: Any) -> Any:
        if body is None:
            return 200, json.dumps({"data": [{"id": "m"}]}).encode()
        came.append(time.monotonic())
        choice = {"text": "a", "finish_reason": "stop"}
        return 200, json.dumps({"model": "m", "choices": [choice]}).encode()

    limited = ServerTraffic(**traffic)
    settings = ModelSettings(ModelName("m"), server=serve(answer).url, traffic=limited)
    sampling = SamplingSettings(max_new_tokens=100)
    begun = time.monotonic()
    with open_generator(settings, sampling, 0) as generator:
        prompts = [Prompt(b"%d" % n, f"prompt {n}") for n in range(8)]
        answers = list(generator.generate(prompts))
    assert [one.text for one in answers] == ["a"] * 8
    # The n-th has waited for n turns; how much longer, the machine decides.
    assert all(when - begun >= n * seconds for n, when in enumerate(sorted(came)))
