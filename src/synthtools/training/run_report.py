"""The numbers of a run's report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from synthtools.reports import document
from synthtools.training.plan import WORK, Outcome

# Means of the loss that the report keeps; the log has every step.
_STRETCHES = 200


def numbers(outcome: Outcome, output: str | None) -> dict[str, Any]:
    """What a run came to.

    Args:
        output: the model directory, as the user named it.
    """
    facts = outcome.facts.values()
    given = outcome.rows.values()
    return {
        "model": output,
        "parameters": outcome.sizes.parameters,
        "trained": outcome.sizes.trained,
        "documents": sum(f["documents"] for f in facts),
        "corpus_tokens": sum(f["tokens"] for f in facts),
        "sources": {
            name: of_source | _rows_of(outcome, name) for name, of_source in outcome.facts.items()
        },
        "steps": outcome.progress.step,
        "rows_seen": sum(source.rows for source in given),
        "rows_repeated": sum(source.repeated for source in given),
        "rows_left": sum(source.left for source in given),
        "tokens": outcome.progress.tokens,
        "skipped_steps": outcome.progress.skipped,
        "stopped_early": outcome.progress.stopped_early,
        "final_loss": outcome.final_loss,
        "final_weighted_loss": outcome.weighted_loss,
        "valid": outcome.valid,
        "curve": _curve(Path(output or ".")),
    }


def _rows_of(outcome: Outcome, name: str) -> dict[str, int]:
    """The rows that a source gave."""
    if name not in outcome.rows:
        return {}
    rows, repeated, left = outcome.rows[name]
    return {"rows_seen": rows, "rows_repeated": repeated, "rows_left": left}


def _curve(folder: Path) -> dict[str, list[float]]:
    """The loss along the run: means over at most 200 equal stretches of its log."""
    lines = document.load(str(folder / WORK / "log.jsonl"))["steps"]
    names = ["step", "loss", *(["weighted_loss"] if "weighted_loss" in lines[-1] else [])]
    points = np.array([[line.get(name) for name in names] for line in lines], np.float64)
    points = points[np.isfinite(points).all(1)]
    parts = np.array_split(points, min(len(points), _STRETCHES)) if len(points) else []
    return {"steps": [float(part[-1, 0]) for part in parts]} | {
        name: [float(part[:, column].mean()) for part in parts]
        for column, name in enumerate(names[1:], 1)
    }
