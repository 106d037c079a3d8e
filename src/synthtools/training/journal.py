"""A run's log (one line per step), the model card, and the numbers of the report."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypedDict

import numpy as np
import torch

from synthtools import __version__
from synthtools.lm.model_name import BUILTIN
from synthtools.records.atomic_files import write_whole
from synthtools.reports import document
from synthtools.training.parallel import Ranks
from synthtools.training.plan import LOG, WORK, Settings, Step

if TYPE_CHECKING:
    from synthtools.training.plan import Outcome, Plan


class Journal:
    """A log of one JSON line per step, beside the checkpoints; a resumed run continues it."""

    def __init__(self, path: Path, ranks: Ranks) -> None:
        self._path = path
        self._writes = ranks.first
        self._waiting = b""  # lines not yet written, because the disk was full
        # Kept open: if the folder was removed, its name may belong to another run.
        self._file: BinaryIO | None = None

    def add(self, step: Step) -> None:
        if not self._writes:
            return
        line = {k: v for k, v in step._asdict().items() if k not in ("parts", "valid", "skip")}
        line |= step.parts
        if step.skip:
            line["skip"] = True
        if step.valid:
            line["valid"] = step.valid
        # A loss that is not finite becomes null.
        clean = {
            k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()
        }
        self._waiting += json.dumps(clean).encode() + b"\n"
        try:
            self._append()
        except OSError:
            pass  # disk full: the next checkpoint reports it; the lines are kept for the next try

    def _append(self) -> None:
        if self._file is None:
            self._file = open(self._path, "ab", buffering=0)
        end = os.fstat(self._file.fileno()).st_size
        if self._file.write(self._waiting) == len(self._waiting):
            self._waiting = b""
        else:
            self._file.truncate(end)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def cut(self, step: int) -> None:
        """Removes the lines after the step from which the run continues; all lines for a new run."""
        if not self._writes:
            return
        kept = [json.dumps(line) + "\n" for line in self._lines() if line["step"] <= step]
        write_whole(self._path, "".join(kept).encode(), claimed=True)

    def _lines(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        lines = []
        for line in self._path.read_text().splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:  # an incomplete last line
                continue
        return lines

    def last(self, count: int) -> list[dict[str, Any]]:
        """The last lines; callable on every rank."""
        return self._lines()[-count:]

    def validations(self, step: int) -> dict[int, dict[str, float]]:
        """Those of the steps up to one, by step; every rank may ask."""
        return {x["step"]: x["valid"] for x in self._lines() if x["step"] <= step and "valid" in x}

    def mean(self, name: str, count: int) -> float | None:
        """The mean of a number over the last steps, weighted by tokens; None if no step has it."""
        lines = self.last(count + 1)
        before = lines.pop(0)["tokens"] if len(lines) > count else 0
        total = tokens = 0.0
        for line in lines:
            of_step, before = line["tokens"] - before, line["tokens"]
            if line.get(name) is not None:
                total += of_step * line[name]
                tokens += of_step
        return total / tokens if tokens else None

    def curve(self) -> list[dict[str, Any]]:
        """About twenty evenly spaced steps, and all validations."""
        lines = self._lines()
        every = max(1, len(lines) // 20)
        return [
            line
            for number, line in enumerate(lines)
            if number % every == 0 or number == len(lines) - 1 or line.get("valid")
        ]


def model_card(
    plan: Plan,
    settings: Settings,
    outcome: Outcome,
    job: dict[str, Any],
    curve: list[dict[str, Any]],
) -> str:
    """The model card in Markdown: the model, its data, its training curve."""
    start, sizes, progress = plan.start, outcome.sizes, outcome.progress
    begun = f"a new {start.architecture} model"
    if start.model is not None:
        begun = f"{'the built-in model' if start.model == BUILTIN else start.model}, continued"
    data = "\n".join(
        f"- {name}: {facts['documents']:,} documents, {facts['tokens']:,} tokens "
        f"({facts['learned']:,} learned), {facts['bytes']:,} bytes of UTF-8" + _rows(outcome, name)
        for name, facts in outcome.facts.items()
    )
    inputs = "\n".join(
        f"- `{i['name']}`"
        + ("" if i["bytes"] is None else f": {i['bytes']:,} bytes, {i['fingerprint']}")
        for i in job.get("inputs", [])
    )
    steps = "\n".join(
        f"| {line['step']:,} | {_cell(line['loss'])} | {line['learning_rate']:.2e} | "
        + (", ".join(f"{k} {v:.2f}" for k, v in line["valid"].items()) if line.get("valid") else "")
        + " |"
        for line in curve
    )
    versions = {"synthtools": __version__, "torch": torch.__version__}
    details = {**versions, "plan": asdict(plan), "settings": asdict(settings)}
    more = "" if plan.lora is None else f" Adapters of rank {plan.lora.rank}."
    if outcome.final_loss is not None:
        more += f" Mean training loss of the last steps: {outcome.final_loss:.4f} nats per token."
    if outcome.weighted_loss is not None:
        more += f" Weighted as it was minimised: {outcome.weighted_loss:.4f}."
    if progress.skipped:
        more += f" {progress.skipped:,} steps were skipped."
    return (
        f"# A model made by `synth {job.get('tool', 'train')}`: {begun}\n\n"
        f"{sizes.parameters:,} parameters, {sizes.trained:,} of them trained, for "
        f"{progress.step:,} steps of {sizes.tokens_of_step:,} tokens.{more}\n\n"
        f"## Data\n\n{data}\n\n{inputs}\n\n## Curve\n\n"
        f"| step | loss | learning rate | perplexity of validation sets |\n|---|---|---|---|\n{steps}\n\n"
        f"## Everything else\n\n```json\n{json.dumps(details, indent=1)}\n```\n"
    )


def _rows(outcome: Outcome, name: str) -> str:
    """How many rows of a source the run used, in words."""
    if name not in outcome.rows:
        return ""
    rows, repeated, left = outcome.rows[name]
    rest = "the rest not counted" if left is None else f"{left:,} of its first pass left"
    return f"; {rows:,} rows seen, {repeated:,} of them repeated, {rest}"


def _cell(loss: float | None) -> str:
    return "not finite" if loss is None else f"{loss:.4f}"


# Number of mean losses in the report; the log has every step.
_STRETCHES = 200
_ROWS = ("seen", "repeated", "left")


class RunNumbers(TypedDict):
    """The numbers of a run's report; ``sources``: facts and rows of each; ``valid``: perplexities by name."""

    model: str | None
    parameters: int
    trained: int
    documents: int
    corpus_tokens: int
    sources: dict[str, dict[str, int | None]]
    steps: int
    rows_seen: int
    rows_repeated: int
    rows_left: int | None
    tokens: int
    skipped_steps: int
    stopped_early: bool
    final_loss: float | None
    final_weighted_loss: float | None
    valid: dict[str, float] | None
    curve: dict[str, list[float]]


