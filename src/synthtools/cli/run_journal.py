"""The journal of a run that may be killed: what it has computed, beside its output."""

from __future__ import annotations

import json
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import Any

from synthtools.cli import terminal
from synthtools.errors import OutputExistsError, parameter
from synthtools.records.value_journal import ValueJournal


def open_journal(
    path: Path,
    output: str | Path,
    kept: str,
    job: dict[str, Any],
    stack: ExitStack,
    *,
    resume: bool,
    force: bool,
) -> ValueJournal:
    """The journal at ``path``, closed by ``stack``.

    Args:
        kept: what the values are, in the plural; job: what they belong to (see ``Run.job``).

    Raises:
        OutputExistsError: an earlier run left values that are neither taken up nor dropped.
        SynthError: what is to be taken up belongs to another job.
    """
    if not (resume or force) and ValueJournal.holds_values(path):
        raise OutputExistsError(
            f"{output}: an unfinished run left {kept} ({path.name}); {parameter('resume')} continues with "
            f"them, {parameter('force')} starts over"
        )
    digest = blake2b(json.dumps(job, sort_keys=True).encode(), digest_size=16).hexdigest()
    journal = ValueJournal(path, digest, resume)
    stack.callback(journal.close)
    if len(journal):
        terminal.remark(f"{len(journal):,} {kept} of the earlier run are there already")
    return journal
