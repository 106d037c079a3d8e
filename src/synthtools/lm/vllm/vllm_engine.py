"""Scoring with vLLM in process: prefill only, log-probabilities of the prompt.

The settings make results independent of other requests: no prefix cache (its hits have no log-probabilities),
no chunked prefill (the chunks depend on the queue), the output layer in float32. Requests enter in chunks
through the engine's own loop, and results are read as flat arrays: building dictionaries of log-probabilities
would limit the speed of a fast GPU.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from synthtools.environment import cores
from synthtools.errors import SynthError, UsageError, parameter
from synthtools.lm.devices import device_list, torch_dtype
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.pretrained import load_configuration, refuse_unfit
from synthtools.lm.scores import (
    ScoreRequest,
    Sequence,
    SequenceScores,
    TokenDistribution,
    wanted_candidates,
)
from synthtools.scale import orphans

_CHUNK_BYTES = 8 << 20
_CPU_CHUNK_BYTES = 256 << 10
_GPU_BATCH_TOKENS = 16_384
_CPU_BATCH_TOKENS = 4096
MOST_SEQUENCES = 256
# Prefixes of environment variables that a start sets.
_VARIABLES = ("VLLM_", "HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
# The share of free memory left to other programs.
_SHARE_OF_FREE = 0.9


def open_engine(settings: ModelSettings, context: int, request: ScoreRequest) -> VllmEngine:
    """Starts an engine.

    Args:
        context: the maximal length of a sequence.
        request: gives the number of candidates, which the engine has to know at the start.

    Raises:
        UsageError: vLLM is not installed.
        SynthError: the engine does not start.
    """
    batch = max(_batch_tokens(settings), context + 1)
    more = {
        "skip_tokenizer_init": True,
        "max_model_len": context + 1,
        "max_num_batched_tokens": batch,
        "max_logprobs": max(1, request.candidates),
        "enable_prefix_caching": False,
        "enable_chunked_prefill": False,
        "kv_cache_memory_bytes": settings.kv_cache_bytes or _cache_bytes(settings, batch),
    }
    return VllmEngine(start_llm(settings, more), context)


def start_llm(settings: ModelSettings, more: dict[str, Any]) -> Any:
    """vLLM's LLM for a model.

    Args:
        more: further arguments of LLM.

    Raises:
        UsageError: vLLM is not installed.
        SynthError: the engine does not start.
    """
    from importlib.util import find_spec

    if find_spec("vllm") is None:
        raise UsageError(
            f"{parameter('backend', 'vllm')}: vLLM is not installed; pip install 'synthtools[vllm]'"
        )
    _start_watcher()
    cause = None
    with _one_start_at_a_time(), _environment(), _redirected_output() as log:
        try:
            return _start(settings, more)
        except (SynthError, KeyboardInterrupt):
            raise
        except Exception as error:  # any error becomes one line for the user
            cause = SynthError(
                f"{settings.model.name}: vLLM does not start: {_cause(log, error)} "
                "(VLLM_LOGGING_LEVEL=INFO shows its log)"
            )
    raise cause


@cache
def _start_watcher() -> object:
    """Starts, once per process, a watcher that ends the engines if the process is killed."""
    return orphans.watch()


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Sets the environment for an engine's start and restores it afterwards. The engine's processes keep
    theirs; without processes, vLLM keeps the values that it has read (``enable_envs_cache``)."""

    def present() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name.startswith(_VARIABLES)}

    before = present()
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    # A sequence may fill the context: vLLM counts one more token, which is never computed.
    os.environ.setdefault("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "1")
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:  # its processes would find out after minutes
        os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        for name in present().keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _redirected_output() -> Iterator[Path]:
    """Redirects the output of the engine and its processes to a file: stdout is for records, and
    vLLM's log matters only if it fails. If the user sets VLLM_LOGGING_LEVEL, stderr is left alone.

    Yields:
        The file.
    """
    asked_for = "VLLM_LOGGING_LEVEL" in os.environ
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    with tempfile.NamedTemporaryFile(prefix=orphans.engine_log(os.getpid()), suffix=".log") as log:
        kept = os.dup(1), os.dup(2)
        sys.stdout.flush()
        sys.stderr.flush()
        if asked_for:
            os.dup2(2, 1)
        else:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        try:
            yield Path(log.name)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, saved in enumerate(kept, 1):
                os.dup2(saved, descriptor)
                os.close(saved)


def _cause(log: Path, error: Exception) -> str:
    """The most specific line of the engine's log, otherwise the first line of the error."""
    named = re.compile(r"\b([A-Z]\w*(?:Error|Exception): .+)")
    causes = [
        m[1] for line in log.read_text(errors="replace").splitlines() if (m := named.search(line))
    ]
    # The first error is the cause; later ones follow from it.
    line = (causes or str(error).splitlines() or [type(error).__name__])[0]
    return line[:300]


@contextlib.contextmanager
def _one_start_at_a_time() -> Iterator[None]:
    """A lock for starts: engines measure free memory, and two at once would mislead each other."""
    import fcntl

    path = os.path.join(tempfile.gettempdir(), f"synth-vllm-{os.getuid()}.lock")
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start(settings: ModelSettings, more: dict[str, Any]) -> Any:
    import torch

    if settings.model.base() is not None:
        raise SynthError(
            f"{settings.model.name}: holds LoRA adapters, which vLLM cannot run here; use "
            f"{parameter('backend', 'torch')}, or merge them when training ({parameter('merge')})"
        )
    devices = device_list(settings.devices)
    on_gpu = devices[0] != "cpu"
    more = dict(more)
    if on_gpu:
        # Before the first call of vLLM, which selects its kernels by it.
        os.environ.setdefault("VLLM_BATCH_INVARIANT", "1")
        numbers = [int(device.partition(":")[2] or "0") for device in devices]
        free, total = torch.cuda.mem_get_info(numbers[0])
        more["gpu_memory_utilization"] = _SHARE_OF_FREE * free / total
        if settings.devices != "auto":
            os.environ["CUDA_VISIBLE_DEVICES"] = visible_gpus(numbers)
            more["tensor_parallel_size"] = len(numbers)
    elif settings.cores and settings.cores < cores():
        # Otherwise every engine on a machine pins its threads to the same cores.
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        os.environ["OMP_NUM_THREADS"] = str(settings.cores)
    refuse_unfit(settings.model)
    from vllm import LLM

    return LLM(
        model=settings.model.location,
        revision=settings.model.revision,
        trust_remote_code=False,
        load_format="safetensors",
        dtype=torch_dtype(settings.dtype, on_gpu),
        hf_overrides={"head_dtype": "float32"},
        max_num_seqs=MOST_SEQUENCES,
        # On a CPU compilation takes longer than most runs.
        enforce_eager=not on_gpu,
        disable_log_stats=True,
        seed=0,
        **more,
    )


def visible_gpus(numbers: list[int]) -> str:
    """System-wide ids of GPUs, given their numbers in this process, which may see only some of them."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = seen.split(",") if seen else list(map(str, range(max(numbers) + 1)))
    return ",".join(names[number] for number in numbers)


def _batch_tokens(settings: ModelSettings) -> int:
    on_gpu = device_list(settings.devices)[0] != "cpu"
    return settings.batch_tokens or (_GPU_BATCH_TOKENS if on_gpu else _CPU_BATCH_TOKENS)


def _cache_bytes(settings: ModelSettings, batch: int) -> int:
    """Size of the key–value cache: two batches, which suffices for prefill."""
    return max(64 << 20, 2 * batch * bytes_per_token(settings))


def bytes_per_token(settings: ModelSettings) -> int:
    """Bytes of keys and values per token, in float32."""
    config = load_configuration(settings.model).get_text_config()
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return int(config.num_hidden_layers * 2 * kv_heads * width * 4)


class VllmEngine:
    """vLLM as an engine (see ``scores.ScoringEngine``)."""

    calls = 1

    def __init__(self, llm: Any, context: int) -> None:
        import torch

        self.context = context
        self.chunk_bytes = _CHUNK_BYTES if torch.cuda.is_available() else _CPU_CHUNK_BYTES
        self.passed: Callable[[int], None] = lambda _: None
        self._llm = llm
        self._step = threading.Lock()
        self._closed = False

    def run(self, sequences: list[Sequence], request: ScoreRequest) -> list[SequenceScores]:
        from vllm import SamplingParams, TokensPrompt

        k = request.candidates
        params = SamplingParams(
            max_tokens=1,
            temperature=0,
            prompt_logprobs=k,
            flat_logprobs=True,
            detokenize=False,
        )
        engine = self._llm.llm_engine
        results: dict[int, SequenceScores] = {}
        # Longest first, so that sequences scheduled together have similar lengths.
        for index in sorted(range(len(sequences)), key=lambda i: -len(sequences[i].tokens)):
            prompt = TokensPrompt(prompt_token_ids=sequences[index].tokens.tolist())
            engine.add_request(str(index), prompt, params)
        while engine.has_unfinished_requests():
            with self._step:
                if self._closed:
                    raise SynthError("the engine was closed in the middle of a run")
                outputs = engine.step()
            for output in outputs:
                if output.finished:
                    index = int(output.request_id)
                    results[index] = _scores(output.prompt_logprobs, sequences[index], request)
                    self.passed(len(results[index].logprobs))
        lost = len(sequences) - len(results)
        if lost:
            raise SynthError(f"vLLM gave no scores for {lost} of {len(sequences)} sequences")
        return [results[index] for index in range(len(sequences))]

    def close(self) -> None:
        self._closed = True
        # The engine's own exit handlers may abort a process that has done all its work.
        with self._step, contextlib.suppress(Exception):
            self._llm.llm_engine.engine_core.shutdown()


def _scores(flat: Any, sequence: Sequence, request: ScoreRequest) -> SequenceScores:
    """Scores from vLLM's flat arrays: k + 1 columns per token, the observed token in the first column;
    none for the first token."""
    k = request.candidates
    width = k + 1
    count = (len(sequence.tokens) - 1) * width
    skip = sequence.first - 1
    logprobs = np.fromiter(flat.logprobs, np.float32, count).reshape(-1, width)[skip:]
    observed = np.ascontiguousarray(logprobs[:, 0])
    distribution = None
    if request.distribution:
        ranks = np.fromiter(flat.ranks, np.float32, count).reshape(-1, width)[skip:, 0]
        distribution = TokenDistribution.of_ranks(ranks)
    if not k:
        return SequenceScores(observed, None, distribution)
    ids = np.fromiter(flat.token_ids, np.int32, count).reshape(-1, width)[skip:]
    return SequenceScores(
        observed, wanted_candidates(observed, ids[:, 1:], logprobs[:, 1:], request), distribution
    )
