"""Batches of sequences on copies of a model of transformers, on CPUs and GPUs.

Sequences are padded on the right to one of a few lengths that depend only on the sequence, and batched with
others of the same padded length. A causal model does not attend to the right, so no mask is needed, and a
sequence's numbers do not depend on its batch (bit for bit on a CPU, where a row of a matrix product does not
depend on the number of rows; on a GPU up to rounding).
"""

from __future__ import annotations

import queue
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar

import numpy as np
import torch

from synthtools import environment
from synthtools.lm.devices import (
    device_list,
    remark_emulation,
    single_threaded,
    torch_dtype,
)
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.scores import ScoreRequest, Sequence, SequenceScores
from synthtools.lm.torch.llama import load_scorer
from synthtools.lm.torch.rounded_weights import round_weights
from synthtools.lm.torch.torch_replica import ScorerReplica
from synthtools.scale.threads import in_context

_R = TypeVar("_R")

# A chunk is a few seconds of work for a model of any size, so that results and progress come regularly: in
# bytes of text × parameters, and at most in bytes.
_CPU_CHUNK_WORK = 1 << 40
_CPU_CHUNK_BYTES = 256 << 10
_GPU_CHUNK_BYTES = 8 << 20


def torch_engine(
    settings: ModelSettings,
    context: int,
    remark: Callable[[str], None],
    replica: Callable[..., Any] = ScorerReplica,
    load: Callable[..., Any] = load_scorer,
) -> TorchEngine:
    """The engine that settings ask for.

    Args:
        context: the maximal length of a sequence.
        remark: receives a remark if the CPU emulates the type, or a batch has to be made smaller.
        replica: the class for a model on a device: scoring, generation or vectors.
        load: name, torch dtype, device → model.
    """
    devices = device_list(settings.devices)
    dtype = getattr(torch, torch_dtype(settings.dtype, devices[0] != "cpu"))
    if dtype == torch.bfloat16:
        remark_emulation(devices[0], remark)
    models = [load(settings.model, dtype, device) for device in devices]
    if settings.bits is not None:
        models = [round_weights(model, settings.bits) for model in models]
    replicas = [
        replica(model, device, settings.batch_tokens, remark)
        for model, device in zip(models, devices, strict=True)
    ]
    if settings.observer is not None:
        for one, device in zip(replicas, devices, strict=True):
            observer = load(settings.observer, dtype, device)
            one.observer = replica(observer, device, settings.batch_tokens, remark)
    return TorchEngine(replicas, devices, context, settings.cores)


class TorchEngine:
    """One copy of the model on each device, each working on its own batches.

    A CPU has one copy and a single-threaded worker per core. Threads of a matrix library synchronise at every
    small product and spin while another program has the core; workers on whole batches do not, and the result
    does not depend on the number of cores.

    Args:
        replicas: of the model, one per device (a device may occur twice).
        context: the maximal length of a sequence.
        cores: workers on a CPU, None for all cores.

    Attributes:
        replica: the model on the first device.
        width: size of a hidden state.
        calls: a second call keeps the workers busy while the first finishes.
    """

    calls = 2

    def __init__(
        self, replicas: list[Any], devices: list[str], context: int, cores: int | None
    ) -> None:
        self.context = context
        self.replica = replicas[0]
        self.width: int = self.replica.width
        self._replicas = replicas
        workers = self._replicas
        self._stack = ExitStack()
        if devices == ["cpu"] and not self.replica.changes_itself:
            self._stack.enter_context(single_threaded())
            workers = self._replicas * (cores or environment.cores())
        chunk = _GPU_CHUNK_BYTES
        if devices[0] == "cpu":
            chunk = min(_CPU_CHUNK_BYTES, _CPU_CHUNK_WORK // self.replica.parameters)
        self.chunk_bytes = len(workers) * max(1, chunk)
        self.passed: Callable[[int], None] = lambda _: None
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for worker in workers:
            self._idle.put(worker)
        self.workers = len(workers)
        self._pool = ThreadPoolExecutor(self.workers)

    def run(self, sequences: list[Sequence], request: ScoreRequest) -> list[SequenceScores]:
        def score(replica: Any, some: list[Sequence], width: int) -> list[SequenceScores]:
            scores: list[SequenceScores] = replica.score(some, width, request)
            self.passed(sum(len(one.logprobs) for one in scores))
            return scores

        return self._over_batches(sequences, score)

    def pooled(self, sequences: list[Any]) -> list[np.ndarray]:
        return self._over_batches(sequences, lambda replica, some, width: replica.pool(some, width))

    def _over_batches(
        self,
        sequences: list[Any],
        function: Callable[[Any, list[Any], int], list[_R]],
    ) -> list[_R]:
        """The results of function(replica, sequences, padded length), one per sequence."""
        budget = min(replica.batch_tokens for replica in self._replicas)
        batches = _batches([len(s.tokens) for s in sequences], self.context, budget)

        started = [
            self.submit(function, [sequences[i] for i in members], width)
            for width, members in batches
        ]
        results: dict[int, _R] = {}
        try:
            for (_, members), future in zip(batches, started, strict=True):
                results.update(zip(members, future.result(), strict=True))
        finally:
            for future in started:
                future.cancel()
        return [results[index] for index in range(len(sequences))]

    def submit(self, function: Callable[..., _R], *arguments: Any) -> Future[_R]:
        """Runs function(replica, arguments) on the next idle replica."""

        def work() -> _R:
            replica = self._idle.get()
            try:
                return function(replica, *arguments)
            finally:
                self._idle.put(replica)

        return self._pool.submit(in_context(work))

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._stack.close()


def padded_length(length: int, context: int) -> int:
    """The padded length of a sequence: eight steps per octave, at least 16."""
    step = max(16, 1 << max(0, length.bit_length() - 4))
    return min(-(-length // step) * step, max(context, length))


def _batches(lengths: list[int], context: int, budget: int) -> list[tuple[int, list[int]]]:
    """(padded length, indices) of each batch, the longest first."""
    groups: dict[int, list[int]] = defaultdict(list)
    for index, length in enumerate(lengths):
        groups[padded_length(length, context)].append(index)
    batches: list[tuple[int, list[int]]] = []
    for width in sorted(groups, reverse=True):
        members = groups[width]
        rows = max(1, budget // width)
        batches.extend((width, members[i : i + rows]) for i in range(0, len(members), rows))
    return batches
