from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthtools.cli.app import build
from synthtools.lm import open_models
from synthtools.lm.generation import Answer, Generator, Prompt, failed
from synthtools.records.batch import Batch
from synthtools.records.inputs import find_shards
from synthtools.records.reader import read
from synthtools.records.record_keys import RecordKeys
from synthtools.records.rejects import Rejects

# The models of these tests are too small for more than one.
torch.set_num_threads(1)


def _read(path: Path, batch_bytes: int = 1 << 20) -> Iterator[Batch]:
    return read(find_shards([str(path)]), Rejects(), batch_bytes=batch_bytes)


@pytest.fixture(scope="session")
def batches_of() -> Callable[..., Iterator[Batch]]:
    """The records of a file in batches of ``batch_bytes``."""
    return _read


@pytest.fixture(scope="session")
def keyed() -> Callable[..., Iterator[tuple[Batch, np.ndarray]]]:
    """The records of a file, with their keys."""

    def keyed_batches(path: Path, batch_bytes: int = 1 << 20) -> Iterator[tuple[Batch, np.ndarray]]:
        keys = RecordKeys()
        for batch in _read(path, batch_bytes):
            yield batch, keys.of(batch.column("id"), batch.column("text"))

    return keyed_batches


Speak = Callable[[str, Prompt], str | None]


class Spoken(Generator):
    """Answers by a function of (what was last said, prompt); None is an error.

    Attributes:
        prompts: that came.
        prompt_tokens: of each.
    """

    context = None
    prompt_tokens = 7

    def __init__(self, name: str, speak: Speak) -> None:
        self.description = {"name": name, "revision": "r1"}
        self._speak = speak
        self.prompts: list[Prompt] = []

    def generate(self, prompts: Iterable[Prompt], finished: Any = None) -> Iterator[Answer]:
        for place, prompt in enumerate(prompts):
            self.prompts.append(prompt)
            said = prompt.text if prompt.text is not None else prompt.messages[-1]["content"]
            text = self._speak(said, prompt)
            answer = (
                failed("no idea")
                if text is None
                else Answer(text, "stop", self.prompt_tokens, len(text))
            )
            if finished:
                finished(place, answer)
            yield answer

    def sample_as(self, sampling: Any) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def generate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs ``synth generate`` on records: the written records; ``.models`` holds the generators."""

    def run(records: list[dict[str, Any]], speak: Speak, *arguments: str) -> list[dict[str, Any]]:
        run.models = []

        def opened(settings: Any, sampling: Any, seed: int, tell: Any, **_: Any) -> Spoken:
            run.models.append(Spoken(settings.model.name, speak))
            run.models[-1].prompt_tokens = run.prompt_tokens
            run.sampling = sampling
            return run.models[-1]

        monkeypatch.setattr(open_models, "open_generator", opened)
        source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
        source.write_text("".join(json.dumps(record) + "\n" for record in records))
        more = () if "-o" in arguments else ("-o", str(output), "--force")
        build()(["generate", str(source), *more, *arguments], standalone_mode=False)
        return [json.loads(line) for line in output.read_text().splitlines()] if more else []

    run.prompt_tokens = Spoken.prompt_tokens
    return run
