"""What asks a server, in this process, and what must come of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from faults.cases import Seen, model, sound
from synthtools.errors import SynthError, UsageError


def generated(url: str, *, tries: int = 2, timeout: float = 5.0, patience: float = 1.0) -> Any:
    """Answers to three prompts, in this process."""
    from synthtools.lm.generation import Prompt, SamplingSettings, ServerTraffic
    from synthtools.lm.model_name import ModelName
    from synthtools.lm.model_settings import ModelSettings
    from synthtools.lm.open_models import open_generator
    from synthtools.lm.server import server_pool

    traffic = ServerTraffic(tries=tries, timeout=timeout, patience=patience, requests=2)
    settings = ModelSettings(ModelName("tiny"), server=url, traffic=traffic)
    prompts = [Prompt(b"%d" % number, f"prompt {number}") for number in range(3)]
    with (
        patch.object(server_pool, "_FIRST_PAUSE", 0.01),
        open_generator(
            settings,
            SamplingSettings(max_new_tokens=8),
            0,
            lambda _: None,
        ) as generator,
    ):
        return list(generator.generate(prompts))


def scored(url: str) -> Any:
    """Scores of two texts, in this process."""
    from synthtools.lm.generation import ServerTraffic
    from synthtools.lm.model_name import ModelName
    from synthtools.lm.model_settings import ModelSettings
    from synthtools.lm.open_models import open_model
    from synthtools.lm.scores import ScoreRequest
    from synthtools.lm.server import server_http, server_pool

    name = ModelName("tiny", tokenizer=str(model()))
    settings = ModelSettings(name, server=url, traffic=ServerTraffic(patience=1.0))
    request = ScoreRequest(candidates=1)
    with (
        patch.object(server_pool, "_FIRST_PAUSE", 0.01),
        patch.object(server_http, "_FIRST_PAUSE", 0.01),
        open_model(settings, request) as opened,
    ):
        return opened.score(opened.tokenise(["a text to score", "and another"]), request)


def refused(work: Callable[[], Any], *words: str) -> Seen:
    """What is told of work that must fail in one line."""
    try:
        work()
    except (SynthError, UsageError) as error:
        line = " ".join(str(error).split())
        for word in words:
            sound(word in line, f"the line does not say {word!r}: {line}")
        return Seen(line, error.exit_code)
    sound(False, "was taken for an answer")
    return Seen()


def failures(work: Callable[[], Any], *words: str) -> Seen:
    """What answers tell that did not come; none may be taken for one."""
    answers = work()
    sound(all(answer.error and not answer.text for answer in answers), f"was taken: {answers[0]}")
    for word in words:
        sound(word in answers[0].error, f"does not say {word!r}: {answers[0].error}")
    return Seen(answers[0].error, 1)
