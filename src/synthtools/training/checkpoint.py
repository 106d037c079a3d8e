"""Checkpoints: the state of a run on disk, as safetensors and JSON, written atomically.

Each rank writes its part of every tensor; tensors are split along the first dimension in the order of the
ranks, so that another number of ranks can load a checkpoint. Each file has a hash beside it; a checkpoint that
does not match is skipped in favour of the previous one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from synthtools.errors import SynthError, parameter
from synthtools.records.job_difference import difference
from synthtools.records.jsonl import parse_value
from synthtools.training.parallel import Ranks, local
from synthtools.training.run_directory import reason

_STATE = "state.json"


def _parts(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """This rank's part of all trained tensors, by name."""
    parts: dict[str, Tensor] = {}
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        parts[f"weight/{name}"] = local(weight.detach())
        for key, value in optimizer.state.get(weight, {}).items():
            parts[f"{key}/{name}"] = local(value)
    return {name: value.contiguous() for name, value in parts.items()}


def save(
    folder: Path,
    step: int,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    job: dict[str, Any],
    progress: dict[str, Any],
    keep: int,
    ranks: Ranks,
) -> None:
    """Saves the state after ``step`` steps and removes all but the newest ``keep`` checkpoints.

    Args:
        folder: contains one directory per checkpoint.
        job: identifies the run; ``load`` refuses another one.
        progress: the state of the loop.

    Raises:
        SynthError: on every rank, if any rank could not write.
    """
    final = folder / f"step-{step:08d}"
    partial = folder / f".step-{step:08d}.partial"
    trouble: OSError | None = None
    try:
        if ranks.first:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
    except OSError as error:
        trouble = error
    ranks.wait()
    if trouble is None:
        trouble = _write(partial, _parts(model, optimizer), ranks)
    failed = ranks.any(trouble is not None)
    if not failed and ranks.first:
        try:
            state = {"step": step, "ranks": ranks.count, "progress": progress, "job": job}
            (partial / _STATE).write_text(json.dumps(state))
            _flush(partial / _STATE)
            shutil.rmtree(final, ignore_errors=True)
            os.replace(partial, final)
            _flush(folder)
        except OSError as error:
            trouble = error
    if ranks.any(trouble is not None):
        if ranks.first:
            shutil.rmtree(partial, ignore_errors=True)
        why = trouble.strerror if trouble is not None else "another rank could not write"
        raise SynthError(f"{final}: cannot be written: {why}") from trouble
    if ranks.first:
        for old in _all(folder)[:-keep]:
            shutil.rmtree(old, ignore_errors=True)


def _write(partial: Path, parts: dict[str, Tensor], ranks: Ranks) -> OSError | None:
    path = partial / _file(ranks.rank, ranks.count)
    try:
        save_file(parts, path)
        _flush(path)
        digest = path.with_suffix(".blake2b")
        digest.write_text(_digest(path))
        path.chmod(digest.stat().st_mode)  # by the umask: save_file makes it private
        return None
    except (OSError, SafetensorError) as error:
        return OSError(0, reason(error) or str(error).splitlines()[0])


def _file(rank: int, count: int) -> str:
    return f"rank-{rank:05d}-of-{count:05d}.safetensors"


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, hashlib.blake2b).hexdigest()


def load(
    folder: Path,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    job: dict[str, Any],
    ranks: Ranks,
    remark: Callable[[str], None],
) -> dict[str, Any] | None:
    """Loads the newest intact checkpoint.

    Args:
        remark: receives a line for each damaged checkpoint that is skipped.

    Returns:
        The saved progress; None without a checkpoint.

    Raises:
        SynthError: the checkpoint is of another run, or none is intact.
    """
    checkpoints = _all(folder)
    for path in reversed(checkpoints):
        damage = _damage(path)
        if ranks.any(damage is not None):
            remark(
                f"{path}: damaged checkpoint ({damage or 'on another rank'}); trying the one before"
            )
            continue
        state = parse_value((path / _STATE).read_bytes())
        wanted = json.loads(json.dumps(job))
        if state["job"] != wanted:
            raise SynthError(
                f"{folder.parent}: was started with other {difference(state['job'], wanted)}; "
                f"{parameter('force')} starts over"
            )
        _restore(path, state["ranks"], model, optimizer, ranks)
        progress: dict[str, Any] = state["progress"]
        return progress
    if checkpoints:
        raise SynthError(f"{folder}: every checkpoint is damaged; {parameter('force')} starts over")
    return None


def _damage(path: Path) -> str | None:
    """What is wrong with a checkpoint, None if it is intact."""
    try:
        state = parse_value((path / _STATE).read_bytes())
        for rank in range(state["ranks"]):
            file = path / _file(rank, state["ranks"])
            if _digest(file) != file.with_suffix(".blake2b").read_text():
                return f"{file.name} does not match its checksum"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return str(error).splitlines()[0]
    return None


def _restore(
    path: Path, saved: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer, ranks: Ranks
) -> None:
    files: list[Any] = [safe_open(path / _file(rank, saved), "pt") for rank in range(saved)]

    def part(name: str, like: Tensor | None) -> Tensor:
        """This rank's part; ``like`` is the weight, None for a number."""
        if saved == ranks.count:
            return files[ranks.rank].get_tensor(name)
        if like is None:
            return files[0].get_tensor(name)
        full = torch.cat([file.get_tensor(name) for file in files])
        if ranks.count == 1:
            return full
        pieces = torch.chunk(full, ranks.count)
        return pieces[ranks.rank] if ranks.rank < len(pieces) else full[:0]

    keys: dict[str, list[str]] = {}
    for entry in files[0].keys():  # noqa: SIM118 (not a dict)
        key, _, name = entry.partition("/")
        if key != "weight":
            keys.setdefault(name, []).append(key)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if not weight.requires_grad:
                continue
            local(weight).copy_(part(f"weight/{name}", weight))
            optimizer.state[weight] = {
                key: _like(part(f"{key}/{name}", None if key == "step" else weight), key, weight)
                for key in keys.get(name, [])
            }


def _like(value: Tensor, key: str, weight: Any) -> Tensor:
    """A moment with the placement of its weight."""
    if key == "step":
        return value
    value = value.to(weight.device)
    if not hasattr(weight, "to_local"):
        return value
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(
        value,
        weight.device_mesh,
        weight.placements,
        run_check=False,
        shape=weight.shape,
        stride=weight.stride(),
    )


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-????????"))
