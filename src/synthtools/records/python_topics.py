"""Text that is on every machine: the topics of Python's own documentation, as a file of records."""

from __future__ import annotations

import json
import os
import tempfile
from functools import cache
from pathlib import Path

TOPICS = "builtin:topics"

_KEPT: list[object] = []  # what ends with the process


@cache
def topics_file() -> Path:
    """A file of a record (``id``, ``text``) for each topic of ``pydoc_data.topics``, by name.

    It is of this process: in memory where the system can, else in TMPDIR, and gone with it. What it
    holds depends on the version of Python.

    Raises:
        OSError: neither can be had.
    """
    from pydoc_data.topics import topics

    lines = (json.dumps({"id": name, "text": topics[name]}) + "\n" for name in sorted(topics))
    content = "".join(lines).encode()
    if hasattr(os, "memfd_create") and os.path.isdir(f"/proc/{os.getpid()}/fd"):
        number = os.memfd_create("topics.jsonl")
        with open(number, "wb", closefd=False) as file:
            file.write(content)
        return Path(f"/proc/{os.getpid()}/fd/{number}")
    copy = tempfile.NamedTemporaryFile(prefix="synth-", suffix=".jsonl")
    _KEPT.append(copy)
    copy.write(content)
    copy.flush()
    return Path(copy.name)