def numbers(outcome: Outcome, output: str | None) -> RunNumbers:
    """The numbers of a run that saved its model in the directory ``output``."""
    corpora, rows = outcome.facts.values(), outcome.rows.values()
    left = [source.left for source in rows]
    return {
        "model": output,
        "parameters": outcome.sizes.parameters,
        "trained": outcome.sizes.trained,
        "documents": sum(facts["documents"] for facts in corpora),
        "corpus_tokens": sum(facts["tokens"] for facts in corpora),
        "sources": {
            name: {
                **facts,
                **{
                    f"rows_{key}": count
                    for key, count in zip(_ROWS, outcome.rows.get(name, ()), strict=False)
                },
            }
            for name, facts in outcome.facts.items()
        },
        "steps": outcome.progress.step,
        "rows_seen": sum(source.rows for source in rows),
        "rows_repeated": sum(source.repeated for source in rows),
        "rows_left": None if None in left else sum(filter(None, left)),
        "tokens": outcome.progress.tokens,
        "skipped_steps": outcome.progress.skipped,
        "stopped_early": outcome.progress.stopped_early,
        "final_loss": outcome.final_loss,
        "final_weighted_loss": outcome.weighted_loss,
        "valid": outcome.valid,
        "curve": _curve(Path(output or ".")),
    }


def _curve(folder: Path) -> dict[str, list[float]]:
    """The loss curve: means over at most 200 equal parts of the log."""
    lines = document.load(str(folder / WORK / LOG))["steps"]
    names = ["step", "loss", *(["weighted_loss"] if "weighted_loss" in lines[-1] else [])]
    points = np.array([[line.get(name) for name in names] for line in lines], np.float64)
    points = points[np.isfinite(points).all(1)]
    parts = np.array_split(points, min(len(points), _STRETCHES)) if len(points) else []
    return {"steps": [float(part[-1, 0]) for part in parts]} | {
        name: [float(part[:, column].mean()) for part in parts]
        for column, name in enumerate(names[1:], 1)
    }
