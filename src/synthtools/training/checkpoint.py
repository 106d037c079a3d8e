"""Checkpoints: the state of a run on disk, as safetensors and JSON, whole or not there."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from synthtools.errors import SynthError
from synthtools.records.jobs import difference

_STATE = "state.json"


def save(
    folder: Path,
    step: int,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    job: dict[str, Any],
    keep: int,
) -> None:
    """Saves the state after ``step`` steps and removes all but the newest ``keep`` checkpoints.

    Args:
        folder: holds the checkpoints, one directory each.
        job: what defines the run; ``load`` refuses another one.
    """
    final = folder / f"step-{step:08d}"
    partial = folder / f".step-{step:08d}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        names = {parameter: name for name, parameter in model.named_parameters()}
        save_file({n: p.detach() for p, n in names.items()}, partial / "model.safetensors")
        moments = {
            f"{names[parameter]}/{key}": value
            for parameter, state in optimizer.state.items()
            for key, value in state.items()
        }
        save_file(moments, partial / "optimizer.safetensors")
        (partial / _STATE).write_text(json.dumps({"step": step, "job": job}))
        for file in partial.iterdir():
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial, final)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise SynthError(f"{final}: cannot be written: {error.strerror}") from error
    for old in _all(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)


def load(
    folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, job: dict[str, Any]
) -> int:
    """Loads the newest checkpoint.

    Returns:
        The steps done; 0 where there is no checkpoint.

    Raises:
        SynthError: the checkpoint is of another run, or damaged.
    """
    found = _all(folder)
    if not found:
        return 0
    newest = found[-1]
    try:
        state = json.loads((newest / _STATE).read_text())
        weights = load_file(newest / "model.safetensors")
        moments = load_file(newest / "optimizer.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise SynthError(
            f"{newest}: damaged checkpoint ({error}); remove it to go on from the one before"
        ) from error
    job = json.loads(json.dumps(job))
    if state["job"] != job:
        raise SynthError(
            f"{folder.parent}: was begun with other {difference(state['job'], job)}; "
            "--force begins anew"
        )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
            keys = [key for key in moments if key.rpartition("/")[0] == name]
            optimizer.state[parameter] = {
                key.rpartition("/")[2]: moments[key].to(
                    "cpu" if key.endswith("/step") and moments[key].ndim == 0 else parameter.device
                )
                for key in keys
            }
    return int(state["step"])


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-????????"))
