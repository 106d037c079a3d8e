"""Reports: what they hold, and how a person reads them. No terminal, no options.

- ``document``: a report as JSON, read and written; what made it; tables and bars of characters
- one file a kind of report: its lines for a terminal
"""

from __future__ import annotations

import importlib
from typing import Any

# Kind of a report → the module here that has its ``lines``, and their name where it is another.
_LINES = {
    "ngram-hash": "hashed_ngrams",
    "ngram-hash-compare": "hashed_ngrams:comparison",
    "ngram-hash-density": "hashed_ngrams:density",
    "ngram-hash-duplicates": "hashed_ngrams:duplicates",
    "simulate": "simulation",
}


def lines(report: dict[str, Any]) -> list[str]:
    """A report as a person reads it at a terminal."""
    module, _, name = _LINES[report["kind"]].partition(":")
    return getattr(importlib.import_module(f"synthtools.reports.{module}"), name or "lines")(report)
