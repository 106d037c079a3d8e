"""Differences between two jobs; a job is everything that determines the bytes of an output."""

from __future__ import annotations

from typing import Any


def difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    """What differs between two jobs, in words for the user: ``arguments (learning_rate)``."""
    for part in sorted({*old, *new}):
        before, now = old.get(part), new.get(part)
        if before == now:
            continue
        if isinstance(before, dict) and isinstance(now, dict):
            names = sorted(n for n in {*before, *now} if before.get(n) != now.get(n))
            return f"{part} ({', '.join(names)})"
        return part
    return "arguments"
