"""The ledger of a model: what it was made to forget, one line per request in order of time."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthtools.errors import SynthError
from synthtools.training.plan import Outcome, Plan, Source

LEDGER = "forgotten.jsonl"


def extended(
    plan: Plan,
    method: str,
    forget: Sequence[Source],
    replay: Sequence[Source],
    outcome: Outcome,
    job: dict[str, Any],
) -> str:
    """The ledger of the run's starting model, with a line for this run."""
    before = Path(plan.start.model or "") / LEDGER
    request = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "method": method,
        "model": plan.start.model,
        "forgotten": [{"name": s.name, "data": s.digest, **outcome.facts[s.name]} for s in forget],
        "replayed": [s.name for s in replay],
        "steps": outcome.progress.step,
        "ended_by": outcome.ended_by,
        "arguments": job["arguments"],
    }
    known = before.read_text(encoding="utf-8") if before.is_file() else ""
    return known + json.dumps(request, ensure_ascii=False) + "\n"


def by_template(model: str) -> bool | None:
    """Whether the last request used the chat template; None for a model without ledger.

    Raises:
        SynthError: the ledger is damaged.
    """
    path = Path(model) / LEDGER
    if not path.is_file():
        return None
    try:
        last = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
        return bool(last["arguments"].get("sft"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise SynthError(
            f"{path}: not a ledger of synth unlearn ({type(error).__name__})"
        ) from error
