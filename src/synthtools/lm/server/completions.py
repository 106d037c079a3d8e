"""Requests for completions in OpenAI's format, and the answers in the replies."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

from synthtools.errors import SynthError, parameter
from synthtools.lm.chat import PLAIN_STOP, plain
from synthtools.lm.generation import Answer, Prompt, SamplingSettings
from synthtools.lm.server.server_http import RefusedError, RetryError


def path_and_content(prompt: Prompt, template: bool) -> tuple[str, dict[str, Any]]:
    """The endpoint for a prompt, and the request's fields that hold it.

    Args:
        template: whether the model has a chat template.
    """
    if prompt.text is not None:
        return "/v1/completions", {"prompt": prompt.text}
    messages = list(prompt.messages or ())
    if template:
        return "/v1/chat/completions", {"messages": messages}
    return "/v1/completions", {"prompt": plain(messages)}


def request_of(
    prompt: Prompt,
    sampling: SamplingSettings,
    seed: int,
    *,
    model: str,
    room: int,
    vllm: bool,
    template: bool = True,
) -> tuple[str, dict[str, Any]]:
    """Path and body of a request.

    Args:
        room: maximal number of tokens of the answer.
        vllm: whether the server takes vLLM's own options.

    Raises:
        SynthError: they do not know what the sampling asks for.
    """
    path, content = path_and_content(prompt, template)
    stop = list(sampling.stop)
    if prompt.text is None and not template:
        stop.append(PLAIN_STOP)
    body: dict[str, Any] = {
        "model": model,
        **content,
        "max_tokens": room,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": prompt.seed(seed),
        **({"stop": stop} if stop else {}),
        **({"top_k": sampling.top_k} if sampling.top_k else {}),
    }
    if vllm:
        # By default a server takes these from the model's files.
        body |= {"top_k": sampling.top_k or -1, "min_p": 0.0, "repetition_penalty": 1.0}
    if sampling.schema:
        schema = {"name": "answer", "schema": json.loads(sampling.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if sampling.regex:
        if not vllm:
            raise SynthError(
                f"{parameter('regex')}: only vLLM's servers keep to a regular expression"
            )
        body["structured_outputs"] = {"regex": sampling.regex}
    return path, body


def only_choice(reply: dict[str, Any], model: str, answers_as: str | None = None) -> dict[str, Any]:
    """The only choice in the reply to one prompt.

    Args:
        answers_as: other model names that the reply may have, with ``*`` and ``?``.

    Raises:
        RefusedError: the reply is from another model; so would be the next one.
        RetryError: the reply has no choice, or several.
    """
    name = reply.get("model")
    if name != model and not (
        isinstance(name, str) and answers_as and fnmatchcase(name, answers_as)
    ):
        raise RefusedError(
            f"answers as {name!r}, was asked for {model} "
            f"({parameter('answers_as')} allows another name)"
        )
    choices = reply.get("choices")
    if not isinstance(choices, list) or not all(isinstance(one, dict) for one in choices):
        raise RetryError("the answer has no choices")
    places = [one.get("index", 0) for one in choices]
    if places != [0] or isinstance(places[0], bool):
        raise RetryError(f"answers one prompt with choices {places!r}"[:100])
    choice: dict[str, Any] = choices[0]
    return choice


def answer_of(
    reply: dict[str, Any], choice: dict[str, Any], room: int, context: int | None = None
) -> Answer:
    """The answer in a reply's choice.

    Args:
        room: maximal number of tokens of the answer; context: of prompt and answer.

    Raises:
        RetryError: it has none.
    """
    try:
        text = choice["message"]["content"] if "message" in choice else choice["text"]
        reason = choice["finish_reason"]
    except (LookupError, TypeError) as error:
        raise RetryError(f"the answer has no text ({type(error).__name__})") from error
    if not isinstance(reason, str) or reason == "abort":
        raise RetryError("the answer was broken off")
    if text is not None and not _is_text(text):
        raise RetryError("the answer has no text")
    usage = reply.get("usage")
    return Answer(
        text or "",
        reason,
        _count(usage, "prompt_tokens", 1, context),
        _count(usage, "completion_tokens", 1 if text else 0, room),
    )


def _count(usage: Any, name: str, least: int, most: int | None) -> int | None:
    count = usage.get(name) if isinstance(usage, dict) else None
    if type(count) is not int or count < least or (most is not None and count > most):
        return None
    return count


def _is_text(value: Any) -> bool:
    try:
        return isinstance(value, str) and value.encode("utf-8") is not None
    except UnicodeEncodeError:
        return False  # half of a surrogate pair
