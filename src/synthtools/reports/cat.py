"""The report of ``synth cat --count``."""

from __future__ import annotations

from typing import Any


def lines(report: dict[str, Any]) -> list[str]:
    """The number alone, for scripts."""
    return [str(report["count"])]
