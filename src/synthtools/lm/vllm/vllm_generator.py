"""Generation with vLLM in process.

Requests, each with its own seed, enter the engine's loop as others finish: the engine always has as many as
it can run and some in its queue, for any number of prompts.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from synthtools.errors import SynthError
from synthtools.lm.devices import device_list
from synthtools.lm.generation import Answer, Finished, Generator, Prompt, SamplingSettings, failed
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.prompt_tokenizer import PromptTokenizer, TokenisedPrompt
from synthtools.lm.vllm.vllm_engine import MOST_SEQUENCES, bytes_per_token, start_llm

# Requests in the engine: those that run, and as many in the queue.
_IN_ENGINE = 2 * MOST_SEQUENCES
# Prompts read ahead of the oldest unanswered one.
_AHEAD = 16 * MOST_SEQUENCES
_CPU_CACHE_BYTES = 2 << 30
_CPU_BATCH_TOKENS = 4096


class VllmGenerator(Generator):
    def __init__(
        self,
        settings: ModelSettings,
        prompting: PromptTokenizer,
        seed: int,
        description: dict[str, Any],
    ) -> None:
        self.description = description
        self.context = prompting.context
        self._prompting = prompting
        self._seed = seed
        self._step = threading.Lock()
        more: dict[str, Any] = {
            "tokenizer": settings.model.tokenizer or settings.model.location,
            "max_model_len": prompting.context,
        }
        if settings.batch_tokens:
            more["max_num_batched_tokens"] = settings.batch_tokens
        cache = settings.kv_cache_bytes
        on_cpu = device_list(settings.devices)[0] == "cpu"
        if on_cpu:
            # With chunked prefill vLLM rewinds the random generator of a seed, which CPUs do not support.
            batch = max(settings.batch_tokens or _CPU_BATCH_TOKENS, prompting.context)
            more |= {"enable_chunked_prefill": False, "max_num_batched_tokens": batch}
        if cache is None and on_cpu:
            whole = MOST_SEQUENCES * prompting.context * bytes_per_token(settings)
            cache = max(64 << 20, min(_CPU_CACHE_BYTES, whole))
        if cache is not None:
            more["kv_cache_memory_bytes"] = cache
        self._llm = start_llm(settings, more)
        self._count = 0

    def sample_as(self, sampling: SamplingSettings) -> None:
        self._prompting.sampling = sampling

    def _parameters(self, prompted: TokenisedPrompt, seed: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        sampling = self._prompting.sampling
        structure = None
        if sampling.schema:
            structure = StructuredOutputsParams(json=json.loads(sampling.schema))
        elif sampling.regex:
            structure = StructuredOutputsParams(regex=sampling.regex)
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k or -1,
            max_tokens=prompted.room,
            stop=list(prompted.stop),
            stop_token_ids=sorted(self._prompting.end_ids),
            seed=seed,
            structured_outputs=structure,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def generate(
        self, prompts: Iterable[Prompt], finished: Finished | None = None
    ) -> Iterator[Answer]:
        iterator = iter(enumerate(prompts))
        waiting: deque[int] = deque()
        running: dict[str, int] = {}
        done: dict[int, Answer] = {}
        more = True

        def end(place: int, answer: Answer) -> None:
            done[place] = answer
            if finished:
                finished(place, answer)

        try:
            while True:
                while more and len(running) < _IN_ENGINE and len(waiting) < _AHEAD:
                    item = next(iterator, None)
                    if item is None:
                        more = False
                        break
                    place, prompt = item
                    waiting.append(place)
                    added = self._add(prompt)
                    if isinstance(added, Answer):
                        end(place, added)
                    else:
                        running[added] = place
                while waiting and waiting[0] in done:
                    yield done.pop(waiting.popleft())
                if not running:
                    if not more:
                        return
                    continue
                for output in self._outputs():
                    if output.finished and output.request_id in running:
                        end(running.pop(output.request_id), _answer(output))
        finally:
            if running:
                with contextlib.suppress(Exception):
                    self._llm.llm_engine.abort_request(list(running))

    def _add(self, prompt: Prompt) -> str | Answer:
        """The request's id in the engine, or an answer with an error."""
        from vllm import TokensPrompt

        ready = self._prompting.ready(prompt)
        if isinstance(ready, Answer):
            return ready
        self._count += 1
        name = str(self._count)
        tokens = TokensPrompt(prompt_token_ids=ready.ids.tolist())
        try:
            self._llm.llm_engine.add_request(
                name, tokens, self._parameters(ready, prompt.seed(self._seed))
            )
        except ValueError as error:
            return failed(f"vLLM refuses: {' '.join(str(error).split())[:300]}", len(ready.ids))
        return name

    def _outputs(self) -> list[Any]:
        try:
            with self._step:
                return list(self._llm.llm_engine.step())
        except Exception as error:
            line = (str(error).splitlines() or [""])[0]
            raise SynthError(
                f"{self.name}: vLLM's engine has ended: {type(error).__name__}: {line}"
            ) from error

    def close(self) -> None:
        # The engine's own exit handlers may abort a process that has done all its work.
        with self._step, contextlib.suppress(Exception):
            self._llm.llm_engine.engine_core.shutdown()


def _answer(output: Any) -> Answer:
    (completion,) = output.outputs
    prompt_tokens = len(output.prompt_token_ids)
    reason = completion.finish_reason or "abort"
    if reason == "abort":
        return failed("vLLM broke the answer off", prompt_tokens)
    return Answer(completion.text, str(reason), prompt_tokens, len(completion.token_ids))
