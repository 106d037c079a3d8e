"""The early warning of Ratios: calibration gets worse one or two iterations before accuracy does."""

from __future__ import annotations

import math
from typing import Any

EARLY = "early warning"


def warnings(
    baseline: dict[str, Any], report: dict[str, Any], paired: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Each suite with calibration that both reports have, and what its numbers say.

    Args:
        paired: rows of ``paired_comparison.compared``, where the samples are there; else the change has the
            interval that the two reports' own give together, as of independent samples [ours].

    Returns:
        Rows of ``suite``, ``ece`` and ``accuracy`` ([before, after, low, high]: the interval is of
        the change), ``state``: ``early warning`` (calibration certainly worse, accuracy not
        certainly lower), ``both worse``, ``accuracy lower``, or ``no sign``; ``paired``.
    """
    rows = []
    for name, section in report["suites"].items():
        before = baseline.get("suites", {}).get(name)
        if not before or "ece" not in section["figures"] or "ece" not in before.get("figures", {}):
            continue
        found: dict[str, Any] = {"suite": name}
        for figure in ("ece", "accuracy"):
            row = next((r for r in paired if (r["suite"], r["figure"]) == (name, figure)), None)
            if row is not None:
                ends = row["interval"]
                found[figure] = [row["first"], row["other"], *(ends or [None, None])]
            else:
                found[figure] = _apart(before, section, figure)
            found["paired"] = row is not None
        worse = found["ece"][2] is not None and found["ece"][2] > 0
        lower = found["accuracy"][3] is not None and found["accuracy"][3] < 0
        states = {
            (True, False): EARLY,
            (True, True): "both worse",
            (False, True): "accuracy lower",
            (False, False): "no sign",
        }
        rows.append({**found, "state": states[worse, lower]})
    return rows


def _apart(before: dict[str, Any], after: dict[str, Any], figure: str) -> list[float | None]:
    values = [part["figures"][figure] for part in (before, after)]
    ends = [(part.get("intervals") or {}).get(figure) for part in (before, after)]
    if None in ends:
        return [*values, None, None]
    change = values[1] - values[0]
    reach = math.hypot(*((high - low) / 2 for low, high in ends))
    return [*values, change - reach, change + reach]
