"""Generation with the torch backend: prompts to batches, batches to workers, answers in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from itertools import islice
from typing import Any

from synthtools.lm.generation import Answer, Finished, Generator, Prompt, SamplingSettings
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.pretrained import load_weights
from synthtools.lm.prompt_tokenizer import PromptTokenizer
from synthtools.lm.torch.partial_answer import PartialAnswer
from synthtools.lm.torch.torch_decoder import GeneratorReplica
from synthtools.lm.torch.torch_engine import padded_length, torch_engine

# Prompts sorted into batches together, per worker.
_WINDOW = 512


class TorchGenerator(Generator):
    def __init__(
        self,
        settings: ModelSettings,
        prompting: PromptTokenizer,
        seed: int,
        description: dict[str, Any],
        remark: Callable[[str], None],
    ) -> None:
        self.description = description
        self.context = prompting.context
        self._prompting = prompting
        self._seed = seed
        self._engine = torch_engine(
            settings, prompting.context, remark, GeneratorReplica, load_weights
        )
        replica = self._engine.replica
        self._ends = prompting.end_ids | replica.end_ids
        special = prompting.tokenizer.special_ids
        self._surfaces = [
            b"" if token in special else surface
            for token, surface in enumerate(prompting.tokenizer.surfaces)
        ]

    def sample_as(self, sampling: SamplingSettings) -> None:
        self._prompting.sampling = sampling

    def generate(
        self, prompts: Iterable[Prompt], finished: Finished | None = None
    ) -> Iterator[Answer]:
        iterator = iter(enumerate(prompts))
        windows: deque[tuple[list[PartialAnswer | Answer], list[Future[None]]]] = deque()
        size = _WINDOW * self._engine.workers
        try:
            while True:
                # A second window keeps the workers busy while the first finishes.
                while len(windows) < 2 and (some := list(islice(iterator, size))):
                    windows.append(self._start(some, finished))
                if not windows:
                    return
                rows, futures = windows.popleft()
                for future in futures:
                    future.result()
                for row in rows:
                    answer = row if isinstance(row, Answer) else row.answer
                    assert answer is not None
                    yield answer
        finally:
            for _, futures in windows:
                for future in futures:
                    future.cancel()

    def _start(
        self, prompts: list[tuple[int, Prompt]], finished: Finished | None
    ) -> tuple[list[PartialAnswer | Answer], list[Future[None]]]:
        """Sends prompts to the workers; their rows, and the futures to wait for."""
        rows: list[PartialAnswer | Answer] = []
        for place, prompt in prompts:
            done = partial(finished, place) if finished else _ignore
            ready = self._prompting.ready(prompt)
            if isinstance(ready, Answer):
                rows.append(ready)
                done(ready)
                continue
            width = padded_length(len(ready.ids) + 1, self._prompting.context)
            rows.append(PartialAnswer(ready, width, prompt.seed(self._seed), done))
        waiting = [row for row in rows if isinstance(row, PartialAnswer)]
        futures = [
            self._engine.submit(
                GeneratorReplica.answer,
                members,
                width,
                self._prompting.sampling,
                self._surfaces,
                self._ends,
            )
            for width, members in self._engine.replica.batches(
                waiting, self._prompting.context, self._engine.workers
            )
        ]
        return rows, futures

    def close(self) -> None:
        self._engine.close()


def _ignore(_: Answer) -> None:
    pass
