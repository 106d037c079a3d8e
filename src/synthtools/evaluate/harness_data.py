"""Where the items of a task of lm-evaluation-harness lie on disk; nothing is loaded from the network."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from synthtools.errors import SynthError, parameter
from synthtools.evaluate.harness import PREFIX, calm, files

_SPLITS = ("test_split", "validation_split", "training_split")


def task_data(name: str, folder: str | None) -> list[str]:
    """The files of the split that a task is evaluated on, or of all tasks of a group or tag.

    Files that the task names itself (``data_files``), else those of the cache of Hugging Face's datasets.

    Args:
        name: ``lm-eval:TASK``; folder: of task definitions (YAML), None for the installed ones.

    Raises:
        SynthError: the harness is not installed, knows no such task, or its data is not on disk.
    """
    files(name, None)
    with calm(), _offline():
        from lm_eval.tasks import TaskManager

        index = TaskManager(include_path=folder, include_defaults=folder is None).task_index
        paths = [one for cfg in _tasks(index, name.removeprefix(PREFIX)) for one in _of(name, cfg)]
    if not paths:
        where = f"in {folder}" if folder else f"of that name ({parameter('task_files')} gives more)"
        raise SynthError(f"{name}: lm-evaluation-harness has no task {where}")
    return list(dict.fromkeys(paths))


def _tasks(index: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """The configurations of a task, or of those in a group or tag."""
    entry = index.get(name)
    config = {} if entry is None else entry.cfg or {}
    if "dataset_path" in config:
        yield config
        return
    inner = config.get("task", [])
    for one in inner if isinstance(inner, list) else []:
        yield from _tasks(index, one if isinstance(one, str) else str(one.get("task", "")))
    for other in index.values():
        if name in other.tags and "dataset_path" in (other.cfg or {}):
            yield other.cfg


def _of(name: str, config: dict[str, Any]) -> list[str]:
    split = next((config[one] for one in _SPLITS if config.get(one)), "test")
    given = dict(config.get("dataset_kwargs") or {})
    named = given.get("data_files")
    if named is not None:
        of_split = named.get(split, []) if isinstance(named, dict) else named
        patterns = [of_split] if isinstance(of_split, str) else of_split
        there = [sorted(glob.glob(os.path.join(given.get("data_dir") or "", p))) for p in patterns]
        for pattern, paths in zip(patterns, there, strict=True):
            if not paths and "://" not in pattern:
                raise SynthError(f"{name}: its data is not there: {pattern}")
        if all(there) and there:
            return [path for paths in there for path in paths]
    try:
        import datasets

        given.pop("trust_remote_code", None)
        path, part = config["dataset_path"], config.get("dataset_name")
        loaded = datasets.load_dataset(path, part, split=split, **given)
        return [one["filename"] for one in loaded.cache_files]
    except Exception as error:  # data sets raise what they like
        raise SynthError(
            f"{name}: its data ({config['dataset_path']}, split {split}) is not on disk: load it once "
            "with the network, or name a file of its items"
        ) from error


@contextmanager
def _offline() -> Iterator[None]:
    """What the libraries read when they are imported: no network."""
    names = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    before = {name: os.environ.get(name) for name in names}
    os.environ |= dict.fromkeys(names, "1")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
