"""Batch files in OpenAI's format: requests that a provider answers later, and its results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from synthtools.errors import SynthError
from synthtools.lm.generation import (
    Answer,
    Finished,
    Generator,
    Prompt,
    SamplingSettings,
    failed,
)
from synthtools.lm.server.completions import answer_of, only_choice, request_of
from synthtools.lm.server.server_http import RefusedError, RetryError
from synthtools.records.atomic_files import AtomicFile
from synthtools.records.inputs import find_shards
from synthtools.records.jsonl import json_bytes, parse_value
from synthtools.records.reader import read
from synthtools.records.rejects import Rejects
from synthtools.records.transform import as_lines

# OpenAI's limits for one file.
LINES = 50_000
BYTES = 200_000_000


@dataclass(frozen=True)
class BatchModel:
    """The model and its sampling; the ids of requests depend on them."""

    name: str
    sampling: SamplingSettings
    seed: int

    def request_id(self, prompt: Prompt) -> str:
        """The id of the request for a prompt, in requests and results."""
        how = json.dumps([self.name, repr(self.sampling), self.seed]).encode()
        return blake2b(how + prompt.key, digest_size=16).hexdigest()


def write_requests(
    prompts: Iterable[Prompt], path: Path, force: bool, model: BatchModel
) -> list[dict[str, Any]]:
    """Writes a request for each prompt: to ``path``, and beyond ``LINES`` or ``BYTES`` to further files
    (``NAME-2.jsonl``, …), which appear when all are complete.

    Returns:
        ``file``, ``requests`` and ``bytes`` of each file.

    Raises:
        SynthError: one exists already, or cannot be written.
    """
    written: list[dict[str, Any]] = []
    files: list[AtomicFile] = []
    with ExitStack() as stack:
        for prompt in prompts:
            room, how = model.sampling.max_new_tokens, (model.sampling, model.seed)
            url, body = request_of(prompt, *how, model=model.name, room=room, vllm=False)
            request = {"custom_id": model.request_id(prompt), "method": "POST", "url": url}
            line = json_bytes({**request, "body": body}) + b"\n"
            last = written[-1] if written else None
            if last is None or last["requests"] == LINES or last["bytes"] + len(line) > BYTES:
                number = f"-{len(files) + 1}" if files else ""
                place = path.with_name(f"{path.stem}{number}{path.suffix}")
                files.append(AtomicFile(place, force))
                stack.callback(files[-1].abort)
                last = {"file": str(place), "requests": 0, "bytes": 0}
                written.append(last)
            files[-1].write(line)
            last["requests"] += 1
            last["bytes"] += len(line)
        for file in files:
            file.settle()
        stack.pop_all()
        for file in files:
            file.commit()
    return written


class BatchResults(Generator):
    """A model whose answers are in files; a prompt without one gets an error. ``answers_as``: see ``only_choice``.
    Raises SynthError: a line is not a batch result. Memory: the answers."""

    context = None

    def __init__(self, paths: Sequence[str], model: BatchModel, answers_as: str | None) -> None:
        self.description = {"name": model.name, "revision": None, "backend": "batch"}
        self._model = model
        self._missing = f"no result in {', '.join(paths)}"
        self._answers: dict[str, tuple[Answer, str]] = {}
        for path in paths:
            for batch in read(find_shards([path]), Rejects()):
                lines = as_lines(batch).json_lines()
                for number, line in zip(batch.numbers, lines, strict=True):
                    self._take(parse_value(line), f"{batch.source}:{number}", answers_as)

    def _take(self, result: Any, place: str, answers_as: str | None) -> None:
        name = result.get("custom_id")
        if not isinstance(name, str):
            raise SynthError(
                f'{place}: no text in the field "custom_id": is it a result of a batch?'
            )
        try:
            answer = self._answer(result, answers_as)
        except (RetryError, RefusedError) as error:
            answer = failed(f"{place}: {error}")
        # A failed request may have been repeated.
        if name not in self._answers or self._answers[name][0].error is not None:
            self._answers[name] = answer, place

    def _answer(self, result: dict[str, Any], answers_as: str | None) -> Answer:
        response, error = result.get("response"), result.get("error")
        if error or not isinstance(response, dict):
            raise RefusedError(_message(error) or "neither a response nor an error")
        body = response.get("body")
        if response.get("status_code", 200) != 200 or not isinstance(body, dict):
            raise RefusedError(f"HTTP {response.get('status_code')}: {_message(body)}")
        choice = only_choice(body, self._model.name, answers_as)
        return answer_of(body, choice, self._model.sampling.max_new_tokens)

    def sample_as(self, sampling: SamplingSettings) -> None:
        """No effect: the answers exist already."""

    def generate(
        self, prompts: Iterable[Prompt], finished: Finished | None = None
    ) -> Iterator[Answer]:
        """See ``Generator.generate``."""
        for place, prompt in enumerate(prompts):
            answer, _ = self._answers.pop(self._model.request_id(prompt), (None, ""))
            answer = answer or failed(self._missing)
            if finished:
                finished(place, answer)
            yield answer

    def __exit__(self, *error: object) -> None:
        """Raises SynthError: after a run without errors, a result belongs to none of the prompts."""
        super().__exit__(*error)
        for name, (_, where) in self._answers.items() if error[0] is None else ():
            raise SynthError(
                f"{where}: custom_id {name} belongs to no prompt ({len(self._answers):,} of them): prompts, "
                "model, sampling and seed must be those of the requests"
            )

    def close(self) -> None:
        """Nothing to close."""


def _message(error: Any) -> str:
    """A provider's error message, in one line."""
    if isinstance(error, dict):
        inner = error.get("error")
        error = (inner if isinstance(inner, dict) else error).get("message") or error
    return " ".join(str(error or "").split())[:300]
