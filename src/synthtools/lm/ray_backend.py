"""Models on a Ray cluster: actors with any backend, which receive work in waves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from synthtools.lm.generation import Answer, Finished, Generator, Prompt, SamplingSettings
from synthtools.lm.scores import (
    PoolingEngine,
    ScoreRequest,
    ScoringEngine,
    Sequence,
    SequenceScores,
)
from synthtools.scale.actor_pool import HeldObject, open_on_actors
from synthtools.scale.prefetch import gathered
from synthtools.scale.ray_cluster import RayCluster, connect
from synthtools.scale.threads import results

if TYPE_CHECKING:
    from synthtools.lm.model_settings import ModelSettings

# Prompts of a wave: per core on a CPU; on a GPU, which takes some hundred at once.
_PROMPTS, _GPU_PROMPTS = 32, 512
_BYTES_A_TOKEN = 4
# Waves per actor in one call, so that no actor waits for the last wave of another.
_WAVES = 2

Remark = Callable[[str], None]


def _open_actors(
    settings: ModelSettings,
    opener: Callable[[ModelSettings, Remark], Any],
    describe: Callable[[Any], dict[str, Any]],
    remark: Remark,
) -> tuple[HeldObject, ModelSettings]:
    """Actors with a model each, and their settings."""
    assert settings.ray is not None
    cluster = connect(settings.ray, settings.cores)
    named = settings.devices.split(",")
    on_cpu = settings.devices == "cpu" or (settings.devices == "auto" and not cluster.gpus)
    gpus = 0 if on_cpu else 1 if settings.devices == "auto" else len(named)
    where = _actor_resources(cluster, gpus, settings.cores)
    # An actor on GPUs sees only its own, numbered from 0.
    devices = "cpu" if on_cpu else ",".join(map(str, range(gpus)))
    cores = settings.cores if gpus else int(min(place["num_cpus"] for place in where))
    own = replace(settings, ray=None, devices=devices, cores=cores)
    kind = gpus, settings.cores
    return open_on_actors(cluster, kind, where, partial(opener, own), describe, remark), own


def _actor_resources(cluster: RayCluster, gpus: int, cores: int | None) -> list[dict[str, Any]]:
    """Resources of each actor: one actor per ``gpus`` GPUs of the cluster; without GPUs, one per node with
    its cores.

    Args:
        gpus: per actor, 0 for CPUs.
        cores: per actor on CPUs, None for all of a node.
    """
    if gpus:
        return [{"num_cpus": 1, "num_gpus": gpus}] * max(1, cluster.gpus // gpus)
    nodes = [int(node["Resources"].get("CPU", 0)) for node in cluster.nodes()]
    if cores is None:
        bundles = [{"num_cpus": count} for count in sorted(nodes, reverse=True) if count]
    else:
        bundles = [{"num_cpus": cores} for count in nodes for _ in range(count // cores)]
    return bundles or [{"num_cpus": 1}]


# ---------------------------------------------------------------- scoring and vectors


class RayEngine:
    """An engine (see ``scores.ScoringEngine``) that distributes work to engines on a cluster.

    Args:
        opener: settings, remark → engine; runs on the cluster.

    Attributes:
        calls: a second call keeps the actors busy while the first finishes.
        backend: of the actors.
        width: size of a hidden state.
    """

    calls = 2

    def __init__(
        self,
        settings: ModelSettings,
        context: int,
        opener: Callable[[ModelSettings, Remark], Any],
        remark: Remark,
    ) -> None:
        self.context = context
        self._held, _ = _open_actors(settings, opener, _engine_numbers, remark)
        numbers = self._held.description
        self.backend: str = numbers["backend"]
        self.width: int = numbers["width"]
        self._wave = max(1, numbers["chunk_bytes"] // _BYTES_A_TOKEN)
        self.chunk_bytes = numbers["chunk_bytes"] * self._held.pool.size * _WAVES
        self.passed: Callable[[int], None] = lambda _: None

    def run(self, sequences: list[Sequence], request: ScoreRequest) -> list[SequenceScores]:
        scores: list[SequenceScores] = self._over_waves(_score, sequences, request)
        self.passed(sum(len(one.logprobs) for one in scores))
        return scores

    def pooled(self, sequences: list[Any]) -> list[np.ndarray]:
        return self._over_waves(_pooled, sequences)

    def _over_waves(
        self, method: Callable[..., Any], sequences: list[Any], *more: Any
    ) -> list[Any]:
        runs = gathered(sequences, lambda sequence: len(sequence.tokens), self._wave)
        results = self._held.in_order(method, runs, *more)
        return [result for wave in results for result in wave]

    def close(self) -> None:
        self._held.close()


def _engine_numbers(engine: Any) -> dict[str, Any]:
    backend = "vllm" if "vllm" in type(engine).__module__ else "torch"
    width = getattr(engine, "width", 0)
    return {"backend": backend, "width": width, "chunk_bytes": engine.chunk_bytes}


def _score(
    engine: ScoringEngine, sequences: list[Sequence], request: ScoreRequest
) -> list[SequenceScores]:
    return engine.run(sequences, request)


def _pooled(engine: PoolingEngine, sequences: list[Any]) -> list[np.ndarray]:
    return engine.pooled(sequences)


# ---------------------------------------------------------------- answers


class RayGenerator(Generator):
    """A generator that sends waves of prompts to generators on a cluster; a wave's answers arrive together.

    Args:
        opener: settings, remark → generator; runs on the cluster.
    """

    def __init__(
        self,
        settings: ModelSettings,
        sampling: SamplingSettings,
        opener: Callable[[ModelSettings, Remark], Generator],
        remark: Remark,
    ) -> None:
        self._held, own = _open_actors(settings, opener, _generator_numbers, remark)
        numbers = self._held.description
        self.description = numbers["description"]
        self.context = numbers["context"]
        self._wave = _PROMPTS * (own.cores or 1) if own.devices == "cpu" else _GPU_PROMPTS
        self._sampling = sampling

    def sample_as(self, sampling: SamplingSettings) -> None:
        self._sampling = sampling

    def generate(
        self, prompts: Iterable[Prompt], finished: Finished | None = None
    ) -> Iterator[Answer]:
        numbered = iter(enumerate(prompts))

        def waves() -> Iterator[Any]:
            while some := list(islice(numbered, self._wave)):
                yield some

        ask = partial(self._asked, finished)
        for answers in results(map(ask, waves()), 2 * self._held.pool.size):
            yield from answers

    def _asked(
        self, finished: Finished | None, some: list[tuple[int, Prompt]]
    ) -> Future[list[Answer]]:
        future = self._held.submit(_answers, [prompt for _, prompt in some], self._sampling)

        def report(done: Future[list[Answer]]) -> None:
            if finished is not None and not done.cancelled() and done.exception() is None:
                for (place, _), answer in zip(some, done.result(), strict=True):
                    finished(place, answer)

        future.add_done_callback(report)
        return future

    def close(self) -> None:
        self._held.close()


def _generator_numbers(generator: Generator) -> dict[str, Any]:
    return {"description": generator.description, "context": generator.context}


def _answers(
    generator: Generator, prompts: list[Prompt], sampling: SamplingSettings
) -> list[Answer]:
    generator.sample_as(sampling)
    return list(generator.generate(prompts))
